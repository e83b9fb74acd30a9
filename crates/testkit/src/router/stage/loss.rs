use super::{Fates, Stage, Way};
use crate::router::{chance::Chance, packet::Packet, share};
use serde::Deserialize;
use std::time::Duration;

/// Each packet is lost with the same probability, whatever happened to others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossSettings {
    #[serde(deserialize_with = "share::read")]
    pub share: f64,
}

#[derive(Debug)]
pub struct Loss {
    share: f64,
    chance: Chance,
}

impl Loss {
    pub fn new(settings: &LossSettings, seed: u64) -> Self {
        Self { share: settings.share, chance: Chance::new(seed) }
    }
}

impl Stage for Loss {
    fn take(&mut self, packet: Packet, way: Way, _now: Duration, fates: &mut Fates) {
        if self.chance.falls(self.share) {
            fates.drop("lost");
        } else {
            fates.pass(packet, way);
        }
    }
}

/// Losses come in bursts (Gilbert 1960, Elliott 1963): the line is good or bad, changes between packets, and loses more while
/// bad. The mean loss is `good_loss · g + bad_loss · (1 − g)` with `g = recover / (worsen + recover)`; a burst lasts
/// `1 / recover` packets on average.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurstLossSettings {
    /// Probability to turn bad, for each packet.
    #[serde(deserialize_with = "share::read")]
    pub worsen: f64,
    /// Probability to turn good again, for each packet.
    #[serde(deserialize_with = "share::read")]
    pub recover: f64,
    #[serde(default, deserialize_with = "share::read")]
    pub good_loss: f64,
    #[serde(default = "share::whole", deserialize_with = "share::read")]
    pub bad_loss: f64,
}

#[derive(Debug)]
pub struct BurstLoss {
    settings: BurstLossSettings,
    chance: Chance,
    is_bad: bool,
}

impl BurstLoss {
    pub fn new(settings: BurstLossSettings, seed: u64) -> Self {
        Self { settings, chance: Chance::new(seed), is_bad: false }
    }
}

impl Stage for BurstLoss {
    fn take(&mut self, packet: Packet, way: Way, _now: Duration, fates: &mut Fates) {
        if self.is_bad {
            self.is_bad = !self.chance.falls(self.settings.recover);
        } else if self.chance.falls(self.settings.worsen) {
            self.is_bad = true;
            fates.count("bursts");
        }
        let loss = if self.is_bad { self.settings.bad_loss } else { self.settings.good_loss };
        if self.chance.falls(loss) {
            fates.drop("lost");
        } else {
            fates.pass(packet, way);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::stage::trial::{Trial, syn};

    /// What of 50,000 packets was lost, and how many runs of losses there were.
    fn lost(stage: impl Stage + 'static) -> (u32, u32) {
        let mut trial = Trial::of(stage);
        let (mut lost, mut runs, mut was_lost) = (0, 0, false);
        let packet = syn(1_000, 80);
        for _ in 0..50_000 {
            let is_lost = trial.take(packet.clone(), Way::Out, Duration::ZERO).is_empty();
            lost += u32::from(is_lost);
            runs += u32::from(is_lost && !was_lost);
            was_lost = is_lost;
        }
        assert_eq!(trial.count("lost"), u64::from(lost));
        (lost, runs)
    }

    #[test]
    fn random_loss_has_its_share() {
        for (share, expected) in [(0.0, 0..1), (0.02, 900..1_100), (0.05, 2_350..2_650), (1.0, 50_000..50_001)] {
            let (lost, _) = lost(Loss::new(&LossSettings { share }, 11));
            assert!(expected.contains(&lost), "{share}: {lost}");
        }
    }

    #[test]
    fn burst_loss_has_its_share_and_its_bursts() {
        let settings = BurstLossSettings { worsen: 0.005, recover: 0.1, good_loss: 0.0, bad_loss: 1.0 };
        // 0.005 / 0.105 = 4.8 %, in bursts of 10.
        let (lost, runs) = lost(BurstLoss::new(settings, 5));
        assert!((2_000..2_900).contains(&lost), "{lost}");
        let mean = f64::from(lost) / f64::from(runs);
        assert!((8.0..12.5).contains(&mean), "{mean}");
    }
}
