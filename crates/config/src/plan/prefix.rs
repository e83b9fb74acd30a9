//! What the addresses of one network get together: however many of them are watched, it has a ceiling of its own.

use super::ProfilePlan;
use model::{AddressRange, HOSTS_OF_A_PREFIX, Rate};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// The /24 (IPv4) or /56 (IPv6) that gets most.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Busiest {
    pub(super) prefix: AddressRange,
    /// Probes per second, over all lanes of all profiles that watch any of it.
    pub(super) rate: f64,
    pub(super) profiles: Vec<Arc<str>>,
}

/// Probes per second that a prefix may get.
pub(super) fn ceiling(rate_per_host: Rate) -> f64 {
    f64::from(rate_per_host.get()) * f64::from(HOSTS_OF_A_PREFIX)
}

/// Only prefixes in which a range begins or ends, and the next one after each of these, need a look: what lies between is like its
/// neighbour.
pub(super) fn busiest(plans: &[ProfilePlan]) -> Option<Busiest> {
    let mut prefixes = BTreeSet::new();
    for range in plans.iter().flat_map(|plan| plan.swept.ranges()) {
        for border in [range.first(), range.last()] {
            let prefix = prefix_of(border);
            prefixes.extend(after(prefix.last()).map(|next| prefix_of(next).first()));
            prefixes.insert(prefix.first());
        }
    }
    let mut busiest: Option<Busiest> = None;
    for prefix in prefixes.into_iter().map(prefix_of) {
        let rates = plans.iter().map(|plan| (plan, host_rate(plan) * addresses(plan, prefix)));
        let watching = rates.filter(|(_, rate)| *rate > 0.0);
        let rate = watching.clone().map(|(_, rate)| rate).sum();
        if busiest.as_ref().is_none_or(|known| rate > known.rate) {
            busiest = Some(Busiest { prefix, rate, profiles: watching.map(|(plan, _)| plan.name.clone()).collect() });
        }
    }
    busiest.filter(|busiest| busiest.rate > 0.0)
}

/// How many addresses of a prefix a profile sweeps.
#[expect(clippy::cast_precision_loss, reason = "at most 2^72, and for a comparison")]
pub(super) fn addresses(plan: &ProfilePlan, prefix: AddressRange) -> f64 {
    let ranges = plan.swept.ranges();
    let from = ranges.partition_point(|range| range.last() < prefix.first());
    let inside = ranges.iter().skip(from).take_while(|range| range.first() <= prefix.last());
    let shared = inside
        .filter_map(|range| AddressRange::new(range.first().max(prefix.first()), range.last().min(prefix.last())));
    shared.map(AddressRange::len).sum::<u128>() as f64
}

fn host_rate(plan: &ProfilePlan) -> f64 {
    plan.lanes.iter().map(|lane| lane.host_rate).sum()
}

fn prefix_of(ip: IpAddr) -> AddressRange {
    const LOW_V4: u32 = u32::MAX >> 24;
    const LOW_V6: u128 = u128::MAX >> 56;
    let (first, last): (IpAddr, IpAddr) = match ip {
        IpAddr::V4(ip) => ((ip.to_bits() & !LOW_V4).to_be_bytes().into(), (ip.to_bits() | LOW_V4).to_be_bytes().into()),
        IpAddr::V6(ip) => ((ip.to_bits() & !LOW_V6).to_be_bytes().into(), (ip.to_bits() | LOW_V6).to_be_bytes().into()),
    };
    AddressRange::new(first, last).unwrap_or_else(|| AddressRange::single(ip))
}

fn after(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => Some(IpAddr::V4(ip.to_bits().checked_add(1)?.into())),
        IpAddr::V6(ip) => Some(IpAddr::V6(ip.to_bits().checked_add(1)?.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::LanePlan;
    use model::Lane;
    use std::time::Duration;

    /// Each host gets as many probes a second as said.
    fn watching(name: &str, targets: &[&str], host_rate: f64) -> ProfilePlan {
        let ranges = targets.iter().map(|text| {
            let target: model::Target = text.parse().expect("a target");
            target.range().expect("addresses")
        });
        let lane = LanePlan {
            lane: Lane::Full,
            open: Duration::from_hours(1),
            period: Duration::from_hours(1),
            ports: 1,
            endpoints: 0,
            probes: 0,
            needed_rate: 0.0,
            host_rate,
            reached_rate: f64::INFINITY,
        };
        ProfilePlan {
            name: name.into(),
            addresses: 1,
            swept: ranges.collect(),
            host_names: 0,
            unsweepable: Vec::new(),
            windows: None,
            lanes: vec![lane],
        }
    }

    #[test]
    fn the_fullest_prefix_is_found() {
        for (plans, expect) in [
            (vec![], None),
            (vec![watching("p", &["192.0.2.0/28"], 2.0)], Some(("192.0.2.0", 32.0))),
            // A whole one lies between two that are cut.
            (vec![watching("p", &["192.0.1.200-192.0.3.10"], 1.0)], Some(("192.0.2.0", 256.0))),
            (vec![watching("p", &["10.0.0.0/8"], 1.0)], Some(("10.0.0.0", 256.0))),
            (vec![watching("p", &["192.0.2.0/25", "192.0.2.192/26"], 1.0)], Some(("192.0.2.0", 192.0))),
            (
                vec![watching("p", &["10.0.0.0/8"], 1.0), watching("q", &["10.7.7.16/28", "10.9.0.0/24"], 1.0)],
                Some(("10.9.0.0", 512.0)),
            ),
            (vec![watching("p", &["2001:db8::/112", "2001:db8:0:f::/112"], 1.0)], Some(("2001:db8::", 131_072.0))),
            (vec![watching("p", &["255.255.255.255"], 1.0)], Some(("255.255.255.0", 1.0))),
        ] {
            let found = busiest(&plans);
            let expect = expect.map(|(first, rate)| (first.parse::<IpAddr>().expect("an address"), rate));
            assert_eq!(found.as_ref().map(|found| (found.prefix.first(), found.rate)), expect, "{plans:?}");
        }
    }
}
