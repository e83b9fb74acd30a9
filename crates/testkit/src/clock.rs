use jiff::{SignedDuration, Timestamp};
use model::{Clock, to_millisecond};
use tokio::time::Instant;

/// A wall clock that goes as tokio's does: in a test with paused time, days pass in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    start: Timestamp,
    since: Instant,
}

impl TokioClock {
    /// Starts at this time. To be made inside a runtime.
    pub fn starting_at(start: Timestamp) -> Self {
        Self { start, since: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::MAX);
        to_millisecond(self.start.checked_add(passed).unwrap_or(Timestamp::MAX))
    }
}
