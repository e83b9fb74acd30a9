use model::{AddressRange, AddressSet};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
};

/// A set of addresses cut into groups of consecutive members: the unit in which a pass over many ports is swept,
/// committed and resumed. The caller visits the groups in the order of a [`crate::Permutation`] of their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    set: AddressSet,
    size: NonZeroU32,
}

impl Groups {
    /// Addresses in a group where many ports are asked of each: 256 × 65,535 endpoints are a few million.
    pub const MULTI_PORT: NonZeroU32 = NonZeroU32::new(256).unwrap();

    /// `size` is the most addresses a group has; only the last one may have fewer.
    pub fn new(set: AddressSet, size: NonZeroU32) -> Self {
        Self { set, size }
    }

    /// How many groups there are, saturating.
    pub fn count(&self) -> u64 {
        u64::try_from(self.set.len().div_ceil(self.size())).unwrap_or(u64::MAX)
    }

    /// The addresses of group `n`, counted from 0; empty from [`Groups::count`] on.
    pub fn nth(&self, n: u64) -> AddressSet {
        let mut skip = u128::from(n) * self.size();
        let mut wanted = self.size();
        let mut members = Vec::new();
        for range in self.set.ranges() {
            if skip >= range.len() {
                skip -= range.len();
                continue;
            }
            let take = wanted.min(range.len() - skip);
            let first = plus(range.first(), skip);
            members.extend(AddressRange::new(first, plus(first, take - 1)));
            wanted -= take;
            skip = 0;
            if wanted == 0 {
                break;
            }
        }
        members.into_iter().collect()
    }

    pub fn addresses(&self) -> &AddressSet {
        &self.set
    }

    fn size(&self) -> u128 {
        u128::from(self.size.get())
    }
}

/// Never leaves the range it is called for, so the conversions never saturate.
fn plus(ip: IpAddr, offset: u128) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            Ipv4Addr::from(u32::from(ip).saturating_add(u32::try_from(offset).unwrap_or(u32::MAX))).into()
        }
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip).saturating_add(offset)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(text: &[&str]) -> AddressSet {
        text.iter().map(|range| range.parse::<model::Target>().expect("a target").range().expect("addresses")).collect()
    }

    #[test]
    fn cuts_in_order() {
        let groups = Groups::new(set(&["192.0.2.0/30", "198.51.100.7", "2001:db8::/126"]), NonZeroU32::new(4).unwrap());
        assert_eq!(groups.count(), 3);
        assert_eq!(groups.nth(0), set(&["192.0.2.0/30"]));
        assert_eq!(groups.nth(1), set(&["198.51.100.7", "2001:db8::-2001:db8::2"]));
        assert_eq!(groups.nth(2), set(&["2001:db8::3"]));
        assert_eq!(groups.nth(3), AddressSet::empty());
        assert_eq!(Groups::new(AddressSet::empty(), Groups::MULTI_PORT).count(), 0);
        let everything = Groups::new(set(&["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]), Groups::MULTI_PORT);
        assert_eq!(everything.count(), u64::MAX);
        assert_eq!(everything.nth(u64::MAX).len(), 256);
    }

    proptest! {
        #[test]
        fn every_address_is_in_exactly_one_group(
            starts in prop::collection::vec((0_u32..400, 0_u32..40), 0..6),
            size in 1_u32..50,
        ) {
            let set: AddressSet = starts
                .iter()
                .filter_map(|&(first, more)| {
                    AddressRange::new(Ipv4Addr::from(0xc000_0200 + first).into(), Ipv4Addr::from(0xc000_0200 + first + more).into())
                })
                .collect();
            let groups = Groups::new(set.clone(), NonZeroU32::new(size).unwrap());
            let visited: Vec<IpAddr> = (0..groups.count()).flat_map(|n| groups.nth(n).iter().collect::<Vec<_>>()).collect();
            prop_assert_eq!(visited, set.iter().collect::<Vec<_>>());
            for n in 0..groups.count() {
                let len = groups.nth(n).len();
                prop_assert!(len == u128::from(size) || (n + 1 == groups.count() && len > 0));
            }
        }
    }
}
