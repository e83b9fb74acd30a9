//! Canaries: endpoints that have always answered. Before silence or refusal is held against anybody, some of them that have
//! nothing to do with it are asked: where none answers, it is the sensor that is deaf.

use crate::account::Accounted;
use model::{ClosedReason, Endpoint, FilteredReason, NotProbed, Outcome};
use scope::ledger::Why;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// Asked in one check.
pub(crate) const AT_ONCE: usize = 3;
/// And so many more where none of the first answered: they may have ended for good.
const SECOND_TRY: usize = 6;
/// An answer within this came to the first SYN. A later one shows that the path works now, not that it worked just before.
const PROMPT: Duration = Duration::from_secs(1);
/// From so many answers on their number of attempts tells how much the line loses.
const LOSS_SHOWS: usize = 8;
/// One answer in so many that came to a repetition only: what does not answer is asked more often.
const LOSSY: usize = 5;
/// And so many: what does not answer proves nothing.
const BAD: usize = 2;
/// Looks in a row that show no such thing and end it.
const CLEAN: u8 = 2;
/// A line that loses much is doubted this long after it was last seen to: two periods of the known lane.
const LOSSY_FOR: Duration = Duration::from_mins(10);
/// Answers after which the fastest of them is taken for what its path needs.
const ACQUAINTED: u32 = 3;

/// The canaries of all assets, shared by everything that asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Canaries(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pool: Mutex<Vec<Canary>>,
    /// One check at a time: those that wait take over what it found.
    asking: tokio::sync::Mutex<()>,
    line: Mutex<Line>,
    named: AtomicBool,
}

/// What the number of attempts that answers took says of the way there.
#[derive(Debug, Default)]
struct Line {
    /// Since when looks show that much is lost, and when one last did.
    lossy: Option<(Instant, Instant)>,
    /// Looks in a row since then that showed the contrary.
    clean: u8,
    /// Since when every look that says anything shows that most is lost, and the last of them.
    bad: Option<(Instant, Instant)>,
    /// Since when the sensor is not well.
    outage: Option<Instant>,
    /// Looks that began before this say nothing: an outage ended then, and what was asked in it answered late.
    void_before: Option<Instant>,
}

/// An endpoint that should answer, and the asset it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) endpoint: Endpoint,
    pub(crate) asset: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
struct Canary {
    place: Place,
    /// When the last question that was answered at once was asked.
    alive: Option<Instant>,
    /// When the last one that was not answered was asked, and what came of it.
    failed: Option<(Instant, Outcome)>,
    fastest_us: Option<u32>,
    answers: u32,
}

/// What a check is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Concern {
    /// Hosts of which several endpoints were asked and nothing was open: none of them is a witness.
    pub(crate) hosts: BTreeSet<IpAddr>,
    /// The endpoints in question.
    pub(crate) endpoints: BTreeSet<Endpoint>,
    /// Their assets: a canary of the same asset says most.
    pub(crate) assets: BTreeSet<Arc<str>>,
    /// What answered in the same look, to be asked again where there is no canary.
    pub(crate) answered: Vec<Endpoint>,
    /// What did not. Where several hosts are each other's only witnesses, they are asked themselves.
    pub(crate) suspects: Vec<Endpoint>,
    /// More that should be open, to be asked before the sensor is called deaf: the canaries may have ended together.
    pub(crate) others: Vec<Endpoint>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// These answered at once, after the moment in question.
    Alive(Vec<Endpoint>),
    /// Something answered, but not at once; or nothing could be asked just now. Proves nothing either way.
    Unsteady,
    Dead(Dead),
    /// There is nobody else to ask.
    Nobody,
}

/// Nobody answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Dead {
    pub(crate) asked: Vec<Endpoint>,
    /// Hosts among them that somebody refuses for, and the words of it.
    pub(crate) refusing: BTreeSet<IpAddr>,
    pub(crate) refusal: Option<&'static str>,
}

impl Concern {
    fn is_about(&self, endpoint: &Endpoint) -> bool {
        self.hosts.contains(&endpoint.ip) || self.endpoints.contains(endpoint)
    }
}

impl Canaries {
    /// Of so many answers of a look that began then so many came to a repetition only.
    pub(crate) fn note_line(&self, answers: usize, late: usize, begun: Instant, now: Instant) {
        let mut line = self.line();
        if answers < LOSS_SHOWS || line.void_before.is_some_and(|end| begun < end) {
            return;
        }
        if late * LOSSY > answers {
            (line.lossy, line.clean) = (Some((line.lossy.map_or(now, |(since, _)| since), now)), 0);
        } else if line.lossy.is_some() {
            line.clean += 1;
            if line.clean >= CLEAN {
                line.lossy = None;
            }
        }
        line.bad = (late * BAD > answers).then(|| (line.bad.map_or(now, |(since, _)| since), now));
    }

    /// Whether the line loses so much that a silence has to be a long one to count.
    pub(crate) fn is_lossy(&self, now: Instant) -> bool {
        self.line().lossy.is_some_and(|(_, last)| now.saturating_duration_since(last) < LOSSY_FOR)
    }

