use super::{Fates, Stage, Way};
use crate::router::{chance::Chance, packet::Packet, period};
use serde::Deserialize;
use std::time::Duration;

/// A longer road, the same each way.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencySettings {
    /// One way.
    #[serde(deserialize_with = "period::read")]
    pub delay: Duration,
    /// Up to so much more, evenly spread.
    #[serde(default, deserialize_with = "period::read")]
    pub jitter: Duration,
    /// Whether jitter may let a packet overtake another.
    #[serde(default)]
    pub reorder: bool,
}

#[derive(Debug)]
pub struct Latency {
    settings: LatencySettings,
    chance: Chance,
    /// When the last packet of each way leaves: none may leave before.
    last: [Duration; 2],
}

impl Latency {
    pub fn new(settings: LatencySettings, seed: u64) -> Self {
        Self { settings, chance: Chance::new(seed), last: [Duration::ZERO; 2] }
    }
}

impl Stage for Latency {
    fn take(&mut self, packet: Packet, way: Way, now: Duration, fates: &mut Fates) {
        let mut due = now + self.settings.delay + self.settings.jitter.mul_f64(self.chance.share());
        if !self.settings.reorder {
            let last = &mut self.last[usize::from(way == Way::Back)];
            due = due.max(*last);
            *last = due;
        }
        fates.count("delayed");
        fates.delay(packet, way, due.saturating_sub(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::stage::trial::{Trial, syn};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn delays_stay_in_their_range_and_in_order() {
        for (reorder, in_order) in [(false, true), (true, false)] {
            let settings = LatencySettings { delay: ms(20), jitter: ms(10), reorder };
            let mut trial = Trial::of(Latency::new(settings, 3));
            let mut dues = Vec::new();
            for sent in 0..1_000 {
                let now = ms(sent);
                let fates = trial.take(syn(1000, 80), Way::Out, now);
                assert_eq!(fates.len(), 1);
                assert!(fates[0].after >= ms(20) && fates[0].after <= ms(30), "{:?}", fates[0].after);
                dues.push(now + fates[0].after);
            }
            assert_eq!(dues.is_sorted(), in_order, "reorder = {reorder}");
        }
    }
}
