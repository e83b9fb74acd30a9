use super::Timeouts;
use std::time::Duration;
use tokio::time::Instant;

/// A round trip that the time for everything has room for.
const USUAL: Duration = Duration::from_millis(500);
/// Who takes longer to take a connection does so on purpose.
const SLOWEST: Duration = Duration::from_secs(3);

/// How much time is left, and how long to wait for what on this path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    timeouts: Timeouts,
    end: Instant,
    rtt: Duration,
    /// It has been met, and spoke first: it will again, however long it takes.
    is_awaited: bool,
}

/// So many times as long as for an answer a server is awaited that spoke first whenever it was met: mail servers let those wait who send
/// spam, who do not wait (`greet_pause`, postscreen), and hold it against whoever speaks too soon.
const AWAITED: u32 = 3;

impl Budget {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, end: Instant::now() + timeouts.whole, rtt: Duration::ZERO, is_awaited: false }
    }

    /// A connection took this long. Where the way is so slow that the time for everything would end in the middle, there is more of
    /// it: some eight round trips make a conversation and a second look.
    pub(super) fn met(&mut self, rtt: Duration) {
        let more = |rtt: Duration| rtt.saturating_sub(USUAL).min(SLOWEST) * 8;
        self.end += more(self.rtt.max(rtt)).saturating_sub(more(self.rtt));
        self.rtt = self.rtt.max(rtt);
    }

    /// Whom we are to ask spoke first when it was met, and nothing speaks against that.
    pub(super) fn await_greeting(&mut self) {
        self.end += self.most() * (AWAITED - 1);
        self.is_awaited = true;
    }

    /// The longest to wait for an answer or for a handshake, which takes two round trips and may lose a packet.
    fn most(&self) -> Duration {
        self.timeouts.answer.1.max(self.rtt.min(SLOWEST) * 4)
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
        Instant::now() + self.capped(self.most())
    }

    /// For the first word of one that is known to speak first, or likely to.
    pub(super) fn first_word(&self) -> Instant {
        if self.is_awaited { Instant::now() + self.capped(self.most() * AWAITED) } else { self.patience() }
    }

    /// For an answer.
    pub(super) fn answer(&self) -> Instant {
        let (least, most) = (self.timeouts.answer.0, self.most());
        Instant::now() + self.capped((self.rtt * 8 + Duration::from_secs(1)).clamp(least, most.max(least)))
    }

    /// For an answer to one of several questions to somebody who has answered nothing yet.
    pub(super) fn brief(&self) -> Instant {
        let wait = (self.rtt * 4).clamp(Duration::from_millis(400), Duration::from_secs(2)).max(self.rtt * 3 / 2);
        Instant::now() + self.capped(wait)
    }

    /// For the last word of one who asked for a certificate of ours: whether there is one says whether he goes on without.
    pub(super) fn last_word(&self) -> Duration {
        self.brief().saturating_duration_since(Instant::now()).max(self.quiet())
    }

    /// For a handshake with somebody of whom nothing says that he speaks TLS: he has work to do before his first word.
    pub(super) fn handshake(&self) -> Instant {
        Instant::now() + self.capped((self.rtt * 8).clamp(Duration::from_secs(1), Duration::from_secs(5)))
    }

    /// After a word that might be all of it.
    pub(super) fn quiet(&self) -> Duration {
        self.capped((self.rtt * 4).clamp(Duration::from_millis(250), Duration::from_secs(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_way_gets_more_time_and_a_slower_one_no_more_than_that() {
        let whole = Timeouts::default().whole;
        let begun = Instant::now();
        let end = |rtts: &[u64]| {
            let mut budget = Budget::new(Timeouts::default());
            for rtt in rtts {
                budget.met(Duration::from_millis(*rtt));
            }
            (budget.end() - begun, budget.answer() - begun)
        };
        let seconds = Duration::from_secs;
        assert_eq!(end(&[20]), (whole, seconds(2)));
        assert_eq!(end(&[500, 20]), (whole, seconds(5)));
        assert_eq!(end(&[20, 2_000, 1_000, 2_000]), (whole + seconds(12), seconds(8)));
        assert_eq!(end(&[90_000]), (whole + seconds(24), seconds(12)));
    }
}
