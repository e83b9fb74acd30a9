//! Conversations that connected and told nothing: the next is not tried at each pass.

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
/// Endpoints remembered: beyond it the others are asked as if for the first time.
const MOST: usize = 65_536;

/// Shared by all passes and the confirmations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fruitless(Arc<Mutex<HashMap<Endpoint, InARow>>>);

#[derive(Debug, Clone, Copy)]
struct InARow {
    /// From 1.
    times: u32,
    last: Timestamp,
}

impl InARow {
    fn is_over(self, most: Duration, now: Timestamp) -> bool {
        let doublings = self.times.saturating_sub(1).min(16);
        let wait = SECOND_TRY.saturating_mul(1 << doublings).min(most);
        // A clock that was set back makes nobody wait.
        !Duration::try_from(now.duration_since(self.last)).is_ok_and(|since| since < wait)
    }
}

impl Fruitless {
    /// Takes note of a conversation that ended: whether it told who is there, with the last connection it took.
    pub(crate) fn note(&self, told: bool, last: Option<&PortObservation>) {
        let Some(last) = last else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told {
            all.remove(&last.endpoint);
        } else if last.outcome.is_open() {
            if all.len() >= MOST && !all.contains_key(&last.endpoint) {
                all.retain(|_, row| !row.is_over(LONGEST_WAIT, last.at));
            }
            let times = all.get(&last.endpoint).map_or(1, |row| row.times.saturating_add(1));
            if all.len() < MOST || times > 1 {
                all.insert(last.endpoint, InARow { times, last: last.at });
            }
        }
        // Without a connection it is the port that is in doubt.
    }

    /// Whether another one may be tried; no wait is longer than `most`.
    pub(crate) fn may_try(&self, endpoint: &Endpoint, most: Duration, now: Timestamp) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(endpoint).is_none_or(|row| row.is_over(most.min(LONGEST_WAIT), now))
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
            assert!(fruitless.may_try(&endpoint, hour, at(now)), "after {waits:?}");
            fruitless.note(false, Some(&connection(now, open)));
            let wait = (1..=7200).find(|wait| fruitless.may_try(&endpoint, hour, at(now + wait))).expect("some day");
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        fruitless.note(false, Some(&connection(now, Outcome::Closed(ClosedReason::Refused))));
        assert!(fruitless.may_try(&endpoint, hour, at(now)), "a connection that failed is another matter");
        fruitless.note(false, Some(&connection(now, open)));
        assert!(fruitless.may_try(&endpoint, Duration::from_secs(30), at(now + 30)), "not beyond the usual period");
        assert!(fruitless.may_try(&endpoint, hour, at(now - 1)), "a clock that was set back");
        assert!(!fruitless.may_try(&endpoint, hour, at(now + 60)));
        fruitless.note(true, Some(&connection(now, open)));
        assert!(fruitless.may_try(&endpoint, hour, at(now)));
    }
}
