//! The lanes of the configured profiles: when each runs next, what it asks, and how its last passes went.

use crate::{
    PassRecord,
    course::{self, Course},
    ground::Ground,
    schedule,
};
use config::{Config, Profile};
use jiff::Timestamp;
use model::{Coverage, Lane, LaneStatus, PassId, PortSet, Windows};
use scope::ledger::Why;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One lane of one profile.
#[derive(Debug)]
pub(crate) struct LaneState {
    pub(crate) profile: Arc<str>,
    pub(crate) lane: Lane,
    pub(crate) period: Duration,
    pub(crate) tcp: Arc<PortSet>,
    pub(crate) udp: Arc<PortSet>,
    pub(crate) identify: Duration,
    /// When it may ask; none is always.
    windows: Option<Windows>,
    /// Of a period, the time in which it may ask.
    pub(crate) open: Duration,
    /// For how long the pass that is owed has been due, of the time in which it could have been under way: over restarts.
    worked: Duration,
    /// Up to when that was counted.
    counted: Instant,
    /// The pass under way, as last reported.
    pub(crate) running: Option<Running>,
    /// The last pass that began, finished or not.
    last: Option<PassRecord>,
    /// The last one that finished.
    pub(crate) finished: Option<PassRecord>,
    /// Asked for by an operator: due whatever the clock says.
    pub(crate) wanted: bool,
    /// For the first answer about a host name.
    pub(crate) waits: bool,
}

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) record: PassRecord,
    pub(crate) cancel: CancellationToken,
    /// Its window closes then.
    pub(crate) closes: Option<Timestamp>,
    pub(crate) why: Why,
}

/// The lanes a configuration asks for, with what the ledger remembers of them.
pub(crate) fn lanes(config: &Config, ledger: &[PassRecord]) -> Vec<LaneState> {
    let mut lanes = Vec::new();
    for (name, profile) in config.profiles.iter().filter(|(_, profile)| profile.active) {
        for lane in Lane::PERIODIC {
            let Some((period, tcp, udp)) = work(profile, lane) else { continue };
            let remembered = ledger.iter().filter(|record| record.profile == *name && record.lane == lane);
            lanes.push(LaneState {
                profile: name.clone(),
                lane,
                period,
                tcp: Arc::new(tcp),
                udp: Arc::new(udp),
                identify: profile.scan.identify,
                windows: profile.scan.windows.clone(),
                open: profile.scan.open_in(period),
                worked: Duration::ZERO,
                counted: Instant::now(),
                running: None,
                last: remembered.clone().max_by_key(|record| record.started).cloned(),
                finished: remembered.filter(|record| record.complete).max_by_key(|record| record.started).cloned(),
                wanted: false,
                waits: false,
            });
        }
    }
    lanes
}

/// Lets the lanes of a new configuration go on where those of the old one are: a reload brings no lane round, and takes back
/// nothing that was asked for. Reloads that come often would hide for ever that a lane is late.
pub(crate) fn succeed(lanes: &mut [LaneState], old: &[LaneState]) {
    for lane in lanes {
        if let Some(old) = old.iter().find(|old| old.lane == lane.lane && old.profile == lane.profile) {
            lane.succeed(old);
        }
    }
}

/// A lane's period and ports; none where the profile has it switched off or gives it nothing to ask.
fn work(profile: &Profile, lane: Lane) -> Option<(Duration, PortSet, PortSet)> {
    let scan = &profile.scan;
    let (period, tcp, udp) = match lane {
        Lane::Hot => (scan.hot?, scan.hot_ports.clone(), PortSet::empty()),
        Lane::Known => (scan.known?, PortSet::empty(), PortSet::empty()),
        Lane::Likely => (scan.likely?, scan.tcp.clone(), scan.udp.clone()),
        Lane::Full => (scan.full?, PortSet::all(), PortSet::empty()),
        Lane::Confirm => return None,
    };
    (lane == Lane::Known || !(tcp.is_empty() && udp.is_empty())).then_some((period, tcp, udp))
}

