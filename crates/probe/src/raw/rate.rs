//! How fast the network lets us: a ceiling of our own below the operator's, found by losing as little as possible.
//!
//! Loss that comes with speed (a policer, a full queue, a slow router) goes away when the rate is lowered; loss by chance does
//! not. So the controller lowers the rate when canaries go missing, looks again, and takes the rate back up where that did not
//! help: what is lost then is lost at any speed, and slowness would be for nothing.

use super::lasting::Long;
use std::time::Duration;
use tokio::time::Instant;

/// What holds the rate down now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limiting {
    /// Only what the operator allows in all.
    #[default]
    Ceiling,
    /// Deadlines ask for no more.
    Deadline,
    /// What the operator allows for each host that is left.
    Host,
    /// What that comes to for each of their networks ([`model::HOSTS_OF_A_PREFIX`]).
    Prefix,
    /// Packets are lost on the way when more of them are sent.
    Path,
    /// This machine loses packets, or its link does not take more of them.
    Link,
}

impl Limiting {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Deadline => "deadline",
            Self::Host => "host",
            Self::Prefix => "prefix",
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

    /// Between what the true loss lies with 95 % confidence.
    pub(crate) fn bounds(self) -> (f64, f64) {
        model::Loss { asked: self.asked, missed: self.missed }.bounds().unwrap_or((0.0, 1.0))
    }
}

/// Packets a second, and why not more.
#[derive(Debug, Clone)]
pub(crate) struct Controller {
    ceiling: f64,
    rate: f64,
    limiting: Limiting,
    /// Verdicts about questions sent since the rate last changed, the last ones above all.
    seen: Verdicts,
    /// And many more of them.
    long: Long,
    /// Verdicts about questions sent while no speed was to blame: what of them is lost is lost of everything. And those of which that
    /// is not known yet.
    settled: Verdicts,
    pending: Verdicts,
    /// When the rate last changed: what was sent before says nothing of it.
    changed: Instant,
    /// What was sent before then was seen to get through, but for what is lost by chance; the last times that was so, ascending. One
    /// look at some tens of canaries may have missed what began to be lost: the first of them counts.
    clean: [Instant; LOOKS],
    /// What is lost at any speed.
    by_chance: f64,
    trial: Option<Trial>,
    /// A rate at which too much was lost.
    too_fast: Option<f64>,
    /// Not raised before then.
    hold: Instant,
    /// For how long the next limit that is found exactly is kept to.
    patience: Duration,
}

/// The rate was lowered to see whether that helps.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// Before it was lowered, and what of it was lost.
    rate: f64,
    loss: f64,
    /// Since when it may have been lost.
    since: Instant,
    /// What had been settled by then, where what was settled later has to be taken back.
    settled: Option<Verdicts>,
}

impl Trial {
    /// Whether so many verdicts show whether it helped: the less was lost the more are wanted, unless it is clear before.
    fn is_decided_by(&self, seen: Verdicts) -> bool {
        let (least, most) = seen.bounds();
        seen.asked >= ENOUGH
            && (count(seen.asked.min(MOST_TRIED)) >= (MISSES_TO_TELL / self.loss).min(count(MOST_TRIED))
                || most < self.loss / 2.0
                || least > self.loss)
    }
}

/// What a trial has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The slower the less is lost: speed is to blame.
    Speed,
    /// As much as before is lost: chance is to blame.
    Chance,
    /// More than before is lost: before, it was not seen yet how much.
    Nothing,
}

/// What is lost at the rate this side, and at `fraction` of it: where speed is to blame as many packets get through as before, where
/// chance is as large a part of them.
fn shown(before: f64, after: Verdicts, fraction: f64) -> Shown {
    let (through_before, through_after) = (1.0 - before, 1.0 - after.loss().unwrap_or(0.0));
    let by_speed = (through_before / fraction).min(1.0);
    if through_after >= (through_before * by_speed).sqrt() {
        return Shown::Speed;
    }
    let (_, most) = after.bounds();
    if 1.0 - most < through_before * CLEARLY_LESS && through_after < through_before * LESS {
        Shown::Nothing
    } else {
        Shown::Chance
    }
}

