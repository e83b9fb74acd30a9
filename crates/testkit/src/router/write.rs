//! Packets that the router makes or changes, with their checksums.

use super::{
    checksum::{seal_header, seal_transport},
    packet::{ACK, ICMP, ICMPV6, Packet, RST, Segment, TCP},
};
use std::net::{IpAddr, SocketAddr};

/// An error quotes so much that it stays below these (RFC 1812 §4.3.2.3, RFC 4443 §2.4).
const LONGEST_ERROR_V4: usize = 576;
const LONGEST_ERROR_V6: usize = 1280;
const HOPS: u8 = 61;

/// Which end of a packet an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Target,
}

impl Packet {
    /// A TCP segment without data (RFC 9293). `mss` is sent as an option where it is given. None where the addresses are of
    /// two families.
    pub fn segment(source: SocketAddr, target: SocketAddr, says: Segment, mss: Option<u16>) -> Option<Self> {
        let length: u8 = if mss.is_some() { 24 } else { 20 };
        let mut body = Vec::with_capacity(usize::from(length));
        body.extend(source.port().to_be_bytes());
        body.extend(target.port().to_be_bytes());
        body.extend(says.sequence.to_be_bytes());
        body.extend(says.acknowledged.to_be_bytes());
        // A window of 64,240 bytes; a RST has none.
        let window: u16 = if says.flags & RST == 0 { 64_240 } else { 0 };
        body.extend([length << 2, says.flags]);
        body.extend(window.to_be_bytes());
        body.extend([0; 4]);
        if let Some(mss) = mss {
            body.extend([2, 4]);
            body.extend(mss.to_be_bytes());
        }
        Self::make(source.ip(), target.ip(), TCP, &body)
    }

    /// The RST that a host without such a connection answers this segment with (RFC 9293 §3.10.7.1). None where it is not
    /// TCP, or is a RST itself.
    pub fn reset(&self) -> Option<Self> {
        let segment = self.tcp().filter(|segment| segment.flags & RST == 0)?;
        let (flags, sequence, acknowledged) = if segment.flags & ACK == 0 {
            (RST | ACK, 0, segment.sequence.wrapping_add(segment.length()))
        } else {
            (RST, segment.acknowledged, 0)
        };
        let (from, to) = self.sockets()?;
        let says = Segment { source_port: to.port(), target_port: from.port(), sequence, acknowledged, flags, data: 0 };
        Self::segment(to, from, says, None)
    }

    /// What says that the port is unreachable, as from the packet's target: type 3 code 3 (RFC 792), or type 1 code 4
    /// (RFC 4443 §3.1). None where the packet is an ICMP error itself, which is never answered by another.
    pub fn port_unreachable(&self) -> Option<Self> {
        if self.is_icmp_error() {
            return None;
        }
        let v4 = self.target().is_ipv4();
        let (protocol, kind, code, overhead, longest) =
            if v4 { (ICMP, 3, 3, 28, LONGEST_ERROR_V4) } else { (ICMPV6, 1, 4, 48, LONGEST_ERROR_V6) };
        let mut body = vec![kind, code, 0, 0, 0, 0, 0, 0];
        body.extend(&self.bytes[..self.bytes.len().min(longest - overhead)]);
        Self::make(self.target(), self.source(), protocol, &body)
    }

    /// A packet with this body, whose checksum is put right.
    pub(crate) fn make(source: IpAddr, target: IpAddr, protocol: u8, body: &[u8]) -> Option<Self> {
        let mut bytes = Vec::with_capacity(40 + body.len());
        match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let total = u16::try_from(20 + body.len()).ok()?;
                bytes.extend([0x45, 0]);
                bytes.extend(total.to_be_bytes());
                // No identification is needed where nothing may be fragmented (RFC 6864).
                bytes.extend([0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(target.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                bytes.extend([0x60, 0, 0, 0]);
                bytes.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
                bytes.extend([protocol, HOPS]);
                bytes.extend(source.octets());
                bytes.extend(target.octets());
            }
            _ => return None,
        }
        let begin = bytes.len();
        bytes.extend(body);
        seal_header(&mut bytes, begin);
        seal_transport(&mut bytes, begin, source, target, protocol);
        Self::read(bytes)
    }

    /// Both ends with their ports.
    pub fn sockets(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (source, target) = self.ports()?;
        Some((SocketAddr::new(self.source(), source), SocketAddr::new(self.target(), target)))
    }

    /// Puts another address and port at one end, as a NAT does; of an ICMP error also into what it quotes, where that end is
    /// the other one. Leaves the packet as it is where the families differ.
    pub(crate) fn readdress(&mut self, end: End, to: SocketAddr) {
        if to.is_ipv4() != self.source().is_ipv4() {
            return;
        }
        let quote = self.quote_at();
        write_address(&mut self.bytes, end, to.ip());
        if let Some((begin, body)) = quote {
            let quoted = if end == End::Source { End::Target } else { End::Source };
            let inner_protocol = self.quote().map(|quote| quote.protocol);
            write_address(&mut self.bytes[begin..], quoted, to.ip());
            write_port(&mut self.bytes[body..], inner_protocol.unwrap_or(0), quoted, to.port());
            seal_header(&mut self.bytes[begin..], body - begin);
        } else if self.ports().is_some() {
            let (body, protocol) = (self.body, self.protocol());
            write_port(&mut self.bytes[body..], protocol, end, to.port());
        }
        self.reread();
        self.seal();
    }

    /// Moves the sequence and acknowledgement numbers of a TCP segment.
    pub(crate) fn shift(&mut self, sequence: u32, acknowledged: u32) {
        let Some(segment) = self.tcp() else { return };
        let body = self.body;
        let sequence = segment.sequence.wrapping_add(sequence);
        self.bytes[body + 4..body + 8].copy_from_slice(&sequence.to_be_bytes());
        if segment.flags & ACK != 0 {
            let acknowledged = segment.acknowledged.wrapping_add(acknowledged);
            self.bytes[body + 8..body + 12].copy_from_slice(&acknowledged.to_be_bytes());
        }
        self.seal();
    }

    /// The same TCP segment or datagram with this data behind its header. None where it has grown too long.
    #[cfg(test)]
    pub(crate) fn with_data(&self, data: &[u8]) -> Option<Self> {
        let body = [self.transport(), data].concat();
        Self::make(self.source(), self.target(), self.protocol(), &body)
    }

    fn seal(&mut self) {
        let (body, source, target, protocol) = (self.body, self.source(), self.target(), self.protocol());
        seal_header(&mut self.bytes, body);
        if !self.transport().is_empty() {
            seal_transport(&mut self.bytes, body, source, target, protocol);
        }
    }
}

fn write_address(bytes: &mut [u8], end: End, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let at = if end == End::Source { 12 } else { 16 };
            bytes[at..at + 4].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            let at = if end == End::Source { 8 } else { 24 };
            bytes[at..at + 16].copy_from_slice(&address.octets());
        }
    }
}

/// The identifier of an ICMP echo is both its ports.
fn write_port(transport: &mut [u8], protocol: u8, end: End, port: u16) {
    let at = match (protocol, end) {
        (ICMP | ICMPV6, _) => 4,
        (_, End::Source) => 0,
        (_, End::Target) => 2,
    };
    if let Some(place) = transport.get_mut(at..at + 2) {
        place.copy_from_slice(&port.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
