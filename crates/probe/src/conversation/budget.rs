use super::Timeouts;
use std::time::Duration;
use tokio::time::Instant;

/// How much time is left, and how long to wait for what on this path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    timeouts: Timeouts,
    end: Instant,
    rtt: Duration,
}

impl Budget {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, end: Instant::now() + timeouts.whole, rtt: Duration::ZERO }
    }

    /// A connection took this long.
    pub(super) fn met(&mut self, rtt: Duration) {
        self.rtt = self.rtt.max(rtt);
    }

    /// Our own ceilings held us back for this long, which is no time of the other end's.
    pub(super) fn waited(&mut self, turn: Duration) {
        self.end += turn;
    }

    pub(super) fn end(&self) -> Instant {
        self.end
    }

    pub(super) fn is_spent(&self) -> bool {
        self.end <= Instant::now()
    }

    /// No longer than what is left.
    pub(super) fn capped(&self, wait: Duration) -> Duration {
        wait.min(self.end.saturating_duration_since(Instant::now()))
    }

    /// For a server to speak first, where nothing says that it will.
    pub(super) fn greeting(&self) -> Instant {
        let (least, most) = self.timeouts.greeting;
        Instant::now() + self.capped((self.rtt * 4).clamp(least, most.max(least)))
    }

    /// For a server to speak first that is known to, and perhaps looks us up before.
    pub(super) fn patience(&self) -> Instant {
        Instant::now() + self.capped(self.timeouts.answer.1)
    }

    /// For an answer.
    pub(super) fn answer(&self) -> Instant {
        let (least, most) = self.timeouts.answer;
        Instant::now() + self.capped((self.rtt * 8 + Duration::from_secs(1)).clamp(least, most.max(least)))
    }

    /// For an answer to one of several questions to somebody who has answered nothing yet.
    pub(super) fn brief(&self) -> Instant {
        Instant::now() + self.capped((self.rtt * 4).clamp(Duration::from_millis(400), Duration::from_secs(2)))
    }

    /// After a word that might be all of it.
    pub(super) fn quiet(&self) -> Duration {
        self.capped((self.rtt * 4).clamp(Duration::from_millis(250), Duration::from_secs(1)))
    }
}
