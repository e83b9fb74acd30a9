//! What running passes may ask of the inventory without owning it: which endpoints are known, and what answered there.

use inventory::{HostState, PortStatus};
use jiff::Timestamp;
use model::{Endpoint, HostKey, PortObservation, Service, Transport};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

/// What is remembered of an endpoint for the next conversation with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) open: bool,
    /// Its host is up and it is what should answer there: open, or the one that shows by refusing that the host lives.
    pub(crate) expected: bool,
    /// When it was last asked who it is, and the answer of then.
    pub(crate) identified: Option<Timestamp>,
    pub(crate) prior: Option<Arc<Service>>,
    pub(crate) tls: bool,
}

/// A view of the inventory that the loop keeps up to date and passes read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    hosts: Arc<RwLock<Hosts>>,
    fruitless: Arc<Mutex<HashMap<IpAddr, HashMap<(Transport, u16), Fruitless>>>>,
}

/// Ascending: a sweep asks for every endpoint of a host, and a trap has thousands.
type Hosts = HashMap<IpAddr, Vec<(Endpoint, Known)>>;

/// Conversations in a row that connected and still told nothing.
#[derive(Debug, Clone, Copy)]
struct Fruitless {
    times: u32,
    last: Timestamp,
}

/// After the first of them another one is due in this time, then in twice as long, and so on: one that breaks every connection
/// is soon asked no more often than the others are.
const SECOND_TRY: Duration = Duration::from_mins(1);

impl Index {
    pub(crate) fn update(&self, host: &HostState) {
        let ip = host.key.ip;
        let mut endpoints: Vec<(Endpoint, Known)> = host
            .endpoints
            .iter()
            .map(|state| {
                let endpoint = Endpoint { ip, transport: state.transport, port: state.port };
                let bare = state.services.iter().find(|service| service.name.is_none());
                let known = Known {
                    open: state.status == PortStatus::Open,
                    expected: host.up && state.status == PortStatus::Open,
                    identified: bare.map(|service| service.last_observed),
                    prior: bare.and_then(|service| service.service.clone()),
                    tls: bare.is_some_and(|service| service.tls.is_some()),
                };
                (endpoint, known)
            })
            .collect();
        if let Some((transport, port)) = host.answered_by {
            let endpoint = Endpoint { ip, transport, port };
            match endpoints.binary_search_by_key(&endpoint, |(known, _)| *known) {
                Ok(place) => endpoints[place].1.expected = host.up,
                Err(place) => endpoints.insert(place, (endpoint, Known { expected: host.up, ..Known::default() })),
            }
        }
        self.hosts.write().unwrap_or_else(PoisonError::into_inner).insert(ip, endpoints);
    }

    pub(crate) fn remove(&self, host: &HostKey) {
        self.hosts.write().unwrap_or_else(PoisonError::into_inner).remove(&host.ip);
        self.fruitless.lock().unwrap_or_else(PoisonError::into_inner).remove(&host.ip);
    }

    /// Takes note of a conversation that ended: whether it told who is there, with the last connection it took.
    pub(crate) fn note(&self, told: bool, last: Option<&PortObservation>) {
        let Some(last) = last else { return };
        let port = (last.endpoint.transport, last.endpoint.port);
        let mut all = self.fruitless.lock().unwrap_or_else(PoisonError::into_inner);
        // No connection is no answer of the server's: the port is what is in doubt then.
        if !told && last.outcome.is_open() {
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
        let all = self.fruitless.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(fruitless) =
            all.get(&endpoint.ip).and_then(|host| host.get(&(endpoint.transport, endpoint.port))).copied()
        else {
            return true;
        };
        let wait = SECOND_TRY.saturating_mul(1_u32.checked_shl(fruitless.times - 1).unwrap_or(u32::MAX)).min(most);
        // A clock that was set back makes nobody wait.
        !Duration::try_from(now.duration_since(fruitless.last)).is_ok_and(|since| since < wait)
    }

    pub(crate) fn get(&self, endpoint: &Endpoint) -> Option<Known> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.get(&endpoint.ip)?;
        let place = known.binary_search_by_key(endpoint, |(known, _)| *known).ok()?;
        known.get(place).map(|(_, known)| known.clone())
    }

    /// Whether an observation speaks against what is believed: it was to be open and was not, or was to answer and did not.
    pub(crate) fn is_refuted_by(&self, seen: &PortObservation) -> bool {
        if seen.outcome.is_open() || !seen.outcome.is_evidence() {
            return false;
        }
        self.get(&seen.endpoint).is_some_and(|known| known.expected && (known.open || !seen.outcome.is_answer()))
    }

    pub(crate) fn contains(&self, endpoint: &Endpoint) -> bool {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.get(&endpoint.ip).is_some_and(|known| known.binary_search_by_key(endpoint, |(known, _)| *known).is_ok())
    }

    /// The known endpoints at addresses that pass the test, ascending.
    pub(crate) fn endpoints(&self, mut wanted: impl FnMut(IpAddr) -> bool) -> Vec<Endpoint> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Endpoint> = hosts
            .iter()
            .filter(|(ip, _)| wanted(**ip))
            .flat_map(|(_, known)| known.iter().map(|(endpoint, _)| *endpoint))
            .collect();
        all.sort_unstable();
        all
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
        let (index, hour) = (Index::default(), Duration::from_hours(1));
        let endpoint = Endpoint::tcp([192, 0, 2, 1].into(), 443);
        let connection =
            |second, outcome| PortObservation { endpoint, outcome, at: at(second), attempts: 1, rtt_us: None };
        let open = Outcome::Open(OpenReason::Connected);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..8 {
            assert!(index.may_try(&endpoint, hour, at(now)), "after {waits:?}");
            index.note(false, Some(&connection(now, open)));
            let wait = (1..=7200).find(|wait| index.may_try(&endpoint, hour, at(now + wait))).expect("some day");
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        index.note(false, Some(&connection(now, Outcome::Closed(ClosedReason::Refused))));
        assert!(index.may_try(&endpoint, hour, at(now)), "a connection that failed is another matter");
        index.note(false, Some(&connection(now, open)));
        assert!(index.may_try(&endpoint, Duration::from_secs(30), at(now + 30)), "not beyond the usual period");
        assert!(index.may_try(&endpoint, hour, at(now - 1)), "a clock that was set back");
        assert!(!index.may_try(&endpoint, hour, at(now + 60)));
        index.note(true, Some(&connection(now, open)));
        assert!(index.may_try(&endpoint, hour, at(now)));
    }
}
