//! The operating system: what the services of a host say of it together, and when that is a change.

use crate::{HostState, Pending, PendingOs, ServiceState, apply::Plan, event};
use jiff::Timestamp;
use model::{Event, EventType, Os, Service, ServiceName, ServiceObservation, Transport};
use std::collections::{BTreeMap, BTreeSet};

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
        // Several stacks are no other system than the known one, which is among them or is not.
        if best.family == SEVERAL && known.family != SEVERAL && known.confidence >= CONFIDENT {
            return;
        }
        if is_same(&known, &best) {
            // What is only remembered speaks against a doubt no more than it did when the doubt arose.
            self.host.pending_os =
                self.host.pending_os.take().filter(|pending| told_at.is_none() && self.host.is_said(&pending.os));
            if says_as_much_as(&best, &known) {
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

    /// What all of it comes to, with when this slice heard of it; no time where it is only remembered.
    fn best_os(&self) -> Option<(Os, Option<Timestamp>)> {
        let mut said = Vec::new();
        for endpoint in self.host.open() {
            let key = (endpoint.transport, endpoint.port);
            for state in &endpoint.services {
                let heard = self.heard_os(key, state.name.as_ref());
                let known = state.service.as_ref().and_then(|service| service.os.as_ref());
                let Some((os, at)) = heard.or(known.map(|os| (os, None))) else { continue };
                let protocol = state.service.as_ref().map_or("", |service| &service.name);
                said.push(Said { os, group: group(protocol), at });
            }
        }
        let os = fuse(&said)?;
        let at = said.iter().filter(|said| is_same(said.os, &os)).filter_map(|said| said.at).max();
        Some((os, at))
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

/// One statement about the operating system.
#[derive(Debug, Clone, Copy)]
struct Said<'a> {
    os: &'a Os,
    group: &'a str,
    /// When this slice heard it.
    at: Option<Timestamp>,
}

/// Statements of one group come from one place and count once: what every door of Windows' own authentication tells is one number,
/// and a host's web servers share a package.
fn group(protocol: &str) -> &str {
    match protocol {
        "microsoft-ds" | "ms-wbt-server" | "epmap" | "netbios-ns" | "winrm" | "ms-sql-s" => "ntlm",
        "smtp" | "lmtp" | "imap" | "pop3" | "sieve" => "mail",
        other => other,
    }
}

/// Who is less sure than this contradicts nobody.
const CONTRADICTS: f32 = 0.75;
/// No number of statements makes it surer.
const SUREST: f32 = 0.99;
/// The family of an address behind which there are several.
const SEVERAL: &str = "several";

/// What the statements come to together. Groups that agree add to each other's confidence. Where those that are sure contradict each
/// other there is no vote: what they have in common is left (a family, a distribution), and where they have nothing in common there
/// are several stacks behind the address, which nobody is confident about.
fn fuse(said: &[Said<'_>]) -> Option<Os> {
    let best = said.iter().reduce(|best, other| if other.os.confidence > best.os.confidence { other } else { best })?;
    let supporters = || said.iter().filter(|said| is_same(said.os, best.os));
    let mut groups: BTreeMap<&str, f32> = BTreeMap::new();
    for said in supporters() {
        let surest = groups.entry(said.group).or_default();
        *surest = surest.max(said.os.confidence);
    }
    let doubt: f32 = groups.values().map(|confidence| 1.0 - confidence.clamp(0.0, 1.0)).product();
    // One alone is as sure as it says, to the digit.
    let confidence = if groups.len() == 1 { best.os.confidence } else { (1.0 - doubt).min(SUREST) };
    // Of those that agree, who says most.
    let detail = |os: &Os| (os.product.is_some(), os.version.is_some());
    let fullest = supporters().fold(best.os, |full, said| if detail(said.os) > detail(full) { said.os } else { full });
    let mut os = Os { confidence, ..fullest.clone() };
    let mut others = said.iter().filter(|said| said.os.confidence >= CONTRADICTS && !is_same(said.os, &os)).peekable();
    if others.peek().is_none() || os.confidence < CONTRADICTS {
        return Some(os);
    }
    let others: Vec<&Os> = others.map(|said| said.os).collect();
    let differs = |of: fn(&Os) -> Option<&str>, os: &Os| {
        others.iter().any(|other| of(other).zip(of(os)).is_some_and(|(other, own)| !other.eq_ignore_ascii_case(own)))
    };
    if differs(|os| Some(&os.family), &os) {
        let mut names: BTreeSet<String> = others.iter().map(ToString::to_string).collect();
        names.insert(os.to_string());
        let names = names.into_iter().take(4).collect::<Vec<_>>().join(", ");
        let product = Some(format!("several stacks behind this address ({names})"));
        return Some(Os { family: SEVERAL.to_owned(), product, version: None, confidence: 0.0 });
    }
    if differs(|os| os.product.as_deref(), &os) {
        (os.product, os.version) = (None, None);
    } else if differs(|os| os.version.as_deref(), &os) {
        os.version = None;
    }
    Some(os)
}

/// What the services of one host say together of the operating system they run on.
pub fn system_of<'a>(services: impl IntoIterator<Item = &'a Service>) -> Option<Os> {
    let said = |service: &'a Service| Some(Said { os: service.os.as_ref()?, group: group(&service.name), at: None });
    fuse(&services.into_iter().filter_map(said).collect::<Vec<_>>())
}

impl HostState {
    /// What its services say of the operating system together.
    pub fn fused_os(&self) -> Option<Os> {
        let services = self.open().flat_map(|endpoint| &endpoint.services);
        system_of(services.filter_map(|state| state.service.as_deref()))
    }

    /// The system, after other rules have named its services. One that is known gives way to none that says less of it or is a mere
    /// guess, unless it came of the old names alone (`was_said` by them, and now by nobody): then it was never heard.
    pub(crate) fn relabel_os(&mut self, was_said: bool) {
        let Some(fused) = self.fused_os() else { return };
        let gives_way = self.os.as_ref().is_none_or(|known| {
            if known.confidence < CONFIDENT {
                true
            } else if fused.family == SEVERAL {
                known.family == SEVERAL
            } else if is_same(known, &fused) {
                says_as_much_as(&fused, known)
            } else {
                fused.confidence >= CONFIDENT || (was_said && !self.is_said(known))
            }
        });
        if gives_way {
            self.os = Some(fused);
        }
    }

    /// Whom to ask for that operating system again: who said so, or might.
    pub(crate) fn tells_os(&self, os: &Os) -> Option<(Transport, u16, Option<ServiceName>)> {
        let services = || self.open().flat_map(|endpoint| endpoint.services.iter().map(move |state| (endpoint, state)));
        let said = services().find(|(_, state)| says(state, os));
        let might = || services().find(|(_, state)| state.service.as_ref().is_some_and(|known| known.os.is_some()));
        let (endpoint, state) = said.or_else(might)?;
        Some((endpoint.transport, endpoint.port, state.name.clone()))
    }

    /// Whether a service of this host says so, or might soon.
    pub(crate) fn is_said(&self, os: &Os) -> bool {
        self.open().flat_map(|endpoint| &endpoint.services).any(|state| says(state, os))
    }
}

fn says(state: &ServiceState, os: &Os) -> bool {
    let now = state.service.as_ref();
    let next = state.pending_service.as_ref().and_then(|pending| pending.service.as_ref());
    now.into_iter().chain(next).any(|service| service.os.as_ref().is_some_and(|said| is_same(said, os)))
}

/// As much detail; how sure it is does not matter.
fn says_as_much_as(one: &Os, other: &Os) -> bool {
    one.product.is_some() >= other.product.is_some() && one.version.is_some() >= other.version.is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_come_together() {
        type Statement = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, f32);
        let cases: [(&[Statement], &str, f32); 9] = [
            (&[("ssh", "linux", Some("Debian"), Some("12"), 0.9)], "Debian 12", 0.9),
            // Agreeing groups add up, and who says more is heard.
            (
                &[("ssh", "linux", Some("Debian"), Some("12"), 0.9), ("http", "linux", Some("Debian"), None, 0.8)],
                "Debian 12",
                0.98,
            ),
            // One group counts once.
            (
                &[("smtp", "linux", Some("Debian"), None, 0.8), ("imap", "linux", Some("Debian"), None, 0.8)],
                "Debian",
                0.8,
            ),
            (&[("http", "linux", None, None, 0.6), ("snmp", "linux", None, None, 0.6)], "linux", 0.84),
            // A guess contradicts nobody.
            (
                &[("ssh", "linux", Some("Debian"), Some("12"), 0.9), ("http", "windows", Some("Windows"), None, 0.6)],
                "Debian 12",
                0.9,
            ),
            // A container of another distribution, and one of another release.
            (
                &[("ssh", "linux", Some("Debian"), Some("12"), 0.9), ("http", "linux", Some("Ubuntu"), None, 0.8)],
                "linux",
                0.9,
            ),
            (
                &[
                    ("ssh", "linux", Some("Debian"), Some("12"), 0.9),
                    ("mysql", "linux", Some("Debian"), Some("11"), 0.9),
                ],
                "Debian",
                0.9,
            ),
            // Two machines.
            (
                &[
                    ("ssh", "linux", Some("Debian"), Some("12"), 0.9),
                    ("ms-wbt-server", "windows", Some("Windows"), None, 0.95),
                ],
                "several stacks behind this address (Debian 12, Windows)",
                0.0,
            ),
            (&[("ssh", "linux", None, None, 0.5), ("http", "windows", None, None, 0.4)], "linux", 0.5),
        ];
        for (statements, expect, confidence) in cases {
            let os = |&(_, family, product, version, confidence): &Statement| Os {
                family: family.to_owned(),
                product: product.map(str::to_owned),
                version: version.map(str::to_owned),
                confidence,
            };
            let systems: Vec<Os> = statements.iter().map(os).collect();
            let mut said: Vec<_> = systems
                .iter()
                .zip(statements)
                .map(|(os, (protocol, ..))| Said { os, group: group(protocol), at: None })
                .collect();
            for _ in 0..2 {
                let fused = fuse(&said).expect("somebody says something");
                assert_eq!(fused.to_string(), expect, "{statements:?}");
                assert!((fused.confidence - confidence).abs() < 0.005, "{statements:?}: {}", fused.confidence);
                said.reverse();
            }
        }
    }
}
