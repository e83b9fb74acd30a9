//! A long look back at what became of canaries: a loss of some thousandths shows only among many.

use super::rate::Verdicts;
use tokio::time::Instant;

/// So many verdicts are looked at, and half of them at least.
const LONG: u64 = 1_024;

/// Verdicts about questions sent since then, and what had been settled before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    pub(super) at: Instant,
    pub(super) settled: Verdicts,
    verdicts: Verdicts,
}

/// The last verdicts at one rate, or while it grew: so many of them that little loss shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Long {
    earlier: Option<Since>,
    latest: Since,
}

impl Long {
    pub(super) fn new(at: Instant, settled: Verdicts) -> Self {
        Self { earlier: None, latest: Since { at, settled, verdicts: Verdicts::default() } }
    }

    /// Those about questions sent until `judged`, `settled` being what is settled without them.
    pub(super) fn add(&mut self, verdicts: Verdicts, judged: Instant, settled: Verdicts) {
        self.latest.verdicts.add(verdicts);
        if self.latest.verdicts.asked >= LONG / 2 {
            self.earlier = Some(self.latest);
            self.latest = Self::new(judged, settled).latest;
        }
    }

    pub(super) fn seen(&self) -> Verdicts {
        let mut seen = self.latest.verdicts;
        seen.add(self.earlier.map_or_else(Verdicts::default, |earlier| earlier.verdicts));
        seen
    }

    pub(super) fn first(&self) -> Since {
        self.earlier.unwrap_or(self.latest)
    }
}
