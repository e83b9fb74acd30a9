//! What running passes may ask of the inventory without owning it: which endpoints are known, and what answered there.

use inventory::{HostState, PortStatus};
use jiff::Timestamp;
use model::{Endpoint, HostKey, PortObservation, Service};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
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
pub(crate) struct Index(Arc<RwLock<Hosts>>);

/// Ascending: a sweep asks for every endpoint of a host, and a trap has thousands.
type Hosts = HashMap<IpAddr, Vec<(Endpoint, Known)>>;

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
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(ip, endpoints);
    }

    pub(crate) fn remove(&self, host: &HostKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&host.ip);
    }

    pub(crate) fn get(&self, endpoint: &Endpoint) -> Option<Known> {
        let hosts = self.0.read().unwrap_or_else(PoisonError::into_inner);
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
        let hosts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        hosts.get(&endpoint.ip).is_some_and(|known| known.binary_search_by_key(endpoint, |(known, _)| *known).is_ok())
    }

    /// The known endpoints at addresses that pass the test, ascending.
    pub(crate) fn endpoints(&self, mut wanted: impl FnMut(IpAddr) -> bool) -> Vec<Endpoint> {
        let hosts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Endpoint> = hosts
            .iter()
            .filter(|(ip, _)| wanted(**ip))
            .flat_map(|(_, known)| known.iter().map(|(endpoint, _)| *endpoint))
            .collect();
        all.sort_unstable();
        all
    }
}
