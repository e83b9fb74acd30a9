//! Starting what is due: passes, confirmations, resolutions.

use super::{CONFIRMATIONS_AT_ONCE, MOST_WAIT, Monitor};
use crate::{
    Journal, confirm,
    lanes::{LaneState, Running},
    pass::{self, Plan},
    stale,
};
use inventory::ConfirmRequest;
use jiff::Timestamp;
use model::{Endpoint, Lane, PassId};
use scope::{Refusal, ledger::Why};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Who asks for a pass gets it in a tenth of its period, as far as the ceilings allow.
const HASTE: u32 = 10;

impl<J: Journal> Monitor<J> {
    pub(super) fn start_due(&mut self) {
        let now = self.clock.now();
        self.end_closed(now);
        if self.halted {
            return;
        }
        let scope = self.scope.load();
        for index in 0..self.lanes.len() {
            let profile = self.config.profiles.get(&self.lanes[index].profile);
            let assets = profile.map(|profile| profile.assets.as_slice()).unwrap_or_default();
            self.lanes[index].waits = false;
            if self.lanes[index].due(now).is_some_and(|due| due <= now) {
                // Before the names have been asked for once, a first pass would learn too little and call it done.
                self.lanes[index].waits = self.leases.awaits_first_answer(&scope, assets);
                if !self.lanes[index].waits {
                    self.start_pass(index, now);
                }
            }
        }
        self.start_check();
        self.start_comparison();
        while self.confirming.len() < CONFIRMATIONS_AT_ONCE
            && !self.restraint.borrow().everything
            && let Some(request) = self.confirmations.take(now)
        {
            if let Err(Refusal::Closed { opens, .. }) = scope.authorize(Endpoint::tcp(request.ip, 1), now) {
                self.confirmations.add([ConfirmRequest { at: opens, ..request }]);
                continue;
            }
            let id = self.pass_id("confirm", now);
            let tools = self.tools.on(&request.profile, Lane::Confirm, id, Why::Confirmation);
            let slots = self.confirm_slots.clone();
            self.confirming.spawn(async move {
                let _slot = slots.acquire().await;
                let (slice, worth) = confirm::serve(&tools, request.clone(), id).await;
                (request, slice, worth)
            });
        }
        self.start_reversals();
        for key in self.leases.due(&scope, now) {
            let network = self.tools.network.clone();
            self.resolutions.spawn(async move {
                let answer = network.resolve(&key.1).await;
                (key, answer)
            });
        }
    }

    pub(super) fn start_pass(&mut self, index: usize, now: Timestamp) {
        let id = self.pass_id("pass", now);
        let seed = self.seed ^ self.counter.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let profile = self.lanes[index].profile.clone();
        let ground = self.ground(&profile, now);
        let discovers = self.discoverer(&profile) == Some(self.lanes[index].lane);
        let state = &mut self.lanes[index];
        let why = if state.wanted { Why::ScanNow } else { Why::Lane };
        let record = state.begin(&ground, seed, id, now);
        let haste = if why == Why::ScanNow { HASTE } else { 1 };
        if why == Why::ScanNow && !state.wanted {
            self.begun.push(stale::key(&state.profile, state.lane));
        }
        tracing::debug!(profile = %profile, lane = %state.lane, pass = %record.id, addresses = ground.asked(), "a pass begins");
        let plan = Plan {
            budget: state.budget(&record, now) / haste,
            open: state.open,
            record: record.clone(),
            ground,
            tcp: state.tcp.clone(),
            udp: state.udp.clone(),
            identify: state.identify,
            dark: 1,
            parts: 1,
            discovers,
        };
        let cancel = CancellationToken::new();
        state.running = Some(Running { record, cancel: cancel.clone(), closes: state.closes(now), why });
        let tools = self.tools.on(&plan.record.profile, plan.record.lane, plan.record.id, why);
        self.passes.spawn(pass::run(tools, plan, cancel));
    }

    /// The lane of a profile that knocks where no port answers: the one with the likely ports, or else the one with all ports, beside which
    /// it costs next to nothing. The hot ports are to be gone through quickly, and are few.
    fn discoverer(&self, profile: &str) -> Option<Lane> {
        let has = |lane: &Lane| self.lanes.iter().any(|state| *state.profile == *profile && state.lane == *lane);
        [Lane::Likely, Lane::Full].into_iter().find(has)
    }

    pub(super) fn cancel_passes(&mut self) {
        for running in self.lanes.iter().filter_map(|state| state.running.as_ref()) {
            running.cancel.cancel();
        }
    }

    /// Who starts a daemon and sees nothing happen is told why.
    pub(super) fn say_what_is_closed(&self) {
        let now = self.clock.now();
        let closed: BTreeMap<&Arc<str>, Timestamp> = self
            .lanes
            .iter()
            .map(|state| (&state.profile, state.opens(now)))
            .filter(|(_, opens)| *opens > now)
            .collect();
        for (profile, opens) in closed {
            tracing::info!(%profile, %opens, "the window is closed: nothing is asked until it opens");
        }
    }

    /// Ends the passes whose windows have closed: they go on where they were when those open again.
    fn end_closed(&self, now: Timestamp) {
        for state in &self.lanes {
            if let Some(running) = &state.running
                && running.closes.is_some_and(|closes| closes <= now)
                && !running.cancel.is_cancelled()
            {
                tracing::info!(profile = %state.profile, lane = %state.lane, opens = %state.opens(now), "the window has closed: its pass goes on when it opens");
                running.cancel.cancel();
            }
        }
    }

    /// An id no other pass has: from the time, the run's seed and a counter.
    pub(super) fn pass_id(&mut self, kind: &str, now: Timestamp) -> PassId {
        self.counter += 1;
        PassId(model::derive_id(now, kind, &(self.seed, self.counter)))
    }

    pub(super) fn next_wake(&self) -> Instant {
        let now = self.clock.now();
        let lane = if self.halted { None } else { self.lanes.iter().filter_map(|state| state.due(now)).min() };
        let held = self.halted || self.restraint.borrow().everything;
        let confirm =
            if held || self.confirming.len() >= CONFIRMATIONS_AT_ONCE { None } else { self.confirmations.next_at() };
        let under_way = self.lanes.iter().filter_map(|state| state.running.as_ref());
        let closes =
            under_way.filter(|running| !running.cancel.is_cancelled()).filter_map(|running| running.closes).min();
        let next = [lane, confirm, closes, Some(self.expiry_at)].into_iter().flatten().min();
        let wait = next.map_or(MOST_WAIT, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        (Instant::now() + wait.min(MOST_WAIT)).min(self.touched_at)
    }

    pub(super) fn lane(&mut self, profile: &Arc<str>, lane: model::Lane) -> Option<&mut LaneState> {
        self.lanes.iter_mut().find(|state| state.profile == *profile && state.lane == lane)
    }
}
