//! What is asked of the kernel and what it answers: rtnetlink(7), in the machine's own byte order.

use identify::Reader;
use model::Mac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// Switched on.
    pub(super) up: bool,
    /// A cable, and somebody at its other end.
    pub(super) carrier: bool,
    /// How often that has changed; finds a loss that was over before we looked.
    pub(super) carrier_changes: u32,
    /// Packets it lost for want of something of its own.
    pub(super) dropped: u64,
}

/// How a packet to an address would leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    /// None: it would not (unreachable, prohibited, a black hole).
    pub(super) link: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
}

/// Who answers for an address on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) ip: IpAddr,
    pub(super) mac: Mac,
    /// Confirmed just now, and not only remembered.
    pub(super) is_fresh: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Link(Link),
    Address {
        link: u32,
        ip: IpAddr,
    },
    Way(Way),
    Neighbour(Neighbour),
    /// `errno`; 0 is an acknowledgement.
    Error(i32),
    Done,
    /// Well-formed, and of no interest here.
    Other,
}

/// A question to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Links,
    Link(u32),
    Addresses,
    Way(IpAddr),
    Neighbours,
}

impl Question {
    /// Answered by any number of messages and `Done`, not by one.
    pub(super) fn is_dump(self) -> bool {
        matches!(self, Self::Links | Self::Addresses | Self::Neighbours)
    }

