/// A keyed bijection of `0..n`: the order in which a group's endpoints are visited, and its inverse.
///
/// A Feistel network over `0..a·b` with `a = ⌈√n⌉`, `b = ⌈n/a⌉`, whose halves are added modulo `a` and `b` instead of
/// being xored, so that the domain is hardly larger than `n`; the few results at or above `n` walk on (Black and
/// Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). The round function is the finalizer of `SplitMix64` over the half and a
/// key of the round: the order must be even, not secret. Both directions take
/// constant time and no memory, so any index can be resumed from and any answer be turned back into its index.
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    n: u64,
    a: u64,
    b: u64,
    keys: [u64; ROUNDS],
}

const ROUNDS: usize = 6;

impl Permutation {
    /// Of `0..n`; every seed gives another order.
    pub fn new(n: u64, seed: u64) -> Self {
        let a = ceil_sqrt(n).max(1);
        let mut state = seed ^ mix(n);
        let keys = [(); ROUNDS].map(|()| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state)
        });
        Self { n, a, b: n.div_ceil(a).max(1), keys }
    }

    pub fn len(&self) -> u64 {
        self.n
    }

    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// What is visited `i`th; none from `n` on.
    pub fn at(&self, i: u64) -> Option<u64> {
        self.walk(i, Self::forward)
    }

    /// When `v` is visited: the inverse of [`Permutation::at`].
    pub fn index_of(&self, v: u64) -> Option<u64> {
        self.walk(v, Self::backward)
    }

    /// Ends: a bijection of the larger domain that starts inside `0..n` comes back into it after at most as many steps as
    /// there are numbers outside, which are fewer than `a`.
    fn walk(&self, start: u64, step: fn(&Self, u64) -> u64) -> Option<u64> {
        if start >= self.n {
            return None;
        }
        let mut value = step(self, start);
        while value >= self.n {
            value = step(self, value);
        }
        Some(value)
    }

    fn forward(&self, value: u64) -> u64 {
        let (mut left, mut right) = (value % self.a, value / self.a);
        for (round, key) in self.keys.iter().enumerate() {
            if round % 2 == 0 {
                left = (left + mix(right ^ key) % self.a) % self.a;
            } else {
                right = (right + mix(left ^ key) % self.b) % self.b;
            }
        }
        left + self.a * right
    }

    fn backward(&self, value: u64) -> u64 {
        let (mut left, mut right) = (value % self.a, value / self.a);
        for (round, key) in self.keys.iter().enumerate().rev() {
            if round % 2 == 0 {
                left = (left + self.a - mix(right ^ key) % self.a) % self.a;
            } else {
                right = (right + self.b - mix(left ^ key) % self.b) % self.b;
            }
        }
        left + self.a * right
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn ceil_sqrt(n: u64) -> u64 {
    let floor = n.isqrt();
    if floor * floor == n { floor } else { floor + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_all(n: u64, seed: u64) {
        let order = Permutation::new(n, seed);
        let mut seen = vec![false; usize::try_from(n).expect("small")];
        for i in 0..n {
            let v = order.at(i).expect("inside");
            let slot = seen.get_mut(usize::try_from(v).expect("small")).expect("inside");
            assert!(!std::mem::replace(slot, true), "{v} twice of {n}");
            assert_eq!(order.index_of(v), Some(i), "{n}");
        }
        assert_eq!((order.at(n), order.index_of(n)), (None, None));
    }

    #[test]
    fn is_a_bijection_for_every_small_size() {
        for n in 0..=1 << 12 {
            check_all(n, n ^ 0x5eed);
        }
    }

    #[test]
    fn is_a_bijection_for_some_larger_sizes() {
        for n in [(1 << 16) - 1, 1 << 16, 65_535 * 3, 100_003] {
            check_all(n, 7);
        }
    }

    #[test]
    fn inverts_at_any_size() {
        for n in [1 << 20, (1 << 24) - 3, 256 * 65_535, 1 << 34, (1 << 48) + 1, u64::MAX - 1, u64::MAX] {
            let order = Permutation::new(n, 42);
            for k in 0..2_000_u64 {
                let i = k.wrapping_mul(0x9e37_79b9_7f4a_7c15) % n;
                let v = order.at(i).expect("inside");
                assert!(v < n);
                assert_eq!(order.index_of(v), Some(i));
            }
            for i in [0, n - 1] {
                assert_eq!(order.at(i).and_then(|v| order.index_of(v)), Some(i));
            }
        }
    }

    #[test]
    fn seeds_give_different_orders_that_are_not_the_plain_one() {
        let n = 65_536;
        let orders: Vec<Vec<u64>> =
            (0..4).map(|seed| (0..n).filter_map(|i| Permutation::new(n, seed).at(i)).collect()).collect();
        for (k, order) in orders.iter().enumerate() {
            let fixed = order.iter().zip(0..).filter(|(v, i)| *v == i).count();
            let neighbours = order.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
            // A random permutation has one fixed point and two neighbours on average.
            assert!(fixed < 12 && neighbours < 16, "seed {k}: {fixed} fixed, {neighbours} neighbours");
            for other in &orders[k + 1..] {
                assert!(order.iter().zip(other).filter(|(a, b)| a == b).count() < 12);
            }
        }
    }
}
