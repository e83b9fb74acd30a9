use super::checksum::{pseudo_header, sum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// TCP's control bits (RFC 9293 §3.1).
pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

const IPV6_HEADER: usize = 40;
/// IPv6 extension headers that are looked behind; a packet with more is passed on, but nobody looks into it.
const MOST_EXTENSIONS: usize = 8;

/// An IPv4 (RFC 791) or IPv6 (RFC 8200) packet as it came, with what was read of it. Reading is total: what is no whole
/// packet is none, and what is not understood behind the addresses is only carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub(crate) bytes: Vec<u8>,
    source: IpAddr,
    target: IpAddr,
    protocol: u8,
    /// Where the transport header begins.
    pub(crate) body: usize,
    /// Neither the first nor the only part of a datagram, or a chain of headers that is not looked behind.
    opaque: bool,
}

/// What a TCP header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub source_port: u16,
    pub target_port: u16,
    pub sequence: u32,
    pub acknowledged: u32,
    pub flags: u8,
    /// Bytes of data behind the header.
    pub data: usize,
}

impl Segment {
    /// The first packet of a connection.
    pub fn is_syn(&self) -> bool {
        self.flags & (SYN | ACK | RST) == SYN
    }

    /// What it takes up in the sequence space: its data, SYN and FIN (RFC 9293 §3.4).
    pub fn length(&self) -> u32 {
        let flags = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        u32::try_from(self.data).unwrap_or(u32::MAX).wrapping_add(flags)
    }
}

/// The packet an ICMP error is about, as far as the error quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    pub source: SocketAddr,
    pub target: SocketAddr,
    pub protocol: u8,
}

/// What stands at the front of a packet.
struct Header {
    source: IpAddr,
    target: IpAddr,
    protocol: u8,
    body: usize,
    end: usize,
    opaque: bool,
}

impl Packet {
    /// None where the bytes are not one whole packet.
    pub fn read(mut bytes: Vec<u8>) -> Option<Self> {
        let header = Header::read(&bytes)?;
        if header.end > bytes.len() {
            return None;
        }
        bytes.truncate(header.end);
        let Header { source, target, protocol, body, opaque, .. } = header;
        Some(Self { bytes, source, target, protocol, body, opaque })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn source(&self) -> IpAddr {
        self.source
    }

    pub fn target(&self) -> IpAddr {
        self.target
    }

    /// The protocol behind all IP headers (RFC 5237).
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The transport header and what follows it; nothing where it cannot be looked into.
    pub(crate) fn transport(&self) -> &[u8] {
        if self.opaque { &[] } else { self.bytes.get(self.body..).unwrap_or_default() }
    }

    /// None where it is not TCP, or not a whole header.
    pub fn tcp(&self) -> Option<Segment> {
        let body = (self.protocol == TCP).then(|| self.transport())?;
        let header = usize::from(*body.get(12)? >> 4) * 4;
        if header < 20 {
            return None;
        }
        Some(Segment {
            source_port: word(body, 0)?,
            target_port: word(body, 2)?,
            sequence: long(body, 4)?,
            acknowledged: long(body, 8)?,
            flags: *body.get(13)?,
            data: body.len().checked_sub(header)?,
        })
    }

    /// The ports of TCP and UDP; for an ICMP question and its answer the identifier, twice.
    pub fn ports(&self) -> Option<(u16, u16)> {
        ports_of(self.protocol, self.transport())
    }

    /// Type and code (RFC 792, RFC 4443).
    pub fn icmp(&self) -> Option<(u8, u8)> {
        let body = matches!(self.protocol, ICMP | ICMPV6).then(|| self.transport())?;
        (body.len() >= 8).then(|| (body[0], body[1]))
    }

    pub fn is_icmp_error(&self) -> bool {
        match (self.protocol, self.icmp()) {
            (ICMP, Some((kind, _))) => matches!(kind, 3 | 4 | 11 | 12),
            (ICMPV6, Some((kind, _))) => kind < 128,
            _ => false,
        }
    }

    /// What an ICMP error is about.
    pub fn quote(&self) -> Option<Quote> {
        let inner = self.is_icmp_error().then(|| self.transport().get(8..))??;
        let header = Header::read(inner)?;
        if header.opaque || header.source.is_ipv4() != self.source.is_ipv4() {
            return None;
        }
        let body = inner.get(header.body..)?;
        let (source, target) = ports_of(header.protocol, body)?;
        Some(Quote {
            source: SocketAddr::new(header.source, source),
            target: SocketAddr::new(header.target, target),
            protocol: header.protocol,
        })
    }

    /// Whether the checksums of the IP header and of TCP, UDP and ICMP are right.
    pub fn checksums_hold(&self) -> bool {
        let header = self.source.is_ipv6() || sum(0, &self.bytes[..self.body]) == u16::MAX;
        let body = self.transport();
        let transport = match self.protocol {
            // A UDP datagram over IPv4 may go without (RFC 768).
            UDP if self.source.is_ipv4() && word(body, 6) == Some(0) => true,
            ICMP => sum(0, body) == u16::MAX,
            TCP | UDP | ICMPV6 if !body.is_empty() => {
                sum(pseudo_header(self.source, self.target, self.protocol, body.len()), body) == u16::MAX
            }
            _ => true,
        };
        header && transport
    }

    /// The addresses in the header are taken over into what was read of it.
    pub(crate) fn reread(&mut self) {
        if let Some(header) = Header::read(&self.bytes) {
            (self.source, self.target) = (header.source, header.target);
        }
    }

    /// Where the packet that an ICMP error quotes begins, and where its transport header does.
    pub(crate) fn quote_at(&self) -> Option<(usize, usize)> {
        self.quote()?;
        let begin = self.body + 8;
        let header = Header::read(self.bytes.get(begin..)?)?;
        Some((begin, begin + header.body))
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::read_v4(bytes),
            6 => Self::read_v6(bytes),
            _ => None,
        }
    }

