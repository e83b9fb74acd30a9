//! Conversations that connected and told nothing: the next is not tried at each pass. Those that broke may tell something soon; who
//! takes all that is asked and never said a word will most likely say none tomorrow.

use jiff::Timestamp;
use model::{Endpoint, PortObservation};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// After the first of them another one is due in this time, then in twice as long, and so on: one that breaks every connection
/// is soon asked no more often than the others are.
const SECOND_TRY: Duration = Duration::from_mins(1);
/// No wait is longer.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// After how many times the usual period one is asked again that has been asked everything and has said nothing that was understood, the
/// first time, the second and so on: with the period of an hour after an hour, six, a day, a week.
const MUTE: [u32; 4] = [1, 6, 24, 168];
/// And no later than this.
const MUTE_AT_MOST: Duration = Duration::from_hours(168);
/// Endpoints remembered: beyond it the others are asked as if for the first time.
const MOST: usize = 65_536;

/// Shared by all passes and the confirmations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fruitless(Arc<Mutex<HashMap<Endpoint, InARow>>>);

/// What came of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yield {
    /// It broke, or was not to be had.
    Nothing,
    /// Everything was asked, of one of whom nothing is known, and nothing was said.
    Silence,
    Something,
}

#[derive(Debug, Clone, Copy)]
struct InARow {
    /// From 1.
    times: u32,
    last: Timestamp,
    is_mute: bool,
}

impl InARow {
    fn is_over(self, usual: Duration, now: Timestamp) -> bool {
        let wait = if self.is_mute {
            let index = usize::try_from(self.times.saturating_sub(1)).unwrap_or(usize::MAX);
            let periods = MUTE.get(index).or(MUTE.last()).copied().unwrap_or_default();
            usual.saturating_mul(periods).min(MUTE_AT_MOST)
        } else {
            let doublings = self.times.saturating_sub(1).min(16);
            SECOND_TRY.saturating_mul(1 << doublings).min(usual.min(LONGEST_WAIT))
        };
        // A clock that was set back makes nobody wait.
        !Duration::try_from(now.duration_since(self.last)).is_ok_and(|since| since < wait)
    }
}

impl Fruitless {
    /// Takes note of a conversation that ended: what came of it, with the last connection it took.
    pub(crate) fn note(&self, came: Yield, last: Option<&PortObservation>) {
        let Some(last) = last else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if came == Yield::Something {
            all.remove(&last.endpoint);
        } else if last.outcome.is_open() {
            if all.len() >= MOST && !all.contains_key(&last.endpoint) {
                all.retain(|_, row| !row.is_over(LONGEST_WAIT, last.at));
            }
            let is_mute = came == Yield::Silence;
            let before = all.get(&last.endpoint).filter(|row| row.is_mute == is_mute);
            let times = before.map_or(1, |row| row.times.saturating_add(1));
            if all.len() < MOST || all.contains_key(&last.endpoint) {
                all.insert(last.endpoint, InARow { times, last: last.at, is_mute });
            }
        }
        // Without a connection it is the port that is in doubt.
    }

    /// Whether another one may be tried; who is there is asked every so often (`usual`), and no wait for one that broke is longer. One that is `new` there owes nothing to who said
    /// nothing before.
    pub(crate) fn may_try(&self, endpoint: &Endpoint, is_new: bool, usual: Duration, now: Timestamp) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(endpoint).is_none_or(|row| (row.is_mute && is_new) || row.is_over(usual, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ClosedReason, OpenReason, Outcome};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).expect("in range")
    }

    #[test]
    fn who_tells_nothing_is_asked_less_and_less() {
        let (fruitless, hour) = (Fruitless::default(), Duration::from_hours(1));
        let endpoint = Endpoint::tcp([192, 0, 2, 1].into(), 443);
        let connection = |second, outcome| PortObservation {
            endpoint,
            outcome,
            at: at(second),
            attempts: 1,
            refused: 0,
            rtt_us: None,
        };
        let open = Outcome::Open(OpenReason::Connected);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..8 {
            assert!(fruitless.may_try(&endpoint, false, hour, at(now)), "after {waits:?}");
            fruitless.note(Yield::Nothing, Some(&connection(now, open)));
            let wait =
                (1..=7200).find(|wait| fruitless.may_try(&endpoint, false, hour, at(now + wait))).expect("some day");
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        fruitless.note(Yield::Nothing, Some(&connection(now, Outcome::Closed(ClosedReason::Refused))));
        assert!(fruitless.may_try(&endpoint, false, hour, at(now)), "a connection that failed is another matter");
        fruitless.note(Yield::Nothing, Some(&connection(now, open)));
        assert!(
            fruitless.may_try(&endpoint, false, Duration::from_secs(30), at(now + 30)),
            "not beyond the usual period"
        );
        assert!(fruitless.may_try(&endpoint, false, hour, at(now - 1)), "a clock that was set back");
        assert!(!fruitless.may_try(&endpoint, false, hour, at(now + 60)));
        fruitless.note(Yield::Something, Some(&connection(now, open)));
        assert!(fruitless.may_try(&endpoint, false, hour, at(now)));
    }

    #[test]
    fn the_mute_are_asked_after_an_hour_six_a_day_and_weekly() {
        let (fruitless, hour) = (Fruitless::default(), Duration::from_hours(1));
        let endpoint = Endpoint::tcp([192, 0, 2, 1].into(), 7000);
        let connection = |at| PortObservation {
            endpoint,
            outcome: Outcome::Open(OpenReason::Connected),
            at,
            attempts: 1,
            refused: 0,
            rtt_us: None,
        };
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..5 {
            fruitless.note(Yield::Silence, Some(&connection(at(now))));
            let is_free = |hours: &i64| fruitless.may_try(&endpoint, false, hour, at(now + hours * 3_600));
            let wait = (0..=1_000).find(is_free).expect("some day");
            waits.push(wait);
            now += wait * 3_600;
        }
        assert_eq!(waits, [1, 6, 24, 168, 168]);
        fruitless.note(Yield::Silence, Some(&connection(at(now))));
        assert!(fruitless.may_try(&endpoint, true, hour, at(now + 60)), "another may have come");
        fruitless.note(Yield::Something, Some(&connection(at(now))));
        assert!(fruitless.may_try(&endpoint, false, hour, at(now)));
    }
}
