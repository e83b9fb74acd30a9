//! The way out for what is no SYN: datagrams, and questions whether a host is there.

use super::{
    exit::{Entry, Exit},
    near::Near,
    paths::Path,
};
use model::Endpoint;
use std::sync::Arc;
use wire::{Mark, Transmit, UdpTemplate};

/// Beside an [`Exit`] for SYNs, by the same path and a socket of its own: SYNs are all alike and small, and are sent by the million.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) exit: Exit,
    udp: UdpTemplate,
    /// Where the targets are on the link.
    pub(super) near: Option<Arc<Near>>,
}

/// Bytes of a packet at most, where the link allows more.
const LONGEST: usize = 1500;

impl Side {
    pub(super) fn new(path: &Path, transmit: Box<dyn Transmit>, near: Option<Arc<Near>>) -> Self {
        let longest = usize::try_from(path.link.mtu).unwrap_or(LONGEST).min(LONGEST);
        Self { exit: Exit::with_room(path, transmit, longest), udp: UdpTemplate::new(path.source), near }
    }

    /// A datagram more. False where the link does not carry one so long.
    pub(super) fn add_datagram(&mut self, entry: Entry, mark: Mark, payload: &[u8]) -> bool {
        let Self { exit, udp, .. } = self;
        let Endpoint { ip, port, .. } = entry.endpoint;
        exit.push(entry, udp.len(payload.len()), |place| udp.stamp(place, ip, port, &mark, payload))
    }
}
