//! Endpoints: open, about to be believed open, doubted. How a doubt ends is in [`crate::closing`].
//!
//! What a lane has asked of every address once is covered, and an opening there is news. A port that the very first look
//! missed (every attempt lost, or a reset injected) is covered as not open, and its first answer, minutes later, is told as
//! `PORT_OPEN`. From what was seen it cannot be told from a port that really opened after the first look, and hiding the
//! real one is worse; so it is told. That it is rare is up to whoever sweeps, who asks more often where nothing is covered
//! yet: with four attempts and 2 % loss each way 2·10⁻⁶ of the first looks miss an open port.

use crate::{
    EndpointState, HostState, Pending, PortStatus,
    apply::{Key, Plan},
    confirm, event,
};
use jiff::Timestamp;
use model::{Endpoint, Event, EventType, Evidence, Outcome, PortObservation, ServiceObservation};

/// The reason of an opening first seen by a conversation: a connection like any other, but the same one when it is met
/// again at the same time.
const CONVERSATION: &str = "conversation";

/// Why an opening is believed.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) reason: String,
    pub(crate) evidence: Vec<Evidence>,
    /// It was known, and closed, before.
    again: bool,
}

impl HostState {
    pub(crate) fn endpoint_at(&self, endpoint: &EndpointState) -> Endpoint {
        Endpoint { ip: self.key.ip, transport: endpoint.transport, port: endpoint.port }
    }
}

