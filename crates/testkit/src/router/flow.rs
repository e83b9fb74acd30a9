use super::{
    packet::{Packet, TCP},
    stage::Way,
};
use std::net::SocketAddr;

/// What belongs together, whichever way it travels: a connection, an exchange of datagrams, a ping and its answers, and the
/// ICMP errors about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    pub protocol: u8,
    pub watcher: SocketAddr,
    pub server: SocketAddr,
}

impl Flow {
    /// None for what has no ports and quotes nothing that has.
    pub fn of(packet: &Packet, way: Way) -> Option<Self> {
        let (protocol, source, target) = if let Some(quote) = packet.quote() {
            // The quoted packet went the other way.
            (quote.protocol, quote.target, quote.source)
        } else {
            let (source, target) = packet.sockets()?;
            (packet.protocol(), source, target)
        };
        let (watcher, server) = match way {
            Way::Out => (source, target),
            Way::Back => (target, source),
        };
        Some(Self { protocol, watcher, server })
    }

    /// Whether the packet asks for something new: a SYN, or any datagram or ping.
    pub fn is_begun_by(&self, packet: &Packet) -> bool {
        if packet.is_icmp_error() {
            return false;
        }
        if self.protocol == TCP { packet.tcp().is_some_and(|segment| segment.is_syn()) } else { true }
    }
}
