//! The impairments, one a file, of one shape.

mod balancer;
mod blocking;
mod firewall;
mod latency;
mod link;
mod loss;
mod nat;
mod rate;
mod resets;
mod route;
mod syn_proxy;
#[cfg(test)]
pub(crate) mod trial;

pub use balancer::{Balancer, BalancerSettings};
pub use blocking::Manner;
pub use firewall::{Firewall, FirewallSettings};
pub use latency::{Latency, LatencySettings};
pub use link::{Flaps, Link, LinkSettings, Outage};
pub use loss::{BurstLoss, BurstLossSettings, Loss, LossSettings};
pub use nat::{Crowd, Nat, NatSettings};
pub use rate::{RateLimit, RateLimitSettings};
pub use resets::{Resets, ResetsSettings};
pub use route::{Path, Route, RouteSettings};
pub use syn_proxy::{NothingBehind, SynProxy, SynProxySettings};

use super::packet::Packet;
use std::{collections::BTreeMap, fmt::Debug, net::IpAddr, time::Duration};

/// From the watcher to the servers, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    Out,
    Back,
}

impl Way {
    #[must_use]
    pub fn reverse(self) -> Self {
        match self {
            Self::Out => Self::Back,
            Self::Back => Self::Out,
        }
    }

    /// The address on the servers' side of a packet that travels this way.
    pub fn server(self, packet: &Packet) -> IpAddr {
        match self {
            Self::Out => packet.target(),
            Self::Back => packet.source(),
        }
    }
}

/// One impairment. Packets pass the stages in the order of the scenario on the way out, and in the reverse order on the way
/// back. A stage knows no clock and no socket: `now` counts from when it was switched on, and what it does it writes down.
pub trait Stage: Debug + Send {
    /// Decides about one packet: every packet is passed, delayed, or dropped, and others may be emitted.
    fn take(&mut self, packet: Packet, way: Way, now: Duration, fates: &mut Fates);
}

/// A packet that leaves a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    pub packet: Packet,
    pub way: Way,
    /// So much later than now.
    pub after: Duration,
}

/// What a stage decided, and the counts of it.
#[derive(Debug, Default)]
pub struct Fates {
    pub(crate) leaving: Vec<Fate>,
    pub(crate) counted: BTreeMap<&'static str, u64>,
}

impl Fates {
    /// Lets a packet go on; one made by the stage too, on either way.
    pub fn pass(&mut self, packet: Packet, way: Way) {
        self.delay(packet, way, Duration::ZERO);
    }

    /// Lets it go on later.
    pub fn delay(&mut self, packet: Packet, way: Way, after: Duration) {
        self.leaving.push(Fate { packet, way, after });
    }

    /// Drops the packet (it is simply not passed), and counts why.
    pub fn drop(&mut self, why: &'static str) {
        self.count(why);
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counted.entry(what).or_default() += 1;
    }

    /// Notes the highest value seen.
    pub fn peak(&mut self, what: &'static str, value: usize) {
        let highest = self.counted.entry(what).or_default();
        *highest = (*highest).max(u64::try_from(value).unwrap_or(u64::MAX));
    }
}
