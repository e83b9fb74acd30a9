//! An order cut into pieces: what is sent, accounted for, repeated and resumed as one.

use crate::divisor::Divisor;
use std::{
    fmt,
    num::{NonZeroU32, NonZeroU64},
    ops::Range,
};

/// Consecutive indices of a [`crate::Permutation`], never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// Its place among the [`Chunks`], from 0.
    pub number: u64,
    pub first: u64,
    /// The first index after it.
    pub end: u64,
}

impl Chunk {
    #[expect(clippy::len_without_is_empty, reason = "a chunk is never empty")]
    pub fn len(&self) -> u64 {
        self.end - self.first
    }

    pub fn indices(&self) -> Range<u64> {
        self.first..self.end
    }
}

/// All indices `0..total` of an order, cut into chunks of one size; the last may be smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    total: u64,
    size: NonZeroU64,
    by_size: Divisor,
}

impl Chunks {
    pub const SMALLEST: u64 = 1 << 14;
    pub const LARGEST: u64 = 1 << 22;

    pub fn new(total: u64, size: NonZeroU64) -> Self {
        Self { total, size, by_size: Divisor::new(size) }
    }

    /// What is sent in about four seconds at this rate (probes per second), within [`Chunks::SMALLEST`] and
    /// [`Chunks::LARGEST`]: what a fault of our own spoils, and what a crash repeats.
    pub fn size_for(rate: f64) -> NonZeroU64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
        let size = (rate * 4.0) as u64;
        NonZeroU64::new(size.clamp(Self::SMALLEST, Self::LARGEST)).unwrap_or(NonZeroU64::MIN)
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn size(&self) -> NonZeroU64 {
        self.size
    }

    pub fn count(&self) -> u64 {
        self.total.div_ceil(self.size.get())
    }

    /// None from [`Chunks::count`] on.
    pub fn nth(&self, number: u64) -> Option<Chunk> {
        let first = number.checked_mul(self.size.get()).filter(|first| *first < self.total)?;
        Some(Chunk { number, first, end: first.saturating_add(self.size.get()).min(self.total) })
    }

    /// The chunk an index is in; none from the total on.
    pub fn of_index(&self, index: u64) -> Option<Chunk> {
        self.nth(self.by_size.divide(index).0).filter(|_| index < self.total)
    }

    /// The chunks that are a shard's, ascending, without those before `from`: where a restart goes on.
    pub fn of_shard(self, shard: Shard, from: u64) -> impl Iterator<Item = Chunk> {
        let step = u64::from(shard.of.get());
        let ahead = (u64::from(shard.number) + step - from % step) % step;
        let first = from.checked_add(ahead);
        std::iter::successors(first, move |number| number.checked_add(step)).map_while(move |number| self.nth(number))
    }
}

/// One of several that share the work: its chunks are those whose number leaves its own when divided by how many there are,
/// so that shares differ by one chunk at most and every shard is done with the same part of the order at about the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    number: u32,
    of: NonZeroU32,
}

impl Shard {
    /// The only one there is.
    pub const WHOLE: Self = Self { number: 0, of: NonZeroU32::MIN };

    /// `number` counts from 0; none where it is not below `of`.
    pub fn new(number: u32, of: u32) -> Option<Self> {
        NonZeroU32::new(of).filter(|of| number < of.get()).map(|of| Self { number, of })
    }

    pub fn number(self) -> u32 {
        self.number
    }

    pub fn of(self) -> u32 {
        self.of.get()
    }

    pub fn owns(self, chunk: u64) -> bool {
        chunk % u64::from(self.of.get()) == u64::from(self.number)
    }
}

