//! One slice against one host: the order of judgement.
//!
//! First who is alive, then each endpoint with its services in the order of time, then what closed, then what became of the
//! host, then what that means for its products. Events come out in causal order.

use crate::{
    CertificateState, Change, EndpointState, HostState, Inventory, confirm, event, flap, identity::Met, software,
};
use jiff::Timestamp;
use model::{
    AuditObservation, Endpoint, Event, EventType, HostKey, HostPolicy, HostSlice, PortObservation, ServiceName,
    ServiceObservation, Sha256, Transport,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// An endpoint of the slice's host.
pub(crate) type Key = (Transport, u16);

/// The work on one slice.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) slice: &'a HostSlice,
    pub(crate) policy: &'a HostPolicy,
    pub(crate) now: Timestamp,
    pub(crate) before: Option<&'a HostState>,
    /// The host as it will be. Its endpoints are in `endpoints` until the end.
    pub(crate) host: HostState,
    pub(crate) endpoints: BTreeMap<Key, EndpointState>,
    /// New versions of the certificates concerned.
    pub(crate) certificates: BTreeMap<Sha256, CertificateState>,
    pub(crate) host_events: Vec<Event>,
    pub(crate) events: Vec<Event>,
    /// Endpoints that opened as news, with why.
    pub(crate) opened: BTreeMap<Key, crate::port::Opened>,
    /// Endpoints with new evidence against their being open.
    pub(crate) doubted: BTreeSet<Key>,
    /// Products whose appearing is news.
    pub(crate) news: BTreeSet<String>,
    /// Keys the host showed in this slice.
    pub(crate) met: Vec<Met>,
    /// Other hosts that this slice changes too: those that share a key with it.
    pub(crate) others: BTreeMap<IpAddr, HostState>,
    /// Where the host was before it moved here.
    pub(crate) left: Option<HostKey>,
    pub(crate) unasked: Unasked,
    /// Endpoints that answered in this slice.
    answering: BTreeSet<Key>,
}