/// A time in which more was lost on the way than chance explains, because more was sent than the way carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overload {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// Below this no rate is lowered: a question every now and then must always be possible.
const LEAST: f64 = 20.0;
/// Loss that is worth a trial; and where it lasts. What is lost of canaries all along is lost of everything else too, and has all of it
/// asked twice: it costs more than going a little slower.
const NOTABLE: f64 = 0.01;
const LASTING: f64 = 0.003;
const LOOKS: usize = 3;
/// Verdicts that settle something.
const ENOUGH: u64 = 40;
/// Verdicts after which earlier ones count for half.
const MANY: u64 = 4 * ENOUGH;
/// So many misses were to be expected where slowness does not help; and verdicts that are waited for at most.
const MISSES_TO_TELL: f64 = 12.0;
const MOST_TRIED: u64 = 1_024;
/// A part of the packets that got through before is less by so much: more than another look at the same would show.
const LESS: f64 = 0.8;
const CLEARLY_LESS: f64 = 0.9;
/// What is usual varies by so much.
const MORE: f64 = 1.25;
/// A limit found where no more than this was lost is exact.
const EXACT: f64 = 0.3;
/// Where more than this was lost nothing is carried at all: the way is gone, and no speed is to blame.
const ALL: f64 = 0.98;
/// What is sent of what the way carries: how much that is is only known to some hundredths.
const BELOW: f64 = 0.93;
/// The rate grows by this part a second while nothing is lost, and far from where it was too fast by the other.
const GROWTH: f64 = 0.08;
const CATCHING_UP: f64 = 0.5;
const FAR: f64 = 0.75;
/// After a limit was found, it is kept to for so long; one that was found exactly longer, and each time it is found again twice as
/// long: each try costs what is lost meanwhile.
const HOLD: Duration = Duration::from_secs(1);
const HOLD_EXACT: Duration = Duration::from_secs(15);
const HOLD_LONGEST: Duration = Duration::from_mins(1);
/// What was lost here is seen a little later: so soon after the rate was lowered it tells of the time before.
const AFTERWARDS: Duration = Duration::from_millis(400);

