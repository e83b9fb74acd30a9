use super::{Fates, Stage, Way};
use crate::router::packet::Packet;
use serde::Deserialize;
use std::time::Duration;

/// So much a second and no more, each way for itself; what is above is dropped. At least one of the two limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSettings {
    /// Packets a second.
    #[serde(default)]
    pub packets: Option<u32>,
    /// Bytes a second.
    #[serde(default)]
    pub bytes: Option<u32>,
    /// So many packets may come at once.
    #[serde(default = "ten")]
    pub burst: u32,
    /// Counts and limits ICMP errors alone, as hosts and routers do (RFC 1812 §4.3.2.8).
    #[serde(default)]
    pub only_icmp_errors: bool,
}

fn ten() -> u32 {
    10
}

/// A full-sized packet, for what a burst means in bytes.
const FULL_SIZE: u32 = 1500;

#[derive(Debug)]
pub struct RateLimit {
    only_icmp_errors: bool,
    packets: Option<[Bucket; 2]>,
    bytes: Option<[Bucket; 2]>,
}

impl RateLimit {
    pub fn new(settings: &RateLimitSettings) -> Self {
        let pair = |rate: u32, size: u32| [Bucket::new(rate, size), Bucket::new(rate, size)];
        Self {
            only_icmp_errors: settings.only_icmp_errors,
            packets: settings.packets.map(|rate| pair(rate, settings.burst)),
            bytes: settings.bytes.map(|rate| pair(rate, settings.burst.saturating_mul(FULL_SIZE))),
        }
    }
}

impl Stage for RateLimit {
    fn take(&mut self, packet: Packet, way: Way, now: Duration, fates: &mut Fates) {
        if self.only_icmp_errors && !packet.is_icmp_error() {
            return fates.pass(packet, way);
        }
        let side = usize::from(way == Way::Back);
        let length = u32::try_from(packet.bytes().len()).unwrap_or(u32::MAX);
        let mut wanted = [(&mut self.packets, 1), (&mut self.bytes, length)];
        let has_room = wanted.iter_mut().all(|(buckets, amount)| {
            buckets.as_mut().is_none_or(|buckets| buckets[side].holds(f64::from(*amount), now))
        });
        if !has_room {
            return fates.drop("dropped");
        }
        for (buckets, amount) in &mut wanted {
            if let Some(buckets) = buckets {
                buckets[side].level -= f64::from(*amount);
            }
        }
        fates.pass(packet, way);
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    size: f64,
    level: f64,
    filled: Duration,
}

impl Bucket {
    fn new(rate: u32, size: u32) -> Self {
        let size = f64::from(size.max(1));
        Self { rate: f64::from(rate), size, level: size, filled: Duration::ZERO }
    }

    /// Fills up to now, and says whether there is so much in it.
    fn holds(&mut self, amount: f64, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.level = (self.level + passed * self.rate).min(self.size);
        self.level >= amount
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::stage::trial::{Trial, icmp_error, syn};

    fn passed(settings: &RateLimitSettings, each: Duration, count: u32, make: fn() -> Packet) -> usize {
        let mut trial = Trial::of(RateLimit::new(settings));
        (0..count).map(|n| trial.take(make(), Way::Back, each * n).len()).sum()
    }

    #[test]
    fn no_more_than_the_rate_passes() {
        let settings =
            |packets, bytes, only_icmp_errors| RateLimitSettings { packets, bytes, burst: 10, only_icmp_errors };
        let ms = Duration::from_millis(1);
        let syn: fn() -> Packet = || syn(1000, 80);
        // Ten seconds of 1,000 a second.
        for (name, settings, make, expected) in [
            ("100 packets/s", settings(Some(100), None, false), syn, 1_000..1_020),
            ("5,000/s is above", settings(Some(5_000), None, false), syn, 10_000..10_001),
            ("4,400 bytes/s of 44", settings(None, Some(4_400), false), syn, 1_300..1_360),
            ("errors limited", settings(Some(1), None, true), icmp_error as fn() -> Packet, 19..21),
            ("others are not", settings(Some(1), None, true), syn, 10_000..10_001),
        ] {
            let passed = passed(&settings, ms, 10_000, make);
            assert!(expected.contains(&passed), "{name}: {passed}");
        }
    }
}
