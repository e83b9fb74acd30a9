//! Addresses that leave the scope, and configured names that move.

use crate::{Change, HostState, Inventory, Region, event, finding};
use jiff::Timestamp;
use model::{Event, EventHost, EventType, Evidence, HostPolicy, NameSource, ServiceName};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::IpAddr,
};

/// Without a word: hosts, where certificates are served, and what was covered.
pub(crate) fn retire(inventory: &Inventory, ips: &[IpAddr], now: Timestamp) -> Change {
    Change { regions: uncovered(inventory, ips), ..forget(inventory, ips, now) }
}

/// Without these hosts, and without them as places of certificates. A key that one of them shared may be one host's now.
pub(crate) fn forget(inventory: &Inventory, ips: &[IpAddr], now: Timestamp) -> Change {
    let mut change = Change::default();
    let mut certificates = BTreeMap::new();
    let ips: BTreeSet<IpAddr> = ips.iter().copied().collect();
    let mut shared = BTreeSet::new();
    for host in ips.iter().filter_map(|&ip| inventory.known(ip)) {
        change.removed_hosts.push(host.key.clone());
        for sha256 in host.certificates() {
            if let Some(state) = inventory.certificates.get(&sha256) {
                certificates.entry(sha256).or_insert_with(|| state.clone());
            }
        }
        shared.extend(finding::shared_keys_of(&host));
    }
    for state in certificates.values_mut() {
        state.endpoints.retain(|(endpoint, _)| !ips.contains(&endpoint.ip));
        state.rogue_told.retain(|(endpoint, _)| !ips.contains(&endpoint.ip));
        if state.rogue_told.is_empty() {
            state.rogue.clear();
        }
    }
    change.certificates = certificates.into_values().collect();
    let mut left: BTreeMap<IpAddr, HostState> = BTreeMap::new();
    for key in shared {
        let (event, last) = finding::close(inventory, &key, &ips, now);
        change.events.extend(event);
        if let Some(last) = last {
            // Of several keys shared with the same host each is taken from it.
            match left.entry(last.key.ip) {
                Entry::Vacant(place) => drop(place.insert(last)),
                Entry::Occupied(mut known) => known.get_mut().findings.retain(|kept| last.findings.contains(kept)),
            }
        }
    }
    change.hosts = left.into_values().collect();
    change
}

/// What was covered, without these addresses; only what changes.
pub(crate) fn uncovered(inventory: &Inventory, ips: &[IpAddr]) -> Vec<Region> {
    let ips: BTreeSet<IpAddr> = ips.iter().copied().collect();
    let ips: Vec<IpAddr> = ips.into_iter().collect();
    let shrunk = inventory.regions.values().map(|region| {
        let mut shrunk = region.clone();
        shrunk.forget(&ips);
        shrunk
    });
    shrunk
        .zip(inventory.regions.values())
        .filter(|(shrunk, known)| shrunk != *known)
        .map(|(shrunk, _)| shrunk)
        .collect()
}

pub(crate) fn moved(
    inventory: &Inventory,
    name: &ServiceName,
    old: &[IpAddr],
    new: &[IpAddr],
    policy: &HostPolicy,
    now: Timestamp,
) -> Change {
    let old: BTreeSet<IpAddr> = old.iter().copied().collect();
    let new: BTreeSet<IpAddr> = new.iter().copied().collect();
    let mut change = Change::default();
    if old == new || old.is_empty() {
        return change;
    }
    for ip in old.symmetric_difference(&new) {
        if let Some(host) = inventory.hosts.get(ip)
            && let Some(renamed) = with_name(&host, name, new.contains(ip))
        {
            change.hosts.push(renamed);
        }
    }
    let Some(ip) = new.first().or(old.first()) else { return change };
    let text = |ips: &BTreeSet<IpAddr>| {
        (!ips.is_empty()).then(|| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    };
    let mut event = Event::new(EventType::HostNameChanged, now, &inventory.vantage, &(name, &old, &new));
    event.host = Some(inventory.hosts.get(ip).map_or_else(
        || EventHost { ip: *ip, names: vec![name.to_string()], os: None },
        |host| {
            let mut shown = event::host(&host);
            if !shown.names.iter().any(|shown| shown == name.as_str()) {
                shown.names.push(name.to_string());
            }
            shown
        },
    ));
    event.assets = policy.assets.iter().map(ToString::to_string).collect();
    event.tags = policy.tags.iter().map(ToString::to_string).collect();
    event.name = Some(name.to_string());
    event.old = text(&old);
    event.new = text(&new);
    event.reason = Some(
        if new.is_empty() {
            "the name resolves to no address any more"
        } else {
            "the name resolves to other addresses"
        }
        .to_owned(),
    );
    event.evidence = vec![Evidence {
        at: now,
        what: event::printable(&format!("{name} resolves to {}", event.new.as_deref().unwrap_or("nothing"))),
    }];
    event.first_seen = Some(now);
    event.last_seen = Some(now);
    change.events.push(event);
    change
}

/// The host with that name added to or taken from its configured ones; none where that changes nothing. A host that had no
/// configured name yet stays without: its first set is learnt whole from its first observation.
fn with_name(host: &HostState, name: &ServiceName, holds: bool) -> Option<HostState> {
    let mut renamed = host.clone();
    let names = renamed.names.get_mut(&NameSource::Configured)?;
    let changed = if holds { names.insert(name.to_string()) } else { names.remove(name.as_str()) };
    changed.then_some(renamed)
}