    pub(crate) fn outage_begins(&self, now: Instant) {
        self.line().outage.get_or_insert(now);
    }

    /// A line that lost nothing before an outage is not taken for a lossy one for what came late at its end: whoever was lost
    /// meanwhile would be told of minutes later.
    pub(crate) fn outage_ended(&self, now: Instant) {
        let mut line = self.line();
        let Some(outage) = line.outage.take() else { return };
        if line.lossy.is_some_and(|(since, _)| since >= outage) {
            (line.lossy, line.bad) = (None, None);
        }
        line.void_before = Some(now);
    }

    /// Since when it loses so much that no silence counts.
    pub(crate) fn bad_since(&self, now: Instant) -> Option<Instant> {
        let bad = self.line().bad.filter(|(_, last)| now.saturating_duration_since(*last) < LOSSY_FOR);
        bad.map(|(since, _)| since)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self) -> MutexGuard<'_, Vec<Canary>> {
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the canaries, the soundest first. What is known of those that stay is kept.
    pub(crate) fn set(&self, places: Vec<Place>) {
        let mut pool = self.pool();
        let old = std::mem::take(&mut *pool);
        *pool = places
            .into_iter()
            .map(|place| {
                let known = old.iter().find(|canary| canary.place.endpoint == place.endpoint).cloned();
                match known {
                    Some(known) => Canary { place, ..known },
                    None => Canary { place, alive: None, failed: None, fastest_us: None, answers: 0 },
                }
            })
            .collect();
    }

    pub(crate) fn places(&self) -> Vec<Place> {
        self.pool().iter().map(|canary| canary.place.clone()).collect()
    }

    /// Asks whether anything that has nothing to do with `concern` answers, at `after` or later.
    pub(crate) async fn check(&self, network: &Accounted, after: Instant, concern: &Concern) -> Verdict {
        let _asking = self.0.asking.lock().await;
        let same_asset = |place: &Place| place.asset.as_ref().is_some_and(|asset| concern.assets.contains(asset));
        let alive = self.alive_since(after, concern);
        if alive.iter().any(same_asset) || (!alive.is_empty() && concern.assets.is_empty()) {
            return Verdict::Alive(alive.into_iter().map(|place| place.endpoint).collect());
        }
        let mut places = self.candidates(concern);
        if places.is_empty() {
            let instead = if concern.answered.is_empty() && concern.suspects.len() > 1 {
                &concern.suspects
            } else {
                &concern.answered
            };
            let mut seen = BTreeSet::new();
            let instead = instead.iter().filter(|endpoint| seen.insert(endpoint.ip)).take(AT_ONCE);
            places.extend(instead.map(|&endpoint| Place { endpoint, asset: None }));
        }
        let near = places.iter().filter(|place| same_asset(place)).count();
        let first = if near == 0 { AT_ONCE } else { near.min(AT_ONCE) };
        let rest = places.split_off(first.min(places.len()));
        let mut answers = Answers::default();
        // In the end what answered in the same look: the canaries may be what has ended.
        let placed = |endpoints: &[Endpoint]| -> Vec<Place> {
            endpoints.iter().map(|&endpoint| Place { endpoint, asset: None }).collect()
        };
        let last = placed(&concern.answered);
        for round in [places, rest.into_iter().take(SECOND_TRY).collect(), last] {
            self.ask(network, round, after, &mut answers).await;
            if !answers.alive.is_empty() {
                return Verdict::Alive(answers.alive);
            }
        }
        if !answers.unsteady && !self.named() {
            let others = concern.others.iter().copied().filter(|endpoint| !concern.is_about(endpoint));
            let others: Vec<Endpoint> = others.filter(|endpoint| !answers.dead.asked.contains(endpoint)).collect();
            let failed = answers.dead.asked.clone();
            self.ask(network, placed(&others), after, &mut answers).await;
            if !answers.alive.is_empty() {
                // Others have to be chosen.
                self.pool().retain(|canary| !failed.contains(&canary.place.endpoint));
                return Verdict::Alive(answers.alive);
            }
        }
        answers.verdict()
    }

    /// Whether the operator chose them.
    fn named(&self) -> bool {
        self.0.named.load(Ordering::Relaxed)
    }

    /// From now on they are the operator's choice, or are not: then others may stand in for them.
    pub(crate) fn set_named(&self, named: bool) {
        self.0.named.store(named, Ordering::Relaxed);
    }

    /// Those that have answered a question asked at that time or later.
    fn alive_since(&self, after: Instant, concern: &Concern) -> Vec<Place> {
        let pool = self.pool();
        let alive = pool.iter().filter(|canary| canary.alive.is_some_and(|asked| asked >= after));
        alive.filter(|canary| !concern.is_about(&canary.place.endpoint)).map(|canary| canary.place.clone()).collect()
    }