impl LaneState {
    /// When its next pass should begin. None while one is under way, and while it waits.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.running.is_some() || self.waits {
            return None;
        }
        if self.wanted || self.last.as_ref().is_some_and(|last| !last.complete) {
            return Some(self.opens(now));
        }
        Some(schedule::due(self.last.as_ref().map(|last| last.started), self.period, self.windows.as_ref(), now))
    }

    /// When it may ask next: now, where it may.
    pub(crate) fn opens(&self, now: Timestamp) -> Timestamp {
        self.windows.as_ref().map_or(now, |windows| windows.opens(now))
    }

    /// When a pass that begins now has to stop, as nothing is asked outside of its window.
    pub(crate) fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        self.windows.as_ref().and_then(|windows| windows.closes(now))
    }

    /// The ledger row of the pass to begin now: one that an earlier run left unfinished goes on where it was, if it was to
    /// ask the same.
    pub(crate) fn begin(&mut self, ground: &Ground, seed: u64, id: PassId, now: Timestamp) -> PassRecord {
        let (fingerprint, manner) = (self.fingerprint(ground), self.manner(ground));
        let alike = self.last.take().filter(|last| last.fingerprint == fingerprint && last.manner == manner);
        // The same order as last time: every endpoint is asked one period after it was, not up to two.
        let seed = alike.as_ref().map_or(seed, |last| last.seed);
        let unfinished =
            alike.filter(|last| !last.complete && last.groups_done < last.groups && self.lane != Lane::Known);
        // Where the rest of one is asked only the rest is as new as somebody may want all of it.
        self.wanted &= unfinished.is_some();
        unfinished.unwrap_or_else(|| PassRecord {
            id,
            profile: self.profile.clone(),
            lane: self.lane,
            started: now,
            finished: None,
            seed,
            groups_done: 0,
            groups: Course::new(ground, self.lane, &self.ports(), seed, self.open).steps(),
            fingerprint,
            manner,
            complete: false,
            probes: 0,
            attempts: 0,
            covered: 0,
            local_errors: 0,
            loss_asked: 0,
            loss_missed: 0,
            silent: Vec::new(),
            replayed: 0,
            credit: None,
            lost_here: 0,
        })
    }

    /// Takes the pass's last word.
    pub(crate) fn end(&mut self, record: PassRecord) {
        self.running = None;
        if record.complete {
            self.finished = Some(record.clone());
            (self.worked, self.counted) = (Duration::ZERO, Instant::now());
        }
        self.last = Some(record);
    }

    /// The pass under way was ended by force: it counts as unfinished.
    pub(crate) fn abandon(&mut self) {
        if let Some(running) = self.running.take() {
            self.last = Some(running.record);
        }
    }

    pub(crate) fn last(&self) -> Option<&PassRecord> {
        self.last.as_ref()
    }

    /// Whether everything it asks now has been asked once to the end. A lane that visits no address has nothing to learn.
    pub(crate) fn is_learnt(&self, ground: &Ground) -> bool {
        !schedule::sweeps(self.lane)
            || self.finished.as_ref().is_some_and(|record| record.fingerprint == self.fingerprint(ground))
    }

    /// Counts the time since it was counted last, where a pass was due and could have been under way. By the clock that nobody sets: a
    /// machine that slept is not late.
    pub(crate) fn count(&mut self, is_at_work: bool, now: Timestamp) {
        let passed = self.counted.elapsed();
        self.counted = Instant::now();
        let is_owed = self.running.is_some() || self.waits || self.due(now).is_some_and(|due| due <= now);
        if is_at_work && is_owed && self.opens(now) <= now {
            self.worked += passed;
        }
    }

    /// For how long the pass that is owed has been due.
    pub(crate) fn worked(&self) -> Duration {
        self.worked
    }

    /// Asked for by an operator: what is under way at leisure goes on in haste, and then all of it comes round.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
        if let Some(running) = self.running.as_ref().filter(|running| running.why != Why::ScanNow) {
            running.cancel.cancel();
        }
    }

    /// As the last run left it.
    pub(crate) fn restore_worked(&mut self, worked: Duration) {
        self.worked = worked;
    }

    /// When its last complete pass ended.
    pub(crate) fn completed(&self) -> Option<Timestamp> {
        self.finished.as_ref().and_then(|record| record.finished)
    }

    fn succeed(&mut self, old: &Self) {
        self.wanted = old.wanted;
        // Where it is to come round more often than before, it has the time for that from now on.
        if old.period <= self.period {
            (self.worked, self.counted) = (old.worked, old.counted);
        }
    }

    /// How long the pass that begins now may take.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub(crate) fn budget(&self, record: &PassRecord, now: Timestamp) -> Duration {
        let left = 1.0 - record.groups_done as f64 / record.groups.max(1) as f64;
        let left = if self.lane == Lane::Known { 1.0 } else { left };
        schedule::budget(record.started, left, self.period, self.windows.as_ref(), now)
    }

    fn ports(&self) -> Coverage {
        Coverage { tcp: self.tcp.clone(), udp: self.udp.clone() }
    }

    fn fingerprint(&self, ground: &Ground) -> u64 {
        let mut hasher = DefaultHasher::new();
        (ground.extent(), &self.tcp, &self.udp).hash(&mut hasher);
        hasher.finish()
    }

    /// A pass left unfinished in another order cannot go on in this one.
    fn manner(&self, ground: &Ground) -> u64 {
        let mut hasher = DefaultHasher::new();
        course::manner(self.lane, &self.ports(), &ground.swept, self.open).hash(&mut hasher);
        hasher.finish()
    }

    #[expect(clippy::cast_precision_loss, reason = "shares and seconds for people")]
    pub(crate) fn status(&self, baseline_done: bool, targets: u64, now: Timestamp) -> LaneStatus {
        let shown = self.finished.as_ref();
        let running = self.running.as_ref().map(|running| &running.record);
        let finished_at = shown.and_then(|record| record.finished);
        LaneStatus {
            profile: self.profile.to_string(),
            lane: self.lane,
            period_s: self.period.as_secs_f64(),
            baseline_done,
            running: running.is_some(),
            progress: running
                .filter(|record| record.groups > 0)
                .map_or(0.0, |record| record.groups_done as f64 / record.groups as f64),
            last_started: running.or(shown).map(|record| record.started),
            last_finished: finished_at,
            lag_s: self.worked.saturating_sub(self.open).as_secs_f64(),
            opens: Some(self.opens(now)).filter(|opens| *opens > now),
            coverage: shown.map_or(0.0, |record| {
                if self.lane == Lane::Known || targets == 0 {
                    1.0 - record.local_errors as f64 / record.probes.max(1) as f64
                } else {
                    (record.covered as f64 / targets as f64).min(1.0)
                }
            }),
            probes: shown.map_or(0, |record| record.probes),
            attempts: shown.map_or(0, |record| record.attempts),
            loss: shown.and_then(|record| record.loss().ratio()),
            loss_interval: shown.and_then(|record| record.loss().bounds()),
            p_miss_random_loss: shown.and_then(PassRecord::p_miss),
            replayed: shown.map_or(0, |record| record.replayed),
            local_errors: shown.map_or(0, |record| record.local_errors),
        }
    }
}
