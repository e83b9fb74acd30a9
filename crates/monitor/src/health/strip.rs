//! Taking out of slices what cannot be believed, and leaving the good news.

use crate::mirage::near;
use inventory::{Inventory, PortStatus};
use model::{AddressRange, AddressSet, Coverage, Endpoint, HostSlice, Outcome, PortObservation, Transport};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// So many hosts of a prefix that are shut to us are a firewall's doing.
const SEVERAL: usize = 2;

/// Everything asked of a known host stayed without an answer. That it shows itself otherwise says nothing of what became of its ports.
pub(crate) fn is_silent(slice: &HostSlice) -> bool {
    let was_asked = !slice.ports.is_empty() || slice.presence.is_some_and(|presence| presence.is_silent());
    was_asked && slice.services.is_empty() && slice.ports.iter().all(|port| !port.outcome.is_answer())
}

/// Leaves only what speaks for hosts and ports.
pub(crate) fn strip(slices: &mut Vec<HostSlice>, inventory: &Inventory) {
    slices.retain_mut(|slice| {
        slice.ports.retain(|port| !is_negative(port, inventory));
        slice.covered = Coverage::default();
        slice.presence = slice.presence.filter(|presence| !presence.is_silent());
        let says_no_more =
            slice.services.is_empty() && slice.audits.is_empty() && slice.names.is_empty() && slice.presence.is_none();
        !(slice.ports.is_empty() && says_no_more && slice.mac.is_none())
    });
}

/// Addresses of which a group of a sweep proves nothing by what it did not find there: hosts of which something that was open did
/// not answer, for it may have closed, and a firewall may have begun to refuse everything of ours; and prefixes in which that is so
/// of everybody who was asked, or several hosts are `spared` because they refuse us. What such a firewall hides would be news one day.
pub(crate) fn unproven(slices: &[HostSlice], spared: &BTreeSet<IpAddr>, inventory: &Inventory) -> AddressSet {
    let is_unproven = |slice: &HostSlice| {
        let Some(host) = inventory.row(slice.ip) else { return false };
        slice.ports.iter().any(|seen| {
            let Endpoint { transport, port, .. } = seen.endpoint;
            transport == Transport::Tcp
                && !seen.outcome.is_open()
                && host.status(transport, port) == Some(PortStatus::Open)
        })
    };
    let mut hosts = Vec::new();
    let mut prefixes: BTreeMap<IpAddr, (AddressRange, usize, usize)> = BTreeMap::new();
    for slice in slices {
        let range = near(slice.ip);
        let (_, dark, lit) = prefixes.entry(range.first()).or_insert((range, 0, 0));
        if is_unproven(slice) {
            hosts.push(AddressRange::single(slice.ip));
            *dark += 1;
        }
        *lit += usize::from(slice.ports.iter().any(|port| port.outcome.is_open()));
    }
    for &ip in spared {
        let range = near(ip);
        prefixes.entry(range.first()).or_insert((range, 0, 0)).1 += 1;
    }
    let shut = prefixes.into_values().filter(|(_, dark, lit)| *lit == 0 && *dark >= SEVERAL);
    hosts.into_iter().chain(shut.map(|(range, ..)| range)).collect()
}

/// No answer, or a refusal of what was open.
fn is_negative(seen: &PortObservation, inventory: &Inventory) -> bool {
    match seen.outcome {
        Outcome::Open(_) | Outcome::NotProbed(_) | Outcome::LocalError(_) => false,
        Outcome::Filtered(_) | Outcome::Silent => true,
        Outcome::Closed(_) => inventory
            .row(seen.endpoint.ip)
            .and_then(|host| host.status(seen.endpoint.transport, seen.endpoint.port))
            .is_some_and(|status| status != PortStatus::Closed),
    }
}
