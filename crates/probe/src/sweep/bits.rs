//! One bit for each endpoint of a group.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug)]
pub(super) struct Bits(Vec<AtomicU64>);

impl Bits {
    pub(super) fn new(len: usize) -> Self {
        Self((0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn get(&self, number: u64) -> bool {
        self.word(number).is_some_and(|word| word.load(Relaxed) & (1 << (number % 64)) != 0)
    }

    pub(super) fn set(&self, number: u64, value: bool) {
        if let Some(word) = self.word(number) {
            let bit = 1 << (number % 64);
            if value {
                word.fetch_or(bit, Relaxed)
            } else {
                word.fetch_and(!bit, Relaxed)
            };
        }
    }

    /// Those set in `from..to`, ascending.
    pub(super) fn within(&self, from: u64, to: u64) -> impl Iterator<Item = u64> + '_ {
        let first = usize::try_from(from / 64).unwrap_or(usize::MAX);
        (from / 64 * 64..to)
            .step_by(64)
            .zip(self.0.iter().skip(first))
            .flat_map(|(base, word)| {
                let mut left = word.load(Relaxed);
                std::iter::from_fn(move || {
                    (left != 0).then(|| {
                        let bit = left.trailing_zeros();
                        left &= left - 1;
                        base + u64::from(bit)
                    })
                })
            })
            .filter(move |number| (from..to).contains(number))
    }

    /// Those not set in `from..to`, ascending.
    pub(super) fn without(&self, from: u64, to: u64) -> impl Iterator<Item = u64> + '_ {
        (from / 64 * 64..to)
            .step_by(64)
            .flat_map(move |base| {
                let mut left = !self.word(base).map_or(u64::MAX, |word| word.load(Relaxed));
                std::iter::from_fn(move || {
                    (left != 0).then(|| {
                        let bit = left.trailing_zeros();
                        left &= left - 1;
                        base + u64::from(bit)
                    })
                })
            })
            .filter(move |number| (from..to).contains(number))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.load(Relaxed).count_ones())).sum()
    }

    fn word(&self, number: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(number / 64).ok()?)
    }
}
