//! The bodies of messages. Every reader is total: what it does not understand it leaves out.

use super::{Link, Message, Neighbour, News, Route, RouteKind, attributes};
use identify::Reader;
use model::{AddressRange, Mac};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `FRA_DST`: what a rule is about.
const RULE_TO: u16 = 1;
pub(super) const UP: u32 = 1;
pub(super) const NO_ARP: u32 = 0x80;
pub(super) const LOWER_UP: u32 = 1 << 16;

pub(super) fn message(kind: u16, body: &[u8]) -> Option<Message> {
    match i32::from(kind) {
        libc::NLMSG_ERROR => error(body),
        libc::NLMSG_DONE => Some(Message::Done),
        _ if kind == libc::RTM_NEWLINK => link(body),
        _ if kind == libc::RTM_NEWADDR => address(body),
        _ if kind == libc::RTM_NEWROUTE => route(body).map(Message::Route),
        _ if kind == libc::RTM_NEWRULE => prefix(body, RULE_TO).map(Message::Rule),
        _ if kind == libc::RTM_NEWNEIGH => neighbour(body).map(Message::Neighbour),
        _ => None,
    }
}

pub(super) fn news(kind: u16, body: &[u8]) -> Option<News> {
    if [libc::RTM_NEWROUTE, libc::RTM_DELROUTE].contains(&kind) {
        prefix(body, libc::RTA_DST).map(News::Route)
    } else if [libc::RTM_NEWNEIGH, libc::RTM_DELNEIGH].contains(&kind) {
        let (link, _, _, reader) = neighbour_head(body)?;
        let destination = attributes(reader).find(|(kind, _)| *kind == libc::NDA_DST);
        Some(News::Neighbour { link, ip: ip(destination?.1)? })
    } else {
        None
    }
}

fn error(body: &[u8]) -> Option<Message> {
    let number = i32::from_ne_bytes(Reader::new(body).array()?);
    Some(Message::Error(number.checked_neg()?))
}

fn link(body: &[u8]) -> Option<Message> {
    let mut reader = Reader::new(body);
    reader.take(2)?;
    let hardware = u16::from_ne_bytes(reader.array()?);
    let index = u32::from_ne_bytes(reader.array()?);
    let flags = u32::from_ne_bytes(reader.array()?);
    reader.take(4)?;
    let mut link = Link {
        index,
        name: String::new(),
        hardware,
        mac: None,
        mtu: 0,
        up: flags & UP != 0,
        carrier: flags & LOWER_UP != 0,
        silent: flags & NO_ARP != 0,
        carrier_changes: 0,
        dropped: 0,
    };
    for (kind, value) in attributes(reader) {
        match kind {
            libc::IFLA_IFNAME => {
                let name = value.split(|&byte| byte == 0).next().unwrap_or_default();
                link.name = identify::printable(name);
            }
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
            libc::IFLA_MTU => link.mtu = Reader::new(value).array().map_or(0, u32::from_ne_bytes),
            libc::IFLA_CARRIER_CHANGES => {
                link.carrier_changes = Reader::new(value).array().map_or(0, u32::from_ne_bytes);
            }
            libc::IFLA_STATS64 => link.dropped = dropped(value),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(Message::Link(link))
}

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

fn route(body: &[u8]) -> Option<Route> {
    let to = prefix(body, libc::RTA_DST)?;
    let mut reader = Reader::new(body);
    reader.take(7)?;
    let kind = match reader.u8()? {
        libc::RTN_UNICAST => RouteKind::Unicast,
        // An anycast address is one of ours that others have too.
        libc::RTN_LOCAL | libc::RTN_ANYCAST => RouteKind::Local,
        libc::RTN_BROADCAST => RouteKind::Broadcast,
        libc::RTN_MULTICAST => RouteKind::Multicast,
        libc::RTN_UNREACHABLE => RouteKind::Unreachable,
        libc::RTN_PROHIBIT => RouteKind::Prohibited,
        libc::RTN_BLACKHOLE => RouteKind::BlackHole,
        _ => RouteKind::Other,
    };
    reader.take(4)?;
    let mut route = Route { to, kind, link: None, gateway: None, source: None };
    for (attribute, value) in attributes(reader) {
        match attribute {
            libc::RTA_OIF => route.link = Reader::new(value).array().map(u32::from_ne_bytes),
            libc::RTA_GATEWAY => route.gateway = ip(value),
            libc::RTA_PREFSRC => route.source = ip(value),
            // An IPv4 destination behind an IPv6 gateway: the family comes first.
            libc::RTA_VIA => route.gateway = value.get(2..).and_then(ip),
            _ => {}
        }
    }
    // IPv6 lets what goes nowhere leave by loopback.
    if !matches!(kind, RouteKind::Unicast | RouteKind::Local | RouteKind::Broadcast | RouteKind::Multicast) {
        route.link = None;
    }
    Some(route)
}

/// The prefix that a route or a rule is about: everything of its family where none is given.
fn prefix(body: &[u8], attribute: u16) -> Option<AddressRange> {
    let mut reader = Reader::new(body);
    let family = i32::from(reader.u8()?);
    let length = u32::from(reader.u8()?);
    reader.take(10)?;
    let first = attributes(reader).find(|(kind, _)| *kind == attribute).map(|(_, value)| ip(value));
    let first = match first {
        Some(first) => first?,
        None if length > 0 => return None,
        None if family == libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        None if family == libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        None => return None,
    };
    // Shifts by a whole word are no numbers, and mean that no bit is left over.
    match first {
        IpAddr::V4(first) if length <= 32 => {
            let rest = u32::MAX.checked_shr(length).unwrap_or(0);
            let first = u32::from(first) & !rest;
            AddressRange::new(Ipv4Addr::from(first).into(), Ipv4Addr::from(first | rest).into())
        }
        IpAddr::V6(first) if length <= 128 => {
            let rest = u128::MAX.checked_shr(length).unwrap_or(0);
            let first = u128::from(first) & !rest;
            AddressRange::new(Ipv6Addr::from(first).into(), Ipv6Addr::from(first | rest).into())
        }
        _ => None,
    }
}

/// Of struct ndmsg: the link, the state and the flags, and what comes behind it.
fn neighbour_head(body: &[u8]) -> Option<(u32, u16, u8, Reader<'_>)> {
    let mut reader = Reader::new(body);
    reader.take(4)?;
    let link = u32::from_ne_bytes(reader.array()?);
    let state = u16::from_ne_bytes(reader.array()?);
    let flags = reader.u8()?;
    reader.take(1)?;
    Some((link, state, flags, reader))
}

fn neighbour(body: &[u8]) -> Option<Neighbour> {
    const PROXY: u8 = 0x08;
    let (link, state, flags, reader) = neighbour_head(body)?;
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
    (state & known != 0 && flags & PROXY == 0).then_some(Neighbour {
        link,
        ip: address?,
        mac: mac?,
        is_fresh: state & fresh != 0,
        is_stale: state & libc::NUD_STALE != 0,
    })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(*value.first_chunk()?).into()),
        16 => Some(Ipv6Addr::from(*value.first_chunk()?).into()),
        _ => None,
    }
}
