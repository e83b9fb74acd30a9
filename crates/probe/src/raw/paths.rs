//! How packets to an address leave this machine, as the engine needs it.

use crate::place;
use model::AddressRange;
use std::net::IpAddr;
use wire::{Link, LinkKind, NextHop};

/// By which link, from which address of ours, and to whom first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) link: Link,
    pub(crate) source: IpAddr,
    pub(crate) hop: NextHop,
}

/// The paths to all targets, by address. Addresses without one are asked by the kernel's connections, which say why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Paths {
    paths: Vec<Path>,
    /// Ascending and apart, each with its place in `paths`.
    ranges: Vec<(AddressRange, usize)>,
}

impl From<&place::Ways> for Paths {
    fn from(ways: &place::Ways) -> Self {
        Self::new(ways.parts().iter().filter_map(|(range, way)| Some((*range, Path::of(way.as_ref().ok()?)?))))
    }
}

impl Path {
    /// None where the kernel delivers to itself, or knows the link better than anybody else.
    fn of(way: &place::Way) -> Option<Self> {
        let (kind, hop) = match (way.link.kind, way.next_hop) {
            (place::LinkKind::Ethernet(own), place::NextHop::Gateway { mac: Some(mac), .. }) => {
                (LinkKind::Ethernet { mac: own.0 }, NextHop::Gateway(mac.0))
            }
            (place::LinkKind::Ethernet(own), place::NextHop::OnLink) => {
                (LinkKind::Ethernet { mac: own.0 }, NextHop::Neighbours)
            }
            (place::LinkKind::NoLinkLayer, place::NextHop::Point) => (LinkKind::NoLinkLayer, NextHop::Point),
            _ => return None,
        };
        let link = Link { index: way.link.index, name: way.link.name.clone(), kind, mtu: way.link.mtu };
        Some(Self { link, source: way.source, hop })
    }
}

impl Paths {
    /// Ranges that overlap an earlier one are left out.
    pub(crate) fn new(parts: impl IntoIterator<Item = (AddressRange, Path)>) -> Self {
        let mut all = Self::default();
        let mut parts: Vec<(AddressRange, Path)> = parts.into_iter().collect();
        parts.sort_by_key(|(range, _)| range.first());
        for (range, path) in parts {
            if all.ranges.last().is_some_and(|(before, _)| before.last() >= range.first()) {
                continue;
            }
            let place = all.paths.iter().position(|known| *known == path).unwrap_or_else(|| {
                all.paths.push(path);
                all.paths.len() - 1
            });
            all.ranges.push((range, place));
        }
        all
    }

    /// Without the paths that `keep`, which is asked once for each in their order, says no to, and the addresses behind them.
    pub(super) fn filter(&self, keep: impl FnMut(&Path) -> bool) -> Self {
        let kept: Vec<bool> = self.paths.iter().map(keep).collect();
        let is_kept = |place: usize| kept.get(place).copied().unwrap_or_default();
        let moved = |place: usize| kept.iter().take(place).filter(|kept| **kept).count();
        Self {
            paths: self.paths.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(path, _)| path.clone()).collect(),
            ranges: self
                .ranges
                .iter()
                .filter(|(_, place)| is_kept(*place))
                .map(|(range, place)| (*range, moved(*place)))
                .collect(),
        }
    }

    pub(crate) fn all(&self) -> &[Path] {
        &self.paths
    }

    /// The place of an address' path in [`Paths::all`].
    pub(crate) fn place(&self, ip: IpAddr) -> Option<usize> {
        let after = self.ranges.partition_point(|(range, _)| range.first() <= ip);
        let (range, place) = self.ranges.get(after.checked_sub(1)?)?;
        (ip <= range.last()).then_some(*place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::LinkKind;

    fn path(index: u32) -> Path {
        let link = Link { index, name: format!("eth{index}"), kind: LinkKind::NoLinkLayer, mtu: 1500 };
        Path { link, source: IpAddr::from([192, 0, 2, 1]), hop: NextHop::Point }
    }

    fn range(first: u8, last: u8) -> AddressRange {
        let [first, last] = [first, last].map(|last| IpAddr::from([192, 0, 2, last]));
        AddressRange::new(first, last).expect("ascending")
    }

    #[test]
    fn each_address_has_its_path() {
        let paths = Paths::new([
            (range(20, 30), path(2)),
            (range(1, 9), path(1)),
            (range(40, 40), path(1)),
            (range(8, 12), path(3)),
        ]);
        assert_eq!(paths.all().len(), 2);
        for (last, expect) in
            [(0, None), (1, Some(1)), (9, Some(1)), (10, None), (25, Some(2)), (40, Some(1)), (41, None)]
        {
            let found = paths.place(IpAddr::from([192, 0, 2, last])).map(|place| paths.all()[place].link.index);
            assert_eq!(found, expect, "{last}");
        }
        assert_eq!(paths.place("2001:db8::1".parse().expect("an address")), None);
        let fewer = paths.filter(|path| path.link.index != 1);
        assert_eq!((fewer.all().len(), fewer.place(IpAddr::from([192, 0, 2, 5]))), (1, None));
        assert_eq!(fewer.place(IpAddr::from([192, 0, 2, 25])), Some(0));
    }
}