    pub(super) fn to_bytes(self, sequence: u32) -> Vec<u8> {
        let mut body = Vec::new();
        let kind = match self {
            Self::Links | Self::Link(_) => {
                let index = if let Self::Link(index) = self { index } else { 0 };
                // struct ifinfomsg: family, type, index, flags, change.
                body.extend([0; 4]);
                body.extend(index.to_ne_bytes());
                body.extend([0; 8]);
                libc::RTM_GETLINK
            }
            Self::Addresses => {
                // struct ifaddrmsg.
                body.extend([0; 8]);
                libc::RTM_GETADDR
            }
            Self::Way(ip) => {
                let (family, octets) = match ip {
                    IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
                    IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
                };
                let bits = u8::try_from(octets.len() * 8).unwrap_or(0);
                // struct rtmsg: family, prefix lengths of destination and source, and seven more.
                body.extend([u8::try_from(family).unwrap_or(0), bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                attribute(&mut body, libc::RTA_DST, &octets);
                libc::RTM_GETROUTE
            }
            Self::Neighbours => {
                // struct ndmsg.
                body.extend([0; 12]);
                libc::RTM_GETNEIGH
            }
        };
        let dump = if self.is_dump() { libc::NLM_F_DUMP } else { 0 };
        let flags = u16::try_from(libc::NLM_F_REQUEST | dump).unwrap_or(0);
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend(u32::try_from(HEADER + body.len()).unwrap_or(0).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }
}

const HEADER: usize = 16;

/// The messages of a datagram, each with the number of the question it answers. What is cut short is left out.
pub(super) fn messages(datagram: &[u8]) -> Vec<(u32, Message)> {
    let mut reader = Reader::new(datagram);
    std::iter::from_fn(|| message(&mut reader)).collect()
}

fn message(reader: &mut Reader<'_>) -> Option<(u32, Message)> {
    let length = usize::try_from(u32::from_ne_bytes(reader.array()?)).ok()?;
    let kind = u16::from_ne_bytes(reader.array()?);
    reader.take(2)?;
    let sequence = u32::from_ne_bytes(reader.array()?);
    reader.take(4)?;
    let body = reader.take(length.checked_sub(HEADER)?)?;
    pad(reader, length);
    let read = match i32::from(kind) {
        libc::NLMSG_ERROR => error(body),
        libc::NLMSG_DONE => Some(Message::Done),
        _ if kind == libc::RTM_NEWLINK => link(body),
        _ if kind == libc::RTM_NEWADDR => address(body),
        _ if kind == libc::RTM_NEWROUTE => way(body),
        _ if kind == libc::RTM_NEWNEIGH => neighbour(body),
        _ => None,
    };
    Some((sequence, read.unwrap_or(Message::Other)))
}

fn error(body: &[u8]) -> Option<Message> {
    let number = i32::from_ne_bytes(Reader::new(body).array()?);
    Some(Message::Error(number.checked_neg()?))
}

fn link(body: &[u8]) -> Option<Message> {
    let mut reader = Reader::new(body);
    reader.take(4)?;
    let index = u32::from_ne_bytes(reader.array()?);
    let flags = u32::from_ne_bytes(reader.array()?);
    reader.take(4)?;
    let mut link = Link {
        index,
        name: String::new(),
        up: flags & UP != 0,
        carrier: flags & LOWER_UP != 0,
        carrier_changes: 0,
        dropped: 0,
    };
    for (kind, value) in attributes(reader) {
        match kind {
            libc::IFLA_IFNAME => {
                let name = value.split(|&byte| byte == 0).next().unwrap_or_default();
                link.name = identify::printable(name);
            }
            libc::IFLA_CARRIER_CHANGES => {
                link.carrier_changes = Reader::new(value).array().map_or(0, u32::from_ne_bytes);
            }
            libc::IFLA_STATS64 => link.dropped = dropped(value),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(Message::Link(link))
}

const UP: u32 = 1;
const LOWER_UP: u32 = 1 << 16;

/// From struct `rtnl_link_stats64`: `tx_errors`, `tx_dropped`, and of what came in `rx_over_errors`, `rx_fifo_errors` and
/// `rx_missed_errors`: frames for which there was no room. Not `rx_dropped`, which also counts frames nobody here had
/// asked for (protocols without a handler), and not `rx_errors`, which were spoilt on the wire.
fn dropped(counters: &[u8]) -> u64 {
    const OURS: [usize; 5] = [5, 7, 11, 14, 15];
    let counter = |&place: &usize| {
        let bytes = counters.get(place * 8..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    OURS.iter().filter_map(counter).fold(0, u64::saturating_add)
}

fn address(body: &[u8]) -> Option<Message> {
    let mut reader = Reader::new(body);
    reader.take(4)?;
    let link = u32::from_ne_bytes(reader.array()?);
    let (mut local, mut peer) = (None, None);
    for (kind, value) in attributes(reader) {
        match kind {
            libc::IFA_LOCAL => local = ip(value),
            libc::IFA_ADDRESS => peer = ip(value),
            _ => {}
        }
    }
    // Of a point-to-point link IFA_ADDRESS is the other end; IPv6 gives nothing else.
    Some(Message::Address { link, ip: local.or(peer)? })
}

fn way(body: &[u8]) -> Option<Message> {
    let mut reader = Reader::new(body);
    reader.take(7)?;
    let kind = reader.u8()?;
    reader.take(4)?;
    let mut way = Way { link: None, gateway: None, source: None };
    for (attribute, value) in attributes(reader) {
        match attribute {
            libc::RTA_OIF => way.link = Reader::new(value).array().map(u32::from_ne_bytes),
            libc::RTA_GATEWAY => way.gateway = ip(value),
            libc::RTA_PREFSRC => way.source = ip(value),
            // An IPv4 destination behind an IPv6 gateway: the family comes first.
            libc::RTA_VIA => way.gateway = value.get(2..).and_then(ip),
            _ => {}
        }
    }
    if [libc::RTN_UNREACHABLE, libc::RTN_PROHIBIT, libc::RTN_BLACKHOLE, libc::RTN_THROW].contains(&kind) {
        way.link = None;
    }
    Some(Message::Way(way))
}

fn neighbour(body: &[u8]) -> Option<Message> {
    const PROXY: u8 = 0x08;
    let mut reader = Reader::new(body);
    reader.take(8)?;
    let state = u16::from_ne_bytes(reader.array()?);
    let flags = reader.u8()?;
    reader.take(1)?;
    let (mut address, mut mac) = (None, None);
    for (kind, value) in attributes(reader) {
        match kind {
            libc::NDA_DST => address = ip(value),
            libc::NDA_LLADDR => mac = value.try_into().ok().map(Mac),
            _ => {}
        }
    }
    let fresh = libc::NUD_REACHABLE | libc::NUD_PERMANENT;
    let known = fresh | libc::NUD_STALE | libc::NUD_DELAY | libc::NUD_PROBE;
    (state & known != 0 && flags & PROXY == 0).then_some(Message::Neighbour(Neighbour {
        ip: address?,
        mac: mac?,
        is_fresh: state & fresh != 0,
    }))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(*value.first_chunk()?).into()),
        16 => Some(Ipv6Addr::from(*value.first_chunk()?).into()),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn datagram(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + body.len()).expect("small").to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn with(head: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = head.to_vec();
        for (kind, value) in attributes {
            attribute(&mut body, *kind, value);
        }
        body
    }

    fn link_head(index: u32, flags: u32) -> Vec<u8> {
        let mut head = vec![0; 4];
        head.extend(index.to_ne_bytes());
        head.extend(flags.to_ne_bytes());
        head.extend([0; 4]);
        head
    }

    #[test]
    fn reads_links() {
        let mut counters = vec![0; 24 * 8];
        for (place, value) in [(5_usize, 1_u64), (6, 1_000), (7, 2), (11, 4), (14, 8), (15, 16), (4, 1_000)] {
            counters[place * 8..place * 8 + 8].copy_from_slice(&value.to_ne_bytes());
        }
        let attributes: [(u16, &[u8]); 3] = [
            (libc::IFLA_IFNAME, b"eth0\0"),
            (libc::IFLA_CARRIER_CHANGES, &7_u32.to_ne_bytes()),
            (libc::IFLA_STATS64, &counters),
        ];
        for (flags, up, carrier) in [(UP | LOWER_UP, true, true), (UP, true, false), (0, false, false)] {
            let read = messages(&datagram(libc::RTM_NEWLINK, 9, &with(&link_head(2, flags), &attributes)));
            let link = Link { index: 2, name: "eth0".into(), up, carrier, carrier_changes: 7, dropped: 31 };
            assert_eq!(read, [(9, Message::Link(link))]);
        }
    }

    #[test]
    fn reads_ways_addresses_and_neighbours() {
        let v4 = |text: &str| text.parse::<Ipv4Addr>().expect("an address").octets();
        let route = |kind: u8| [2, 32, 0, 0, 254, 0, 0, kind, 0, 0, 0, 0];
        let (oif, gateway, source) = (3_u32.to_ne_bytes(), v4("192.0.2.254"), v4("192.0.2.1"));
        let attributes: [(u16, &[u8]); 3] =
            [(libc::RTA_OIF, &oif), (libc::RTA_GATEWAY, &gateway), (libc::RTA_PREFSRC, &source)];
        for (kind, link) in [(libc::RTN_UNICAST, Some(3)), (libc::RTN_UNREACHABLE, None)] {
            let read = messages(&datagram(libc::RTM_NEWROUTE, 1, &with(&route(kind), &attributes)));
            let way = Way { link, gateway: Some(gateway.into()), source: Some(source.into()) };
            assert_eq!(read, [(1, Message::Way(way))]);
        }
        let mut head = vec![2, 24, 0, 0];
        head.extend(3_u32.to_ne_bytes());
        let body = with(&head, &[(libc::IFA_ADDRESS, &gateway), (libc::IFA_LOCAL, &source)]);
        let read = messages(&datagram(libc::RTM_NEWADDR, 1, &body));
        assert_eq!(read, [(1, Message::Address { link: 3, ip: source.into() })]);

        let mac = [2, 0, 0x5e, 0x10, 0, 7];
        for (state, flags, expect) in [
            (libc::NUD_REACHABLE, 0, Some(true)),
            (libc::NUD_PERMANENT, 0, Some(true)),
            (libc::NUD_STALE, 0, Some(false)),
            (libc::NUD_PROBE, 0, Some(false)),
            (libc::NUD_FAILED, 0, None),
            (libc::NUD_INCOMPLETE, 0, None),
            (libc::NUD_NOARP, 0, None),
            (libc::NUD_REACHABLE, 0x08, None),
        ] {
            let mut head = vec![2, 0, 0, 0, 3, 0, 0, 0];
            head.extend(state.to_ne_bytes());
            head.extend([flags, 1]);
            let body = with(&head, &[(libc::NDA_DST, &source), (libc::NDA_LLADDR, &mac)]);
            let read = messages(&datagram(libc::RTM_NEWNEIGH, 1, &body));
            let neighbour = expect.map(|is_fresh| Neighbour { ip: source.into(), mac: Mac(mac), is_fresh });
            assert_eq!(read, [(1, neighbour.map_or(Message::Other, Message::Neighbour))], "{state}");
        }
    }

    #[test]
    fn reads_on_over_what_it_does_not_know_and_stops_at_what_is_cut_short() {
        let unknown = datagram(4_711, 1, &[1, 2, 3]);
        let failed = datagram(2, 5, &(-libc::ENETUNREACH).to_ne_bytes());
        let done = datagram(3, 6, &[]);
        let all = [unknown, failed, done].concat();
        let expect = [(1, Message::Other), (5, Message::Error(libc::ENETUNREACH)), (6, Message::Done)];
        assert_eq!(messages(&all), expect);
        assert_eq!(messages(&all[..all.len() - 1]), expect[..2]);
    }

    #[test]
    fn questions_are_as_long_as_they_say() {
        for question in [
            Question::Links,
            Question::Link(7),
            Question::Addresses,
            Question::Way(IpAddr::from([192, 0, 2, 7])),
            Question::Way("2001:db8::7".parse().expect("an address")),
            Question::Neighbours,
        ] {
            let bytes = question.to_bytes(11);
            let length = u32::from_ne_bytes(*bytes.first_chunk().expect("a header"));
            assert_eq!(usize::try_from(length).expect("small"), bytes.len(), "{question:?}");
            assert_eq!(messages(&bytes), [(11, Message::Other)], "{question:?}");
        }
    }

    proptest! {
        #[test]
        fn takes_any_bytes(kind in 0_u16..64, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = messages(&bytes);
            let _ = messages(&datagram(kind, 0, &bytes));
        }
    }
}
