use std::num::NonZeroU64;

/// A number that is divided by often: a multiplication takes the place of the division.
///
/// The reciprocal `r = ⌊(2⁶⁴−1)/d⌋` is at least `2⁶⁴/d − 1`, so `⌊x·r/2⁶⁴⌋` is the quotient or one less, and the
/// remainder tells which (Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Divisor {
    by: u64,
    reciprocal: u64,
}

impl Divisor {
    pub(crate) fn new(by: NonZeroU64) -> Self {
        Self { by: by.get(), reciprocal: u64::MAX / by.get() }
    }

    /// Quotient and remainder.
    #[inline]
    pub(crate) fn divide(self, number: u64) -> (u64, u64) {
        let quotient = ((u128::from(number) * u128::from(self.reciprocal)) >> 64) as u64;
        let rest = number - quotient * self.by;
        if rest >= self.by { (quotient + 1, rest - self.by) } else { (quotient, rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(number: u64, by: u64) {
        let divisor = Divisor::new(NonZeroU64::new(by).expect("not zero"));
        assert_eq!(divisor.divide(number), (number / by, number % by), "{number} / {by}");
    }

    #[test]
    fn divides_at_the_edges() {
        for by in [1, 2, 3, 5, 20, 64, 1_000, 65_535, 131_070, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX]
        {
            for near in [0, 1, by - 1, by, by.saturating_add(1), by.saturating_mul(7), u64::MAX - 1, u64::MAX] {
                check(near, by);
                check(near.saturating_sub(1), by);
            }
        }
    }

    proptest! {
        #[test]
        fn divides_like_the_processor(number: u64, by in 1_u64.., small in 1_u64..200_000) {
            check(number, by);
            check(number, small);
            check(number / small * small, small);
        }
    }
}
