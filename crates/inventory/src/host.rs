//! Hosts: found, lost, back.

use crate::{
    Pending, PortStatus,
    apply::{Key, Plan},
    confirm::{self, TWICE},
    event,
};
use jiff::Timestamp;
use model::{Event, EventType, FilteredReason, Outcome, PartOf};
use std::time::Duration;

/// Until when what is found on a host is part of its being found.
const FOLDED: Duration = Duration::from_mins(10);

impl Plan<'_> {
    /// Takes note of life, and of a return.
    pub(crate) fn judge_life(&mut self) {
        let answers = || {
            let ports = self.ports().filter(|seen| seen.outcome.is_answer()).map(|seen| seen.at);
            ports.chain(self.services().map(|seen| seen.at))
        };
        let (Some(first), Some(last)) = (answers().min(), answers().max()) else { return };
        if self.before.is_none() {
            self.host.first_seen = first;
        }
        self.host.last_seen = self.host.last_seen.max(last);
        if let Some(since) = self.host.lost_since.filter(|&since| last >= since) {
            self.host.up = true;
            self.host.lost_since = None;
            self.host.misses = None;
            let away = confirm::between(since, last);
            let by = self.ports().find(|seen| seen.outcome.is_answer() && seen.at == last);
            let mut event = Event::new(EventType::HostUp, self.now, &self.inventory.vantage, &self.slice.ip);
            event.old = Some("lost".to_owned());
            event.new = Some("up".to_owned());
            event.metric = i64::try_from(away.as_secs()).ok();
            let shown = std::time::Duration::from_secs(away.as_secs());
            event.reason = Some(format!("answers again after {}", model::format_duration(shown)));
            event.evidence = vec![event::evidence(
                last,
                &by.map_or_else(
                    || "answered".to_owned(),
                    |seen| format!("{} {}", seen.endpoint, seen.outcome.as_str()),
                ),
            )];
            event.first_seen = Some(self.host.first_seen);
            event.last_seen = Some(last);
            self.host_events.push(event);
        } else if self.host.up && self.host.misses.as_ref().is_some_and(|misses| last >= misses.since) {
            self.host.misses = None;
        }
    }

    /// What becomes of a host nobody was told of yet, and which endpoint shows that a host lives.
    pub(crate) fn judge_finding(&mut self) {
        let mut refused: Vec<(Timestamp, Key, &'static str)> = self
            .ports()
            .filter(|seen| matches!(seen.outcome, Outcome::Closed(_)))
            .map(|seen| (seen.at, (seen.endpoint.transport, seen.endpoint.port), seen.outcome.as_str()))
            .collect();
        refused.sort_unstable();
        if self.host.is_provisional() {
            self.judge_provisional(&refused);
        }
        let is_open = |plan: &Self, key: Key| {
            plan.endpoints.get(&key).is_some_and(|endpoint| endpoint.status != PortStatus::Closed)
        };
        if self.host.answered_by.is_some_and(|key| is_open(self, key)) {
            self.host.answered_by = None;
        }
        let silent = self.host.answered_by.is_some_and(|key| self.fell_silent(key));
        if (self.host.answered_by.is_none() || silent)
            && let Some((_, key, _)) = refused.iter().find(|(_, key, _)| !is_open(self, *key))
        {
            self.host.answered_by = Some(*key);
        }
    }

    fn judge_provisional(&mut self, refused: &[(Timestamp, Key, &'static str)]) {
        if let Some((key, opened)) = self.opened.first_key_value() {
            let reason = format!("{} on {}/{}", opened.reason, key.1, key.0);
            let evidence = opened.evidence.clone();
            self.found(reason, evidence);
            return;
        }
        if self.endpoints.values().any(|endpoint| endpoint.status == PortStatus::Open) {
            self.host.up = true;
            self.host.misses = None;
            return;
        }
        if refused.is_empty() {
            // What refused once and then says nothing was no host.
            if self.host.answered_by.is_some_and(|key| self.fell_silent(key)) {
                self.host.misses = None;
                self.host.answered_by = None;
            }
            return;
        }
        for &(at, key, reason) in refused {
            if !self.inventory.is_covered(self.slice.ip, key.0, key.1) {
                self.host.up = true;
                self.host.misses = None;
                self.host.answered_by = Some(key);
                return;
            }
            match &mut self.host.misses {
                None => {
                    self.host.misses = Some(Pending::begin(at, &self.slice.pass, reason, self.now));
                    self.host.answered_by = Some(key);
                }
                Some(sign) if at > sign.last => {
                    sign.add(at, &self.slice.pass, reason);
                    if sign.satisfies(&TWICE) {
                        let evidence = event::gathered(sign);
                        self.host.answered_by = Some(key);
                        self.found(format!("{reason} twice, {}/{} last", key.1, key.0), evidence);
                        return;
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Asked in this slice, and no answer of its own.
    fn fell_silent(&self, key: Key) -> bool {
        self.ports().any(|seen| {
            (seen.endpoint.transport, seen.endpoint.port) == key
                && seen.at >= self.host.last_seen
                && matches!(seen.outcome, Outcome::Silent | Outcome::Filtered(_))
        })
    }

    fn found(&mut self, reason: String, evidence: Vec<model::Evidence>) {
        self.host.up = true;
        self.host.misses = None;
        let mut event = Event::new(EventType::HostFound, self.now, &self.inventory.vantage, &self.slice.ip);
        let open = self.endpoints.values().filter(|endpoint| endpoint.status == PortStatus::Open);
        event.endpoints =
            open.take(event::MOST_LISTED).map(|endpoint| self.host.endpoint_at(endpoint).to_string()).collect();
        event.new = Some("up".to_owned());
        event.reason = Some(reason);
        event.evidence = evidence;
        event.first_seen = Some(self.host.first_seen);
        event.last_seen = Some(self.host.last_seen);
        self.host.found = Some(PartOf { id: event.id, kind: event.kind });
        self.host_events.insert(0, event);
    }

    /// A slice that asked what should answer, and got nothing from anywhere.
    pub(crate) fn judge_absence(&mut self) {
        let at = self.slice.at;
        if self.anything_answered() || !self.host.up || at <= self.host.last_seen || !self.was_asked() {
            return;
        }
        let pass = &self.slice.pass;
        let reason = self.absence_reason();
        match &mut self.host.misses {
            Some(misses) if misses.last_pass == pass.id || at <= misses.last => return,
            Some(misses) => misses.add(at, pass, reason),
            None => self.host.misses = Some(Pending::begin(at, pass, reason, self.now)),
        }
        let rule = self.policy.confirm.host_lost;
        let Some(mut misses) = self.host.misses.take() else { return };
        if !misses.satisfies(&rule) {
            misses.schedule(&rule, self.now);
            self.host.misses = Some(misses);
            return;
        }
        self.host.up = false;
        self.host.lost_since = Some(misses.since);
        // Nothing is asked of a lost host but whether it lives: doubts about its parts are void.
        self.endpoints.retain(|_, endpoint| endpoint.status != PortStatus::Opening);
        for endpoint in self.endpoints.values_mut() {
            endpoint.pending = None;
            for service in &mut endpoint.services {
                service.pending_service = None;
                service.pending_certificate = None;
                service.pending_key = None;
            }
        }
        self.host.pending_os = None;
        let mut event = Event::new(EventType::HostLost, self.now, &self.inventory.vantage, &self.slice.ip);
        event.old = Some("up".to_owned());
        event.new = Some("lost".to_owned());
        event.reason = Some(misses.told());
        event.evidence = event::gathered(&misses);
        event.metric = i64::try_from(confirm::between(self.host.last_seen, at).as_secs()).ok();
        let open = self.endpoints.values().filter(|endpoint| endpoint.status == PortStatus::Open);
        event.endpoints =
            open.take(event::MOST_LISTED).map(|endpoint| self.host.endpoint_at(endpoint).to_string()).collect();
        event.first_seen = Some(self.host.first_seen);
        event.last_seen = Some(self.host.last_seen);
        self.host_events.push(event);
    }

    /// Whether the slice asked anything that answered before: an open endpoint, or the one that refused.
    fn was_asked(&self) -> bool {
        let expected = |key: Key| {
            self.host.answered_by == Some(key)
                || self.endpoints.get(&key).is_some_and(|endpoint| endpoint.status == PortStatus::Open)
        };
        let listed = self
            .ports()
            .any(|seen| seen.outcome.is_evidence() && expected((seen.endpoint.transport, seen.endpoint.port)));
        let covered = |key: &Key| self.slice.covered.contains(key.0, key.1);
        listed
            || self.host.answered_by.as_ref().is_some_and(covered)
            || self.endpoints.iter().any(|(key, endpoint)| endpoint.status == PortStatus::Open && covered(key))
    }

    fn absence_reason(&self) -> &'static str {
        let unreachable =
            |seen: &model::PortObservation| seen.outcome == Outcome::Filtered(FilteredReason::HostUnreachable);
        if self.ports().any(unreachable) { FilteredReason::HostUnreachable.as_str() } else { Outcome::Silent.as_str() }
    }

    /// What comes to light on a host within minutes of its being found is part of that.
    pub(crate) fn fold_into_found(&mut self, events: &mut [Event], at: Timestamp) {
        let Some(found) = self.host.found else { return };
        // The time an event was raised is in the first 48 bits of its id, in milliseconds.
        let milliseconds = found.id.0.as_bytes()[..6].iter().fold(0_i64, |all, &byte| all << 8 | i64::from(byte));
        let raised = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MIN);
        if confirm::between(raised, at) > FOLDED {
            if self.anything_answered() {
                self.host.found = None;
            }
            return;
        }
        let folds = [EventType::PortOpen, EventType::SoftwareAdded, EventType::SslNew];
        for event in events.iter_mut().filter(|event| folds.contains(&event.kind) && event.part_of.is_none()) {
            event.part_of = Some(found);
        }
    }
}
