//! What came of a simulation, in figures.

use model::EventType;
use std::{collections::BTreeMap, fmt, time::Duration};

/// How a run went.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub title: String,
    pub days: f64,
    /// Changes that had to be told.
    pub changes: u64,
    /// Events nothing true stands behind.
    pub false_events: Vec<String>,
    /// Changes nobody was told of.
    pub missed: Vec<String>,
    /// Changes told after their deadline.
    pub late: Vec<String>,
    /// Changes told in time, but later than the scenario wants ninety-nine of a hundred to be.
    pub slow: Vec<String>,
    /// What is remembered at the end and is not so.
    pub wrong: Vec<String>,
    /// Other expectations of the scenario that were not met.
    pub errors: Vec<String>,
    /// From the change to its telling, of changes that nothing hid.
    pub delays: BTreeMap<EventType, Delay>,
    /// Events that were told, by type; those that are part of another are not.
    pub notices: BTreeMap<EventType, u64>,
    pub notices_after_baseline: u64,
    /// Events recorded as a part of another one.
    pub folded: u64,
    /// Attempts to connect that were played, those to empty addresses not counted.
    pub questions: u64,
    pub commits: u64,
    pub wall: Duration,
}

/// Delays of a type of event, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    pub count: usize,
    pub p50_ms: u64,
    pub p99_ms: u64,
    pub most_ms: u64,
}

impl Delay {
    pub(super) fn of(mut all: Vec<u64>) -> Self {
        all.sort_unstable();
        // The nearest rank: the smallest value that so many in a hundred do not exceed.
        let rank = |percent: usize| all.get((all.len() * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(0);
        Self { count: all.len(), p50_ms: rank(50), p99_ms: rank(99), most_ms: all.last().copied().unwrap_or(0) }
    }
}

impl Report {
    /// Whether everything came that had to, in time, and nothing else.
    pub fn is_clean(&self) -> bool {
        let complaints = [&self.false_events, &self.missed, &self.late, &self.wrong, &self.errors];
        complaints.iter().all(|list| list.is_empty())
    }
}

/// Lines of a list shown at most.
const SHOWN: usize = 25;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = self.wall.as_secs_f64();
        writeln!(f, "{}: {}", self.title, if self.is_clean() { "as it should be" } else { "NOT as it should be" })?;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.questions as f64 / wall.max(0.001);
        writeln!(
            f,
            "  {:.2} days in {wall:.1} s; {} attempts, {rate:.0} a second; {} commits",
            self.days, self.questions, self.commits
        )?;
        writeln!(
            f,
            "  changes to tell {}, missed {}, late {}, false {}, wrongly remembered {}, folded {}",
            self.changes,
            self.missed.len(),
            self.late.len(),
            self.false_events.len(),
            self.wrong.len(),
            self.folded
        )?;
        if !self.delays.is_empty() {
            writeln!(f, "  {:<18} {:>6} {:>9} {:>9} {:>9}", "delay", "count", "p50", "p99", "max")?;
        }
        for (kind, delay) in &self.delays {
            let shown = |ms: u64| model::format_duration(Duration::from_secs(ms / 1_000));
            writeln!(
                f,
                "  {:<18} {:>6} {:>9} {:>9} {:>9}",
                kind.as_str(),
                delay.count,
                shown(delay.p50_ms),
                shown(delay.p99_ms),
                shown(delay.most_ms)
            )?;
        }
        let notices: Vec<String> = self.notices.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(f, "  told: {}", if notices.is_empty() { "nothing".to_owned() } else { notices.join(", ") })?;
        for (name, list) in [
            ("false", &self.false_events),
            ("missed", &self.missed),
            ("late", &self.late),
            ("slow", &self.slow),
            ("wrongly remembered", &self.wrong),
            ("not met", &self.errors),
        ] {
            for line in list.iter().take(SHOWN) {
                writeln!(f, "  {name}: {line}")?;
            }
            if list.len() > SHOWN {
                writeln!(f, "  {name}: and {} more", list.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let delay = Delay::of((1..=200).rev().collect());
        assert_eq!(delay, Delay { count: 200, p50_ms: 100, p99_ms: 198, most_ms: 200 });
        assert_eq!(Delay::of(vec![7]), Delay { count: 1, p50_ms: 7, p99_ms: 7, most_ms: 7 });
    }
}
