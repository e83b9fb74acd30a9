//! Where among the targets the way may change: at the borders of the kernel's own prefixes, and nowhere else.

use model::{AddressRange, AddressSet};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// How much a prefix matters where there are more than can be kept. Short prefixes stand for many addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Addresses to which nothing may be sent as to others: our own, everybody's, and what the operator of this machine cut off.
    Special,
    /// A prefix of this length.
    Ordinary(u8),
}

/// Collects borders. Memory is bounded: where there are too many, those of the longest prefixes are left out.
#[derive(Debug)]
pub(super) struct Cutter<'a> {
    targets: &'a AddressSet,
    most: usize,
    /// The first target behind each border, and the shortest prefix that ends or begins there.
    borders: BTreeMap<IpAddr, Rank>,
    /// What ranks as low as this, or lower, is left out.
    left_out: Option<Rank>,
}

/// Stretches of targets, ascending. What routes each of them, routes it as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cuts {
    pub(super) stretches: Vec<AddressRange>,
    /// The shortest prefixes that were left out, if any were.
    pub(super) left_out: Option<Rank>,
}

impl<'a> Cutter<'a> {
    /// At most `most` borders are kept.
    pub(super) fn new(targets: &'a AddressSet, most: usize) -> Self {
        Self { targets, most, borders: BTreeMap::new(), left_out: None }
    }

    /// Takes a prefix of a route or a rule. Those that no target is in change nothing.
    pub(super) fn add(&mut self, prefix: AddressRange, rank: Rank) {
        if self.left_out.is_some_and(|limit| rank >= limit) {
            return;
        }
        let Some(inside) = first_from(self.targets, prefix.first()).filter(|&ip| prefix.contains(ip)) else { return };
        let behind = successor(prefix.last()).and_then(|ip| first_from(self.targets, ip));
        for border in [Some(inside), behind].into_iter().flatten() {
            let known = self.borders.entry(border).or_insert(rank);
            *known = rank.min(*known);
        }
        // Twice as many, so that the rest is seldom looked through.
        if self.borders.len() > 2 * self.most {
            self.thin_out();
        }
    }

    pub(super) fn cut(mut self) -> Cuts {
        self.thin_out();
        let Self { targets, mut borders, left_out, .. } = self;
        // Where each family begins.
        for beginning in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
            if let Some(first) = first_from(targets, beginning) {
                borders.entry(first).or_insert(Rank::Special);
            }
        }
        let starts: Vec<IpAddr> = borders.into_keys().collect();
        let next = starts.iter().skip(1).copied().map(Some).chain([None]);
        let stretches = starts.iter().zip(next).filter_map(|(&first, next)| {
            let last = match next {
                Some(next) => last_before(targets, next),
                None => targets.ranges().last().map(|range| range.last()),
            };
            AddressRange::new(first, last?)
        });
        Cuts { stretches: stretches.collect(), left_out }
    }

    fn thin_out(&mut self) {
        if self.borders.len() <= self.most {
            return;
        }
        let mut ranks: Vec<Rank> = self.borders.values().copied().collect();
        ranks.sort_unstable();
        // The first that does not fit, and all of its kind: half of them would be no better than none.
        let Some(&limit) = ranks.get(self.most) else { return };
        self.borders.retain(|_, rank| *rank < limit);
        self.left_out = Some(limit);
    }
}

/// The first target from an address on. Addresses of IPv4 come before those of IPv6.
fn first_from(targets: &AddressSet, ip: IpAddr) -> Option<IpAddr> {
    let ranges = targets.ranges();
    let range = ranges.get(ranges.partition_point(|range| range.last() < ip))?;
    Some(range.first().max(ip))
}

/// The last target before an address that is one.
fn last_before(targets: &AddressSet, ip: IpAddr) -> Option<IpAddr> {
    let ranges = targets.ranges();
    let before = ranges.partition_point(|range| range.first() < ip).checked_sub(1)?;
    let range = ranges.get(before)?;
    if range.last() < ip { Some(range.last()) } else { predecessor(ip) }
}

/// None behind the last one of its family.
fn successor(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => Some(Ipv4Addr::from(u32::from(ip).checked_add(1)?).into()),
        IpAddr::V6(ip) => Some(Ipv6Addr::from(u128::from(ip).checked_add(1)?).into()),
    }
}

fn predecessor(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => Some(Ipv4Addr::from(u32::from(ip).checked_sub(1)?).into()),
        IpAddr::V6(ip) => Some(Ipv6Addr::from(u128::from(ip).checked_sub(1)?).into()),
    }
}
