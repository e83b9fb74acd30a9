//! Cookies: what a probe carries so that its answer proves itself, without any memory of the probe.
//!
//! A cookie is SipHash-2-4 (Aumasson and Bernstein, 2012) over the epoch, both addresses, the transport and the target's
//! port, keyed with a secret of the process. Its 64 bits become the TCP sequence number, the IP identification (of IPv6: the flow
//! label) and, with the [`Tag`] added, the source port. An answer is ours if it acknowledges that sequence number at that
//! port; the port then also says which attempt of which volley it answers. Whoever cannot see our packets has to guess 32 bits
//! and the port.
//!
//! The epoch is part of what is hashed, so that what somebody may have learnt is worth nothing soon; answers to probes of the
//! epoch before count, too.

use crate::{Datagram, EchoReply, PortBlock, Quoted, QuotedPart, Segment, TimestampReply};
use model::{Endpoint, Transport};
use siphasher::sip::SipHasher24;
use std::{fmt, net::IpAddr, time::Duration};

/// Which cookies hold: a count of quarters of an hour since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    /// How long one lasts; a cookie is accepted for as long again.
    pub const LENGTH: Duration = Duration::from_mins(15);

    /// The epoch at a time, counted from any beginning that stays the same.
    pub fn at(since_start: Duration) -> Self {
        // In 122,000 years it comes round again.
        Self(u32::try_from(since_start.as_secs() / Self::LENGTH.as_secs() % (1 << 32)).unwrap_or_default())
    }

    /// Those whose cookies are accepted, this one first.
    fn accepted(self) -> impl Iterator<Item = Self> {
        std::iter::once(self).chain(self.0.checked_sub(1).map(Self))
    }
}

/// What an answer tells of its question: in which slot its volley was, and which attempt it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u8);

impl Tag {
    /// Both from 0 to 15; higher bits are cut off.
    pub fn new(slot: u8, attempt: u8) -> Self {
        Self(slot << 4 | attempt & 0xf)
    }

    pub fn slot(self) -> u8 {
        self.0 >> 4
    }

    pub fn attempt(self) -> u8 {
        self.0 & 0xf
    }
}

/// What a TCP or UDP probe carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub source_port: u16,
    /// The sequence number of a SYN; for UDP, what the payload carries where the protocol echoes something.
    pub sequence: u32,
    /// The IPv4 identification, or the lower 16 bits of the IPv6 flow label. Never 0, which the kernel would replace.
    pub ip_id: u16,
}

/// What an ICMP echo or timestamp request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoMark {
    pub identifier: u16,
    pub sequence: u16,
    /// The first 8 bytes of an echo's data, in network order; the lower 32 bits are a timestamp request's originate timestamp.
    pub cookie: u64,
    pub ip_id: u16,
}

/// Makes cookies and checks them. Without state but for the key.
#[derive(Clone)]
pub struct Cookies {
    hasher: SipHasher24,
    ports: PortBlock,
}

/// As IANA numbers them.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

impl Cookies {
    /// `master`: 16 bytes of the operating system's randomness, drawn anew by each process.
    pub fn new(master: [u8; 16], ports: PortBlock) -> Self {
        Self { hasher: SipHasher24::new_with_key(&master), ports }
    }

    pub fn ports(&self) -> PortBlock {
        self.ports
    }

    /// What a probe carries that leaves `from` for `to`.
    pub fn mark(&self, epoch: Epoch, from: IpAddr, to: Endpoint, tag: Tag) -> Mark {
        let parts = Parts::of(self.hash(epoch, from, to.ip, to.port, number(to.transport)));
        Mark {
            source_port: self.ports.at(parts.third.wrapping_add(u16::from(tag.0))),
            sequence: parts.sequence,
            ip_id: parts.second.max(1),
        }
    }

    /// What an ICMP echo or timestamp request carries that leaves `from` for `to`.
    pub fn echo(&self, epoch: Epoch, from: IpAddr, to: IpAddr, tag: Tag) -> EchoMark {
        let cookie = self.hash(epoch, from, to, 0, ICMP);
        let parts = Parts::of(cookie);
        EchoMark {
            identifier: parts.third,
            sequence: parts.second.wrapping_add(u16::from(tag.0)),
            cookie,
            ip_id: parts.second.max(1),
        }
    }

    /// The tag of the SYN that a segment answers: it acknowledges the SYN, or is a RST that acknowledges the SYN or what came
    /// before it (some stacks forget to count it). None for everything else.
    pub fn check_tcp(&self, now: Epoch, answer: &Segment) -> Option<Tag> {
        let lag = answer.flags.acknowledges().then_some(answer.ack)?;
        let offset = self.ports.offset(answer.our_port)?;
        now.accepted().find_map(|epoch| {
            let parts = Parts::of(self.hash(epoch, answer.to, answer.from, answer.port, TCP));
            let ahead = lag.wrapping_sub(parts.sequence);
            (ahead == 1 || ahead == 0 && answer.flags.resets()).then(|| self.tag(offset, parts.third)).flatten()
        })
    }

    /// The tag of the [acknowledgement](crate::AckTemplate) that a RST answers: it has the acknowledged number as its own (RFC 9293,
    /// 3.10.7.1), and acknowledges nothing.
    pub fn check_ack(&self, now: Epoch, answer: &Segment) -> Option<Tag> {
        let offset = self.ports.offset(answer.our_port)?;
        if !answer.flags.resets() || answer.flags.acknowledges() {
            return None;
        }
        now.accepted().find_map(|epoch| {
            let parts = Parts::of(self.hash(epoch, answer.to, answer.from, answer.port, TCP));
            (answer.seq == parts.sequence).then(|| self.tag(offset, parts.third)).flatten()
        })
    }

