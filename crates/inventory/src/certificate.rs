//! Certificates on services: new, replaced, taking turns, not allowed.

use crate::{
    CertificateState, EndpointState, PathState, Pending, PendingCertificate, ServiceState, Standing, TlsState,
    apply::Plan,
    confirm, event, renewal,
    turns::{self, CENSUS, CENSUS_GAP, CENSUS_OF, FORSAKEN, MOST_TURNS, is_forsaken, rule_for},
};
use jiff::Timestamp;
use model::{
    Certificate, Endpoint, Event, EventEndpoint, EventType, PartOf, ServiceName, Sha256, TlsObservation, TrustPath,
    Verdict,
};
use std::collections::{BTreeMap, BTreeSet};

/// A certificate remembers so many that it took the place of.
const MOST_REPLACED: usize = 64;

/// A leaf as a handshake showed it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) certificate: &'a Certificate,
    pub(crate) verdicts: &'a [Verdict],
    pub(crate) presented: &'a [Sha256],
    pub(crate) path: Option<&'a TrustPath>,
    pub(crate) at: Timestamp,
}

impl<'a> Leaf<'a> {
    pub(crate) fn of(seen: &'a TlsObservation, at: Timestamp) -> Option<Self> {
        let certificate = seen.certificate.as_ref()?;
        Some(Self { certificate, verdicts: &seen.verdicts, presented: &seen.presented, path: seen.path.as_deref(), at })
    }

    /// One met before, about which this handshake says nothing, and what was found of it then.
    fn remembered(known: &'a CertificateState, verdicts: &'a [Verdict], at: Timestamp) -> Self {
        Self { certificate: &known.certificate, verdicts, presented: &[], path: None, at }
    }
}

