//! How much the network lost, as far as this scan could measure it, and what that means for what it did not find.

use probe::SweepCounts;

/// Measured by asking endpoints again that had just answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Loss {
    pub asked: u64,
    /// Silent at the first of those questions.
    pub missed: u64,
}

impl Loss {
    /// None without anything to measure by.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub(super) fn ratio(self) -> Option<f64> {
        (self.asked > 0).then(|| self.missed as f64 / self.asked as f64)
    }

    /// With what the sweep itself shows: open endpoints of which only the second question arrived.
    pub(super) fn with(self, counts: &SweepCounts) -> Self {
        Self { asked: self.asked + counts.open_first + counts.open_second, missed: self.missed + counts.open_second }
    }

    /// The chance that random loss hid a given open port. Where nothing stayed silent, nothing was hidden. Else a port was hidden if
    /// every question to it was lost, and it is taken to be any of those that stayed silent. A loss that was not seen in n questions
    /// is taken for one in n + 2 (Laplace), not for none.
    #[expect(clippy::cast_precision_loss, reason = "a probability")]
    pub(super) fn p_miss(self, counts: &SweepCounts) -> Option<f64> {
        let silent = counts.probes.saturating_sub(counts.answered);
        if counts.probes > 0 && silent == 0 {
            return Some(0.0);
        }
        let all: u64 = counts.silent_after().map(|(_, silent)| silent).sum();
        if self.asked == 0 || all == 0 {
            return None;
        }
        let loss = (self.missed as f64 + 1.0) / (self.asked as f64 + 2.0);
        Some(counts.silent_after().map(|(times, silent)| silent as f64 / all as f64 * loss.powi(times)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe::MOST_ATTEMPTS;

    #[test]
    fn claims_no_more_than_it_knows() {
        // Silent ones were all asked so often.
        let counts = |probes: u64, answered, times: usize| {
            let (mut asked_at, mut answered_at) = ([0; MOST_ATTEMPTS], [0; MOST_ATTEMPTS]);
            (asked_at[0], answered_at[0]) = (probes, answered);
            asked_at.iter_mut().take(times).skip(1).for_each(|asked| *asked = probes - answered);
            SweepCounts { probes, answered, asked_at, answered_at, ..SweepCounts::default() }
        };
        for (loss, counts, expect) in [
            // Everything answered: nothing can have been hidden.
            (Loss { asked: 0, missed: 0 }, counts(10, 10, 1), Some(0.0)),
            // Nothing answered: nothing is known.
            (Loss { asked: 0, missed: 0 }, counts(10, 0, 1), None),
            (Loss { asked: 0, missed: 0 }, counts(0, 0, 1), None),
            // No loss seen in 8 questions; each silent port asked once, or three times.
            (Loss { asked: 8, missed: 0 }, counts(10, 5, 1), Some(0.1)),
            (Loss { asked: 8, missed: 0 }, counts(10, 5, 3), Some(0.001)),
            (Loss { asked: 8, missed: 4 }, counts(10, 5, 1), Some(0.5)),
        ] {
            let got = loss.p_miss(&counts);
            let near = match (got, expect) {
                (Some(got), Some(expect)) => (got - expect).abs() < 1e-12,
                (got, expect) => got.is_none() && expect.is_none(),
            };
            assert!(near, "{loss:?} {counts:?}: {got:?}, not {expect:?}");
        }
        assert_eq!(Loss::default().ratio(), None);
        assert_eq!(Loss { asked: 4, missed: 1 }.ratio(), Some(0.25));
    }
}
