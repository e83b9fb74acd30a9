//! Lanes that have not come round for too long: what is known of their part of the network is old, and somebody is told so.

use jiff::Timestamp;
use model::Lane;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// However short its period, a lane may be late for so long.
const PATIENCE: Duration = Duration::from_mins(15);
/// The kind of the notes about stale lanes.
pub(crate) const STALE: &str = "stale";
/// The kind of the notes about lanes that an operator wants to come round now.
pub(crate) const WANTED: &str = "wanted";
/// The kind of the note that says for how long passes have been due: that is counted over restarts.
pub(crate) const WORKED: &str = "worked";

/// The lanes that were told to be stale, since when.
#[derive(Debug, Default)]
pub(crate) struct Stale(BTreeMap<(Arc<str>, Lane), Timestamp>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Same,
    Stale,
    /// It came round again, after being stale since then.
    Recovered(Timestamp),
}

/// A lane is stale whose pass has been due for longer than this, of the time in which it could have been under way. `open` is the part of
/// its period in which it may ask: by the end of it the pass should be over, and a quarter of it is its grace.
pub(crate) fn limit(open: Duration) -> Duration {
    (open * 5 / 4).max(PATIENCE)
}

impl Stale {
    /// Looks at a lane whose pass has been due for so long ([`limit`]), the last complete one having ended at `completed`.
    pub(crate) fn look(
        &mut self,
        profile: &Arc<str>,
        lane: Lane,
        open: Duration,
        (worked, completed): (Duration, Option<Timestamp>),
        now: Timestamp,
    ) -> Turn {
        let key = (profile.clone(), lane);
        let is_late = worked > limit(open);
        // The clock was set back: a pass that ends now must not have ended before it.
        if let Some(since) = self.0.get_mut(&key) {
            *since = now.min(*since);
        }
        match self.0.get(&key) {
            None if is_late => {
                self.0.insert(key, now);
                Turn::Stale
            }
            // Recovered only by a pass.
            Some(&since) if !is_late && completed.is_some_and(|completed| completed >= since) => {
                self.0.remove(&key);
                Turn::Recovered(since)
            }
            _ => Turn::Same,
        }
    }

    pub(crate) fn restore(&mut self, key: &str, since: Timestamp) {
        if let Some((profile, lane)) = parse(key) {
            self.0.insert((profile, lane), since);
        }
    }

    /// Forgets lanes that are no longer configured; gives their keys.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str, Lane) -> bool) -> Vec<String> {
        let gone: Vec<_> = self.0.keys().filter(|(profile, lane)| !wanted(profile, *lane)).cloned().collect();
        for key in &gone {
            self.0.remove(key);
        }
        gone.iter().map(|(profile, lane)| key(profile, *lane)).collect()
    }
}

/// `dmz/known`: what a lane is called in notes.
pub(crate) fn key(profile: &str, lane: Lane) -> String {
    format!("{profile}/{lane}")
}

fn parse(key: &str) -> Option<(Arc<str>, Lane)> {
    let (profile, lane) = key.rsplit_once('/')?;
    let lane = Lane::PERIODIC.into_iter().find(|known| known.as_str() == lane)?;
    Some((profile.into(), lane))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_stale_once_and_recovers_once() {
        let mut stale = Stale::default();
        let profile: Arc<str> = "dmz".into();
        let at = |minute: i64| Timestamp::from_second(minute * 60).expect("in range");
        // Minute, minutes for which a pass has been due, the minute in which one ended last.
        for (minute, age, completed, turn) in [
            (10, 10, None, Turn::Same),
            (15, 15, None, Turn::Same),
            (31, 16, None, Turn::Stale),
            (40, 40, None, Turn::Same),
            (41, 1, None, Turn::Same),
            (42, 1, Some(3), Turn::Same),
            (50, 1, Some(49), Turn::Recovered(at(31))),
            (51, 2, Some(49), Turn::Same),
        ] {
            let seen = (Duration::from_mins(age), completed.map(at));
            let told = stale.look(&profile, Lane::Known, Duration::from_mins(10), seen, at(minute));
            assert_eq!(told, turn, "{minute}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_hides_no_recovery() {
        let mut stale = Stale::default();
        let profile: Arc<str> = "dmz".into();
        let at = |minute: i64| Timestamp::from_second(minute * 60).expect("in range");
        let mut look = |age: u64, completed: Option<i64>, minute: i64| {
            let seen = (Duration::from_mins(age), completed.map(at));
            stale.look(&profile, Lane::Known, Duration::from_mins(10), seen, at(minute))
        };
        assert_eq!(look(31, None, 1_000), Turn::Stale);
        assert_eq!(look(40, None, 100), Turn::Same);
        assert_eq!(look(1, Some(109), 110), Turn::Recovered(at(100)));
        assert_eq!(look(31, Some(109), 140), Turn::Stale, "and it may be late again");
    }

    #[test]
    fn keys_read_back() {
        assert_eq!(parse(&key("a/b", Lane::Full)), Some(("a/b".into(), Lane::Full)));
        assert_eq!(parse("dmz/confirm"), None);
        assert_eq!(limit(Duration::from_mins(1)), PATIENCE);
        assert_eq!(limit(Duration::from_hours(4)), Duration::from_hours(5));
    }
}
