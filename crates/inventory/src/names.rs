//! What a host is called. Names are compared as sets, and sets that take turns are no change: a name server hands out parts
//! of a long list, or the same list in turns.

use crate::{
    NameTurn, Pending, PendingNames, PortStatus,
    apply::{Key, Plan},
    confirm, event,
};
use jiff::Timestamp;
use model::{Event, EventType, NameObservation, NameSource, Service};
use std::{collections::BTreeSet, time::Duration};

/// Sets that stay within what was seen in this time take turns.
const TURNS: Duration = Duration::from_hours(24);
/// No source takes turns among more names than this.
const MOST_NAMES: usize = 256;

/// The facts of a service in which a host names itself.
const SAID: [(NameSource, &str); 4] = [
    (NameSource::NetBios, "netbios.computer"),
    (NameSource::Ntlm, "ntlm.computer"),
    (NameSource::Ntlm, "ntlm.dns_computer"),
    (NameSource::Ldap, "ldap.host"),
];

impl Plan<'_> {
    /// A source's first set is learnt; another one counts when two passes agree on it.
    pub(crate) fn judge_names(&mut self) {
        let told = self.names_told();
        let mut observed: Vec<_> = self.slice.names.iter().chain(&told).collect();
        observed.sort_by_key(|seen| (seen.at, seen.source));
        for seen in observed {
            let before = self.host.named_at.get(&seen.source).copied();
            if before.is_some_and(|known| known >= seen.at) {
                continue;
            }
            self.host.named_at.insert(seen.source, seen.at);
            match self.host.names.get(&seen.source).filter(|_| !self.host.is_provisional()) {
                Some(told) => {
                    let told = told.clone();
                    self.compare_names(seen, &told, before.unwrap_or(seen.at));
                }
                None => {
                    self.host.names.insert(seen.source, seen.names.clone());
                }
            }
        }
    }

    /// What services of this slice call their host, with what the others said before: one set for each way of telling it.
    fn names_told(&self) -> Vec<NameObservation> {
        let sources = SAID.iter().map(|(source, _)| *source).collect::<BTreeSet<_>>();
        let told = sources.into_iter().filter_map(|source| {
            let facts = || SAID.iter().filter(move |(other, _)| *other == source).map(|(_, fact)| *fact);
            let of = |service: &Service| -> BTreeSet<String> {
                let said = facts().filter_map(|fact| service.facts.get(fact));
                said.map(|name| name.trim_end_matches('.').to_lowercase()).filter(|name| !name.is_empty()).collect()
            };
            let heard: Vec<_> = self
                .services()
                .filter_map(|seen| Some((seen, of(seen.service.as_ref()?))))
                .filter(|(_, names)| !names.is_empty())
                .collect();
            let at = heard.iter().map(|(seen, _)| seen.at).max()?;
            let is_heard =
                |key: &Key| heard.iter().any(|(seen, _)| (seen.endpoint.transport, seen.endpoint.port) == *key);
            let open = self.endpoints.iter().filter(|(key, state)| state.status == PortStatus::Open && !is_heard(key));
            let remembered = open.flat_map(|(_, state)| &state.services).filter_map(|state| state.service.as_deref());
            let names = heard.iter().flat_map(|(_, names)| names.clone()).chain(remembered.flat_map(of)).collect();
            Some(NameObservation { source, names, at })
        });
        told.collect()
    }

    fn compare_names(&mut self, seen: &NameObservation, told: &BTreeSet<String>, before: Timestamp) {
        let mut turns = self.host.name_turns.take().unwrap_or_default();
        let turn = turns.by_source.remove(&seen.source);
        if seen.names != *told || turn.is_some() {
            let mut turn = turn.unwrap_or_else(|| NameTurn {
                recent: told.iter().map(|name| (name.clone(), before)).collect(),
                pending: None,
            });
            turn.recent.retain(|_, last| confirm::between(*last, seen.at) <= TURNS);
            match turn.candidate(&seen.names, told, seen.at) {
                Some(candidate) => {
                    if let Some(evidence) = self.gather_names(&mut turn, &candidate, seen) {
                        turn.touch(&candidate, seen.at);
                        let event = self.names_changed(seen.source, told, &candidate, &evidence);
                        self.host_events.push(event);
                        self.host.names.insert(seen.source, candidate);
                    }
                }
                None => turn.join(),
            }
            let settled =
                seen.names == *told && turn.pending.is_none() && turn.recent.keys().all(|name| told.contains(name));
            if !settled {
                turns.by_source.insert(seen.source, turn);
            }
        }
        self.host.name_turns = (!turns.by_source.is_empty()).then_some(turns);
    }

    /// One more pass that saw this set; gives the evidence where it is enough.
    fn gather_names(
        &self,
        turn: &mut NameTurn,
        candidate: &BTreeSet<String>,
        seen: &NameObservation,
    ) -> Option<Pending> {
        let text = event::printable(&format!("{}: {}", said_by(seen.source), listed(&seen.names)));
        if turn.pending.as_ref().is_some_and(|pending| pending.names != *candidate) {
            turn.join();
        }
        let Some(pending) = &mut turn.pending else {
            let evidence = Pending::begin(seen.at, &self.slice.pass, &text, self.now);
            turn.pending = Some(PendingNames { evidence, names: candidate.clone() });
            return None;
        };
        if pending.evidence.last_pass != self.slice.pass.id {
            pending.evidence.add(seen.at, &self.slice.pass, &text);
        }
        if !pending.evidence.satisfies(&confirm::TWICE) {
            return None;
        }
        turn.pending.take().map(|pending| pending.evidence)
    }

    fn names_changed(
        &self,
        source: NameSource,
        old: &BTreeSet<String>,
        new: &BTreeSet<String>,
        evidence: &Pending,
    ) -> Event {
        let subject = (self.slice.ip, source, old, new);
        let mut event = Event::new(EventType::HostNameChanged, self.now, &self.inventory.vantage, &subject);
        let shown = |names: &BTreeSet<String>| (!names.is_empty()).then(|| listed(names));
        event.old = shown(old);
        event.new = shown(new);
        event.reason = Some(format!("{} give it other names, seen twice", said_by(source)));
        event.evidence = event::gathered(evidence);
        event.first_seen = Some(self.host.first_seen);
        event.last_seen = Some(self.host.last_seen);
        event
    }
}

