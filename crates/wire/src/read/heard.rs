use model::{Endpoint, Mac, Transport};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// An answer, or what looks like one: nothing in it is proven before a cookie was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    Tcp(Segment),
    Udp(Datagram<'a>),
    /// An ICMP or `ICMPv6` error.
    Unreachable(Unreachable),
    Echo(EchoReply<'a>),
    Timestamp(TimestampReply),
    /// Of somebody on the link. It proves itself only by coming from there.
    Neighbour(Neighbour),
}

/// A TCP segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub from: IpAddr,
    /// Our address.
    pub to: IpAddr,
    /// Theirs.
    pub port: u16,
    pub our_port: u16,
    pub flags: Flags,
    pub seq: u32,
    /// The acknowledgement number; means something only with [`Flags::acknowledges`].
    pub ack: u32,
    /// As it stands in the header, unscaled.
    pub window: u16,
    pub options: TcpOptions,
    /// What is left of the IP time to live, or hop limit.
    pub ttl: u8,
}

/// TCP's flags (RFC 9293), the reserved ones left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;

    /// SYN and ACK without RST or FIN: the peer accepts.
    pub fn accepts(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN | Self::ACK
    }

    pub fn resets(self) -> bool {
        self.0 & Self::RST != 0
    }

    pub fn acknowledges(self) -> bool {
        self.0 & Self::ACK != 0
    }
}

/// `SA`, `R`: the letters of the flags that are set.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = ['F', 'S', 'R', 'P', 'A', 'U', 'E', 'C'].into_iter().enumerate();
        letters.filter(|(bit, _)| self.0 >> bit & 1 == 1).try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({self})")
    }
}

/// A segment's options, as far as they are well-formed: what stands behind a malformed one is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpOptions {
    pub mss: Option<u16>,
    pub wscale: Option<u8>,
    /// Selective acknowledgements permitted.
    pub sack: bool,
    /// `TSval` and `TSecr` (RFC 7323).
    pub ts: Option<(u32, u32)>,
    /// Whether there is any option but padding.
    pub any: bool,
}

/// A UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub from: IpAddr,
    /// Our address.
    pub to: IpAddr,
    /// Theirs.
    pub port: u16,
    pub our_port: u16,
    /// As much of it as was captured.
    pub payload: &'a [u8],
    pub ttl: u8,
}

/// An error that tells of a packet of ours (RFC 792, RFC 1812, RFC 4443).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreachable {
    /// Who says so: a router, a firewall, or the target.
    pub by: IpAddr,
    /// Our address.
    pub to: IpAddr,
    pub why: Why,
    /// ICMP's or `ICMPv6`'s own numbers.
    pub icmp_type: u8,
    pub code: u8,
    pub ttl: u8,
    pub quoted: Quoted,
}

/// What an ICMP error means, whatever the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    Port,
    Protocol,
    Host,
    Net,
    /// An administrator does not want it.
    Prohibited,
    /// The hop limit was used up: a loop, or a very long way.
    TimeExceeded,
    TooBig,
    Other,
}

/// The packet an ICMP error quotes: what came to whoever complains, so its source is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// Our address.
    pub src: IpAddr,
    /// The target's.
    pub dst: IpAddr,
    /// The IPv4 identification, or the lower 16 bits of the IPv6 flow label.
    pub ip_id: u16,
    pub part: QuotedPart,
}

/// The first eight bytes behind a quoted IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotedPart {
    Tcp {
        sport: u16,
        dport: u16,
        seq: u32,
    },
    Udp {
        sport: u16,
        dport: u16,
    },
    /// A request of ICMP or `ICMPv6` that carries an identifier.
    Echo {
        identifier: u16,
        sequence: u16,
    },
    /// A protocol, by IANA's number, of which nothing is read.
    Other(u8),
}

impl Quoted {
    /// What the quoted packet was sent to; none where that is no TCP or UDP port.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let (transport, port) = match self.part {
            QuotedPart::Tcp { dport, .. } => (Transport::Tcp, dport),
            QuotedPart::Udp { dport, .. } => (Transport::Udp, dport),
            QuotedPart::Echo { .. } | QuotedPart::Other(_) => return None,
        };
        Some(Endpoint { ip: self.dst, transport, port })
    }
}

/// An ICMP or `ICMPv6` echo reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoReply<'a> {
    pub from: IpAddr,
    /// Our address.
    pub to: IpAddr,
    pub identifier: u16,
    pub sequence: u16,
    /// As much of it as was captured.
    pub payload: &'a [u8],
    pub ttl: u8,
}

/// An ICMP timestamp reply (RFC 792).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampReply {
    pub from: IpAddr,
    /// Our address.
    pub to: IpAddr,
    pub identifier: u16,
    pub sequence: u16,
    /// As the request had it.
    pub originate: u32,
    /// The peer's clock: by the standard, milliseconds since midnight UTC.
    pub receive: u32,
    pub transmit: u32,
    pub ttl: u8,
}

/// Who has an address on a link of ours (RFC 826, RFC 4861).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    pub ip: IpAddr,
    /// Its Ethernet address.
    pub mac: [u8; 6],
}

/// One line for a person: who, to whom, what.
impl fmt::Display for Heard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = |ip, port| SocketAddr::new(ip, port);
        match self {
            Self::Tcp(it) => write!(
                f,
                "tcp {} > {} [{}] seq {} ack {} win {} ttl {}",
                socket(it.from, it.port),
                socket(it.to, it.our_port),
                it.flags,
                it.seq,
                it.ack,
                it.window,
                it.ttl
            ),
            Self::Udp(it) => write!(
                f,
                "udp {} > {} {} bytes ttl {}",
                socket(it.from, it.port),
                socket(it.to, it.our_port),
                it.payload.len(),
                it.ttl
            ),
            Self::Unreachable(it) => write!(
                f,
                "icmp {} > {} {:?} ({}/{}) about {:?} to {} ttl {}",
                it.by, it.to, it.why, it.icmp_type, it.code, it.quoted.part, it.quoted.dst, it.ttl
            ),
            Self::Echo(it) => {
                write!(f, "echo {} > {} id {} seq {} ttl {}", it.from, it.to, it.identifier, it.sequence, it.ttl)
            }
            Self::Neighbour(Neighbour { ip, mac }) => write!(f, "{ip} is at {}", Mac(*mac)),
            Self::Timestamp(it) => {
                write!(f, "timestamp {} > {} id {} seq {} ttl {}", it.from, it.to, it.identifier, it.sequence, it.ttl)
            }
        }
    }
}