impl Controller {
    /// Starts at the ceiling: it is what the operator asked for.
    pub(crate) fn new(ceiling: f64, now: Instant) -> Self {
        Self {
            ceiling,
            rate: ceiling,
            limiting: Limiting::Ceiling,
            seen: Verdicts::default(),
            long: Long::new(now, Verdicts::default()),
            settled: Verdicts::default(),
            pending: Verdicts::default(),
            changed: now,
            clean: [now; LOOKS],
            by_chance: 0.0,
            trial: None,
            too_fast: None,
            hold: now,
            patience: HOLD_EXACT,
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

    /// What became of canaries while no speed was to blame for what was lost.
    pub(crate) fn settled(&self) -> Verdicts {
        self.settled
    }

    /// The time in which more may have been sent than the way carries, while that is being found out.
    pub(crate) fn doubted(&self) -> Option<Overload> {
        self.trial.map(|trial| Overload { from: trial.since, to: self.changed })
    }

    /// Another ceiling. A limit that was found stays.
    pub(crate) fn set_ceiling(&mut self, ceiling: f64, now: Instant) {
        if self.limiting == Limiting::Ceiling && self.rate.to_bits() != ceiling.to_bits() {
            self.rate = ceiling;
            self.restart(now);
        }
        self.ceiling = ceiling;
        self.rate = self.rate.min(ceiling);
    }

    /// Takes in what became of canaries, of which all were sent since the last change and those before `judged` have had their time
    /// to answer; at the rate that packets really left with; and whether this machine itself lost some; once every `elapsed`. Gives
    /// the time in which more was sent than the way carries, once that is known.
    pub(crate) fn tick(&mut self, now: Instant, judged: Instant, elapsed: Duration, sight: Sight) -> Option<Overload> {
        let Sight { verdicts, sent_at, lost_here } = sight;
        if lost_here && now >= self.changed + AFTERWARDS {
            self.trial = None;
            let rate = self.rate.min(sent_at.max(LEAST));
            self.too_fast = Some(rate);
            self.lower_to(rate * 0.5, Limiting::Link, now);
            return None;
        }
        self.seen.add(verdicts);
        self.pending.add(verdicts);
        if let Some(trial) = self.trial {
            if !trial.is_decided_by(self.seen) {
                return None;
            }
            self.trial = None;
            return self.judge(trial, now, judged, sent_at);
        }
        self.long.add(verdicts, judged, self.settled);
        if self.seen.asked < ENOUGH {
            self.grow(now, elapsed);
            return None;
        }
        if self.is_notable() {
            self.try_slower(now, sent_at, self.clean[0]);
            return None;
        }
        let long = self.long.seen();
        if long.bounds().0 > self.by_chance.max(LASTING) * 1.2 {
            let first = self.long.first();
            let loss = long.loss().unwrap_or(0.0);
            self.try_slower_than(sent_at, loss, first.at, Some(first.settled), now);
            return None;
        }
        self.by_chance = self.by_chance.min(self.seen.bounds().1);
        // More than usual may be the first of many.
        let usual = self.seen.loss().unwrap_or(0.0) * MORE;
        if count(verdicts.missed) <= usual.max(self.by_chance).max(NOTABLE) * count(verdicts.asked) {
            self.settle();
            self.clean.rotate_left(1);
            self.clean[LOOKS - 1] = judged.max(self.clean[0]);
        }
        if self.seen.asked >= MANY {
            self.seen = Verdicts { asked: self.seen.asked / 2, missed: self.seen.missed / 2 };
        }
        self.grow(now, elapsed);
        None
    }

    fn is_notable(&self) -> bool {
        self.seen.bounds().0 > self.by_chance.max(NOTABLE) * 1.2
    }

    /// What the lower rate has shown.
    fn judge(&mut self, trial: Trial, now: Instant, judged: Instant, sent_at: f64) -> Option<Overload> {
        let overload = Overload { from: trial.since, to: self.changed };
        match shown(trial.loss, self.seen, (self.rate / trial.rate).min(1.0)) {
            Shown::Chance => {
                self.by_chance = self.seen.bounds().1;
                self.settle();
                self.rate = trial.rate.min(self.ceiling);
                self.limiting = if self.rate < self.ceiling { Limiting::Path } else { Limiting::Ceiling };
                self.restart(now);
                self.clean = [judged; LOOKS];
                None
            }
            Shown::Nothing => {
                self.try_slower(now, sent_at, trial.since);
                None
            }
            Shown::Speed => {
                // An outage says nothing of speed: once it is over, the rate from before it is soon reached again.
                let far = (trial.loss > ALL).then_some(trial.rate.max(self.too_fast.unwrap_or(0.0)));
                self.too_fast = far.or(Some(self.rate / BELOW));
                self.pending = Verdicts::default();
                self.settled = trial.settled.unwrap_or(self.settled);
                if self.is_notable() {
                    // It helped, and not enough.
                    self.try_slower(now, sent_at, self.changed);
                    return Some(overload);
                }
                self.clean = [judged.max(self.changed); LOOKS];
                self.settled.add(self.seen);
                self.seen = Verdicts::default();
                if trial.loss <= EXACT {
                    // It was lowered by more, to see a difference.
                    let carried = trial.rate * (1.0 - trial.loss);
                    self.rate = self.rate.max(carried * BELOW);
                    self.too_fast = Some(carried);
                    self.hold = now + self.patience;
                    self.patience = (self.patience * 2).min(HOLD_LONGEST);
                } else {
                    self.hold = now + HOLD;
                }
                self.long = Long::new(now, self.settled);
                Some(overload)
            }
        }
    }

    /// By what was lost of late.
    fn try_slower(&mut self, now: Instant, sent_at: f64, since: Instant) {
        self.try_slower_than(sent_at, self.seen.loss().unwrap_or(0.0), since, None, now);
    }

    /// To what gets through now, which is what the way carries if speed is to blame.
    fn try_slower_than(&mut self, sent_at: f64, loss: f64, since: Instant, settled: Option<Verdicts>, now: Instant) {
        let carried = self.rate.min(sent_at) * (1.0 - loss) / (1.0 - self.by_chance.min(0.9));
        self.trial = Some(Trial { rate: self.rate, loss, since, settled });
        self.lower_to((carried * BELOW).min(self.rate * 0.9), Limiting::Path, now);
    }

    fn settle(&mut self) {
        self.settled.add(std::mem::take(&mut self.pending));
    }

    fn grow(&mut self, now: Instant, elapsed: Duration) {
        if self.trial.is_some() || now < self.hold || self.rate >= self.ceiling {
            return;
        }
        let is_far = self.too_fast.is_some_and(|too_fast| self.rate < too_fast * FAR);
        let growth = if is_far { CATCHING_UP } else { GROWTH };
        self.rate = (self.rate * (1.0 + growth * elapsed.as_secs_f64())).min(self.ceiling);
        if self.too_fast.is_some_and(|too_fast| self.rate > too_fast * 1.5) {
            // The way carries more than it did.
            (self.too_fast, self.patience) = (None, HOLD_EXACT);
        }
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
        self.long = Long::new(now, self.settled);
    }
}

/// What was seen since the last tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    pub(crate) verdicts: Verdicts,
    /// Packets a second that really left.
    pub(crate) sent_at: f64,
    pub(crate) lost_here: bool,
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(250);

    fn at(rate: f64, loss: f64) -> Sight {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of questions")]
        let missed = (loss * 100.0).round() as u64;
        Sight { verdicts: Verdicts { asked: 100, missed }, sent_at: rate, lost_here: false }
    }

    /// A network and a controller, tick after tick; gives the rates and the times of overload.
    fn run(ceiling: f64, seconds: u32, loss_at: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<Overload>, Controller) {
        let mut now = Instant::now();
        let mut controller = Controller::new(ceiling, now);
        let (mut rates, mut overloads) = (Vec::new(), Vec::new());
        for _ in 0..seconds * 4 {
            now += TICK;
            let rate = controller.rate();
            overloads.extend(controller.tick(now, now - TICK / 2, TICK, at(rate, loss_at(rate))));
            rates.push(controller.rate());
        }
        (rates, overloads, controller)
    }

    fn policer(rate: f64) -> f64 {
        (1.0 - 20_000.0 / rate).max(0.0)
    }

    #[test]
    fn a_clean_way_is_used_as_asked() {
        let (rates, overloads, controller) = run(200_000.0, 10, |_| 0.0);
        assert!(rates.iter().all(|rate| (*rate - 200_000.0).abs() < 1.0));
        assert_eq!(controller.limiting(), Limiting::Ceiling);
        assert_eq!(overloads, []);
        assert_eq!(controller.settled(), Verdicts { asked: 4_000, missed: 0 });
    }

    #[test]
    fn a_policer_is_found_at_once_and_kept_to() {
        let (rates, overloads, controller) = run(200_000.0, 30, policer);
        assert!(rates[3] < 25_000.0, "{rates:?}");
        let carried: f64 =
            rates.iter().skip(8).map(|rate| rate.min(20_000.0)).sum::<f64>() / count(rates.len() as u64 - 8);
        assert!(carried > 18_000.0, "{carried}: {rates:?}");
        assert!(rates.iter().skip(8).all(|rate| *rate < 22_500.0), "{rates:?}");
        assert_eq!(controller.limiting(), Limiting::Path);
        // What was asked too fast is known, and little of the rest was lost.
        let lost: Duration = overloads.iter().map(|overload| overload.to - overload.from).sum();
        assert!(!overloads.is_empty() && lost < Duration::from_secs(5), "{overloads:?}");
        assert!(controller.settled().loss().is_some_and(|loss| loss < 0.01), "{:?}", controller.settled());
    }

    #[test]
    fn a_limit_that_was_not_seen_whole_at_first_is_found_all_the_same() {
        let mut now = Instant::now();
        let mut controller = Controller::new(200_000.0, now);
        // While the way still has room for a moment, hardly anything is missed.
        for (tick, loss) in [0.19, 0.75].into_iter().chain(std::iter::repeat_n(f64::NAN, 30)).enumerate() {
            now += TICK;
            let loss = if loss.is_nan() { policer(controller.rate()) } else { loss };
            controller.tick(now, now - TICK / 2, TICK, at(controller.rate(), loss));
            assert!(tick < 6 || controller.rate() < 23_000.0, "{tick}: {}", controller.rate());
        }
        assert_eq!(controller.limiting(), Limiting::Path);
    }

    /// A little above what the way carries little is lost, and all has to be asked twice for it.
    #[test]
    fn what_is_lost_a_little_all_along_is_found_and_taken_back() {
        let mut now = Instant::now();
        let mut controller = Controller::new(20_300.0, now);
        let mut overloads = Vec::new();
        let (mut asked, mut missed) = (0.0, 0.0);
        for _ in 0..4 * 60 {
            now += TICK;
            let rate = controller.rate();
            // Verdicts as they come at some tens a tick: whole misses, now and then.
            asked += 70.0;
            let due = (asked * policer(rate)).floor();
            let here = f64::max(due - missed, 0.0).min(4.0);
            (asked, missed) = if policer(rate) > 0.0 { (asked, missed + here) } else { (0.0, 0.0) };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of questions")]
            let verdicts = Verdicts { asked: 70, missed: if policer(rate) > 0.0 { here as u64 } else { 0 } };
            let sight = Sight { verdicts, sent_at: rate, lost_here: false };
            overloads.extend(controller.tick(now, now - TICK / 2, TICK, sight));
        }
        assert!(!overloads.is_empty(), "{}", controller.rate());
        assert!(controller.settled().loss().is_some_and(|loss| loss < 0.002), "{:?}", controller.settled());
    }

    #[test]
    fn chance_does_not_slow_it_down() {
        for loss in [0.02, 0.05, 0.1, 0.3] {
            let (rates, overloads, controller) = run(50_000.0, 20, |_| loss);
            let slow = rates.iter().filter(|rate| **rate < 49_000.0).count();
            assert!(slow <= 8, "{loss}: {slow} of {}: {rates:?}", rates.len());
            assert_eq!(controller.limiting(), Limiting::Ceiling);
            assert_eq!(overloads, [], "{loss}");
            assert!(controller.settled().loss().is_some_and(|seen| (seen - loss).abs() < 0.02));
        }
    }

    #[test]
    fn a_policer_beside_chance_is_told_from_it() {
        let both = |rate: f64| 1.0 - (20_000.0 / rate).min(1.0) * 0.97;
        let (rates, _, _) = run(100_000.0, 40, both);
        let late = rates.iter().skip(40);
        assert!(late.clone().all(|rate| *rate < 27_000.0 && *rate > 12_000.0), "{rates:?}");
    }

    #[test]
    fn it_comes_back_when_the_way_is_free_again() {
        let mut now = Instant::now();
        let mut controller = Controller::new(10_000.0, now);
        let mut run = |controller: &mut Controller, ticks: u32, loss_at: &dyn Fn(f64) -> f64| {
            for _ in 0..ticks {
                now += TICK;
                controller.tick(now, now - TICK / 2, TICK, at(controller.rate(), loss_at(controller.rate())));
            }
        };
        run(&mut controller, 20, &|rate| if rate > 1_000.0 { 0.9 } else { 0.0 });
        assert!(controller.rate() < 1_200.0, "{}", controller.rate());
        run(&mut controller, 4 * 90, &|_| 0.0);
        assert!((controller.rate() - 10_000.0).abs() < 1.0, "{}", controller.rate());
        assert_eq!(controller.limiting(), Limiting::Ceiling);
    }

    #[test]
    fn after_an_outage_it_is_soon_as_fast_as_before() {
        let mut now = Instant::now();
        let mut controller = Controller::new(10_000.0, now);
        let mut run = |controller: &mut Controller, ticks: u32, loss: f64| {
            for _ in 0..ticks {
                now += TICK;
                controller.tick(now, now - TICK / 2, TICK, at(controller.rate(), loss));
            }
        };
        run(&mut controller, 40, 1.0);
        assert!(controller.rate() <= LEAST, "nothing is poured into the void: {}", controller.rate());
        run(&mut controller, 4 * 20, 0.0);
        assert!((controller.rate() - 10_000.0).abs() < 1.0, "{}", controller.rate());
        assert_eq!(controller.limiting(), Limiting::Ceiling);
    }

    #[test]
    fn losing_packets_here_halves_it_and_what_comes_of_that_is_awaited() {
        let mut now = Instant::now();
        let mut controller = Controller::new(10_000.0, now);
        let lost = |rate: f64| Sight { verdicts: Verdicts::default(), sent_at: rate, lost_here: true };
        for expect in [10_000.0, 4_000.0, 4_000.0, 2_000.0, 2_000.0, 1_000.0] {
            now += TICK;
            controller.tick(now, now, TICK, lost(controller.rate().min(8_000.0)));
            assert!((controller.rate() - expect).abs() < 1.0, "{} for {expect}", controller.rate());
        }
        assert_eq!(controller.limiting(), Limiting::Link);
        for _ in 0..1_000 {
            now += TICK;
            controller.tick(now, now, TICK, lost(controller.rate()));
        }
        assert!(controller.rate() >= LEAST);
    }
}