    /// Those not concerned: of the same assets first, one of each host before the second of any, and those that failed last
    /// time last, the longest ago first.
    fn candidates(&self, concern: &Concern) -> Vec<Place> {
        let pool = self.pool();
        let mut of_a_host: BTreeMap<IpAddr, usize> = BTreeMap::new();
        let mut candidates: Vec<_> = pool
            .iter()
            .filter(|canary| !concern.is_about(&canary.place.endpoint))
            .map(|canary| {
                let nth = of_a_host.entry(canary.place.endpoint.ip).or_default();
                *nth += 1;
                (*nth, canary)
            })
            .collect();
        candidates.sort_by_key(|(nth, canary)| {
            let other = !canary.place.asset.as_ref().is_some_and(|asset| concern.assets.contains(asset));
            (other, *nth, canary.failed.map(|(at, _)| at))
        });
        candidates.into_iter().map(|(_, canary)| canary.place.clone()).collect()
    }

    /// Asks all of them at once, from fresh source ports, until one has answered at once. What others found after that moment
    /// is not asked again.
    async fn ask(&self, network: &Accounted, places: Vec<Place>, after: Instant, answers: &mut Answers) {
        let mut questions = JoinSet::new();
        for Place { endpoint, .. } in places {
            let failed = self.pool().iter().find(|canary| canary.place.endpoint == endpoint).and_then(|c| c.failed);
            if let Some((_, outcome)) = failed.filter(|&(asked, _)| asked >= after) {
                answers.note(endpoint, outcome, false);
                continue;
            }
            let network = network.because(Why::Canary);
            questions.spawn(async move {
                let asked = Instant::now();
                (endpoint, asked, network.ask(vec![endpoint], Duration::ZERO).await)
            });
        }
        // Dropping what is still under way ends it.
        while let Some(done) = questions.join_next().await {
            let (endpoint, asked, found) = match done {
                Ok(done) => done,
                Err(error) => {
                    tracing::error!(%error, "a question to a canary ended in a bug");
                    continue;
                }
            };
            for found in found {
                let seen = found.observation;
                let prompt = self.note(endpoint, asked, seen.outcome, seen.attempts, seen.rtt_us);
                answers.note(endpoint, seen.outcome, prompt);
            }
            if !answers.alive.is_empty() {
                return;
            }
        }
    }

    /// Remembers what a canary said; tells whether it answered at once.
    fn note(&self, endpoint: Endpoint, asked: Instant, outcome: Outcome, attempts: u8, rtt_us: Option<u32>) -> bool {
        let mut pool = self.pool();
        let known = pool.iter_mut().find(|canary| canary.place.endpoint == endpoint);
        let fast = |rtt: u32| u128::from(rtt) < PROMPT.as_micros();
        let Some(canary) = known else { return outcome.is_open() && attempts <= 1 && rtt_us.is_none_or(fast) };
        if !outcome.is_open() {
            if outcome.is_evidence() {
                canary.failed = Some((asked, outcome));
            }
            return false;
        }
        let usual = canary.fastest_us.filter(|_| canary.answers >= ACQUAINTED);
        let slow_path = |rtt: u32| usual.is_some_and(|usual| rtt <= usual.saturating_mul(2));
        let prompt = attempts <= 1 && rtt_us.is_none_or(|rtt| fast(rtt) || slow_path(rtt));
        if let Some(rtt) = rtt_us {
            canary.fastest_us = Some(canary.fastest_us.map_or(rtt, |known| known.min(rtt)));
        }
        canary.answers = canary.answers.saturating_add(1);
        canary.failed = None;
        if prompt {
            canary.alive = Some(asked);
        }
        prompt
    }
}

/// What came of a check so far.
#[derive(Debug, Default)]
struct Answers {
    alive: Vec<Endpoint>,
    unsteady: bool,
    dead: Dead,
}

impl Answers {
    fn note(&mut self, endpoint: Endpoint, outcome: Outcome, prompt: bool) {
        match outcome {
            Outcome::Open(_) if prompt => self.alive.push(endpoint),
            Outcome::NotProbed(NotProbed::OutOfScope) => {}
            Outcome::Open(_) | Outcome::NotProbed(_) | Outcome::LocalError(_) => self.unsteady = true,
            outcome => {
                self.dead.asked.push(endpoint);
                if is_refusal(outcome) {
                    self.dead.refusing.insert(endpoint.ip);
                    self.dead.refusal = Some(outcome.as_str());
                }
            }
        }
    }

    fn verdict(self) -> Verdict {
        match self {
            Self { unsteady: true, .. } => Verdict::Unsteady,
            Self { dead, .. } if dead.asked.is_empty() => Verdict::Nobody,
            Self { dead, .. } => Verdict::Dead(dead),
        }
    }
}

/// Somebody says no. Routers say that a host or a network cannot be reached where a line is cut, so that is silence here.
pub(crate) fn is_refusal(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Closed(ClosedReason::Rst | ClosedReason::Refused | ClosedReason::PortUnreachable)
            | Outcome::Filtered(FilteredReason::Prohibited | FilteredReason::Other)
    )
}