impl Plan<'_> {
    pub(crate) fn judge_port(&mut self, key: Key, seen: &PortObservation) {
        match seen.outcome {
            Outcome::Open(reason) => self.seen_open(key, seen.at, reason.as_str(), false),
            outcome if outcome.is_evidence() => self.seen_not_open(key, seen.at, outcome),
            _ => {}
        }
    }

    /// A conversation is a connection, so it speaks for the port too. Tells whether it is to be judged as a service: not
    /// where the port is not believed open, nor where it is older than the port's present opening.
    pub(crate) fn judge_connection(&mut self, key: Key, seen: &ServiceObservation) -> bool {
        let reason = match key.0 {
            model::Transport::Tcp => "connected",
            model::Transport::Udp => "udp-reply",
        };
        let reason = match self.endpoints.get(&key) {
            Some(known) if known.status != PortStatus::Closed => known.reason.clone(),
            _ => reason.to_owned(),
        };
        self.seen_open(key, seen.at, &reason, true);
        self.endpoints
            .get(&key)
            .is_some_and(|endpoint| endpoint.status == PortStatus::Open && seen.at >= endpoint.changed_at)
    }

    /// `another` says that it is surely another connection than the one that was seen at the same time.
    fn seen_open(&mut self, key: Key, at: Timestamp, reason: &str, another: bool) {
        let Some(endpoint) = self.endpoints.get_mut(&key) else {
            self.seen_first(key, at, reason, another);
            return;
        };
        let newer = at > endpoint.last_observed;
        // The same conversation again is no second connection.
        let repeats = |pending: &Pending| !(another && pending.reason == CONVERSATION);
        let second = endpoint
            .pending
            .as_ref()
            .is_some_and(|pending| newer || (another && at == endpoint.last_observed && repeats(pending)));
        match endpoint.status {
            PortStatus::Open if newer => {
                endpoint.recover(at);
                endpoint.last_seen = at;
                reason.clone_into(&mut endpoint.reason);
            }
            PortStatus::Opening | PortStatus::Closed if second => {
                let Some(mut pending) = endpoint.pending.take() else { return };
                let again = endpoint.status == PortStatus::Closed;
                pending.add(at, &self.slice.pass, reason);
                endpoint.status = PortStatus::Open;
                endpoint.learnt = false;
                endpoint.changed_at = at;
                endpoint.last_seen = at;
                reason.clone_into(&mut endpoint.reason);
                let mut evidence = event::gathered(&pending);
                if evidence.len() == 1 {
                    evidence.push(event::evidence(at, reason));
                }
                self.opened.insert(key, Opened { reason: format!("{reason} twice"), evidence, again });
            }
            PortStatus::Closed if newer => {
                let sign = if another { CONVERSATION } else { reason };
                endpoint.pending = Some(Pending::begin(at, &self.slice.pass, sign, self.now));
            }
            _ => {}
        }
        endpoint.last_observed = endpoint.last_observed.max(at);
    }

    /// An endpoint never seen open: news where it was covered, else part of the baseline.
    fn seen_first(&mut self, key: Key, at: Timestamp, reason: &str, another: bool) {
        let covered = self.inventory.is_covered(self.slice.ip, key.0, key.1);
        let endpoint = EndpointState {
            transport: key.0,
            port: key.1,
            status: if covered { PortStatus::Opening } else { PortStatus::Open },
            reason: reason.to_owned(),
            first_seen: at,
            last_seen: at,
            changed_at: at,
            last_observed: at,
            pending: covered.then(|| {
                let sign = if another { CONVERSATION } else { reason };
                Pending::begin(at, &self.slice.pass, sign, self.now)
            }),
            recovered: 0,
            learnt: !covered,
            services: Vec::new(),
        };
        self.endpoints.insert(key, endpoint);
    }

    fn seen_not_open(&mut self, key: Key, at: Timestamp, outcome: Outcome) {
        let other_answered = self.another_answered(key);
        let other_port = self.another_port_answered(key);
        let lost = self.host.lost_since.is_some();
        let host_seen = self.host.last_seen;
        let blocked = self.host.blocked_since.is_some();
        let alone = !self
            .endpoints
            .iter()
            .any(|(other, known)| *other != key && known.status == PortStatus::Open && known.pending.is_none());
        let Some(endpoint) = self.endpoints.get_mut(&key).filter(|endpoint| at > endpoint.last_observed) else {
            return;
        };
        endpoint.last_observed = at;
        match endpoint.status {
            PortStatus::Opening => {
                self.endpoints.remove(&key);
            }
            PortStatus::Closed => endpoint.pending = None,
            PortStatus::Open => {
                // Silence says something about the port only while the host is heard elsewhere; and that something on the
                // way refuses us, only that it goes on doing so.
                let counts = matches!(outcome, Outcome::Closed(_))
                    || (blocked && matches!(outcome, Outcome::Filtered(_)))
                    || other_answered
                    || endpoint.pending.as_ref().is_some_and(|pending| host_seen > pending.since);
                // The last port of a host refuses every time, or it was not the host that refused.
                let takes_back = alone && !other_port && outcome == Outcome::Silent;
                if takes_back && endpoint.pending.take_if(|pending| !confirm::is_silence(&pending.reason)).is_some() {
                    return;
                }
                // Of a lost host nothing says anything: somebody else may be refusing for it.
                if lost || !counts {
                    return;
                }
                match &mut endpoint.pending {
                    Some(pending) if pending.last_pass == self.slice.pass.id => return,
                    Some(pending) => pending.add(at, &self.slice.pass, outcome.as_str()),
                    None => {
                        endpoint.pending = Some(Pending::begin(at, &self.slice.pass, outcome.as_str(), self.now));
                    }
                }
                self.doubted.insert(key);
            }
        }
    }

    /// `PORT_OPEN`, once everything this slice knows of the endpoint is in its state.
    pub(crate) fn opening(&mut self, key: Key) -> Option<Event> {
        let opened = self.opened.get(&key)?;
        let endpoint = self.endpoints.get(&key).filter(|endpoint| endpoint.status == PortStatus::Open)?;
        let mut event = Event::new(EventType::PortOpen, self.now, &self.inventory.vantage, &(self.slice.ip, key));
        event::on_endpoint(&mut event, endpoint);
        event.service = event::shown_service(endpoint);
        event.old = opened.again.then(|| "closed".to_owned());
        event.new = Some("open".to_owned());
        event.reason = Some(opened.reason.clone());
        event.evidence.clone_from(&opened.evidence);
        let known = endpoint.services.iter().find_map(|state| state.service.as_deref());
        event.evidence.extend(event::banner(endpoint.last_seen, known));
        let leaf = endpoint.services.iter().find_map(|state| state.tls.as_ref());
        if let Some(tls) = leaf
            && let Some(state) = tls.certificate.and_then(|sha256| self.certificates.get(&sha256))
        {
            event::certificate(&mut event, &state.certificate, &tls.verdicts);
        }
        Some(event)
    }
}