impl Plan<'_> {
    /// The first leaf of a service.
    pub(crate) fn adopt_leaf(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        leaf: Leaf<'_>,
        news: bool,
        told: &mut Vec<Event>,
    ) {
        let Some(tls) = &mut state.tls else { return };
        tls.show(leaf);
        self.note_leaf(leaf);
        self.serve(endpoint, state, leaf, news, told);
    }

    /// A further leaf of a service.
    pub(crate) fn compare_leaf(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        leaf: Leaf<'_>,
        told: &mut Vec<Event>,
    ) {
        let sha256 = leaf.certificate.sha256;
        let Some(tls) = &mut state.tls else { return };
        let Some(primary) = tls.certificate else {
            return self.adopt_leaf(endpoint, state, leaf, !endpoint.learnt, told);
        };
        let settled = if sha256 == primary { self.settle_trust(endpoint, state, leaf, told) } else { None };
        let leaf = match &settled {
            Some(verdicts) => Leaf { verdicts, presented: &[], path: None, ..leaf },
            None => leaf,
        };
        let Some(tls) = &mut state.tls else { return };
        self.note_leaf(leaf);
        let was_restless = tls.is_restless();
        let mut pending = state.pending_certificate.take();
        let is_member = |sha256: &Sha256| *sha256 == primary || tls.alternates.contains_key(sha256);
        let is_stranger = !is_member(&sha256);
        let suspect = pending
            .as_ref()
            .filter(|pending| pending.evidence.count > 0 && !is_member(&pending.certificate))
            .map(|pending| (pending.certificate, pending.evidence.last, pending.verdicts.clone()));
        // Another one was shown: what was in doubt takes turns with it.
        let joined = suspect.as_ref().filter(|(member, ..)| *member != sha256);
        if let Some((member, last, _)) = joined {
            tls.alternates.insert(*member, *last);
            tls.alternates.entry(primary).or_insert(*last);
        }
        if !is_stranger && !tls.alternates.is_empty() {
            tls.alternates.insert(sha256, leaf.at);
        }
        let goes_on = joined.is_none() && (suspect.is_some() || !is_stranger);
        if let Some(pending) = &mut pending {
            pending.missed.remove(&sha256);
            if !goes_on || sha256 == primary {
                pending.evidence.count = 0;
            }
        }
        if settled.is_some() {
            tls.verdicts = leaf.verdicts.to_vec();
        } else if sha256 == primary {
            tls.show(leaf);
        } else {
            pending = Some(self.gather(pending, leaf));
        }
        let is_counted = self.count_turns(&mut pending, tls, joined.is_some());
        let missing: Vec<Sha256> =
            tls.alternates.keys().filter(|member| **member != sha256 && **member != primary).copied().collect();
        if !missing.is_empty() {
            let pending = pending.get_or_insert_with(|| {
                let begun = self.gather(None, leaf);
                Box::new(PendingCertificate { evidence: Pending { count: 0, ..begun.evidence.clone() }, ..*begun })
            });
            for member in missing {
                let missed = pending.missed.entry(member).or_default();
                *missed = missed.saturating_add(1);
            }
        }
        let too_many = tls.drop_oldest(&BTreeSet::new());
        if let Some(pending) = &mut pending {
            pending.missed.retain(|member, _| !too_many.contains(member));
        }
        let is_restless = tls.is_restless();
        state.pending_certificate = pending.filter(|pending| !pending.is_over());
        let place = (self.host.endpoint_at(endpoint), state.name.clone());
        for member in &too_many {
            self.unserve(&place, member);
        }
        // Where nearly every handshake shows another one, none of them is news, and none is waited for.
        if let Some((member, _, verdicts)) = joined.filter(|_| !was_restless)
            && let Some(known) = self.known(member)
        {
            let member = Leaf::remembered(&known, verdicts, leaf.at);
            // Who takes turns comes to light in the first day; who joins them later is a change.
            let is_known = confirm::between(state.first_seen, leaf.at) > turns::learning(self.policy.identify);
            if is_known {
                self.join_leaf(endpoint, state, member, told);
            }
            self.serve(endpoint, state, member, !is_known && !endpoint.learnt, told);
        }
        if !is_stranger {
            self.serve(endpoint, state, leaf, false, told);
            return self.forsake(endpoint, state, leaf, is_counted, told);
        }
        let confirm = self.policy.confirm.certificate_changed;
        let rule = rule_for(confirm, self.policy.identify, state.changed_at, leaf.at);
        let Some(pending) = &mut state.pending_certificate else { return };
        if pending.evidence.satisfies(&rule) {
            let evidence = pending.evidence.clone();
            self.replace_leaf(endpoint, state, leaf, &evidence, BTreeMap::new(), told);
        } else if is_restless {
            pending.evidence.due = confirm::after(self.now, self.policy.identify);
        } else {
            pending.evidence.schedule(&rule, self.now);
        }
    }

    /// Handshakes in a row without the certificate in force.
    fn gather(&self, pending: Option<Box<PendingCertificate>>, leaf: Leaf<'_>) -> Box<PendingCertificate> {
        let sha256 = leaf.certificate.sha256;
        let text = format!("certificate {sha256}");
        let begun = || Pending::begin(leaf.at, &self.slice.pass, &text, self.now);
        let Some(mut pending) = pending else {
            let missed = BTreeMap::new();
            let verdicts = leaf.verdicts.to_vec();
            return Box::new(PendingCertificate {
                evidence: begun(),
                certificate: sha256,
                verdicts,
                missed,
                census: 0,
            });
        };
        if pending.evidence.count == 0 {
            pending.evidence = begun();
        } else {
            pending.evidence.add(leaf.at, &self.slice.pass, &text);
        }
        pending.certificate = sha256;
        pending.verdicts = leaf.verdicts.to_vec();
        pending
    }

    /// Asks for all that take turns when one has joined them. Tells whether they have all been asked for with this conversation.
    fn count_turns(&self, pending: &mut Option<Box<PendingCertificate>>, tls: &TlsState, joined: bool) -> bool {
        let Some(pending) = pending else { return false };
        let is_last = pending.census == 1;
        pending.census = match (joined, tls.alternates.len() <= CENSUS_OF) {
            (true, true) => CENSUS,
            (true, false) => 0,
            (false, _) => pending.census.saturating_sub(1),
        };
        if pending.census > 0 {
            pending.evidence.due = confirm::after(self.now, CENSUS_GAP);
        }
        is_last && !joined
    }

    /// Drops members of a balancer that were not met for long, or not once while all were asked for (`is_counted`); if the one in
    /// force is among them, that is its replacement.
    fn forsake(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        leaf: Leaf<'_>,
        is_counted: bool,
        told: &mut Vec<Event>,
    ) {
        let Some(tls) = &mut state.tls else { return };
        let primary = tls.certificate;
        let missed = state.pending_certificate.as_ref().map(|pending| pending.missed.clone()).unwrap_or_default();
        let is_gone = |member: &Sha256, last: Timestamp| {
            let missed = missed.get(member).copied().unwrap_or_default();
            Some(*member) != primary && (is_forsaken(missed, last, leaf.at) || (is_counted && missed >= CENSUS))
        };
        let mut gone: BTreeSet<Sha256> =
            tls.alternates.iter().filter(|(member, last)| is_gone(member, **last)).map(|(member, _)| *member).collect();
        let oldest = tls.drop_oldest(&gone);
        gone.extend(oldest);
        tls.alternates.retain(|member, _| !gone.contains(member));
        if tls.alternates.len() <= 1 && primary == Some(leaf.certificate.sha256) {
            tls.alternates.clear();
        }
        let place = (self.host.endpoint_at(endpoint), state.name.clone());
        for member in &gone {
            self.unserve(&place, member);
        }
        let Some(mut pending) = state.pending_certificate.take() else { return };
        pending.missed.retain(|member, _| !gone.contains(member));
        if pending.evidence.count > 0
            && pending.certificate == leaf.certificate.sha256
            && (pending.evidence.satisfies(&FORSAKEN) || (is_counted && pending.evidence.count >= CENSUS))
        {
            let mut rest = state.tls.as_ref().map(|tls| tls.alternates.clone()).unwrap_or_default();
            rest.retain(|member, _| Some(*member) != primary);
            self.replace_leaf(endpoint, state, leaf, &pending.evidence, rest, told);
        } else if !pending.is_over() {
            state.pending_certificate = Some(pending);
        }
    }

    /// `SSL_CHANGED`: the old one is gone, and everything that took turns with it but the `rest`.
    fn replace_leaf(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        leaf: Leaf<'_>,
        evidence: &Pending,
        rest: BTreeMap<Sha256, Timestamp>,
        told: &mut Vec<Event>,
    ) {
        state.pending_certificate = None;
        state.changed_at = leaf.at;
        let place = self.host.endpoint_at(endpoint);
        let Some(mut tls) = state.tls.take() else { return };
        let service = (place, state.name.clone());
        for member in tls.certificates().iter().filter(|member| !rest.contains_key(*member)) {
            self.unserve(&service, member);
        }
        let old = tls.certificate.and_then(|sha256| self.known(&sha256));
        let distrusted = renewal::distrusted(&tls.verdicts, leaf.verdicts);
        tls.show(leaf);
        tls.alternates = if rest.len() > 1 { rest } else { BTreeMap::new() };
        state.tls = Some(tls);
        let mut event = self.changed_leaf(endpoint, state, old.as_ref(), distrusted, leaf);
        event.evidence.extend(event::gathered(evidence));
        told.push(event);
        self.serve(endpoint, state, leaf, false, told);
    }

    /// `SSL_CHANGED`: one more takes turns with those that are known.
    fn join_leaf(&mut self, endpoint: &EndpointState, state: &ServiceState, leaf: Leaf<'_>, told: &mut Vec<Event>) {
        let Some(tls) = &state.tls else { return };
        let sha256 = leaf.certificate.sha256;
        let members: Vec<_> = tls
            .certificates()
            .into_iter()
            .filter(|member| *member != sha256)
            .filter_map(|member| self.known(&member))
            .collect();
        // The one whose renewal it is, if it is anybody's.
        let nearest = members.iter().min_by_key(|old| {
            let (_, severity) = renewal::what_changed(&old.certificate, leaf.certificate, true, None, leaf.at);
            (severity, old.certificate.sans != leaf.certificate.sans, Some(old.certificate.sha256) != tls.certificate)
        });
        let distrusted = renewal::distrusted(&tls.verdicts, leaf.verdicts);
        let mut event = self.changed_leaf(endpoint, state, nearest, distrusted, leaf);
        let further = if tls.is_restless() { "; it shows ever new ones: further ones are not told" } else { "" };
        event.reason = event.reason.map(|reason| format!("{reason}; takes turns with {}{further}", members.len()));
        told.push(event);
    }

    /// From the old one to this, on that service. The same change on another endpoint is part of the first.
    pub(crate) fn changed_leaf(
        &mut self,
        endpoint: &EndpointState,
        state: &ServiceState,
        old: Option<&CertificateState>,
        distrusted: Option<Verdict>,
        leaf: Leaf<'_>,
    ) -> Event {
        let sha256 = leaf.certificate.sha256;
        let step = old.map(|old| self.replacement(&old.certificate.sha256, &sha256));
        let known = self.certificates.get_mut(&sha256);
        let first = known.as_ref().zip(step.as_ref()).and_then(|(known, step)| known.replaced.get(step).copied());
        let place = (first.is_some() || step.is_none()).then(|| (self.host.endpoint_at(endpoint), &state.name));
        let subject = (place, &step, sha256);
        let mut event = Event::new(EventType::SslChanged, self.now, &self.inventory.vantage, &subject);
        event.part_of = first;
        if let (Some(known), Some(step), None) = (known, step, first)
            && known.replaced.len() < MOST_REPLACED
        {
            known.replaced.insert(step, PartOf { id: event.id, kind: event.kind });
        }
        event::on_service(&mut event, endpoint, state);
        event::certificate(&mut event, leaf.certificate, leaf.verdicts);
        event.new = Some(sha256.to_string());
        let Some(old) = old else {
            event.reason = Some("another certificate".to_owned());
            return event;
        };
        event.old = Some(old.certificate.sha256.to_string());
        let mut carriers = self.inventory.carriers(&leaf.certificate.spki_sha256);
        let is_known_key = carriers.any(|carrier| carrier.certificate.sha256 != sha256);
        let (reason, severity) =
            renewal::what_changed(&old.certificate, leaf.certificate, is_known_key, distrusted, leaf.at);
        event.reason = Some(reason);
        event.severity = severity;
        event
    }

    /// Records where a certificate is served; `SSL_NEW` where it is news and never seen, `SSL_ROGUE` where it is not
    /// allowed.
    fn serve(
        &mut self,
        endpoint: &EndpointState,
        state: &ServiceState,
        leaf: Leaf<'_>,
        news: bool,
        told: &mut Vec<Event>,
    ) {
        let pass = self.slice.pass.id;
        let place = (self.host.endpoint_at(endpoint), state.name.clone());
        let wrong = self.policy.certificates.as_deref().and_then(|list| {
            let asked = state.name.is_some();
            crate::allowed::objection(leaf.certificate, leaf.verdicts, asked, list)
        });
        let Some(known) = self.certificates.get_mut(&leaf.certificate.sha256) else { return };
        let comes_here = known.endpoints.insert(place.clone());
        let unseen = match known.standing {
            Standing::Told => false,
            Standing::Unsettled => true,
            Standing::Learnt(learnt) => learnt == pass,
        };
        let is_new = news && unseen;
        if is_new {
            known.standing = Standing::Told;
        } else if known.standing == Standing::Unsettled {
            known.standing = Standing::Learnt(pass);
        }
        // Several may have the one that takes turns, some with a chain that verifies and some without.
        let takes_turns = state.tls.as_ref().is_some_and(|tls| {
            tls.certificate != Some(leaf.certificate.sha256) && tls.alternates.contains_key(&leaf.certificate.sha256)
        });
        let is_rogue = if wrong.is_some() {
            known.rogue_told.insert(place)
        } else {
            if !takes_turns {
                known.not_rogue(&place);
            }
            false
        };
        let vantage = &self.inventory.vantage;
        if is_new {
            let mut event = Event::new(EventType::SslNew, self.now, vantage, &leaf.certificate.sha256);
            event::on_service(&mut event, endpoint, state);
            event::certificate(&mut event, leaf.certificate, leaf.verdicts);
            event.new = Some(leaf.certificate.sha256.to_string());
            event.reason = Some("a certificate never seen in scope".to_owned());
            told.push(event);
        }
        if let Some(wrong) = wrong.filter(|_| is_rogue) {
            let assets = self.policy.assets.join(", ");
            let first = known.rogue.get(&assets).copied();
            // The first one's id does not tell where it was met: another order of hosts would have met it elsewhere.
            let subject = first.map(|_| (self.host.endpoint_at(endpoint), &state.name));
            let subject = (subject, leaf.certificate.sha256, &assets);
            let mut event = Event::new(EventType::SslRogue, self.now, vantage, &subject);
            event::on_service(&mut event, endpoint, state);
            event::certificate(&mut event, leaf.certificate, leaf.verdicts);
            event.new = Some(leaf.certificate.issuer.clone());
            event.reason = Some(wrong);
            event.part_of = first;
            known.rogue.entry(assets).or_insert(PartOf { id: event.id, kind: event.kind });
            told.push(event);
        }
        if comes_here {
            told.extend(self.repeat_expiry(endpoint, state, &leaf.certificate.sha256));
        }
        self.judge_certificate(endpoint, state, leaf, told);
    }

    /// Makes sure a certificate is among those touched, and that its times include this one.
    pub(crate) fn note(&mut self, certificate: &Certificate, at: Timestamp) -> &mut CertificateState {
        let stored = self.inventory.certificates.get(&certificate.sha256);
        let state = self
            .certificates
            .entry(certificate.sha256)
            .or_insert_with(|| stored.cloned().unwrap_or_else(|| CertificateState::new(certificate.clone(), at)));
        // What an older version made of it may have been less.
        if state.certificate != *certificate {
            state.certificate = certificate.clone();
        }
        state.first_seen = state.first_seen.min(at);
        state.last_seen = state.last_seen.max(at);
        state
    }

    pub(crate) fn known(&mut self, sha256: &Sha256) -> Option<CertificateState> {
        if let Some(state) = self.certificates.get(sha256) {
            return Some(state.clone());
        }
        let state = self.inventory.certificates.get(sha256)?.clone();
        self.certificates.insert(*sha256, state.clone());
        Some(state)
    }

    /// What took the place of it by itself is news again.
    pub(crate) fn forget_replacement(&mut self, sha256: Sha256) {
        let step = self.replacement(&sha256, &sha256);
        self.known(&sha256);
        if let Some(known) = self.certificates.get_mut(&sha256) {
            known.replaced.remove(&step);
        }
    }

    /// From one certificate to another, on these assets.
    fn replacement(&self, old: &Sha256, new: &Sha256) -> String {
        let same = if old == new { " again" } else { "" };
        format!("{old}{same} {}", self.policy.assets.join(", "))
    }

    fn unserve(&mut self, place: &(Endpoint, Option<ServiceName>), sha256: &Sha256) {
        self.known(sha256);
        if let Some(state) = self.certificates.get_mut(sha256) {
            state.endpoints.remove(place);
            state.not_rogue(place);
        }
    }

    /// `SSL_REMOVED` for each certificate that was served until now and is not any more, if nothing took its place. It is part of
    /// what tells that the place is gone.
    pub(crate) fn removed_leaves(&self, events: &[Event]) -> Vec<Event> {
        let gone = self.certificates.values().filter(|state| state.endpoints.is_empty());
        let gone = gone.filter_map(|state| {
            let before = self.inventory.certificates.get(&state.certificate.sha256)?;
            if before.endpoints.iter().all(|place| self.unasked.places.contains(place)) {
                return None;
            }
            let (place, name) = before.endpoints.first()?;
            let here = self.host.endpoints.iter().filter(|it| (it.transport, it.port) == (place.transport, place.port));
            let mut services = here.flat_map(|endpoint| &endpoint.services).filter(|service| service.name == *name);
            if services.any(|service| service.tls.as_ref().is_some_and(|tls| tls.is_restless())) {
                return None;
            }
            let at = Some(EventEndpoint { transport: place.transport, port: place.port });
            let name = name.as_ref().map(ToString::to_string);
            let mut changes = events.iter().filter(|event| event.kind == EventType::SslChanged);
            let is_replaced = changes.any(|event| event.endpoint == at && event.name == name);
            (!is_replaced).then_some((state, *place, name))
        });
        gone.map(|(state, place, name)| {
            let sha256 = state.certificate.sha256;
            let mut event = Event::new(EventType::SslRemoved, self.now, &self.inventory.vantage, &sha256);
            event::certificate(&mut event, &state.certificate, &[]);
            event.endpoint = Some(EventEndpoint { transport: place.transport, port: place.port });
            event.name = name;
            event.old = Some(sha256.to_string());
            event.reason = Some(format!("{place} was the last to serve it"));
            event.first_seen = Some(state.first_seen);
            event.last_seen = Some(state.last_seen);
            let cause = events.iter().find(|cause| {
                matches!(cause.kind, EventType::PortClosed | EventType::PortChanged) && cause.endpoint == event.endpoint
            });
            event.part_of = cause.map(|cause| cause.part_of.unwrap_or(PartOf { id: cause.id, kind: cause.kind }));
            event
        })
        .collect()
    }

    /// The service serves none of these any more.
    pub(crate) fn withdraw(&mut self, endpoint: Endpoint, name: Option<&ServiceName>, tls: &TlsState) {
        let place = (endpoint, name.cloned());
        for sha256 in tls.certificates() {
            self.unserve(&place, &sha256);
        }
    }

    pub(crate) fn withdraw_all(&mut self, endpoint: Endpoint, service: &ServiceState) {
        if let Some(tls) = &service.tls {
            self.withdraw(endpoint, service.name.as_ref(), tls);
        }
    }
}

