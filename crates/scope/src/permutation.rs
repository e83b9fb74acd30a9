/// A keyed bijection of `0..n`: the order in which endpoints are visited, and its inverse.
///
/// A Feistel network over `0..2ᵏ·b`, where `2ᵏ` is about `√n` and `b = ⌈n/2ᵏ⌉`, whose halves are added modulo `2ᵏ` and `b`
/// instead of being xored, so that the domain is hardly larger than `n`; the few results at or above `n` walk on (Black and
/// Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Splitting a number is a shift, and what the round function gives
/// is brought below `b` by a multiplication (Lemire, "Fast Random Integer Generation in an Interval", 2019), so no step
/// divides. The round function is that of a hash table, not of a cipher: the order must be even, not secret. Both directions
/// take constant time and no memory, so any index can be resumed from and any answer be turned back into its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permutation {
    n: u64,
    /// The lower half has so many bits, at most 32.
    bits: u32,
    /// The upper half is below this, at most 2³².
    b: u64,
    keys: [(u64, u64); ROUNDS / 2],
}

const ROUNDS: usize = 4;

impl Permutation {
    /// Which order a seed gives. It changes whenever another program would visit in another order: what is resumed or looked
    /// up by index means nothing then.
    pub const EDITION: u8 = 2;

    /// Of `0..n`; every seed gives another order.
    pub fn new(n: u64, seed: u64) -> Self {
        let needed = u64::BITS - n.saturating_sub(1).leading_zeros();
        let bits = needed.div_ceil(2);
        let b = n.div_ceil(1 << bits);
        let mut state = seed ^ mix(b << 6 | u64::from(bits));
        let mut key = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state)
        };
        let keys = [(); ROUNDS / 2].map(|()| (key(), key()));
        Self { n, bits, b, keys }
    }

    pub fn len(&self) -> u64 {
        self.n
    }

    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// What is visited `i`th; none from `n` on.
    #[inline]
    pub fn at(&self, i: u64) -> Option<u64> {
        self.walk(i, Self::forward)
    }

    /// When `v` is visited: the inverse of [`Permutation::at`].
    #[inline]
    pub fn index_of(&self, v: u64) -> Option<u64> {
        self.walk(v, Self::backward)
    }

    /// Ends: a bijection of the larger domain that starts inside `0..n` comes back into it after at most as many steps as
    /// there are numbers outside, which are fewer than `2ᵏ`; hardly any start needs a second step.
    #[inline]
    fn walk(&self, start: u64, step: impl Fn(&Self, u64) -> u64) -> Option<u64> {
        if start >= self.n {
            return None;
        }
        let mut value = step(self, start);
        while value >= self.n {
            value = step(self, value);
        }
        Some(value)
    }

    #[inline]
    fn forward(&self, value: u64) -> u64 {
        let (mut low, mut high) = (value & self.mask(), value >> self.bits);
        for &(first, second) in &self.keys {
            low = low.wrapping_add(scramble(high, first) >> 32) & self.mask();
            let sum = high + self.below_b(scramble(low, second));
            high = if sum >= self.b { sum - self.b } else { sum };
        }
        high << self.bits | low
    }

    #[inline]
    fn backward(&self, value: u64) -> u64 {
        let (mut low, mut high) = (value & self.mask(), value >> self.bits);
        for &(first, second) in self.keys.iter().rev() {
            let less = self.below_b(scramble(low, second));
            high = if high >= less { high - less } else { high + self.b - less };
            low = low.wrapping_sub(scramble(high, first) >> 32) & self.mask();
        }
        high << self.bits | low
    }

    #[inline]
    fn mask(&self) -> u64 {
        (1 << self.bits) - 1
    }

    /// The upper 32 bits of what is random, brought below `b`.
    #[inline]
    fn below_b(&self, random: u64) -> u64 {
        ((random >> 32) * self.b) >> 32
    }
}

/// The round function: half a number under a key; the upper 32 bits are what counts. One multiplication would leave
/// neighbours at equal distances; the second, behind a shift, breaks that up.
#[inline]
fn scramble(half: u64, key: u64) -> u64 {
    let x = (half ^ key).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ x >> 32).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// The finalizer of `SplitMix64`.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests;