/// What came back from one endpoint, in the order of time.
#[derive(Debug, Clone, Copy)]
enum Sight<'a> {
    Port(&'a PortObservation),
    Service(&'a ServiceObservation),
    Audit(&'a AuditObservation),
}

/// What is not there any more because it is not asked for any more: no news.
#[derive(Debug, Default)]
pub(crate) struct Unasked {
    pub(crate) places: BTreeSet<(Endpoint, Option<ServiceName>)>,
    pub(crate) products: BTreeSet<String>,
}

impl Sight<'_> {
    /// A service's own connection comes after the one that found the port, also within a millisecond.
    fn order(&self) -> (Timestamp, u8) {
        match self {
            Self::Port(observation) => (observation.at, 0),
            Self::Service(observation) => (observation.at, 1),
            Self::Audit(observation) => (observation.at, 2),
        }
    }
}

impl<'a> Plan<'a> {
    /// `before` is what the inventory knows of the slice's host.
    pub(crate) fn new(
        inventory: &'a Inventory,
        before: Option<&'a HostState>,
        slice: &'a HostSlice,
        policy: &'a HostPolicy,
        now: Timestamp,
    ) -> Self {
        let mut host = before.cloned().unwrap_or_else(|| {
            let key = HostKey { vantage: inventory.vantage.clone(), ip: slice.ip };
            HostState {
                assets: policy.assets.clone(),
                tags: policy.tags.clone(),
                value: policy.value,
                ..HostState::new(key, slice.at)
            }
        });
        host.bring_back(slice, now);
        let endpoints = std::mem::take(&mut host.endpoints)
            .into_iter()
            .map(|endpoint| ((endpoint.transport, endpoint.port), endpoint))
            .collect();
        let ports = slice.ports.iter().filter(|seen| seen.outcome.is_answer()).map(|seen| seen.endpoint);
        let answering = ports
            .chain(slice.services.iter().map(|seen| seen.endpoint))
            .filter(|endpoint| endpoint.ip == slice.ip)
            .map(|endpoint| (endpoint.transport, endpoint.port))
            .collect();
        Self {
            inventory,
            slice,
            policy,
            now,
            before,
            host,
            endpoints,
            certificates: BTreeMap::new(),
            host_events: Vec::new(),
            events: Vec::new(),
            opened: BTreeMap::new(),
            doubted: BTreeSet::new(),
            news: BTreeSet::new(),
            met: Vec::new(),
            others: BTreeMap::new(),
            left: None,
            unasked: Unasked::default(),
            answering,
        }
    }

    pub(crate) fn run(mut self) -> Change {
        self.host.assets = self.policy.assets.clone();
        self.host.tags = self.policy.tags.clone();
        self.host.value = self.policy.value;
        self.judge_life();
        self.judge_names();
        self.judge_blockade();
        for (key, sights) in self.sights() {
            self.judge_endpoint(key, &sights);
        }
        self.judge_closings();
        self.judge_mac();
        self.judge_finding();
        if self.host.blocked_since.is_some() && self.is_denied() {
            // One on whose behalf something refuses us is not absent.
            self.host.misses = None;
        } else {
            self.judge_absence();
        }
        if !self.host.up {
            self.host.blocked_since = None;
        }
        self.finish()
    }

    /// The port observations of this slice that are about its host.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &'a PortObservation> + use<'a> {
        let slice = self.slice;
        slice.ports.iter().filter(move |observation| observation.endpoint.ip == slice.ip)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &'a ServiceObservation> + use<'a> {
        let slice = self.slice;
        slice.services.iter().filter(move |observation| observation.endpoint.ip == slice.ip)
    }

    /// Whether something in this slice answered, other than that endpoint; its host itself may have.
    pub(crate) fn another_answered(&self, key: Key) -> bool {
        self.sign().is_some() || self.another_port_answered(key)
    }

    pub(crate) fn another_port_answered(&self, key: Key) -> bool {
        self.answering.iter().any(|&other| other != key)
    }

    pub(crate) fn anything_answered(&self) -> bool {
        self.sign().is_some() || !self.answering.is_empty()
    }

    fn sights(&self) -> BTreeMap<Key, Vec<Sight<'a>>> {
        let mut sights: BTreeMap<Key, Vec<Sight<'a>>> = BTreeMap::new();
        for seen in self.ports() {
            sights.entry((seen.endpoint.transport, seen.endpoint.port)).or_default().push(Sight::Port(seen));
        }
        for seen in self.services() {
            sights.entry((seen.endpoint.transport, seen.endpoint.port)).or_default().push(Sight::Service(seen));
        }
        for seen in self.slice.audits.iter().filter(|seen| seen.endpoint.ip == self.slice.ip) {
            sights.entry((seen.endpoint.transport, seen.endpoint.port)).or_default().push(Sight::Audit(seen));
        }
        for list in sights.values_mut() {
            list.sort_by_key(Sight::order);
        }
        sights
    }

    fn judge_endpoint(&mut self, key: Key, sights: &[Sight<'_>]) {
        let mut told = Vec::new();
        for sight in sights {
            match sight {
                Sight::Port(seen) => self.judge_port(key, seen),
                Sight::Service(seen) => {
                    if self.judge_connection(key, seen)
                        && let Some(mut endpoint) = self.endpoints.remove(&key)
                    {
                        self.judge_service(&mut endpoint, seen, &mut told);
                        self.forget_learnt(&mut endpoint);
                        self.endpoints.insert(key, endpoint);
                    }
                }
                Sight::Audit(seen) => {
                    if let Some(mut endpoint) = self.endpoints.remove(&key) {
                        self.take_audit(&mut endpoint, seen, &mut told);
                        self.endpoints.insert(key, endpoint);
                    }
                }
            }
        }
        if let Some(event) = self.opening(key) {
            self.events.push(event);
        }
        self.events.append(&mut told);
    }

    /// A product that was only ever met under a name that is not asked for any more.
    fn is_unasked(&self, event: &Event) -> bool {
        let product = event.software.as_ref().map(|software| software::product_key(&software.product));
        event.kind == EventType::SoftwareRemoved
            && product.is_some_and(|product| self.unasked.products.contains(&product))
    }

    fn finish(mut self) -> Change {
        self.host.endpoints = std::mem::take(&mut self.endpoints).into_values().collect();
        self.judge_os();
        let mut change = Change::default();
        let mut events = std::mem::take(&mut self.host_events);
        events.append(&mut self.events);
        events.extend(
            software::differences(self.before, &self.host, &self.news, &self.inventory.vantage, self.now)
                .into_iter()
                .filter(|event| !self.is_unasked(event)),
        );
        // Whoever is at a pool's address is a member like any other, followed nowhere and replaced at any time.
        if self.policy.pool.is_none() {
            self.judge_move(&mut events);
            self.judge_replacement(&mut events);
        }
        events.extend(self.judge_shared_keys());
        change.pools.extend(self.judge_pool(&mut events));
        self.fold_into_found(&mut events, self.slice.at);
        self.forget_predecessor();
        let (lane, vantage) = (self.slice.pass.lane, &self.inventory.vantage);
        flap::damp(self.before, &mut self.host, &mut events, lane, vantage, self.now);
        if self.policy.pool.is_none() {
            events.extend(self.removed_leaves(&events));
        }
        let (shown, words) = (event::host(&self.host), |words: &[std::sync::Arc<str>]| -> Vec<String> {
            words.iter().map(ToString::to_string).collect()
        });
        for event in &mut events {
            // What is about several hosts says so itself.
            if event.host.is_none() {
                event.host = Some(shown.clone());
                event.assets = words(&self.policy.assets);
                event.tags = words(&self.policy.tags);
            }
            event.evidence.truncate(event::MOST_EVIDENCE);
        }
        change.events = events;
        change.certificates = self
            .certificates
            .into_iter()
            .filter(|(sha256, state)| self.inventory.certificates.get(sha256) != Some(state))
            .map(|(_, state)| state)
            .collect();
        let asked = self.before.map(confirm::requests_of).unwrap_or_default();
        let vanished = self.host.is_provisional() && self.host.endpoints.is_empty() && self.host.misses.is_none();
        if vanished {
            change.removed_hosts.extend(self.before.map(|host| host.key.clone()));
        } else if self.before != Some(&self.host) {
            change.requests = confirm::requests_of(&self.host).difference(&asked).cloned().collect();
            change.hosts.push(self.host);
        }
        change.hosts.extend(self.others.into_values());
        change.removed_hosts.extend(self.left);
        change
    }
}
