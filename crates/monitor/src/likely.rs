//! In what order the likely ports are asked: first what was ever seen open on these hosts or on their neighbours, then what is seen
//! open in general, then the rest. Pure.
//!
//! A pass of the lane goes over its addresses once for each of these turns, so that what is most likely to be open is known of
//! everybody long before the pass ends. Each endpoint is asked in one turn only.

use model::{AddressSet, Coverage, PortSet, Transport};
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Ports of a group in one of the turns before the last.
const MOST_OF_A_TURN: usize = 64;
/// Where fewer ports are asked, their order is not worth more than one turn.
const WORTH_AN_ORDER: u32 = 128;
/// A host with more open than this is no example for others.
const MOST_OF_A_HOST: usize = 128;

type Key = (Transport, u16);

/// The turns of an ordered pass, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// What was ever seen open on hosts of the group, or of a /24 or /64 that it has a part in.
    Near,
    /// What was ever seen open anywhere, and what is known to be open often.
    General,
    /// Everything else.
    Rest,
}

impl Turn {
    pub(crate) const ALL: [Self; 3] = [Self::Near, Self::General, Self::Rest];
}

/// Whether so many ports are asked in turns.
pub(crate) fn is_ordered(lane: &Coverage) -> bool {
    lane.tcp.len() + lane.udp.len() >= WORTH_AN_ORDER
}

/// What was ever seen open, counted by hosts. Grows with the known endpoints, whatever is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    everywhere: HashMap<Key, u32>,
    /// By the first address of each /24 or /64.
    near: BTreeMap<IpAddr, BTreeMap<Key, u32>>,
}

impl Seen {
    /// One host, with all that was ever seen open there.
    pub(crate) fn note(&mut self, ip: IpAddr, open: impl IntoIterator<Item = Key>) {
        let open: Vec<Key> = open.into_iter().take(MOST_OF_A_HOST + 1).collect();
        if open.len() > MOST_OF_A_HOST {
            return;
        }
        for key in open {
            *self.everywhere.entry(key).or_default() += 1;
            *self.near.entry(first_of_prefix(ip)).or_default().entry(key).or_default() += 1;
        }
    }

    /// What of the lane's ports a group is asked in a turn, where `asked` was asked of it in the turns before.
    pub(crate) fn ports(&self, turn: Turn, group: &AddressSet, lane: &Coverage, asked: &Coverage) -> Coverage {
        let left = without(lane, asked);
        match turn {
            Turn::Near => most_seen(self.near(group), &left),
            Turn::General => self.general(&left),
            Turn::Rest => left,
        }
    }

    fn near(&self, group: &AddressSet) -> Vec<(Key, u32)> {
        let mut counts: BTreeMap<Key, u32> = BTreeMap::new();
        for range in group.ranges() {
            let prefixes = self.near.range(first_of_prefix(range.first())..=range.last());
            for (key, hosts) in prefixes.flat_map(|(_, ports)| ports) {
                *counts.entry(*key).or_default() += hosts;
            }
        }
        counts.into_iter().collect()
    }

    /// Filled up with what the world has open, so that it is worth something before anything was seen.
    fn general(&self, left: &Coverage) -> Coverage {
        let seen = self.everywhere.iter().map(|(key, hosts)| (*key, *hosts)).collect();
        let mut general = most_seen(seen, left);
        for transport in [Transport::Tcp, Transport::Udp] {
            let share = MOST_OF_A_TURN / 2;
            let (ports, left) = match transport {
                Transport::Tcp => (&mut general.tcp, &left.tcp),
                Transport::Udp => (&mut general.udp, &left.udp),
            };
            let ports = Arc::make_mut(ports);
            let often = model::ranked_ports(transport).iter().filter(|port| left.contains(**port));
            for port in often.take(share.saturating_sub(ports.len() as usize)) {
                ports.insert(*port);
            }
        }
        general
    }
}

/// The ports of most hosts, of those that are left.
fn most_seen(mut counts: Vec<(Key, u32)>, left: &Coverage) -> Coverage {
    counts.retain(|((transport, port), _)| match transport {
        Transport::Tcp => left.tcp.contains(*port),
        Transport::Udp => left.udp.contains(*port),
    });
    counts.sort_unstable_by_key(|(key, hosts)| (std::cmp::Reverse(*hosts), *key));
    counts.truncate(MOST_OF_A_TURN);
    let of = |wanted: Transport| {
        let keys = counts.iter().map(|(key, _)| *key).filter(|(transport, _)| *transport == wanted);
        Arc::new(keys.map(|(_, port)| port).collect::<PortSet>())
    };
    Coverage { tcp: of(Transport::Tcp), udp: of(Transport::Udp) }
}

fn without(all: &Coverage, gone: &Coverage) -> Coverage {
    if gone.is_empty() {
        return all.clone();
    }
    Coverage { tcp: Arc::new(all.tcp.difference(&gone.tcp)), udp: Arc::new(all.udp.difference(&gone.udp)) }
}

pub(crate) fn first_of_prefix(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests;
