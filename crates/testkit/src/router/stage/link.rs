use super::{Fates, Stage, Way};
use crate::router::{packet::Packet, period};
use serde::Deserialize;
use std::time::Duration;

/// A link that goes down by itself: on schedule, or again and again. Down, it drops everything, either way.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSettings {
    #[serde(default)]
    pub outage: Vec<Outage>,
    #[serde(default)]
    pub flaps: Option<Flaps>,
}

/// Once.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// After the scenario was switched on.
    #[serde(deserialize_with = "period::read")]
    pub at: Duration,
    #[serde(rename = "for", deserialize_with = "period::read")]
    pub lasts: Duration,
}

/// Up, and down at the end of each period.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flaps {
    #[serde(deserialize_with = "period::read")]
    pub every: Duration,
    #[serde(deserialize_with = "period::read")]
    pub down: Duration,
}

#[derive(Debug)]
pub struct Link {
    settings: LinkSettings,
    was_down: bool,
}

impl Link {
    pub fn new(settings: LinkSettings) -> Self {
        Self { settings, was_down: false }
    }

    fn is_down(&self, now: Duration) -> bool {
        let scheduled = self.settings.outage.iter().any(|outage| now >= outage.at && now < outage.at + outage.lasts);
        let flapped = self.settings.flaps.is_some_and(|flaps| {
            let period = flaps.every.as_nanos().max(1);
            now.as_nanos() % period >= period.saturating_sub(flaps.down.as_nanos())
        });
        scheduled || flapped
    }
}

impl Stage for Link {
    fn take(&mut self, packet: Packet, way: Way, now: Duration, fates: &mut Fates) {
        let is_down = self.is_down(now);
        if is_down && !self.was_down {
            fates.count("outages");
        }
        self.was_down = is_down;
        if is_down {
            fates.drop("dropped");
        } else {
            fates.pass(packet, way);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::stage::trial::{Trial, syn};

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_down_when_it_should_be() {
        let outages = vec![Outage { at: s(10), lasts: s(30) }, Outage { at: s(60), lasts: s(5) }];
        let flaps = Some(Flaps { every: s(10), down: s(3) });
        for (name, settings, down) in [
            ("outages", LinkSettings { outage: outages, flaps: None }, vec![10..40, 60..65]),
            ("flaps", LinkSettings { outage: vec![], flaps }, (0..8).map(|n| n * 10 + 7..n * 10 + 10).collect()),
        ] {
            let mut trial = Trial::of(Link::new(settings));
            for second in 0..80 {
                let passed = trial.take(syn(1000, 80), Way::Out, s(second)).len();
                let is_down = down.iter().any(|down| down.contains(&second));
                assert_eq!(passed == 0, is_down, "{name} at {second} s");
            }
            assert_eq!(trial.count("outages"), u64::try_from(down.len()).expect("few"), "{name}");
        }
    }
}
