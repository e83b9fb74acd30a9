//! How fast the network lets us: a ceiling of our own below the operator's, found by losing as little as possible.
//!
//! Loss that comes with speed (a policer, a full queue, a slow router) goes away when the rate is lowered; loss by chance does
//! not. So the controller lowers the rate when canaries go missing, looks again, and takes the rate back up where that did not
//! help: what is lost then is lost at any speed, and slowness would be for nothing.

use std::time::Duration;
use tokio::time::Instant;

/// What holds the rate down now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limiting {
    /// Only what the operator allows, or what the deadline asks for.
    #[default]
    Ceiling,
    /// Packets are lost on the way when more of them are sent.
    Path,
    /// This machine loses packets, or its link does not take more of them.
    Link,
}

impl Limiting {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Path => "path",
            Self::Link => "link",
        }
    }
}

/// What became of canaries: questions to endpoints that answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Verdicts {
    pub(crate) asked: u64,
    pub(crate) missed: u64,
}

impl Verdicts {
    pub(crate) fn add(&mut self, more: Self) {
        self.asked += more.asked;
        self.missed += more.missed;
    }

    /// None without any.
    pub(crate) fn loss(self) -> Option<f64> {
        (self.asked > 0).then(|| count(self.missed) / count(self.asked))
    }

    /// Between what the true loss lies with 95 % confidence (Wilson's score interval).
    pub(crate) fn bounds(self) -> (f64, f64) {
        const Z: f64 = 1.96;
        if self.asked == 0 {
            return (0.0, 1.0);
        }
        let (n, p) = (count(self.asked), count(self.missed) / count(self.asked));
        let centre = p + Z * Z / (2.0 * n);
        let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
    }
}

/// Packets a second, and why not more.
#[derive(Debug, Clone)]
pub(crate) struct Controller {
    ceiling: f64,
    rate: f64,
    limiting: Limiting,
    /// Verdicts about questions sent since the rate last changed.
    seen: Verdicts,
    /// When the rate last changed: what was sent before says nothing of it.
    changed: Instant,
    /// What is lost at any speed.
    by_chance: f64,
    trial: Option<Trial>,
    /// Not raised before then.
    hold: Instant,
}

/// The rate was lowered to see whether that helps.
#[derive(Debug, Clone, Copy)]
struct Trial {
    rate: f64,
    loss: f64,
}

/// Below this no rate is lowered: a question every now and then must always be possible.
const LEAST: f64 = 20.0;
/// Loss that is worth a trial.
const NOTABLE: f64 = 0.01;
/// Verdicts that settle something.
const ENOUGH: u64 = 40;
/// A lower rate helped if no more than this much of the loss is left.
const HELPED: f64 = 0.6;
/// The rate grows by this part a second while nothing is lost.
const GROWTH: f64 = 0.08;
/// After a limit was found, it is kept to for so long.
const HOLD: Duration = Duration::from_secs(2);

impl Controller {
    /// Starts at the ceiling: it is what the operator asked for.
    pub(crate) fn new(ceiling: f64, now: Instant) -> Self {
        Self {
            ceiling,
            rate: ceiling,
            limiting: Limiting::Ceiling,
            seen: Verdicts::default(),
            changed: now,
            by_chance: 0.0,
            trial: None,
            hold: now,
        }
    }

    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    pub(crate) fn limiting(&self) -> Limiting {
        self.limiting
    }

    /// Verdicts on questions sent before this moment say nothing any more.
    pub(crate) fn changed(&self) -> Instant {
        self.changed
    }

    /// Another ceiling. A limit that was found stays.
    pub(crate) fn set_ceiling(&mut self, ceiling: f64, now: Instant) {
        if self.limiting == Limiting::Ceiling {
            self.rate = ceiling;
            self.changed = now;
            self.seen = Verdicts::default();
        }
        self.ceiling = ceiling;
        self.rate = self.rate.min(ceiling);
    }

    /// Takes in what became of canaries, of which all were sent since the last change, at the rate that packets really left
    /// with, and whether this machine itself lost some, once every `elapsed`.
    pub(crate) fn tick(&mut self, now: Instant, elapsed: Duration, verdicts: Verdicts, sent_at: f64, lost_here: bool) {
        if lost_here {
            self.trial = None;
            self.lower_to(self.rate.min(sent_at.max(LEAST)) * 0.5, Limiting::Link, now);
            return;
        }
        self.seen.add(verdicts);
        if self.seen.asked < ENOUGH {
            self.grow(now, elapsed);
            return;
        }
        let (low, high) = self.seen.bounds();
        let loss = self.seen.loss().unwrap_or(0.0);
        if let Some(trial) = self.trial {
            self.trial = None;
            if loss > trial.loss * HELPED && low > 0.0 {
                // Lost by chance: as much of it as before.
                self.by_chance = high;
                self.rate = trial.rate.min(self.ceiling);
                self.limiting = if self.rate < self.ceiling { Limiting::Path } else { Limiting::Ceiling };
                self.restart(now);
                return;
            }
            self.hold = now + HOLD;
            self.seen = Verdicts::default();
            if low <= self.by_chance.max(NOTABLE) {
                return;
            }
            // It helped, and not enough.
        }
        if low > self.by_chance.max(NOTABLE) * 1.2 {
            // What gets through now is what the way carries.
            let carried = self.rate.min(sent_at) * (1.0 - loss) / (1.0 - self.by_chance.min(0.9));
            self.trial = Some(Trial { rate: self.rate, loss });
            self.lower_to((carried * 0.95).min(self.rate * 0.85), Limiting::Path, now);
            return;
        }
        self.by_chance = self.by_chance.min(high);
        if self.seen.asked >= 10 * ENOUGH {
            self.seen = Verdicts::default();
        }
        self.grow(now, elapsed);
    }

