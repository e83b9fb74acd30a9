//! Hosts: found, lost, back.
//!
//! An open port shows that a host lives. A refusal shows it only if nobody on the way says no for the dead, so where
//! nothing is open the same endpoint must refuse in [`REFUSALS`]: 32 looks, 4 s apart at least, without a silence between
//! them. Where something resets 30 % of all SYNs, a look of two attempts at a dead address is refused with q = 1 - 0.7² =
//! 0.51, so a first refusal is completed by mistake with q³¹ = 8.6·10⁻¹⁰. A dead /24 of which 20 ports are asked every five
//! minutes for 30 days has 4.4·10⁷ looks and 2.3·10⁷ such first refusals: 0.02 hosts are found that are not there. A host
//! that was lost is called back by refusals on the same terms.

use crate::{
    Pending, PortStatus,
    apply::{Key, Plan},
    confirm, event,
};
use jiff::Timestamp;
use model::{ConfirmRule, Event, EventType, FilteredReason, Outcome, PartOf};
use std::time::Duration;

/// What it takes to believe that a host lives which only refuses.
const REFUSALS: ConfirmRule = ConfirmRule { passes: 32, at_least: Duration::from_secs(31 * REFUSALS_GAP.as_secs()) };
/// Refusals closer together are one.
const REFUSALS_GAP: Duration = Duration::from_secs(4);
/// Until when what is found on a host is part of its being found.
const FOLDED: Duration = Duration::from_mins(10);

