//! Weaknesses of hosts that last until they are found gone: an SSH host key that several machines prove themselves with.
//! Found while learning too: it is no change, it is wrong.

use crate::{HostFinding, HostState, IdentityKey, Inventory, PortStatus, apply::Plan, event, ssh_key};
use jiff::Timestamp;
use model::{Event, EventFinding, EventType, SshKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

const SHARED_KEY: &str = "shared-key";
/// So many holders take note at once; the others do when they are met next.
const MOST_AT_ONCE: usize = 256;

impl Plan<'_> {
    /// `SHARED_KEY` once for a key that two machines show at once, `FINDING_CLOSED` when it is one machine's again.
    pub(crate) fn judge_shared_keys(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        for met in std::mem::take(&mut self.met) {
            if let IdentityKey::Ssh(key) = &met.key {
                told.extend(self.judge_sharing(key, met.before, met.at));
            }
            self.met.push(met);
        }
        let lost: Vec<SshKey> = shared_keys_of(self.before.unwrap_or(&self.host))
            .into_iter()
            .filter(|key| has(&self.host, &id_of(key)) && !self.host.still_holds(&IdentityKey::Ssh(key.clone())))
            .collect();
        for key in lost {
            self.host.findings.retain(|finding| finding.id != id_of(&key));
            self.host.count_anew(&key);
            let (closed, alone) = close(self.inventory, &key, &BTreeSet::from([self.slice.ip]), self.now);
            told.extend(closed);
            if let Some(alone) = alone {
                let other = self.others.entry(alone.key.ip).or_insert(alone);
                other.findings.retain(|finding| finding.id != id_of(&key));
            }
        }
        told
    }

    fn judge_sharing(&mut self, key: &SshKey, before: Option<Timestamp>, at: Timestamp) -> Option<Event> {
        let id = id_of(key);
        let identity = IdentityKey::Ssh(key.clone());
        if let Some(finding) = self.host.findings.iter_mut().find(|finding| finding.id == id) {
            finding.last_seen = at;
            return None;
        }
        let elsewhere = self.inventory.holders.of(&identity).filter(|&ip| ip != self.slice.ip);
        let others: Vec<HostState> = elsewhere.take(MOST_AT_ONCE).filter_map(|ip| self.inventory.known(ip)).collect();
        if others.iter().any(|other| has(other, &id)) {
            self.host.findings.push(HostFinding { id, since: at, last_seen: at });
            return None;
        }
        // It was shown here, then there, then here again, without having gone from here: it is in both places. A machine
        // that moves shows it here and then there. What was shown there at this very time counts from the next time on, so
        // that the order of hosts inside a pass does not matter.
        let Some(before) = before else { return self.judge_late(key, &others, at) };
        if !self.before.is_some_and(|host| host.up && host.still_holds(&identity)) {
            return None;
        }
        // When it was last shown there before now. Who is judged later in the same pass has shown it now as well, and knows of
        // no earlier time but the first: had there been one in between, it would have been told then.
        let shown = |other: &HostState| {
            let held = other.identity(&identity)?;
            Some(if held.last < at { held.last } else { held.since })
        };
        let sharers: BTreeMap<IpAddr, HostState> = others
            .into_iter()
            .filter(|other| other.up && other.still_holds(&identity))
            // Members of a pool are made from one mould.
            .filter(|other| !self.inventory.are_of_one_pool([self.slice.ip, other.key.ip]))
            .filter(|other| shown(other).is_some_and(|last| last >= before))
            .map(|other| (other.key.ip, other))
            .collect();
        let is_told =
            |other: &HostState| shown(other).is_some_and(|last| last < at) && !is_same_machine(&self.host, other);
        if !sharers.values().any(is_told) {
            return None;
        }
        Some(self.share(key, sharers, at))
    }

    /// Of a key not met here before, and perhaps only now found to have been met then (it was in doubt): who showed it before that and after
    /// it has not given it away.
    fn judge_late(&mut self, key: &SshKey, others: &[HostState], at: Timestamp) -> Option<Event> {
        let identity = IdentityKey::Ssh(key.clone());
        let has_kept = |other: &&HostState| {
            let held = other.identity(&identity);
            other.up && other.still_holds(&identity) && held.is_some_and(|held| held.since <= at && at < held.last)
        };
        let keeps = others.iter().filter(has_kept);
        let sharers: BTreeMap<IpAddr, HostState> = keeps
            .filter(|other| !self.inventory.are_of_one_pool([self.slice.ip, other.key.ip]))
            .map(|other| (other.key.ip, other.clone()))
            .collect();
        if sharers.values().all(|other| is_same_machine(&self.host, other)) {
            return None;
        }
        let last = sharers.values().filter_map(|other| other.identity(&identity)).map(|held| held.last).max();
        Some(self.share(key, sharers, last.unwrap_or(at)))
    }

    /// `SHARED_KEY`: this host and those.
    fn share(&mut self, key: &SshKey, mut sharers: BTreeMap<IpAddr, HostState>, at: Timestamp) -> Event {
        let id = id_of(key);
        for other in sharers.values_mut() {
            other.findings.push(HostFinding { id: id.clone(), since: at, last_seen: at });
        }
        self.host.findings.push(HostFinding { id, since: at, last_seen: at });
        let event = {
            let all: Vec<&HostState> = sharers.values().chain([&self.host]).collect();
            shared_event(self.inventory, EventType::SharedKey, key, &all, self.now)
        };
        self.others.extend(sharers);
        event
    }
}

