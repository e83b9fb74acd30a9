use crate::{AssetScope, Lease, hours::Hours};
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
    /// One entry for each end of authorization and each asset's hours.
    allowed: Vec<(Leave, Intervals)>,
    /// Sorted by the numbers; the end is that of the lease or of its asset's authorization, whichever comes first.
    leased: Vec<(u128, Leave)>,
}

/// Before the end, and at certain hours; none is for ever, and always.
#[derive(Debug, Clone)]
struct Leave {
    until: Option<Timestamp>,
    hours: Option<Arc<Hours>>,
}

impl Leave {
    fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|end| now < end) && self.hours.as_ref().is_none_or(|hours| hours.is_open(now))
    }

    fn is(&self, other: &Self) -> bool {
        let alike = match (&self.hours, &other.hours) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        alike && self.until == other.until
    }
}

impl Guard {
    /// From the raw configuration. `leases` are those the scope accepted.
    pub(crate) fn new(
        assets: &[AssetScope],
        leases: &[Lease],
        exclude: &AddressSet,
        hours: impl Fn(&Arc<str>) -> Option<Arc<Hours>>,
    ) -> Self {
        let mut allowed: Vec<(Leave, Vec<Interval>)> = Vec::new();
        for asset in assets {
            let intervals = asset.targets.iter().filter_map(interval);
            let leave = Leave { until: asset.until, hours: hours(&asset.name) };
            match allowed.iter_mut().find(|(known, _)| known.is(&leave)) {
                Some((_, known)) => known.extend(intervals),
                None => allowed.push((leave, intervals.collect())),
            }
        }
        let end_of = |asset: &Arc<str>| assets.iter().find(|a| a.name == *asset).and_then(|a| a.until);
        let mut leased: Vec<(u128, Leave)> = leases
            .iter()
            .flat_map(|lease| {
                let until = end_of(&lease.asset).map_or(lease.until, |end| end.min(lease.until));
                let leave = Leave { until: Some(until), hours: hours(&lease.asset) };
                lease.addresses.iter().map(move |&ip| (number(ip), leave.clone()))
            })
            .collect();
        leased.sort_unstable_by_key(|(number, _)| *number);
        Self {
            excluded: Intervals::new(exclude.ranges().iter().map(|r| (number(r.first()), number(r.last()))).collect()),
            allowed: allowed.into_iter().map(|(leave, intervals)| (leave, Intervals::new(intervals))).collect(),
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
            && (self.allowed.iter().any(|(leave, set)| set.cover(number) && leave.holds(now))
                || self.is_leased(number, now))
    }

    fn is_leased(&self, number: u128, now: Timestamp) -> bool {
        let from = self.leased.partition_point(|(leased, _)| *leased < number);
        self.leased.iter().skip(from).take_while(|(leased, _)| *leased == number).any(|(_, leave)| leave.holds(now))
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