/// `2/3`, counted from 1 as people do.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", u64::from(self.number) + 1, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Permutation;
    use proptest::prelude::*;

    fn chunks(total: u64, size: u64) -> Chunks {
        Chunks::new(total, NonZeroU64::new(size).expect("a size"))
    }

    #[test]
    fn cuts_from_end_to_end() {
        let cut = chunks(10, 4);
        let all: Vec<Range<u64>> = cut.of_shard(Shard::WHOLE, 0).map(|chunk| chunk.indices()).collect();
        assert_eq!(all, [0..4, 4..8, 8..10]);
        assert_eq!((cut.count(), cut.nth(3), cut.of_index(9).map(|chunk| chunk.number)), (3, None, Some(2)));
        assert_eq!(cut.of_index(10), None);
        assert_eq!((chunks(0, 4).count(), chunks(0, 4).nth(0)), (0, None));
        let most = chunks(u64::MAX, 1);
        assert_eq!(most.count(), u64::MAX);
        assert_eq!(most.nth(u64::MAX - 1).map(|chunk| chunk.indices()), Some(u64::MAX - 1..u64::MAX));
        let two = Shard::new(1, 2).expect("a shard");
        assert_eq!(most.of_shard(two, u64::MAX - 3).map(|chunk| chunk.number).collect::<Vec<_>>(), [u64::MAX - 2]);
        assert_eq!(most.of_shard(two, u64::MAX).count(), 0);
    }

    #[test]
    fn a_chunk_is_four_seconds_of_work_within_bounds() {
        for (rate, size) in [
            (0.0, 1 << 14),
            (-1.0, 1 << 14),
            (f64::NAN, 1 << 14),
            (4_096.0, 1 << 14),
            (5_000.0, 20_000),
            (1e6, 4_000_000),
            (1.1e6, 1 << 22),
            (f64::INFINITY, 1 << 22),
        ] {
            assert_eq!(Chunks::size_for(rate).get(), size, "{rate}");
        }
    }

    #[test]
    fn a_shard_is_one_of_those_there_are() {
        assert_eq!((Shard::new(0, 0), Shard::new(3, 3)), (None, None));
        assert_eq!(Shard::new(1, 3).map(|shard| shard.to_string()).as_deref(), Some("2/3"));
        assert_eq!(Shard::new(0, 1), Some(Shard::WHOLE));
    }

    /// Every endpoint is visited exactly once, whatever number of shards shares the work.
    #[test]
    fn the_shards_together_visit_everything_once() {
        for total in [0, 1, 2, 63, 64, 65, 1_000, 4_099] {
            let order = Permutation::new(total, 3);
            for size in [1, 7, 64, 5_000] {
                let cut = chunks(total, size);
                for of in 1..=64 {
                    let mut visits = vec![0_u8; usize::try_from(total).expect("small")];
                    for number in 0..of {
                        let shard = Shard::new(number, of).expect("a shard");
                        let mut last = None;
                        for chunk in cut.of_shard(shard, 0) {
                            assert!(shard.owns(chunk.number) && last < Some(chunk.number));
                            last = Some(chunk.number);
                            assert!(chunk.len() == size || chunk.end == total);
                            for index in chunk.indices() {
                                let visited = usize::try_from(order.at(index).expect("inside")).expect("small");
                                visits[visited] += 1;
                            }
                        }
                    }
                    assert!(visits.iter().all(|count| *count == 1), "{total} in chunks of {size} over {of} shards");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_index_is_in_one_chunk_of_one_shard(total in 1_u64.., size in 1_u64.., index: u64, of in 1_u32..=64) {
            let index = index % total;
            let cut = chunks(total, size);
            let chunk = cut.of_index(index).expect("inside");
            prop_assert!(chunk.indices().contains(&index) && chunk.number < cut.count());
            prop_assert_eq!(cut.nth(chunk.number), Some(chunk));
            let owners: Vec<Shard> =
                (0..of).filter_map(|number| Shard::new(number, of)).filter(|shard| shard.owns(chunk.number)).collect();
            prop_assert_eq!(owners.len(), 1);
            prop_assert_eq!(cut.of_shard(owners[0], chunk.number).next(), Some(chunk), "resumed where it is");
            let before = cut.of_shard(owners[0], chunk.number.saturating_sub(u64::from(of) - 1)).next();
            prop_assert_eq!(before, Some(chunk), "nothing of the shard is between two of its chunks");
        }
    }
}