/// The finding is closed where fewer than two of its holders are left, those `gone` not counted: the event, and the last
/// holder without it.
pub(crate) fn close(
    inventory: &Inventory,
    key: &SshKey,
    gone: &BTreeSet<IpAddr>,
    now: Timestamp,
) -> (Option<Event>, Option<HostState>) {
    let id = id_of(key);
    let identity = IdentityKey::Ssh(key.clone());
    let mut left = inventory
        .holders
        .of(&identity)
        .filter(|ip| !gone.contains(ip))
        .filter_map(|ip| inventory.known(ip))
        .filter(|host| has(host, &id));
    let (Some(mut last), None) = (left.next(), left.next()) else { return (None, None) };
    last.findings.retain(|finding| finding.id != id);
    last.count_anew(key);
    let event = shared_event(inventory, EventType::FindingClosed, key, &[&last], now);
    (Some(event), Some(last))
}

impl HostState {
    /// A key that was shared must be held alone for as long as any other before its host is followed by it.
    fn count_anew(&mut self, key: &SshKey) {
        for held in &mut self.identities {
            if matches!(&held.key, IdentityKey::Ssh(known) if known == key) {
                held.since = held.last;
            }
        }
    }
}

fn shared_event(inventory: &Inventory, kind: EventType, key: &SshKey, holders: &[&HostState], now: Timestamp) -> Event {
    let mut holders = holders.to_vec();
    holders.sort_by_key(|host| host.key.ip);
    let identity = IdentityKey::Ssh(key.clone());
    let fingerprint = event::printable(&ssh_key::displayed(key));
    let mut event = Event::new(kind, now, &inventory.vantage, &(SHARED_KEY, key));
    let is_open = kind == EventType::SharedKey;
    event.finding = Some(EventFinding {
        id: SHARED_KEY.to_owned(),
        verdict: if is_open { "confirmed" } else { "closed" }.to_owned(),
        evidence: Some(fingerprint.clone()),
    });
    event.reason = Some(if is_open {
        format!("{} hosts prove themselves with the same SSH host key", holders.len())
    } else {
        "one host alone holds the SSH host key now".to_owned()
    });
    event.endpoints = holders.iter().flat_map(|host| places(host, key)).take(event::MOST_LISTED).collect();
    let times = || holders.iter().filter_map(|host| host.identity(&identity));
    event.evidence = holders
        .iter()
        .filter_map(|host| {
            let held = host.identity(&identity)?;
            Some(event::evidence(held.last, &format!("{} shows {fingerprint}", host.key.ip)))
        })
        .collect();
    event.first_seen = times().map(|held| held.since).min().or(Some(now));
    event.last_seen = times().map(|held| held.last).max().or(Some(now));
    if let Some(first) = holders.first() {
        event.host = Some(event::host(first));
    }
    let words = |of: fn(&HostState) -> &[std::sync::Arc<str>]| {
        let all: BTreeSet<_> = holders.iter().flat_map(|host| of(host)).collect();
        all.into_iter().map(ToString::to_string).collect()
    };
    event.assets = words(|host| &host.assets);
    event.tags = words(|host| &host.tags);
    event
}

/// Where a host shows that key.
fn places(host: &HostState, key: &SshKey) -> Vec<String> {
    let shows = |endpoint: &&crate::EndpointState| {
        endpoint.status == PortStatus::Open
            && endpoint
                .services
                .iter()
                .any(|state| state.service.as_ref().is_some_and(|service| service.ssh_key.as_ref() == Some(key)))
    };
    host.endpoints.iter().filter(shows).map(|endpoint| host.endpoint_at(endpoint).to_string()).collect()
}

/// The keys of a host whose sharing was told.
pub(crate) fn shared_keys_of(host: &HostState) -> Vec<SshKey> {
    let keys = host.identities.iter().filter_map(|held| match &held.key {
        IdentityKey::Ssh(key) => Some(key),
        IdentityKey::Mac(_) => None,
    });
    keys.filter(|key| has(host, &id_of(key))).cloned().collect()
}

pub(crate) fn is_shared(host: &HostState, key: &IdentityKey) -> bool {
    matches!(key, IdentityKey::Ssh(key) if has(host, &id_of(key)))
}

fn id_of(key: &SshKey) -> String {
    format!("{SHARED_KEY} {}", ssh_key::fingerprint(key))
}

fn has(host: &HostState, id: &str) -> bool {
    host.findings.iter().any(|finding| finding.id == id)
}

/// Two addresses of one interface: a machine may have several.
fn is_same_machine(one: &HostState, other: &HostState) -> bool {
    let macs = |host: &HostState| -> BTreeSet<IdentityKey> {
        let keys = host.identities.iter().map(|held| &held.key);
        keys.filter(|key| matches!(key, IdentityKey::Mac(_)) && host.still_holds(key)).cloned().collect()
    };
    !macs(one).is_disjoint(&macs(other))
}
