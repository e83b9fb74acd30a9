use model::{AddressRange, AddressSet};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
};

/// A set of addresses cut into groups whose members lie far apart: each group is so many runs of neighbours, as evenly spread over
/// the set as can be. So what is asked of a group at a time meets many networks, none of which gets more than its share.
///
/// The same set and sizes always give the same groups.
#[derive(Debug, Clone)]
pub struct Spread {
    set: AddressSet,
    /// How many addresses come before each range of the set.
    before: Vec<u128>,
    /// Neighbours in a run; only the last of the set may have fewer.
    run: NonZeroU32,
    /// Runs of a group at most.
    runs: u32,
    groups: u64,
}

impl Spread {
    /// `size` is the most addresses a group has, in runs of `run` neighbours (one run at least).
    pub fn new(set: AddressSet, size: NonZeroU32, run: NonZeroU32) -> Self {
        let run = run.min(size);
        let before = set.ranges().iter().scan(0_u128, |sum, range| {
            let before = *sum;
            *sum += range.len();
            Some(before)
        });
        let runs = size.get() / run.get();
        let all = set.len().div_ceil(u128::from(run.get()));
        let groups = u64::try_from(all.div_ceil(u128::from(runs))).unwrap_or(u64::MAX);
        Self { before: before.collect(), set, run, runs, groups }
    }

    /// How many groups there are, saturating.
    pub fn count(&self) -> u64 {
        self.groups
    }

    /// The addresses of group `n`, counted from 0; empty from [`Spread::count`] on.
    pub fn nth(&self, n: u64) -> AddressSet {
        if n >= self.groups {
            return AddressSet::empty();
        }
        let run = u128::from(self.run.get());
        let mut members = Vec::new();
        for turn in 0..u128::from(self.runs) {
            let number = u128::from(n) + turn * u128::from(self.groups);
            // Beyond the last one.
            let Some(from) = number.checked_mul(run) else { break };
            self.add(from, run, &mut members);
        }
        members.into_iter().collect()
    }

    /// Adds so many addresses of the set, from a place on.
    fn add(&self, from: u128, count: u128, members: &mut Vec<AddressRange>) {
        let first = self.before.partition_point(|before| *before <= from).saturating_sub(1);
        let (mut from, mut left) = (from, count);
        for (range, before) in self.set.ranges().iter().zip(&self.before).skip(first) {
            let Some(skip) = from.checked_sub(*before).filter(|skip| *skip < range.len()) else { return };
            let take = left.min(range.len() - skip);
            let begin = plus(range.first(), skip);
            members.extend(AddressRange::new(begin, plus(begin, take - 1)));
            from += take;
            left -= take;
            if left == 0 {
                return;
            }
        }
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
    use std::collections::BTreeMap;

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).expect("not zero")
    }

    fn set(text: &[&str]) -> AddressSet {
        text.iter().map(|range| range.parse::<model::Target>().expect("a target").range().expect("addresses")).collect()
    }

    #[test]
    fn a_group_has_neighbours_of_every_network() {
        let spread = Spread::new(set(&["10.0.0.0/20"]), number(128), number(8));
        assert_eq!(spread.count(), 32);
        for n in 0..spread.count() {
            let group = spread.nth(n);
            let mut networks: BTreeMap<[u8; 3], u32> = BTreeMap::new();
            for ip in &group {
                let IpAddr::V4(ip) = ip else { panic!("{ip}") };
                let [a, b, c, _] = ip.octets();
                *networks.entry([a, b, c]).or_default() += 1;
            }
            assert_eq!((networks.len(), networks.values().max()), (16, Some(&8)), "{n}");
        }
        assert_eq!(spread.nth(32), AddressSet::empty());
    }

    #[test]
    fn few_addresses_are_one_group_and_many_are_counted() {
        let few = set(&["192.0.2.0/29", "2001:db8::/126"]);
        let spread = Spread::new(few.clone(), number(128), number(8));
        assert_eq!((spread.count(), spread.nth(0)), (1, few));
        assert_eq!(Spread::new(AddressSet::empty(), number(128), number(8)).count(), 0);
        let everything = Spread::new(set(&["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]), number(128), number(8));
        assert_eq!(everything.count(), u64::MAX);
    }

    proptest! {
        #[test]
        fn every_address_is_in_exactly_one_group(
            starts in prop::collection::vec((0_u32..400, 0_u32..40), 0..6),
            size in 1_u32..50,
            run in 1_u32..20,
        ) {
            let set: AddressSet = starts
                .iter()
                .filter_map(|&(first, more)| {
                    let at = |offset: u32| IpAddr::from(Ipv4Addr::from(0xc000_0200 + offset));
                    AddressRange::new(at(first), at(first + more))
                })
                .collect();
            let spread = Spread::new(set.clone(), number(size), number(run));
            let groups: Vec<AddressSet> = (0..spread.count()).map(|n| spread.nth(n)).collect();
            let mut visited: Vec<IpAddr> = groups.iter().flat_map(|group| group.iter().collect::<Vec<_>>()).collect();
            visited.sort_unstable();
            prop_assert_eq!(visited, set.iter().collect::<Vec<_>>());
            for group in &groups {
                prop_assert!(!group.is_empty() && group.len() <= u128::from(size));
            }
            let lens = || groups.iter().map(AddressSet::len);
            let run = u128::from(run.min(size));
            prop_assert!(lens().max().unwrap_or(0) < lens().min().unwrap_or(0) + 2 * run);
        }
    }
}
