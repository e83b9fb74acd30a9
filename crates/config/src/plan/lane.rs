//! What a single lane can reach. It asks group after group, and neither the hosts of a group nor what is under way at a time are
//! without end.

use super::ProfilePlan;
use model::{HOSTS_AT_A_TIME, Lane, QUESTIONS_OF_A_CHUNK, Rate};

/// Half of what may be under way is one group; the next one begins when all of it was asked, and two are under way at most.
#[expect(clippy::cast_precision_loss, reason = "a power of two")]
const GROUP: f64 = (QUESTIONS_OF_A_CHUNK / 2) as f64;
/// From a group's last question to its end: answers are waited for, and silence is asked again, about so many seconds.
/// However few the ports.
const MOST_HOSTS: u64 = 16_384;
const TAIL: f64 = 10.0;

/// Hosts of a group of a lane that asks so many ports of each.
pub(super) fn hosts(lane: Lane, ports: u32) -> u64 {
    let fitting = (QUESTIONS_OF_A_CHUNK / 2 / u64::from(ports.max(1))).clamp(1, MOST_HOSTS);
    // Only this lane asks its ports in parts.
    if lane == Lane::Full { fitting.max(HOSTS_AT_A_TIME.into()) } else { fitting }
}

/// Probes per second that a lane with so many ports reaches at the most, whatever its period asks for: under the ceilings
/// of everything and of a host.
#[expect(clippy::cast_precision_loss, reason = "a rate for people and a comparison")]
pub(super) fn ceiling(profile: &ProfilePlan, (lane, ports): (Lane, u32), ceilings: (Rate, Rate)) -> f64 {
    let (rate, rate_per_host) = (f64::from(ceilings.0.get()), f64::from(ceilings.1.get()));
    if ports == 0 {
        return rate;
    }
    let hosts = (profile.addresses as f64).min(hosts(lane, ports) as f64);
    let group = GROUP.min(hosts * f64::from(ports));
    // Of a pass that is one group or two there is nothing to wait for on the way.
    let is_long = profile.addresses as f64 * f64::from(ports) > 2.0 * group;
    let in_turns = 2.0 * group / (2.0 * group / rate).max(group / rate + TAIL);
    (hosts * rate_per_host).min(if is_long { in_turns } else { rate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::AddressSet;

    #[test]
    fn what_a_lane_reaches_depends_on_hosts_and_on_what_is_under_way() {
        for (lane, addresses, ports, rate, rate_per_host, expect) in [
            (Lane::Full, 65_536_u32, 65_535, "5k/s", "500/s", 5_000.0),
            (Lane::Full, 65_536, 65_535, "40k/s", "500/s", 40_000.0),
            (Lane::Full, 65_536, 65_535, "60k/s", "500/s", 55_959.0),
            (Lane::Full, 65_536, 65_535, "40k/s", "100/s", 12_800.0),
            (Lane::Full, 8, 65_535, "40k/s", "500/s", 4_000.0),
            (Lane::Full, 1, 65_535, "40k/s", "500/s", 500.0),
            (Lane::Likely, 65_536, 65_535, "40k/s", "500/s", 4_000.0),
            (Lane::Likely, 65_536, 1_100, "40k/s", "500/s", 40_000.0),
            (Lane::Hot, 65_536, 20, "30k/s", "500/s", 30_000.0),
            (Lane::Known, 65_536, 0, "40k/s", "500/s", 40_000.0),
        ] {
            let profile = ProfilePlan {
                name: "dmz".into(),
                addresses: addresses.into(),
                swept: AddressSet::empty(),
                host_names: 0,
                unsweepable: Vec::new(),
                lanes: Vec::new(),
                windows: None,
            };
            let ceilings = (rate.parse().expect(rate), rate_per_host.parse().expect(rate_per_host));
            let reached = ceiling(&profile, (lane, ports), ceilings);
            assert!((reached - expect).abs() < 1.0, "{lane} {addresses} {ports} {rate}: {reached}");
        }
    }
}