impl NameTurn {
    /// The set that may be the new one; none where what is seen is the told one or a part of what takes turns.
    fn candidate(
        &mut self,
        seen: &BTreeSet<String>,
        told: &BTreeSet<String>,
        at: Timestamp,
    ) -> Option<BTreeSet<String>> {
        if seen != told && !seen.iter().all(|name| self.recent.contains_key(name)) {
            return Some(seen.clone());
        }
        self.touch(seen, at);
        let gone = told.iter().any(|name| !self.recent.contains_key(name));
        gone.then(|| self.recent.keys().cloned().collect())
    }

    fn touch(&mut self, names: &BTreeSet<String>, at: Timestamp) {
        self.recent.extend(names.iter().map(|name| (name.clone(), at)));
    }

    /// What was seen in between takes turns with what is seen now.
    fn join(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        for name in pending.names {
            if self.recent.len() < MOST_NAMES {
                let last = self.recent.entry(name).or_insert(pending.evidence.last);
                *last = (*last).max(pending.evidence.last);
            }
        }
    }
}

fn said_by(source: NameSource) -> &'static str {
    match source {
        NameSource::Configured => "configuration",
        NameSource::Ptr => "PTR records",
        NameSource::NetBios => "NetBIOS answers",
        NameSource::Ntlm => "NTLM challenges",
        NameSource::Ldap => "LDAP answers",
    }
}

fn listed(names: &BTreeSet<String>) -> String {
    let shown: Vec<_> = names.iter().take(event::MOST_LISTED).map(String::as_str).collect();
    if shown.is_empty() { "no name".to_owned() } else { shown.join(", ") }
}
