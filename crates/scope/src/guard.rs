use crate::{AssetScope, Lease};
use jiff::Timestamp;
use model::{AddressSet, Target};
use std::{net::IpAddr, sync::Arc};

/// The last check before a packet leaves: the same configuration as [`crate::Scope`] in another shape, so that a mistake
/// in one of them is caught by the other.
///
/// Both families live in one space of 128-bit numbers (IPv4 as `::ffff:a.b.c.d`); intervals are sorted by their first
/// number, unmerged, and each carries the highest last number up to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    excluded: Intervals,
    /// One entry for each end of authorization; none is for ever.
    allowed: Vec<(Option<Timestamp>, Intervals)>,
    /// Sorted; the end is that of the lease or of its asset's authorization, whichever comes first.
    leased: Vec<(u128, Timestamp)>,
}

impl Guard {
    /// From the raw configuration. `leases` are those the scope accepted.
    pub(crate) fn new(assets: &[AssetScope], leases: &[Lease], exclude: &AddressSet) -> Self {
        let mut allowed: Vec<(Option<Timestamp>, Vec<Interval>)> = Vec::new();
        for asset in assets {
            let intervals = asset.targets.iter().filter_map(interval);
            match allowed.iter_mut().find(|(until, _)| *until == asset.until) {
                Some((_, known)) => known.extend(intervals),
                None => allowed.push((asset.until, intervals.collect())),
            }
        }
        let end_of = |asset: &Arc<str>| assets.iter().find(|a| a.name == *asset).and_then(|a| a.until);
        let mut leased: Vec<(u128, Timestamp)> = leases
            .iter()
            .flat_map(|lease| {
                let until = end_of(&lease.asset).map_or(lease.until, |end| end.min(lease.until));
                lease.addresses.iter().map(move |&ip| (number(ip), until))
            })
            .collect();
        leased.sort_unstable();
        Self {
            excluded: Intervals::new(exclude.ranges().iter().map(|r| (number(r.first()), number(r.last()))).collect()),
            allowed: allowed.into_iter().map(|(until, intervals)| (until, Intervals::new(intervals))).collect(),
            leased,
        }
    }

    pub(crate) fn permits(&self, ip: IpAddr, now: Timestamp) -> bool {
        let is_host = match ip {
            IpAddr::V4(ip) => ip.octets()[0] != 0 && !ip.is_multicast() && !ip.is_broadcast(),
            IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && ip.to_ipv4_mapped().is_none(),
        };
        let number = number(ip);
        is_host
            && !self.excluded.cover(number)
            && (self.allowed.iter().any(|(until, set)| until.is_none_or(|end| now < end) && set.cover(number))
                || self.is_leased(number, now))
    }

    fn is_leased(&self, number: u128, now: Timestamp) -> bool {
        let from = self.leased.partition_point(|&(leased, _)| leased < number);
        self.leased.iter().skip(from).take_while(|(leased, _)| *leased == number).any(|&(_, until)| now < until)
    }
}

/// First and last number.
type Interval = (u128, u128);

/// First number, and the highest last number of this and every interval before it.
#[derive(Debug, Clone, Default)]
struct Intervals(Vec<Interval>);

impl Intervals {
    fn new(mut intervals: Vec<Interval>) -> Self {
        intervals.sort_unstable();
        let mut highest = 0;
        for (_, last) in &mut intervals {
            highest = highest.max(*last);
            *last = highest;
        }
        Self(intervals)
    }

    /// Some interval begins at or below the number, and of those one ends at or above it.
    fn cover(&self, number: u128) -> bool {
        let begun = self.0.partition_point(|&(first, _)| first <= number);
        begun > 0 && self.0[begun - 1].1 >= number
    }
}

fn interval(target: &Target) -> Option<Interval> {
    match target {
        Target::Addresses(range) => Some((number(range.first()), number(range.last()))),
        Target::Network { base, prefix } => {
            let prefix = u32::from(*prefix) + if base.is_ipv4() { 96 } else { 0 };
            let host_bits = u128::MAX.checked_shr(prefix).unwrap_or(0);
            Some((number(*base) & !host_bits, number(*base) | host_bits))
        }
        Target::Name(_) => None,
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => u128::from(ip),
    }
}