    /// The tag of the datagram that another one answers. The port alone proves little; `proves` is handed what the probe carried
    /// and says whether the answer's payload repeats it (always yes for protocols that repeat nothing).
    pub fn check_udp(&self, now: Epoch, answer: &Datagram<'_>, mut proves: impl FnMut(&Mark) -> bool) -> Option<Tag> {
        let offset = self.ports.offset(answer.our_port)?;
        now.accepted().find_map(|epoch| {
            let parts = Parts::of(self.hash(epoch, answer.to, answer.from, answer.port, UDP));
            let tag = self.tag(offset, parts.third)?;
            let mark = Mark { source_port: answer.our_port, sequence: parts.sequence, ip_id: parts.second.max(1) };
            proves(&mark).then_some(tag)
        })
    }

    /// The tag of the probe that an ICMP error quotes. Of a SYN the quoted sequence number has to be ours, of a UDP datagram the
    /// quoted identification, of an echo the quoted identifier.
    pub fn check_quoted(&self, now: Epoch, quoted: &Quoted) -> Option<Tag> {
        now.accepted().find_map(|epoch| {
            let parts = |port, protocol| Parts::of(self.hash(epoch, quoted.src, quoted.dst, port, protocol));
            match quoted.part {
                QuotedPart::Tcp { sport, dport, seq } => {
                    let parts = parts(dport, TCP);
                    (seq == parts.sequence).then(|| self.tag(self.ports.offset(sport)?, parts.third)).flatten()
                }
                QuotedPart::Udp { sport, dport } => {
                    let parts = parts(dport, UDP);
                    let is_ours = quoted.ip_id == parts.second.max(1);
                    is_ours.then(|| self.tag(self.ports.offset(sport)?, parts.third)).flatten()
                }
                QuotedPart::Echo { identifier, sequence } => {
                    let parts = parts(0, ICMP);
                    let tag = u8::try_from(sequence.wrapping_sub(parts.second)).ok().map(Tag);
                    tag.filter(|_| identifier == parts.third)
                }
                QuotedPart::Other(_) => None,
            }
        })
    }

    /// The tag of the echo request that a reply repeats.
    pub fn check_echo(&self, now: Epoch, answer: &EchoReply<'_>) -> Option<Tag> {
        let cookie = u64::from_be_bytes(*answer.payload.first_chunk()?);
        self.check_reply(now, answer.to, answer.from, answer.identifier, answer.sequence, |ours| ours == cookie)
    }

    /// The tag of the timestamp request that a reply repeats.
    pub fn check_timestamp(&self, now: Epoch, answer: &TimestampReply) -> Option<Tag> {
        self.check_reply(now, answer.to, answer.from, answer.identifier, answer.sequence, |ours| {
            lower(ours) == answer.originate
        })
    }

    fn check_reply(
        &self,
        now: Epoch,
        from: IpAddr,
        to: IpAddr,
        identifier: u16,
        sequence: u16,
        proves: impl Fn(u64) -> bool,
    ) -> Option<Tag> {
        now.accepted().find_map(|epoch| {
            let cookie = self.hash(epoch, from, to, 0, ICMP);
            let parts = Parts::of(cookie);
            let tag = u8::try_from(sequence.wrapping_sub(parts.second)).ok()?;
            (identifier == parts.third && proves(cookie)).then_some(Tag(tag))
        })
    }

    /// The tag that was added to make this port of the block; none where no tag would.
    fn tag(&self, offset: u16, base: u16) -> Option<Tag> {
        u8::try_from(offset.wrapping_sub(base) & (self.ports.len() - 1)).ok().map(Tag)
    }

    /// Of IPv4, 15 bytes are hashed: a byte more would be another round. The lengths tell the families apart. The bytes are put
    /// together from whole words, since a processor waits when it reads as one what it has just written in parts.
    fn hash(&self, epoch: Epoch, from: IpAddr, to: IpAddr, port: u16, protocol: u8) -> u64 {
        let last = u64::from(epoch.0) | u64::from(port) << 32 | u64::from(protocol) << 48;
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let bytes = bytes([u64::from(from.to_bits()) << 32 | u64::from(to.to_bits()), last]);
                self.hasher.hash(bytes.as_flattened().split_last().map_or(&[], |(_, bytes)| bytes))
            }
            (from, to) => {
                let ([a, b], [c, d]) = (halves(from), halves(to));
                let bytes = bytes([a, b, c, d, last]);
                self.hasher.hash(bytes.as_flattened().split_last().map_or(&[], |(_, bytes)| bytes))
            }
        }
    }
}

fn bytes<const N: usize>(words: [u64; N]) -> [[u8; 8]; N] {
    words.map(u64::to_le_bytes)
}

/// Without the key.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").field("ports", &self.ports).finish_non_exhaustive()
    }
}

/// A cookie cut up: 32 bits, and twice 16.
struct Parts {
    sequence: u32,
    second: u16,
    third: u16,
}

impl Parts {
    fn of(cookie: u64) -> Self {
        let word = |bits: u32| u16::try_from(cookie >> bits & 0xffff).unwrap_or_default();
        Self { third: word(48), second: word(32), sequence: lower(cookie) }
    }
}

fn lower(cookie: u64) -> u32 {
    u32::try_from(cookie & u64::from(u32::MAX)).unwrap_or_default()
}

fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => TCP,
        Transport::Udp => UDP,
    }
}

/// Of a mixed pair, the IPv4 address is written as IPv6 does.
fn halves(ip: IpAddr) -> [u64; 2] {
    let bits = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    [bits >> 64, bits & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default())
}

#[cfg(test)]
mod tests;
