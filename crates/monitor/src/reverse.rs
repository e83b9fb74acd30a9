//! Which addresses are asked of the DNS by what names it calls them, and when: each host when it is first met and once a day.

use jiff::Timestamp;
use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    time::Duration,
};
use tokio::time::Instant;

/// How long an answer is believed.
const EVERY: Duration = Duration::from_hours(24);
/// Another answer than before is asked for again after this.
const AGAIN: Duration = Duration::from_mins(1);
/// Questions under way at once.
const AT_ONCE: usize = 4;
/// Hosts looked at in one turn of the loop: all of a large inventory within the day, and a small one soon.
pub(crate) const AT_A_TIME: usize = 256;
/// After a failure nobody is asked for so long, doubled with each further one.
const PAUSE: Duration = Duration::from_mins(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(30);

/// Where the round has got to.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// The last host looked at; none: the round begins anew.
    pub(crate) after: Option<IpAddr>,
    asking: HashSet<IpAddr>,
    again: BTreeMap<IpAddr, Instant>,
    pause: Option<(Instant, Duration)>,
}

impl Round {
    /// How many more may be asked now.
    pub(crate) fn room(&self) -> usize {
        let paused = self.pause.is_some_and(|(until, _)| Instant::now() < until);
        if paused { 0 } else { AT_ONCE.saturating_sub(self.asking.len()) }
    }

    /// Whether a host is to be asked for, that was last answered for then.
    pub(crate) fn is_due(&self, ip: IpAddr, answered: Option<Timestamp>, now: Timestamp) -> bool {
        if self.asking.contains(&ip) {
            return false;
        }
        match self.again.get(&ip) {
            Some(at) => *at <= Instant::now(),
            // A time that lies ahead comes from a clock that was set back.
            None => answered
                .is_none_or(|at| at > now || Duration::try_from(now.duration_since(at)).is_ok_and(|age| age >= EVERY)),
        }
    }

    /// Those that answered otherwise than before, and may be asked again now.
    pub(crate) fn recalled(&self) -> impl Iterator<Item = IpAddr> {
        let now = Instant::now();
        self.again.iter().filter(move |(_, at)| **at <= now).map(|(ip, _)| *ip)
    }

    pub(crate) fn begin(&mut self, ip: IpAddr) {
        self.asking.insert(ip);
    }

    /// The answer came; `again` where it has to be confirmed.
    pub(crate) fn answered(&mut self, ip: IpAddr, again: bool) {
        self.asking.remove(&ip);
        self.pause = None;
        if again {
            self.again.insert(ip, Instant::now() + AGAIN);
        } else {
            self.again.remove(&ip);
        }
    }

    pub(crate) fn failed(&mut self, ip: IpAddr) {
        self.asking.remove(&ip);
        let now = Instant::now();
        let wait = match self.pause {
            // Others that were under way fail for the same reason.
            Some((until, wait)) if now < until => wait,
            Some((_, wait)) => (wait * 2).min(LONGEST_PAUSE),
            None => PAUSE,
        };
        self.pause = Some((now + wait, wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn asks_daily_and_rests_after_a_failure() {
        let now = Timestamp::from_second(1_795_000_000).expect("in range");
        let ago = |hours: i64| Some(Timestamp::from_second(1_795_000_000 - hours * 3_600).expect("in range"));
        let ip = IpAddr::from([192, 0, 2, 7]);
        let mut round = Round::default();
        for (answered, due) in [(None, true), (ago(1), false), (ago(25), true), (ago(-5), true)] {
            assert_eq!(round.is_due(ip, answered, now), due, "{answered:?}");
        }
        round.begin(ip);
        assert!(!round.is_due(ip, None, now) && round.room() == AT_ONCE - 1);
        round.failed(ip);
        assert_eq!(round.room(), 0);
        tokio::time::advance(PAUSE).await;
        assert_eq!(round.room(), AT_ONCE);
        round.begin(ip);
        round.failed(ip);
        tokio::time::advance(PAUSE).await;
        assert_eq!(round.room(), 0, "longer each time");
        tokio::time::advance(PAUSE).await;
        round.begin(ip);
        round.answered(ip, true);
        assert!(!round.is_due(ip, ago(25), now), "not at once");
        tokio::time::advance(AGAIN).await;
        assert!(round.is_due(ip, ago(0), now) && round.recalled().eq([ip]));
        round.answered(ip, false);
        assert!(!round.is_due(ip, ago(0), now) && round.recalled().next().is_none());
    }
}
