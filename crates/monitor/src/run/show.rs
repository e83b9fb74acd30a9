//! What the loop shows of itself.

use super::{Monitor, rescope::authorized_until};
use crate::Journal;
use jiff::Timestamp;
use model::ServiceName;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// The addresses of large ranges with many exceptions are not counted each time.
const COUNT_EVERY: Duration = Duration::from_mins(1);

impl<J: Journal> Monitor<J> {
    pub(super) fn show(&mut self) {
        let now = self.clock.now();
        self.count_targets(now);
        let scope = self.scope.load();
        let lanes: Vec<_> = self
            .lanes
            .iter()
            .zip(&self.targets.1)
            .map(|(state, &targets)| state.status(self.decider.inventory().has_baseline(&state.profile), targets, now))
            .collect();
        let mut reasons: BTreeMap<&'static str, String> =
            self.health.sentences().map(|(what, sentence)| (what, sentence.clone())).collect();
        let late: Vec<String> = lanes
            .iter()
            .filter(|lane| lane.lag_s >= 1.0 && !self.halted)
            .map(|lane| format!("{}/{} by {:.0} s", lane.profile, lane.lane, lane.lag_s))
            .collect();
        if !late.is_empty() {
            reasons.insert("late", format!("lanes behind their period: {}", late.join(", ")));
        }
        let lapsed = self.leases.lapsed(&scope, now);
        if !lapsed.is_empty() {
            let names: Vec<_> = lapsed.iter().map(ServiceName::as_str).collect();
            reasons
                .insert("names", format!("host names that do not resolve, and are not watched: {}", names.join(", ")));
        }
        let ended = |asset: &config::Asset| authorized_until(asset).is_some_and(|until| until <= now);
        let over: Vec<_> =
            self.config.assets.iter().filter(|(_, asset)| ended(asset)).map(|(name, _)| &**name).collect();
        if !over.is_empty() {
            reasons.insert(
                "authorization",
                format!("assets whose authorization has ended, and that are not watched: {}", over.join(", ")),
            );
        }
        let counts = self.decider.inventory().counts();
        self.live.update(|live| {
            let database = live.reasons.remove("database");
            live.reasons = reasons;
            live.reasons.extend(database.map(|reason| ("database", reason)));
            live.lanes = lanes;
            live.not_enumerable.clone_from(&self.not_enumerable);
            live.halted = self.halted;
            live.hosts = counts.hosts as u64;
            live.endpoints = counts.endpoints as u64;
            live.certificates = counts.certificates as u64;
            live.confirmations_waiting = (self.confirmations.len() + self.confirming.len()) as u64;
            live.ready = true;
            live.turned = Some(Instant::now());
        });
    }

    /// Counts what each lane has before it, where that was not done just now.
    fn count_targets(&mut self, now: Timestamp) {
        let (counted, targets) = &self.targets;
        if targets.len() == self.lanes.len() && counted.elapsed() < COUNT_EVERY {
            return;
        }
        let targets = self.lanes.iter().map(|state| self.ground(&state.profile, now).asked()).collect();
        self.targets = (Instant::now(), targets);
    }
}
