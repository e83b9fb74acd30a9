//! What is asked of the kernel and what it answers: rtnetlink(7), in the machine's own byte order.

mod question;
mod read;
#[cfg(test)]
mod tests;

pub(super) use question::Question;

use identify::Reader;
use model::{AddressRange, Mac};
use std::net::IpAddr;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// What its frames look like (`ARPHRD_…`).
    pub(super) hardware: u16,
    /// Its own address on the link, where that has six bytes.
    pub(super) mac: Option<Mac>,
    /// Bytes of the largest packet, IP header on.
    pub(super) mtu: u32,
    /// Switched on.
    pub(super) up: bool,
    /// A cable, and somebody at its other end.
    pub(super) carrier: bool,
    /// Nobody on it is asked for link-layer addresses, whatever its frames look like.
    pub(super) silent: bool,
    /// How often the carrier has changed; finds a loss that was over before we looked.
    pub(super) carrier_changes: u32,
    /// Packets it lost for want of something of its own.
    pub(super) dropped: u64,
}

/// A route of the kernel's tables, or how a packet to an address would leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// Where to: a prefix of a table, or the one address that was asked about.
    pub(super) to: AddressRange,
    pub(super) kind: RouteKind,
    /// None where nothing would leave, and for routes of several ways.
    pub(super) link: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteKind {
    Unicast,
    /// An address of this machine's own.
    Local,
    /// For everybody on a link.
    Broadcast,
    Multicast,
    Unreachable,
    Prohibited,
    BlackHole,
    /// Nothing the sensor could send by: looked up elsewhere, translated, or newer than this program.
    Other,
}

/// Who answers for an address on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) link: u32,
    pub(super) ip: IpAddr,
    pub(super) mac: Mac,
    /// Confirmed just now, and not only remembered.
    pub(super) is_fresh: bool,
    /// Only remembered, and the kernel has had no reason yet to make sure.
    pub(super) is_stale: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Link(Link),
    Address {
        link: u32,
        ip: IpAddr,
    },
    Route(Route),
    /// A rule that says for these destinations which tables are asked.
    Rule(AddressRange),
    Neighbour(Neighbour),
    /// `errno`; 0 is an acknowledgement.
    Error(i32),
    Done,
    /// Well-formed, and of no interest here.
    Other,
}

/// What the kernel says that nobody asked for: something has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Route(AddressRange),
    Neighbour {
        link: u32,
        ip: IpAddr,
    },
    /// A link, an address of ours, a rule, a next hop, or something that cannot be read.
    Other,
}

const HEADER: usize = 16;

/// The messages of a datagram, each with the number of the question it answers. What is cut short is left out.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = (u32, Message)> {
    frames(datagram).map(|frame| (frame.sequence, read::message(frame.kind, frame.body).unwrap_or(Message::Other)))
}

/// The same of what was not asked for.
pub(super) fn news(datagram: &[u8]) -> impl Iterator<Item = News> {
    frames(datagram).map(|frame| read::news(frame.kind, frame.body).unwrap_or(News::Other))
}

#[derive(Debug)]
struct Frame<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

fn frames(datagram: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut reader = Reader::new(datagram);
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(reader.array()?)).ok()?;
        let kind = u16::from_ne_bytes(reader.array()?);
        reader.take(2)?;
        let sequence = u32::from_ne_bytes(reader.array()?);
        reader.take(4)?;
        let body = reader.take(length.checked_sub(HEADER)?)?;
        pad(&mut reader, length);
        Some(Frame { kind, sequence, body })
    })
}

/// Type and value of each; an attribute cut short ends them.
fn attributes(mut reader: Reader<'_>) -> impl Iterator<Item = (u16, &[u8])> {
    // The two upper bits say how the value is made.
    const TYPE: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(reader.array()?));
        let kind = u16::from_ne_bytes(reader.array()?);
        let value = reader.take(length.checked_sub(4)?)?;
        pad(&mut reader, length);
        Some((kind & TYPE, value))
    })
}

fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    to.extend(u16::try_from(4 + value.len()).unwrap_or(0).to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// Everything begins at a multiple of four; the last one may do without.
fn pad(reader: &mut Reader<'_>, length: usize) {
    let padding = length.next_multiple_of(4) - length;
    if reader.take(padding).is_none() {
        reader.take(reader.rest().len());
    }
}
