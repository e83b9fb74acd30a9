//! Taking out of slices what cannot be believed, and leaving the good news.

use inventory::{Inventory, PortStatus};
use model::{AddressRange, AddressSet, Coverage, Endpoint, HostSlice, Outcome, PortObservation, Transport};

/// Everything asked of a known host stayed without an answer.
pub(crate) fn is_silent(slice: &HostSlice) -> bool {
    !slice.ports.is_empty() && slice.services.is_empty() && slice.ports.iter().all(|port| !port.outcome.is_answer())
}

/// Leaves only what speaks for hosts and ports.
pub(crate) fn strip(slices: &mut Vec<HostSlice>, inventory: &Inventory) {
    slices.retain_mut(|slice| {
        slice.ports.retain(|port| !is_negative(port, inventory));
        slice.covered = Coverage::default();
        let says_no_more = slice.services.is_empty() && slice.audits.is_empty() && slice.names.is_empty();
        !(slice.ports.is_empty() && says_no_more && slice.mac.is_none())
    });
}

/// Hosts of which something that was open did not answer: it may have closed, and a firewall may have begun to refuse everything
/// of ours. What else was not found there is not known to be absent, so that one day it would be news.
pub(crate) fn unproven(slices: &[HostSlice], inventory: &Inventory) -> AddressSet {
    let is_unproven = |slice: &&HostSlice| {
        let Some(host) = inventory.row(slice.ip) else { return false };
        slice.ports.iter().any(|seen| {
            let Endpoint { transport, port, .. } = seen.endpoint;
            transport == Transport::Tcp
                && !seen.outcome.is_open()
                && host.status(transport, port) == Some(PortStatus::Open)
        })
    };
    slices.iter().filter(is_unproven).map(|slice| AddressRange::single(slice.ip)).collect()
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