impl Plan<'_> {
    /// Takes note of life, and of a return.
    pub(crate) fn judge_life(&mut self) {
        let answers = || {
            let ports = self.ports().filter(|seen| seen.outcome.is_answer()).map(|seen| seen.at);
            let sign = self.sign().filter(|(_, sign)| self.host.up || sign.finds());
            ports.chain(self.services().map(|seen| seen.at)).chain(sign.map(|(at, _)| at))
        };
        let (Some(first), Some(last)) = (answers().min(), answers().max()) else {
            if self.host.lost_since.is_some() {
                // A silence takes back what refusals there were, or signs.
                self.forget_signs();
                self.refuses_surely();
            }
            return;
        };
        if self.before.is_none() {
            self.host.first_seen = first;
        }
        self.host.last_seen = self.host.last_seen.max(last);
        if let Some(since) = self.host.lost_since.filter(|&since| last >= since) {
            let is_back = self.is_open_anywhere()
                || if self.sign().is_some() { self.shows_itself_surely() } else { self.refuses_surely() };
            if is_back {
                self.call_back(since, last);
            }
        } else if self.host.up && self.host.misses.as_ref().is_some_and(|misses| last >= misses.since) {
            self.host.misses = None;
        }
    }

    /// `HOST_UP`: it answers again.
    fn call_back(&mut self, since: Timestamp, last: Timestamp) {
        self.host.up = true;
        self.host.lost_since = None;
        self.host.misses = None;
        let away = confirm::between(since, last);
        let by = self.ports().find(|seen| seen.outcome.is_answer() && seen.at == last);
        let mut event = Event::new(EventType::HostUp, self.now, &self.inventory.vantage, &self.slice.ip);
        event.old = Some("lost".to_owned());
        event.new = Some("up".to_owned());
        event.metric = i64::try_from(away.as_secs()).ok();
        let shown = Duration::from_secs(away.as_secs());
        event.reason = Some(format!("answers again after {}", model::format_duration(shown)));
        event.evidence = vec![event::evidence(
            last,
            &by.map_or_else(
                || self.sign().map_or("answered", |(_, sign)| sign.as_str()).to_owned(),
                |seen| format!("{} {}", seen.endpoint, seen.outcome.as_str()),
            ),
        )];
        event.first_seen = Some(self.host.first_seen);
        event.last_seen = Some(last);
        self.host_events.push(event);
    }

    fn is_open_anywhere(&self) -> bool {
        self.ports().any(|seen| seen.outcome.is_open()) || self.services().next().is_some()
    }

    /// What this slice refused, in the order of time.
    fn refusals(&self) -> Vec<(Timestamp, Key, &'static str)> {
        let refused = self.ports().filter(|seen| matches!(seen.outcome, Outcome::Closed(_)));
        let mut refused: Vec<_> = refused
            .map(|seen| (seen.at, (seen.endpoint.transport, seen.endpoint.port), seen.outcome.as_str()))
            .collect();
        refused.sort_unstable();
        refused
    }

    /// Gathers the refusals of a host that is not up, in `misses`, of the endpoint in `answered_by`; tells whether they are
    /// enough to believe that it lives. One silence of that endpoint, and all begins anew.
    fn refuses_surely(&mut self) -> bool {
        let fell_silent = |plan: &Self, key: Key, since: Timestamp| {
            plan.ports().any(|seen| {
                (seen.endpoint.transport, seen.endpoint.port) == key
                    && seen.at > since
                    && matches!(seen.outcome, Outcome::Silent | Outcome::Filtered(_))
            })
        };
        if let (Some(key), Some(sign)) = (self.host.answered_by, &self.host.misses)
            && fell_silent(self, key, sign.last)
        {
            self.host.misses = None;
        }
        let refused = self.refusals();
        let Some(sign) = &mut self.host.misses else {
            let first = refused.iter().find(|(at, key, _)| !fell_silent(self, *key, *at));
            self.host.answered_by = first.map(|(_, key, _)| *key).or(self.host.answered_by);
            self.host.misses = first.map(|(at, _, reason)| self.first_refusal(*at, reason));
            return false;
        };
        for (at, key, reason) in refused {
            if self.host.answered_by == Some(key) && confirm::between(sign.last, at) >= REFUSALS_GAP {
                sign.add(at, &self.slice.pass, reason);
                sign.schedule(&REFUSALS, self.now);
                sign.due = sign.due.max(confirm::after(sign.last, REFUSALS_GAP));
            }
        }
        sign.satisfies(&REFUSALS)
    }

    fn first_refusal(&self, at: Timestamp, reason: &str) -> Pending {
        let mut sign = Pending::begin(at, &self.slice.pass, reason, self.now);
        sign.schedule(&REFUSALS, self.now);
        sign
    }

    /// What becomes of a host nobody was told of yet, and which endpoint shows that a host lives.
    pub(crate) fn judge_finding(&mut self) {
        let refused = self.refusals();
        if self.host.is_provisional() {
            self.judge_provisional(&refused);
        }
        if !self.host.up {
            // Which endpoint it is that refuses is decided with the evidence.
            return;
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
        let learnt = refused.iter().find(|(_, key, _)| !self.inventory.is_covered(self.slice.ip, key.0, key.1));
        if let Some((_, key, _)) = learnt {
            self.host.up = true;
            self.host.misses = None;
            self.host.answered_by = Some(*key);
            return;
        }
        if self.sign().is_some() {
            if self.shows_itself_surely() {
                self.find_unseen();
            }
            return;
        }
        self.forget_signs();
        if self.refuses_surely()
            && let (Some(key), Some(sign)) = (self.host.answered_by, &self.host.misses)
        {
            let (reason, evidence) = (format!("{}, {}/{}", sign.told(), key.1, key.0), event::gathered(sign));
            self.found(reason, evidence);
        } else if self.host.misses.is_none() {
            // What refused and then says nothing was no host.
            self.host.answered_by = None;
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

    pub(crate) fn found(&mut self, reason: String, evidence: Vec<model::Evidence>) {
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
        let was_asked = || self.was_asked() || self.is_unseen_and_silent();
        if self.anything_answered() || !self.host.up || at <= self.host.last_seen || !was_asked() {
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
                // Who took turns there does so when it is back.
                service.pending_service.iter_mut().for_each(|pending| pending.clear());
                service.pending_service.take_if(|pending| pending.turns.is_empty());
                service.pending_certificate = None;
                service.pending_key = None;
                service.pending_trust = None;
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
        // Where nothing is open any more and nothing is known to refuse, what was open once may still do so; all of it silent
        // means that the host is gone with its last port.
        let is_left = |status: PortStatus| status == PortStatus::Open;
        let nothing_left =
            self.host.answered_by.is_none() && !self.endpoints.values().any(|endpoint| is_left(endpoint.status));
        let counts = |status: PortStatus| is_left(status) || nothing_left;
        let expected = |key: Key| {
            self.host.answered_by == Some(key)
                || self.endpoints.get(&key).is_some_and(|endpoint| counts(endpoint.status))
        };
        let listed = self
            .ports()
            .any(|seen| seen.outcome.is_evidence() && expected((seen.endpoint.transport, seen.endpoint.port)));
        let covered = |key: &Key| self.slice.covered.contains(key.0, key.1);
        listed
            || self.host.answered_by.as_ref().is_some_and(covered)
            || self.endpoints.iter().any(|(key, endpoint)| counts(endpoint.status) && covered(key))
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