    fn read_v4(bytes: &[u8]) -> Option<Self> {
        let body = usize::from(bytes.first()? & 0x0f) * 4;
        let end = usize::from(word(bytes, 2)?);
        if body < 20 || end < body || bytes.len() < body {
            return None;
        }
        let address = |at: usize| Some(IpAddr::from(Ipv4Addr::from(long(bytes, at)?)));
        Some(Self {
            source: address(12)?,
            target: address(16)?,
            protocol: *bytes.get(9)?,
            body,
            end,
            // The offset alone: the first fragment has the transport header, yet not all it sums up.
            opaque: word(bytes, 6)? & 0x3fff != 0,
        })
    }

    fn read_v6(bytes: &[u8]) -> Option<Self> {
        let address = |at: usize| {
            let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(octets)))
        };
        let (source, target) = (address(8)?, address(24)?);
        let end = IPV6_HEADER + usize::from(word(bytes, 4)?);
        let (mut protocol, mut body, mut opaque) = (*bytes.get(6)?, IPV6_HEADER, false);
        for _ in 0..MOST_EXTENSIONS {
            // Hop-by-hop, routing, destination options; a fragment header ends what can be understood.
            if !matches!(protocol, 0 | 43 | 60) {
                break;
            }
            protocol = *bytes.get(body)?;
            body += (usize::from(*bytes.get(body + 1)?) + 1) * 8;
        }
        opaque |= matches!(protocol, 0 | 43 | 44 | 60);
        (body <= end).then_some(Self { source, target, protocol, body, end, opaque })
    }
}

fn ports_of(protocol: u8, body: &[u8]) -> Option<(u16, u16)> {
    match protocol {
        TCP | UDP => Some((word(body, 0)?, word(body, 2)?)),
        // Echo and its reply carry an identifier.
        ICMP if matches!(body.first()?, 0 | 8) => word(body, 4).map(|id| (id, id)),
        ICMPV6 if matches!(body.first()?, 128 | 129) => word(body, 4).map(|id| (id, id)),
        _ => None,
    }
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(crate) fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
