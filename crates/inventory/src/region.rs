//! What was covered: a union of rectangles, ports on addresses.
//!
//! A lane's port list may change, and a group may be covered less completely than another. Each rectangle stays covered
//! for ever (what was found not open there alerts when it opens); what a larger one contains is dropped.

use crate::{CoveredPart, Region};
use model::{AddressRange, AddressSet, Coverage, Lane, PortSet, Transport};
use std::{net::IpAddr, sync::Arc};

/// More port lists than this in one region are merged to what they have in common.
const MOST_EARLIER: usize = 8;

impl Region {
    pub(crate) fn new(profile: Arc<str>, lane: Lane, coverage: &Coverage) -> Self {
        Self {
            profile,
            lane,
            tcp: coverage.tcp.clone(),
            udp: coverage.udp.clone(),
            covered: AddressSet::empty(),
            earlier: Vec::new(),
            absent: AddressSet::empty(),
        }
    }

    /// Whether that endpoint was asked completely before.
    pub fn contains(&self, ip: IpAddr, transport: Transport, port: u16) -> bool {
        let ports = |tcp: &PortSet, udp: &PortSet| match transport {
            Transport::Tcp => tcp.contains(port),
            Transport::Udp => udp.contains(port),
        };
        (ports(&self.tcp, &self.udp) && self.covered.contains(ip))
            || self.earlier.iter().any(|part| ports(&part.tcp, &part.udp) && part.addresses.contains(ip))
    }

    /// Any endpoint of it.
    pub fn covers_address(&self, ip: IpAddr) -> bool {
        self.covered.contains(ip) || self.earlier.iter().any(|part| part.addresses.contains(ip))
    }

    /// Adds what was asked completely of all these addresses.
    pub(crate) fn extend(&mut self, coverage: &Coverage, addresses: &AddressSet) {
        let mut parts = std::mem::take(&mut self.earlier);
        parts.push(CoveredPart {
            tcp: self.tcp.clone(),
            udp: self.udp.clone(),
            addresses: std::mem::take(&mut self.covered),
        });
        let index = parts.iter().position(|part| part.tcp == coverage.tcp && part.udp == coverage.udp);
        let mut current = index.map_or_else(
            || CoveredPart { tcp: coverage.tcp.clone(), udp: coverage.udp.clone(), addresses: AddressSet::empty() },
            |index| parts.remove(index),
        );
        current.addresses = current.addresses.union(addresses);
        for part in &mut parts {
            if part.is_within_ports_of(&current) {
                part.addresses = part.addresses.difference(&current.addresses);
            }
        }
        // A part that holds the new one's ports and more already says what the new one says; the new one stays first
        // only as the list the lane asks now.
        for part in &parts {
            if current.is_within_ports_of(part) {
                current.addresses = current.addresses.difference(&part.addresses);
            }
        }
        parts.retain(|part| !part.addresses.is_empty());
        while parts.len() > MOST_EARLIER {
            let (newer, older) = (parts.remove(1), parts.remove(0));
            parts.insert(0, newer.common_with(&older));
        }
        parts.retain(|part| !(part.tcp.is_empty() && part.udp.is_empty()));
        self.tcp = current.tcp;
        self.udp = current.udp;
        self.covered = current.addresses;
        self.earlier = parts;
    }

    /// The part of it at these addresses.
    pub(crate) fn within(&self, kept: &AddressSet) -> Self {
        let mut shrunk = self.clone();
        shrunk.covered = shrunk.covered.intersection(kept);
        shrunk.absent = shrunk.absent.intersection(kept);
        for part in &mut shrunk.earlier {
            part.addresses = part.addresses.intersection(kept);
        }
        shrunk.earlier.retain(|part| !part.addresses.is_empty());
        shrunk
    }

    /// The part of it at other addresses.
    pub(crate) fn without(&self, gone: &AddressSet) -> Self {
        let mut shrunk = self.clone();
        shrunk.covered = shrunk.covered.difference(gone);
        shrunk.absent = shrunk.absent.difference(gone);
        for part in &mut shrunk.earlier {
            part.addresses = part.addresses.difference(gone);
        }
        shrunk.earlier.retain(|part| !part.addresses.is_empty());
        shrunk
    }

    /// Forgets addresses: what is found there next is learnt.
    pub(crate) fn forget(&mut self, ips: &[IpAddr]) {
        let gone: AddressSet = ips.iter().map(|&ip| AddressRange::single(ip)).collect();
        self.covered = self.covered.difference(&gone);
        self.absent = self.absent.difference(&gone);
        for part in &mut self.earlier {
            part.addresses = part.addresses.difference(&gone);
        }
        self.earlier.retain(|part| !part.addresses.is_empty());
    }
}

impl CoveredPart {
    fn is_within_ports_of(&self, other: &Self) -> bool {
        self.tcp.is_subset_of(&other.tcp) && self.udp.is_subset_of(&other.udp)
    }

    /// Less than both together, never more: an opening outside is learnt rather than alerted by mistake.
    fn common_with(&self, other: &Self) -> Self {
        let common = |a: &PortSet, b: &PortSet| Arc::new(a.difference(&a.difference(b)));
        Self {
            tcp: common(&self.tcp, &other.tcp),
            udp: common(&self.udp, &other.udp),
            addresses: self.addresses.union(&other.addresses),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeSet, net::Ipv4Addr};

    fn address(n: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, n).into()
    }

    proptest! {
        /// Covered is what was asked, never more; and all of it, as long as the port lists are few.
        #[test]
        fn covers_what_was_asked(
            groups in prop::collection::vec(
                (prop::collection::btree_set(1_u16..6, 1..5), prop::collection::btree_set(0_u8..6, 1..4)),
                1..20,
            ),
            forgotten in prop::option::of(0_u8..6),
        ) {
            let mut asked = BTreeSet::new();
            let mut lists = BTreeSet::new();
            let mut region = Region::new("dmz".into(), Lane::Likely, &Coverage::default());
            for (ports, addresses) in &groups {
                let coverage =
                    Coverage { tcp: Arc::new(ports.iter().copied().collect()), udp: Arc::new(PortSet::empty()) };
                let set = addresses.iter().map(|&n| AddressRange::single(address(n))).collect();
                region.extend(&coverage, &set);
                lists.insert(ports);
                asked.extend(addresses.iter().flat_map(|&n| ports.iter().map(move |&port| (n, port))));
                prop_assert!(region.earlier.len() <= MOST_EARLIER);
            }
            if let Some(n) = forgotten {
                region.forget(&[address(n)]);
                asked.retain(|(other, _)| *other != n);
            }
            for n in 0..7 {
                for port in 1..7 {
                    let covered = region.contains(address(n), Transport::Tcp, port);
                    let was_asked = asked.contains(&(n, port));
                    prop_assert!(was_asked || !covered);
                    prop_assert!(covered || !was_asked || lists.len() > MOST_EARLIER);
                    prop_assert!(!region.contains(address(n), Transport::Udp, port));
                }
            }
        }
    }
}
