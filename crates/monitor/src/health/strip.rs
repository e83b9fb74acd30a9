//! Taking out of slices what cannot be believed, and leaving the good news.

use inventory::{Inventory, PortStatus};
use model::{Coverage, HostSlice, Outcome, PortObservation};

/// Everything asked of a known host stayed without an answer.
pub(crate) fn is_silent(slice: &HostSlice) -> bool {
    !slice.ports.is_empty() && slice.services.is_empty() && slice.ports.iter().all(|port| !port.outcome.is_answer())
}

/// Leaves only what speaks for hosts and ports.
pub(crate) fn strip(slices: &mut Vec<HostSlice>, inventory: &Inventory) {
    slices.retain_mut(|slice| {
        slice.ports.retain(|port| !is_negative(port, inventory));
        slice.covered = Coverage::default();
        !(slice.ports.is_empty() && slice.services.is_empty() && slice.names.is_empty() && slice.mac.is_none())
    });
}

/// No answer, or a refusal of what was open.
fn is_negative(seen: &PortObservation, inventory: &Inventory) -> bool {
    match seen.outcome {
        Outcome::Open(_) | Outcome::NotProbed(_) | Outcome::LocalError(_) => false,
        Outcome::Filtered(_) | Outcome::Silent => true,
        Outcome::Closed(_) => inventory
            .host(seen.endpoint.ip)
            .and_then(|host| host.endpoint(seen.endpoint.transport, seen.endpoint.port))
            .is_some_and(|endpoint| endpoint.status != PortStatus::Closed),
    }
}
