//! Evidence that gathers, and the questions that are still open. Both follow from the state alone, so a restart asks what
//! the daemon would have asked.

use crate::{ConfirmRequest, HostState, Pending, PortStatus, Question};
use jiff::{SignedDuration, Timestamp};
use model::{ConfirmRule, PassRef, Transport, format_duration};
use std::{collections::BTreeSet, time::Duration};

/// Two answers to two questions, as soon as they can be asked.
pub(crate) const TWICE: ConfirmRule = ConfirmRule { passes: 2, at_least: Duration::ZERO };

/// How many endpoints a question about a host names at most.
const HOST_QUESTION: usize = 8;
const SOONEST: Duration = Duration::from_secs(1);

/// `time + duration`, or the end of time.
pub(crate) fn after(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| time.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

/// From one time to another; nothing where they run backwards.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or(Duration::ZERO)
}

impl Pending {
    pub(crate) fn begin(at: Timestamp, pass: &PassRef, reason: &str, now: Timestamp) -> Self {
        Self {
            count: 1,
            since: at,
            last: at,
            last_pass: pass.id,
            reason: reason.to_owned(),
            profile: pass.profile.clone(),
            due: after(now, SOONEST),
        }
    }

    /// Adds one more piece of the same.
    pub(crate) fn add(&mut self, at: Timestamp, pass: &PassRef, reason: &str) {
        self.count = self.count.saturating_add(1);
        self.last = self.last.max(at);
        self.last_pass = pass.id;
        reason.clone_into(&mut self.reason);
        self.profile = pass.profile.clone();
    }

    pub(crate) fn satisfies(&self, rule: &ConfirmRule) -> bool {
        self.count >= rule.passes.max(1) && between(self.since, self.last) >= rule.at_least
    }

    /// Sets when to ask again: the passes still wanted, spread evenly over the time the rule wants, a second apart at least.
    pub(crate) fn schedule(&mut self, rule: &ConfirmRule, now: Timestamp) {
        let gaps = u32::from(rule.passes.max(2) - 1);
        let part = rule.at_least / gaps * u32::from(self.count).min(gaps);
        let part = if u32::from(self.count) >= gaps { rule.at_least } else { part };
        self.due = after(self.since, part).max(after(now, SOONEST));
    }

    /// `refused in 2 passes over 10m`.
    pub(crate) fn told(&self) -> String {
        let over = between(self.since, self.last);
        let over = Duration::from_secs(over.as_secs());
        match self.count {
            1 => self.reason.clone(),
            count if over.is_zero() => format!("{} in {count} passes", self.reason),
            count => format!("{} in {count} passes over {}", self.reason, format_duration(over)),
        }
    }
}

/// What the detector wants to know about a host, ascending by time.
pub(crate) fn requests_of(host: &HostState) -> BTreeSet<ConfirmRequest> {
    let mut requests = BTreeSet::new();
    // One more than a question names, so that one of them can be left out.
    let witnesses = host.witnesses(HOST_QUESTION + 1);
    let mut ask = |pending: &Pending, question: Question| {
        requests.insert(ConfirmRequest {
            at: pending.due,
            ip: host.key.ip,
            profile: pending.profile.clone(),
            question,
        });
    };
    if let Some(misses) = &host.misses {
        match host.answered_by {
            Some((transport, port)) if !host.up => ask(misses, Question::Port { transport, port }),
            _ => ask(misses, Question::Host { endpoints: witnesses.iter().copied().take(HOST_QUESTION).collect() }),
        }
    }
    if host.blocked_since.is_some() {
        requests.extend(host.blocked_question().filter(|_| host.misses.is_none()));
        return requests;
    }
    for endpoint in &host.endpoints {
        let (transport, port) = (endpoint.transport, endpoint.port);
        if let Some(pending) = &endpoint.pending {
            let witness = witnesses.iter().find(|&&witness| witness != (transport, port));
            // Silence counts only beside an answer, so one that should answer is asked along.
            let weak = endpoint.status == PortStatus::Open && is_silence(&pending.reason);
            match witness {
                Some(&witness) if weak => ask(pending, Question::Host { endpoints: vec![(transport, port), witness] }),
                _ => ask(pending, Question::Port { transport, port }),
            }
        }
        for service in &endpoint.services {
            let replaced = service.pending_certificate.as_ref().filter(|pending| {
                pending.census > 0
                    || pending.evidence.count > 0
                        && !service.tls.as_ref().is_some_and(|tls| tls.alternates.contains_key(&pending.certificate))
            });
            let rekeyed = service.pending_key.as_ref().filter(|pending| !host.holds(&pending.key));
            let distrusted = service.pending_trust.as_ref().filter(|pending| pending.evidence.count > 0);
            let evidence = [
                service.doubt().map(|pending| &pending.evidence),
                replaced.map(|pending| &pending.evidence),
                rekeyed.map(|pending| &pending.evidence),
                distrusted.map(|pending| &pending.evidence),
            ];
            for pending in evidence.into_iter().flatten() {
                ask(pending, Question::Service { transport, port, name: service.name.clone() });
            }
        }
    }
    if let Some(pending) = &host.pending_os
        && let Some((transport, port, name)) = host.tells_os(&pending.os)
    {
        ask(&pending.evidence, Question::Service { transport, port, name });
    }
    requests
}

/// Whether a reason is one of no answer from the endpoint itself.
pub(crate) fn is_silence(reason: &str) -> bool {
    !matches!(reason, "refused" | "rst" | "port-unreachable")
}

impl HostState {
    /// Endpoints that should answer while it lives, the soundest first: at most so many.
    fn witnesses(&self, most: usize) -> Vec<(Transport, u16)> {
        let sound = self.open().filter(|endpoint| endpoint.pending.is_none());
        let doubted = self.open().filter(|endpoint| endpoint.pending.is_some());
        let open = sound.chain(doubted).map(|endpoint| (endpoint.transport, endpoint.port));
        let mut witnesses: Vec<_> = open.chain(self.answered_by).take(most).collect();
        if witnesses.is_empty() {
            // Nothing is left but what was open once: it may still refuse.
            witnesses.extend(self.endpoints.iter().map(|endpoint| (endpoint.transport, endpoint.port)).take(most));
        }
        witnesses
    }
}
