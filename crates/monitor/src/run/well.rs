//! The loop looks after itself: its clocks, its links, its canaries, and what of that is to be told.

use super::Monitor;
use crate::{
    Batch, Journal, MonitorError,
    canary::Verdict,
    health::{Now, Turn},
};
use model::{Endpoint, EventType, Lane};
use probe::Compared;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

impl<J: Journal> Monitor<J> {
    pub(super) fn moment(&self) -> Now {
        Now { wall: self.clock.now(), instant: Instant::now() }
    }

    /// Compares the clocks, asks this machine how its links are, and sees to it that there are canaries.
    pub(super) fn look_after_itself(&mut self, batch: &mut Batch) {
        let now = self.moment();
        self.mind_the_clocks(now, batch);
        let around = self.tools.network.surroundings();
        self.health.links(&around.faults, now);
        if self.health.is_confined() {
            self.health.keep_to(&self.watched(now.wall));
        }
        let (first, second) = self.tools.network.sources();
        self.health.note_sources(first, second);
        self.health.judge_line(self.tools.canaries.bad_since(now.instant), now);
        let (present, scope) = (self.tools.canaries.places(), self.scope.load());
        if present.is_empty() || !self.health.keeps_canaries() {
            let chosen = {
                let inventory = self.decider.inventory();
                self.choice.turn(&present, &self.config, &scope, &inventory, (now.wall, now.instant))
            };
            if let Some(chosen) = chosen {
                tracing::debug!(canaries = chosen.len(), "canaries chosen");
                self.tools.canaries.set(chosen);
            }
            self.tools.canaries.set_named(self.choice.is_named(&self.config));
        }
        self.tell_health(now, batch);
    }

    /// A machine that slept, or whose clock was set, has not looked at anything meanwhile.
    pub(super) fn mind_the_clocks(&mut self, now: Now, batch: &mut Batch) {
        if self.health.clock_jumped(now) {
            tracing::warn!("the clock jumped: what was found silent around this moment does not count");
            self.decider.forget_doubts(now.wall, batch);
            self.decider.untell_expiries(now.wall, batch);
        }
    }

    /// Asks canaries again while nothing else is believed.
    pub(super) fn start_check(&mut self) {
        if self.halted || !self.health.begins_check(Instant::now()) {
            return;
        }
        let (canaries, network) = (self.tools.canaries.clone(), self.tools.network.clone());
        let concern = self.tools.nothing_in_particular();
        self.checking.spawn(async move { canaries.check(&network, Instant::now(), &concern).await });
    }

    /// Asks hosts that refuse or fell silent from a second source too, where there is one.
    pub(super) fn start_comparison(&mut self) {
        if self.halted {
            return;
        }
        let canaries: Vec<Endpoint> = self.tools.canaries.places().into_iter().map(|place| place.endpoint).collect();
        let chosen = self.health.begins_comparison(&canaries, &self.decider.inventory(), Instant::now());
        if chosen.is_empty() {
            return;
        }
        let network = self.tools.network.clone();
        self.comparing.spawn(async move { network.compare_sources(chosen).await });
    }

    pub(super) async fn take_comparison(
        &mut self,
        compared: Vec<Compared>,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        let now = self.moment();
        let before = self.health.banned();
        self.health.compared(&compared, &self.scope.load().space(now.wall), now);
        let banned = self.health.banned();
        if banned != before {
            tracing::warn!(addresses = %banned.len(), "so many addresses are asked from the second source now");
            self.tools.network.ask_from_second(banned);
            self.look_at_once();
        }
        let mut batch = Batch::default();
        self.tell_health(now, &mut batch);
        self.commit(batch, shutdown).await
    }

    /// Tries packets of our own against connections where that is due.
    pub(super) fn start_trial(&mut self) {
        if self.halted {
            return;
        }
        while let Some(due) = self.tools.network.packets_due() {
            let network = self.tools.network.clone();
            self.trying.spawn(async move { network.try_packets(due).await });
        }
    }

    /// What a trial came to is told at once.
    pub(super) async fn take_trial(&mut self, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let mut batch = Batch::default();
        self.tell_health(self.moment(), &mut batch);
        self.commit(batch, shutdown).await
    }

    pub(super) async fn take_check(
        &mut self,
        verdict: Verdict,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        let now = self.moment();
        if let Some(others) = self.health.checked(&verdict, now.instant) {
            tracing::warn!(
                canaries = others.len(),
                "canaries have been dead for a day: what answers instead takes their place"
            );
            self.choice.give_up_named();
            self.tools.canaries.set_named(false);
            self.tools.canaries.set(others);
        }
        let mut batch = Batch::default();
        self.tell_health(now, &mut batch);
        self.commit(batch, shutdown).await
    }

    /// Tells what changed about the sensor, and lets passes know what to hold back.
    pub(super) fn tell_health(&mut self, now: Now, batch: &mut Batch) {
        // As it is at this moment: what answers again may do so because it is asked in another way, and that is to be told first.
        let handicaps = self.tools.network.surroundings().handicaps;
        self.health.handicaps(&handicaps, now);
        self.health.judge_bans(self.decider.inventory().blocked().map(|(ip, _)| ip).collect(), now);
        self.decider.forget_doubts_about(&self.health.take_void(), now.wall, batch);
        if self.health.take_thaw() {
            self.look_at_once();
        }
        while let Some(turn) = self.health.turn(now.instant) {
            if turn.voids_doubts() {
                self.decider.forget_doubts(now.wall, batch);
            }
            let (kind, reason) = match turn {
                Turn::Degraded(sentence) => {
                    self.tools.canaries.outage_begins(now.instant);
                    (EventType::SensorDegraded, sentence)
                }
                Turn::Blocked(sentence) => (EventType::SensorBlocked, sentence),
                Turn::Recovered(why) => {
                    // The truth is caught up with at once.
                    self.look_at_once();
                    self.tools.canaries.outage_ended(now.instant);
                    (EventType::SensorOk, why.to_owned())
                }
                Turn::Released(why) => (EventType::SensorOk, why.to_owned()),
            };
            let fill = |event: &mut model::Event| event.reason = Some(reason);
            self.decider.own_event(kind, "sensor", fill, now.wall, batch);
        }
        batch.notes.extend(self.health.notes());
        let restraint = self.health.restraint(now);
        self.restraint.send_if_modified(|known| {
            let changed = *known != restraint;
            *known = restraint;
            changed
        });
    }

    fn look_at_once(&mut self) {
        for state in self.lanes.iter_mut().filter(|state| state.lane == Lane::Known) {
            state.wanted = true;
        }
    }
}
