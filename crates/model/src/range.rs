use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The addresses from `first` to `last`, both included, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// None where the families differ or the range runs backwards.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    pub fn single(ip: IpAddr) -> Self {
        Self { first: ip, last: ip }
    }

    pub fn first(self) -> IpAddr {
        self.first
    }

    pub fn last(self) -> IpAddr {
        self.last
    }

    /// How many addresses, from 1, saturating at `u128::MAX` for all of IPv6.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(self) -> u128 {
        (number(self.last) - number(self.first)).saturating_add(1)
    }

    pub fn contains(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&ip)
    }
}

/// `192.0.2.7`, or `192.0.2.7-192.0.2.9`.
impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A set of addresses of both families: sorted, disjoint, merged ranges (IPv4 first).
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddressSet(Vec<AddressRange>);

impl AddressSet {
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn ranges(&self) -> &[AddressRange] {
        &self.0
    }

    /// How many addresses, saturating.
    pub fn len(&self) -> u128 {
        self.0.iter().fold(0, |sum, range| sum.saturating_add(range.len()))
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        let after = self.0.partition_point(|range| key(range.first) <= key(ip));
        after > 0 && self.0[after - 1].contains(ip)
    }

    /// The `n`th address in ascending order, IPv4 before IPv6.
    pub fn nth(&self, mut n: u128) -> Option<IpAddr> {
        for range in &self.0 {
            if n < range.len() {
                return Some(address(number(range.first) + n, range.first.is_ipv4()));
            }
            n -= range.len();
        }
        None
    }

    /// The addresses in ascending order. The caller bounds how many it takes.
    pub fn iter(&self) -> Addresses<'_> {
        Addresses { set: self, range: 0, offset: 0 }
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).copied().collect()
    }

    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        // Both are sorted, so nothing that ends before a range can cut a later one.
        let mut cuts = other.0.as_slice();
        for range in &self.0 {
            let v4 = range.first.is_ipv4();
            cuts = &cuts[cuts.partition_point(|cut| key(cut.last) < key(range.first))..];
            let (mut next, last) = (number(range.first), number(range.last));
            let mut open = true;
            for cut in cuts.iter().take_while(|cut| key(cut.first) <= key(range.last)) {
                let (cut_first, cut_last) = (number(cut.first), number(cut.last));
                if cut_first > next {
                    left.push((next, cut_first - 1, v4));
                }
                if cut_last >= last {
                    open = false;
                    break;
                }
                next = cut_last + 1;
            }
            if open && next <= last {
                left.push((next, last, v4));
            }
        }
        Self(
            left.into_iter()
                .map(|(first, last, v4)| AddressRange { first: address(first, v4), last: address(last, v4) })
                .collect(),
        )
    }

    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.difference(&self.difference(other))
    }
}

impl<'a> IntoIterator for &'a AddressSet {
    type Item = IpAddr;
    type IntoIter = Addresses<'a>;

    fn into_iter(self) -> Addresses<'a> {
        self.iter()
    }
}

impl FromIterator<AddressRange> for AddressSet {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable_by_key(|range| (key(range.first), key(range.last)));
        let mut merged: Vec<AddressRange> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(previous)
                    if previous.first.is_ipv4() == range.first.is_ipv4()
                        && number(range.first) <= number(previous.last).saturating_add(1) =>
                {
                    previous.last = previous.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

/// The addresses of a set, one after the other.
#[derive(Debug, Clone)]
pub struct Addresses<'a> {
    set: &'a AddressSet,
    range: usize,
    offset: u128,
}

impl Iterator for Addresses<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        let range = self.set.0.get(self.range)?;
        let ip = address(number(range.first) + self.offset, range.first.is_ipv4());
        if ip == range.last {
            self.range += 1;
            self.offset = 0;
        } else {
            self.offset += 1;
        }
        Some(ip)
    }
}

fn key(ip: IpAddr) -> (bool, u128) {
    (ip.is_ipv6(), number(ip))
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    if v4 {
        // Never outside: an IPv4 range's numbers are at most `u32::MAX`.
        Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into()
    } else {
        Ipv6Addr::from(number).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn small_range() -> impl Strategy<Value = AddressRange> {
        (any::<bool>(), 0_u128..64, 0_u128..12).prop_map(|(v4, first, more)| {
            AddressRange::new(address(first, v4), address(first + more, v4)).expect("in order")
        })
    }

    fn small_set() -> impl Strategy<Value = AddressSet> {
        prop::collection::vec(small_range(), 0..6).prop_map(|ranges| ranges.into_iter().collect())
    }

    fn members(set: &AddressSet) -> BTreeSet<IpAddr> {
        set.iter().collect()
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(a in small_set(), b in small_set()) {
            let (members_a, members_b) = (members(&a), members(&b));
            prop_assert_eq!(a.len(), members_a.len() as u128);
            prop_assert_eq!(members(&a.union(&b)), members_a.union(&members_b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(members(&a.difference(&b)), members_a.difference(&members_b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(members(&a.intersection(&b)), members_a.intersection(&members_b).copied().collect::<BTreeSet<_>>());
            for number in 0..80 {
                for v4 in [true, false] {
                    let ip = address(number, v4);
                    prop_assert_eq!(a.contains(ip), members_a.contains(&ip));
                }
            }
            for (n, ip) in a.iter().enumerate() {
                prop_assert_eq!(a.nth(n as u128), Some(ip));
            }
            prop_assert_eq!(a.nth(a.len()), None);
        }
    }

    #[test]
    fn reaches_the_ends_of_both_families() {
        let all = |text: &str| text.parse::<IpAddr>().expect("an address");
        let v4 = AddressRange::new(all("0.0.0.0"), all("255.255.255.255")).expect("in order");
        let v6 = AddressRange::new(all("::"), all("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")).expect("in order");
        let set: AddressSet = [v4, v6].into_iter().collect();
        assert_eq!(v4.len(), 1 << 32);
        assert_eq!(set.difference(&set), AddressSet::empty());
        assert!(set.contains(all("255.255.255.255")) && set.contains(v6.last()));
        assert_eq!(set.len(), u128::MAX);
    }
}
