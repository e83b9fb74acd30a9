use serde::{Deserialize, Serialize};

/// How much the network loses, as measured by questions to endpoints that are known to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Loss {
    pub asked: u64,
    /// Of them, those without an answer to the first question.
    pub missed: u64,
}

impl Loss {
    /// 0 to 1; none without anything to measure by.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn ratio(self) -> Option<f64> {
        (self.asked > 0).then(|| self.missed as f64 / self.asked as f64)
    }

    /// Between what the true loss lies with 95 % confidence (Wilson's score interval, which holds for few questions and for none
    /// missed as well); none without anything to measure by.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn bounds(self) -> Option<(f64, f64)> {
        const Z: f64 = 1.96;
        let (n, p) = (self.asked as f64, self.ratio()?);
        let centre = p + Z * Z / (2.0 * n);
        let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        // At the ends rounding must not leave a trace of what is not there.
        let low = if self.missed == 0 { 0.0 } else { (centre - spread) / scale };
        let high = if self.missed >= self.asked { 1.0 } else { (centre + spread) / scale };
        Some((low.max(0.0), high.min(1.0)))
    }

    /// The chance that random loss hid a given open port among so many endpoints. `silent`: how many of them were asked, or
    /// would have been had they stayed silent, how many times. Where nothing stayed silent, nothing was hidden. Else a port was hidden if
    /// every question to it was lost, and it is taken to be any of those. A loss that was not seen in n questions is taken for one in n + 2
    /// (Laplace), not for none. None where nothing is known.
    #[expect(clippy::cast_precision_loss, reason = "a probability")]
    pub fn p_miss(self, endpoints: u64, silent: impl Iterator<Item = (i32, u64)> + Clone) -> Option<f64> {
        let all: u64 = silent.clone().map(|(_, count)| count).sum();
        if endpoints > 0 && all == 0 {
            return Some(0.0);
        }
        if self.asked == 0 || all == 0 {
            return None;
        }
        let loss = (self.missed as f64 + 1.0) / (self.asked as f64 + 2.0);
        Some(silent.map(|(times, count)| count as f64 / all as f64 * loss.powi(times)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(got: Option<f64>, expect: Option<f64>) -> bool {
        match (got, expect) {
            (Some(got), Some(expect)) => (got - expect).abs() < 1e-3 * expect.max(1e-9),
            (got, expect) => got.is_none() && expect.is_none(),
        }
    }

    #[test]
    fn claims_no_more_than_it_knows() {
        for (asked, missed, endpoints, silent, expect) in [
            // Everything answered: nothing can have been hidden.
            (0, 0, 10, vec![], Some(0.0)),
            // Nothing answered: nothing is known.
            (0, 0, 10, vec![(1, 10)], None),
            (0, 0, 0, vec![], None),
            // No loss seen in 8 questions; each silent port asked once, or three times.
            (8, 0, 10, vec![(1, 5)], Some(0.1)),
            (8, 0, 10, vec![(3, 5)], Some(0.001)),
            (8, 0, 20, vec![(1, 5), (3, 5)], Some(0.0505)),
            (8, 4, 10, vec![(1, 5)], Some(0.5)),
        ] {
            let got = Loss { asked, missed }.p_miss(endpoints, silent.iter().copied());
            assert!(is_near(got, expect), "{asked} {missed} {silent:?}: {got:?}, not {expect:?}");
        }
    }

    /// The figures of a table of Wilson's interval.
    #[test]
    fn the_interval_is_wilsons() {
        for (asked, missed, expect) in [
            (0, 0, None),
            (10, 0, Some((0.0, 0.2775))),
            (10, 10, Some((0.7225, 1.0))),
            (100, 5, Some((0.0215, 0.1118))),
            (10_000, 200, Some((0.01744, 0.02293))),
        ] {
            let got = Loss { asked, missed }.bounds();
            let (low, high) = (got.map(|bounds| bounds.0), got.map(|bounds| bounds.1));
            let (least, most) = (expect.map(|bounds| bounds.0), expect.map(|bounds| bounds.1));
            let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => f64::abs(a - b) < 5e-4,
                (a, b) => a.is_none() && b.is_none(),
            };
            assert!(near(low, least) && near(high, most), "{missed} of {asked}: {got:?}, not {expect:?}");
        }
    }
}