    fn grow(&mut self, now: Instant, elapsed: Duration) {
        if self.trial.is_some() || now < self.hold || self.rate >= self.ceiling {
            return;
        }
        self.rate = (self.rate * (1.0 + GROWTH * elapsed.as_secs_f64())).min(self.ceiling);
        if self.rate >= self.ceiling {
            self.limiting = Limiting::Ceiling;
        }
    }

    fn lower_to(&mut self, rate: f64, limiting: Limiting, now: Instant) {
        self.rate = rate.clamp(LEAST.min(self.ceiling), self.ceiling);
        self.limiting = limiting;
        self.hold = now + HOLD;
        self.restart(now);
    }

    fn restart(&mut self, now: Instant) {
        self.changed = now;
        self.seen = Verdicts::default();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(250);

    /// A network and a controller, tick after tick; gives the rates.
    fn run(ceiling: f64, seconds: u32, loss_at: impl Fn(f64) -> f64) -> (Vec<f64>, Controller) {
        let mut now = Instant::now();
        let mut controller = Controller::new(ceiling, now);
        let mut rates = Vec::new();
        for _ in 0..seconds * 4 {
            now += TICK;
            let asked = 100;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of questions")]
            let missed = (loss_at(controller.rate()) * 100.0).round() as u64;
            let rate = controller.rate();
            controller.tick(now, TICK, Verdicts { asked, missed }, rate, false);
            rates.push(controller.rate());
        }
        (rates, controller)
    }

    #[test]
    fn a_clean_way_is_used_as_asked() {
        let (rates, controller) = run(200_000.0, 10, |_| 0.0);
        assert!(rates.iter().all(|rate| (*rate - 200_000.0).abs() < 1.0));
        assert_eq!(controller.limiting(), Limiting::Ceiling);
    }

    #[test]
    fn a_policer_is_found_at_once_and_kept_to() {
        let policer = |rate: f64| (1.0 - 20_000.0 / rate).max(0.0);
        let (rates, controller) = run(200_000.0, 30, policer);
        assert!(rates[3] < 25_000.0, "{rates:?}");
        let carried: f64 =
            rates.iter().skip(8).map(|rate| rate.min(20_000.0)).sum::<f64>() / count(rates.len() as u64 - 8);
        assert!(carried > 17_000.0, "{carried}: {rates:?}");
        assert!(rates.iter().skip(8).all(|rate| *rate < 26_000.0), "{rates:?}");
        assert_eq!(controller.limiting(), Limiting::Path);
    }

    #[test]
    fn chance_does_not_slow_it_down() {
        for loss in [0.02, 0.05, 0.1, 0.3] {
            let (rates, controller) = run(50_000.0, 20, |_| loss);
            let slow = rates.iter().filter(|rate| **rate < 49_000.0).count();
            assert!(slow <= 6, "{loss}: {slow} of {}: {rates:?}", rates.len());
            assert_eq!(controller.limiting(), Limiting::Ceiling);
        }
    }

    #[test]
    fn a_policer_beside_chance_is_told_from_it() {
        let both = |rate: f64| 1.0 - (20_000.0 / rate).min(1.0) * 0.97;
        let (rates, _) = run(100_000.0, 40, both);
        let late = rates.iter().skip(40);
        assert!(late.clone().all(|rate| *rate < 27_000.0 && *rate > 12_000.0), "{rates:?}");
    }

    #[test]
    fn it_comes_back_when_the_way_is_free_again() {
        let mut now = Instant::now();
        let mut controller = Controller::new(10_000.0, now);
        for _ in 0..20 {
            now += TICK;
            let missed = if controller.rate() > 1_000.0 { 90 } else { 0 };
            controller.tick(now, TICK, Verdicts { asked: 100, missed }, controller.rate(), false);
        }
        assert!(controller.rate() < 1_200.0, "{}", controller.rate());
        for _ in 0..4 * 60 {
            now += TICK;
            controller.tick(now, TICK, Verdicts { asked: 100, missed: 0 }, controller.rate(), false);
        }
        assert!((controller.rate() - 10_000.0).abs() < 1.0, "{}", controller.rate());
        assert_eq!(controller.limiting(), Limiting::Ceiling);
    }

    #[test]
    fn losing_packets_here_halves_it() {
        let mut now = Instant::now();
        let mut controller = Controller::new(10_000.0, now);
        for expect in [4_000.0, 2_000.0, 1_000.0] {
            now += TICK;
            controller.tick(now, TICK, Verdicts::default(), controller.rate().min(8_000.0), true);
            assert!((controller.rate() - expect).abs() < 1.0, "{}", controller.rate());
            assert_eq!(controller.limiting(), Limiting::Link);
        }
        for _ in 0..1_000 {
            now += TICK;
            controller.tick(now, TICK, Verdicts::default(), controller.rate(), true);
        }
        assert!(controller.rate() >= LEAST);
    }

    #[test]
    fn bounds_hold_what_they_promise() {
        assert_eq!(Verdicts::default().bounds(), (0.0, 1.0));
        let (low, high) = Verdicts { asked: 100, missed: 10 }.bounds();
        assert!((low - 0.0552).abs() < 1e-3 && (high - 0.1744).abs() < 1e-3, "{low} {high}");
        let (low, high) = Verdicts { asked: 1_000, missed: 0 }.bounds();
        assert!(low.abs() < 1e-9 && high < 0.004, "{low} {high}");
    }
}