impl PendingCertificate {
    /// Nothing is left to remember.
    fn is_over(&self) -> bool {
        self.evidence.count == 0 && self.missed.is_empty() && self.census == 0
    }
}

impl TlsState {
    /// Whether more certificates took turns than any balancer has: one that is made anew for each handshake, say. The one too many is kept
    /// as the sign of it.
    fn is_restless(&self) -> bool {
        self.alternates.len() > MOST_TURNS
    }

    /// Drops those that were met longest ago, but never the one in force, until one too many is left beside those that are `gone`. Gives
    /// those dropped.
    fn drop_oldest(&mut self, gone: &BTreeSet<Sha256>) -> Vec<Sha256> {
        let mut dropped = Vec::new();
        while self.alternates.len() - gone.len() > MOST_TURNS + 1 {
            let rest = self
                .alternates
                .iter()
                .filter(|(member, _)| Some(**member) != self.certificate && !gone.contains(*member));
            let Some(oldest) = rest.min_by_key(|(member, last)| (**last, **member)).map(|(member, _)| *member) else {
                break;
            };
            self.alternates.remove(&oldest);
            dropped.push(oldest);
        }
        dropped
    }

    /// That one is in force.
    fn show(&mut self, leaf: Leaf<'_>) {
        self.certificate = Some(leaf.certificate.sha256);
        self.verdicts = leaf.verdicts.to_vec();
        self.chain = leaf.presented.iter().skip(1).copied().collect();
        self.path = leaf.path.map(|path| {
            Box::new(PathState {
                issuers: path.issuers.iter().map(|issuer| issuer.sha256).collect(),
                root: path.root.clone(),
                issuers_end: path.issuers.iter().map(|issuer| issuer.not_after).min(),
            })
        });
    }

    /// The one in force and those that take turns with it.
    pub(crate) fn certificates(&self) -> BTreeSet<Sha256> {
        self.certificate.into_iter().chain(self.alternates.keys().copied()).collect()
    }
}

impl crate::HostState {
    /// Every certificate its services serve.
    pub(crate) fn certificates(&self) -> BTreeSet<Sha256> {
        let services = self.endpoints.iter().flat_map(|endpoint| &endpoint.services);
        services.filter_map(|service| service.tls.as_deref()).flat_map(TlsState::certificates).collect()
    }
}
