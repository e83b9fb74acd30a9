//! The operating system: what the services of a host say of it together, and when that is a change.

use crate::{HostState, Pending, PendingOs, ServiceState, apply::Plan, event};
use jiff::Timestamp;
use model::{Event, EventType, Os, ServiceName, ServiceObservation, Transport};

/// Below this an operating system is a guess: guesses replace each other in silence and never what is known.
const CONFIDENT: f32 = 0.8;

impl Plan<'_> {
    /// The surest of what is said, compared with what is known. The host's endpoints are in place.
    pub(crate) fn judge_os(&mut self) {
        let Some((best, told_at)) = self.best_os() else { return };
        let Some(known) = self.host.os.clone() else {
            self.host.os = Some(best);
            return;
        };
        if is_same(&known, &best) {
            // What is only remembered speaks against a doubt no more than it did when the doubt arose.
            self.host.pending_os =
                self.host.pending_os.take().filter(|pending| told_at.is_none() && self.host.is_said(&pending.os));
            if best.product.is_some() >= known.product.is_some() && best.version.is_some() >= known.version.is_some() {
                self.host.os = Some(best);
            }
            return;
        }
        if known.confidence < CONFIDENT {
            self.host.pending_os = None;
            self.host.os = Some(best);
            return;
        }
        let Some(at) = told_at.filter(|_| best.confidence >= CONFIDENT) else { return };
        let text = event::printable(&format!("operating system {best}, confidence {:.2}", best.confidence));
        let mut pending = match self.host.pending_os.take() {
            Some(mut pending) if is_same(&pending.os, &best) => {
                if pending.evidence.last_pass != self.slice.pass.id && at > pending.evidence.last {
                    pending.evidence.add(at, &self.slice.pass, &text);
                }
                pending.os = best;
                pending
            }
            _ => Box::new(PendingOs { evidence: Pending::begin(at, &self.slice.pass, &text, self.now), os: best }),
        };
        let rule = self.policy.confirm.host_updated;
        if pending.evidence.satisfies(&rule) {
            let event = self.os_changed(&known, &pending);
            self.host_events.push(event);
            self.host.os = Some(pending.os);
        } else {
            pending.evidence.schedule(&rule, self.now);
            self.host.pending_os = Some(pending);
        }
    }

    /// With when this slice heard it; no time where it is only remembered. The first of equals in the order of endpoints.
    fn best_os(&self) -> Option<(Os, Option<Timestamp>)> {
        let mut best: Option<(&Os, Option<Timestamp>)> = None;
        for endpoint in self.host.open() {
            let key = (endpoint.transport, endpoint.port);
            for state in &endpoint.services {
                let heard = self.heard_os(key, state.name.as_ref());
                let known = state.service.as_ref().and_then(|service| service.os.as_ref());
                let Some((os, at)) = heard.or(known.map(|os| (os, None))) else { continue };
                if best.is_none_or(|(best, _)| os.confidence > best.confidence) {
                    best = Some((os, at));
                }
            }
        }
        best.map(|(os, at)| (os.clone(), at))
    }

    /// What the latest conversation of this slice that is news says.
    fn heard_os(&self, key: (Transport, u16), name: Option<&ServiceName>) -> Option<(&Os, Option<Timestamp>)> {
        let about = |seen: &&ServiceObservation| {
            (seen.endpoint.transport, seen.endpoint.port) == key && seen.name.as_ref() == name
        };
        let seen = self.services().filter(about).max_by_key(|seen| seen.at)?;
        let before = self.before.and_then(|host| host.endpoint(key.0, key.1));
        let known = before.and_then(|endpoint| endpoint.services.iter().find(|state| state.name.as_ref() == name));
        if known.is_some_and(|known| known.last_observed >= seen.at) {
            return None;
        }
        Some((seen.service.as_ref()?.os.as_ref()?, Some(seen.at)))
    }

    fn os_changed(&self, known: &Os, pending: &PendingOs) -> Event {
        let mut event = Event::new(EventType::HostUpdated, self.now, &self.inventory.vantage, &(self.slice.ip, "os"));
        event.old = Some(known.to_string());
        event.new = Some(pending.os.to_string());
        let what = if known.family.eq_ignore_ascii_case(&pending.os.family) { "version" } else { "family" };
        event.reason = Some(format!(
            "{what} of the operating system, seen {} times, confidence {:.2} (was {:.2})",
            pending.evidence.count, pending.os.confidence, known.confidence
        ));
        event.evidence = event::gathered(&pending.evidence);
        event.first_seen = Some(self.host.first_seen);
        event.last_seen = Some(self.host.last_seen);
        event
    }
}

impl HostState {
    /// Whom to ask for that operating system again: who said so, or might.
    pub(crate) fn tells_os(&self, os: &Os) -> Option<(Transport, u16, Option<ServiceName>)> {
        let services = || self.open().flat_map(|endpoint| endpoint.services.iter().map(move |state| (endpoint, state)));
        let said = services().find(|(_, state)| says(state, os));
        let might = || services().find(|(_, state)| state.service.as_ref().is_some_and(|known| known.os.is_some()));
        let (endpoint, state) = said.or_else(might)?;
        Some((endpoint.transport, endpoint.port, state.name.clone()))
    }

    /// Whether a service of this host says so, or might soon.
    fn is_said(&self, os: &Os) -> bool {
        self.open().flat_map(|endpoint| &endpoint.services).any(|state| says(state, os))
    }
}

fn says(state: &ServiceState, os: &Os) -> bool {
    let now = state.service.as_ref();
    let next = state.pending_service.as_ref().and_then(|pending| pending.service.as_ref());
    now.into_iter().chain(next).any(|service| service.os.as_ref().is_some_and(|said| is_same(said, os)))
}

/// One may say less than the other.
fn is_same(one: &Os, other: &Os) -> bool {
    let agree = |one: Option<&String>, other: Option<&String>| match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => true,
    };
    one.family.eq_ignore_ascii_case(&other.family)
        && agree(one.product.as_ref(), other.product.as_ref())
        && agree(one.version.as_ref(), other.version.as_ref())
}
