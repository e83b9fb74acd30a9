//! Conversations that came to nothing: one that breaks every connection is asked less and less often.

use jiff::Timestamp;
use model::{Endpoint, PortObservation, Transport};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// After the first of them another one is due in this time, then in twice as long, and so on: one that breaks every connection
/// is soon asked no more often than the others are.
const SECOND_TRY: Duration = Duration::from_mins(1);
/// Hosts remembered. Whoever lets connections come to nothing on purpose must not fill the memory.
const MOST_HOSTS: usize = 65_536;

/// With whom, and how often of late. Shared by all who talk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tries(Arc<Mutex<Hosts>>);

type Hosts = HashMap<IpAddr, HashMap<(Transport, u16), Fruitless>>;

/// Conversations in a row that connected and still told nothing.
#[derive(Debug, Clone, Copy)]
struct Fruitless {
    times: u32,
    last: Timestamp,
}

impl Tries {
    /// Takes note of a conversation that ended: whether it told who is there, with the last connection it took.
    pub(crate) fn note(&self, told: bool, last: Option<&PortObservation>) {
        let Some(last) = last else { return };
        let port = (last.endpoint.transport, last.endpoint.port);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // No connection is no answer of the server's: the port is what is in doubt then.
        if !told && last.outcome.is_open() {
            if all.len() >= MOST_HOSTS && !all.contains_key(&last.endpoint.ip) {
                all.clear();
            }
            let before = all.entry(last.endpoint.ip).or_default().entry(port);
            let fruitless = before.or_insert(Fruitless { times: 0, last: last.at });
            *fruitless = Fruitless { times: fruitless.times.saturating_add(1), last: last.at };
        } else if told && let Some(host) = all.get_mut(&last.endpoint.ip) {
            host.remove(&port);
            if host.is_empty() {
                all.remove(&last.endpoint.ip);
            }
        }
    }

    /// Whether another conversation may be tried after those that told nothing; no wait is longer than `most`.
    pub(crate) fn may_try(&self, endpoint: &Endpoint, most: Duration, now: Timestamp) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(fruitless) =
            all.get(&endpoint.ip).and_then(|host| host.get(&(endpoint.transport, endpoint.port))).copied()
        else {
            return true;
        };
        let wait = SECOND_TRY.saturating_mul(1_u32.checked_shl(fruitless.times - 1).unwrap_or(u32::MAX)).min(most);
        // A clock that was set back makes nobody wait.
        !Duration::try_from(now.duration_since(fruitless.last)).is_ok_and(|since| since < wait)
    }

    /// The host is forgotten.
    pub(crate) fn forget(&self, ip: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ip);
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
        let (tries, hour) = (Tries::default(), Duration::from_hours(1));
        let endpoint = Endpoint::tcp([192, 0, 2, 1].into(), 443);
        let connection =
            |second, outcome| PortObservation { endpoint, outcome, at: at(second), attempts: 1, rtt_us: None };
        let open = Outcome::Open(OpenReason::Connected);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..8 {
            assert!(tries.may_try(&endpoint, hour, at(now)), "after {waits:?}");
            tries.note(false, Some(&connection(now, open)));
            let wait = (1..=7200).find(|wait| tries.may_try(&endpoint, hour, at(now + wait))).expect("some day");
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        tries.note(false, Some(&connection(now, Outcome::Closed(ClosedReason::Refused))));
        assert!(tries.may_try(&endpoint, hour, at(now)), "a connection that failed is another matter");
        tries.note(false, Some(&connection(now, open)));
        assert!(tries.may_try(&endpoint, Duration::from_secs(30), at(now + 30)), "not beyond the usual period");
        assert!(tries.may_try(&endpoint, hour, at(now - 1)), "a clock that was set back");
        assert!(!tries.may_try(&endpoint, hour, at(now + 60)));
        tries.note(true, Some(&connection(now, open)));
        assert!(tries.may_try(&endpoint, hour, at(now)));
    }
}
