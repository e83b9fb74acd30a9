//! Certificates on services: new, replaced, taking turns, not allowed.

use crate::{
    CertificateState, EndpointState, Pending, PendingCertificate, ServiceState, Standing, TlsState,
    apply::Plan,
    confirm, event,
    turns::{self, CENSUS, CENSUS_GAP, CENSUS_OF, FORSAKEN, MOST_TURNS, is_forsaken, rule_for},
};
use jiff::Timestamp;
use model::{AllowList, Certificate, Endpoint, Event, EventType, ServiceName, Severity, Sha256, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// A leaf as a handshake showed it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) certificate: &'a Certificate,
    pub(crate) verdicts: &'a [Verdict],
    pub(crate) at: Timestamp,
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
        tls.certificate = Some(leaf.certificate.sha256);
        tls.verdicts = leaf.verdicts.to_vec();
        self.note(leaf.certificate, leaf.at);
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
        self.note(leaf.certificate, leaf.at);
        let mut pending = state.pending_certificate.take();
        let is_member = |sha256: &Sha256| *sha256 == primary || tls.alternates.contains_key(sha256);
        let is_stranger = !is_member(&sha256);
        let suspect = pending
            .as_ref()
            .filter(|pending| pending.evidence.count > 0 && !is_member(&pending.certificate))
            .map(|pending| (pending.certificate, pending.evidence.last));
        // Another one was shown: what was in doubt takes turns with it.
        let joined = suspect.filter(|(member, _)| *member != sha256);
        if let Some((member, last)) = joined {
            tls.alternates.insert(member, last);
            tls.alternates.entry(primary).or_insert(last);
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
        if sha256 == primary {
            tls.verdicts = leaf.verdicts.to_vec();
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
        state.pending_certificate = pending.filter(|pending| !pending.is_over());
        if let Some((member, _)) = joined
            && let Some(known) = self.known(&member)
        {
            let member = Leaf { certificate: &known.certificate, verdicts: &[], at: leaf.at };
            let news =
                !endpoint.learnt || confirm::between(state.first_seen, leaf.at) > turns::learning(self.policy.identify);
            self.serve(endpoint, state, member, news, told);
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
            return Box::new(PendingCertificate { evidence: begun(), certificate: sha256, missed, census: 0 });
        };
        if pending.evidence.count == 0 {
            pending.evidence = begun();
        } else {
            pending.evidence.add(leaf.at, &self.slice.pass, &text);
        }
        pending.certificate = sha256;
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
        while tls.alternates.len() - gone.len() > MOST_TURNS {
            let rest = tls.alternates.iter().filter(|(member, _)| Some(**member) != primary && !gone.contains(*member));
            let Some((oldest, _)) = rest.min_by_key(|(member, last)| (**last, **member)) else { break };
            gone.insert(*oldest);
        }
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
        tls.certificate = Some(leaf.certificate.sha256);
        tls.alternates = if rest.len() > 1 { rest } else { BTreeMap::new() };
        tls.verdicts = leaf.verdicts.to_vec();
        state.tls = Some(tls);
        let subject = (place, &state.name, leaf.certificate.sha256);
        let mut event = Event::new(EventType::SslChanged, self.now, &self.inventory.vantage, &subject);
        event::on_service(&mut event, endpoint, state);
        event::certificate(&mut event, leaf.certificate, leaf.verdicts);
        event.evidence.extend(event::gathered(evidence));
        event.new = Some(leaf.certificate.sha256.to_string());
        if let Some(old) = &old {
            event.old = Some(old.certificate.sha256.to_string());
            let (reason, severity) = what_changed(&old.certificate, leaf.certificate, leaf.at);
            event.reason = Some(reason);
            event.severity = severity.unwrap_or(event.severity);
        } else {
            event.reason = Some("another certificate".to_owned());
        }
        told.push(event);
        self.serve(endpoint, state, leaf, false, told);
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
        let allowed = self.policy.certificates.as_deref().map(|list| is_allowed(leaf.certificate, list));
        let Some(known) = self.certificates.get_mut(&leaf.certificate.sha256) else { return };
        known.endpoints.insert(place.clone());
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
        let is_rogue = if allowed == Some(false) {
            known.rogue_told.insert(place)
        } else {
            known.rogue_told.remove(&place);
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
        if is_rogue {
            let subject = (self.host.endpoint_at(endpoint), &state.name, leaf.certificate.sha256);
            let mut event = Event::new(EventType::SslRogue, self.now, vantage, &subject);
            event::on_service(&mut event, endpoint, state);
            event::certificate(&mut event, leaf.certificate, leaf.verdicts);
            event.new = Some(leaf.certificate.issuer.clone());
            event.reason = Some("issuer not allowed, nor its key".to_owned());
            told.push(event);
        }
    }

    /// Makes sure a certificate is among those touched, and that its times include this one.
    fn note(&mut self, certificate: &Certificate, at: Timestamp) {
        let stored = self.inventory.certificates.get(&certificate.sha256);
        let state = self.certificates.entry(certificate.sha256).or_insert_with(|| {
            stored.cloned().unwrap_or_else(|| CertificateState {
                certificate: certificate.clone(),
                first_seen: at,
                last_seen: at,
                endpoints: BTreeSet::new(),
                expiry_told: None,
                expired_told: false,
                rogue_told: BTreeSet::new(),
                standing: Standing::Unsettled,
            })
        });
        state.first_seen = state.first_seen.min(at);
        state.last_seen = state.last_seen.max(at);
    }

    fn known(&mut self, sha256: &Sha256) -> Option<CertificateState> {
        if let Some(state) = self.certificates.get(sha256) {
            return Some(state.clone());
        }
        let state = self.inventory.certificates.get(sha256)?.clone();
        self.certificates.insert(*sha256, state.clone());
        Some(state)
    }

    fn unserve(&mut self, place: &(Endpoint, Option<ServiceName>), sha256: &Sha256) {
        self.known(sha256);
        if let Some(state) = self.certificates.get_mut(sha256) {
            state.endpoints.remove(place);
        }
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

/// In words, and the severity where it is not the usual one.
fn what_changed(old: &Certificate, new: &Certificate, at: Timestamp) -> (String, Option<Severity>) {
    let set = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<BTreeSet<_>>();
    let (old_names, new_names) = (set(&old.sans), set(&new.sans));
    let same_issuer = old.issuer == new.issuer;
    let life = confirm::between(old.not_before, old.not_after);
    let in_last_third = confirm::between(at, old.not_after) <= life / 3;
    let is_renewal = same_issuer && old_names == new_names && new.not_after > old.not_after && in_last_third;
    let mut parts = Vec::new();
    if is_renewal {
        parts.push("renewal by the same issuer".to_owned());
    } else if !same_issuer {
        parts.push(format!("another issuer ({} instead of {})", new.issuer, old.issuer));
    }
    parts.push(if old.spki_sha256 == new.spki_sha256 { "same key" } else { "new key" }.to_owned());
    let mut names = |verb: &str, names: Vec<&String>| {
        if !names.is_empty() {
            let shown: Vec<_> = names.iter().take(8).map(|name| name.as_str()).collect();
            let more = if names.len() > shown.len() { " and more" } else { "" };
            parts.push(format!("{verb} {}{more}", shown.join(", ")));
        }
    };
    names("names lost:", old_names.difference(&new_names).collect());
    names("names gained:", new_names.difference(&old_names).collect());
    match new.not_after.cmp(&old.not_after) {
        std::cmp::Ordering::Less => parts.push("expires earlier".to_owned()),
        std::cmp::Ordering::Greater => parts.push("expires later".to_owned()),
        std::cmp::Ordering::Equal => {}
    }
    (parts.join("; "), is_renewal.then_some(Severity::INFO))
}

/// By its key, or by an entry whose every attribute is in the issuer.
fn is_allowed(certificate: &Certificate, list: &AllowList) -> bool {
    let normal = |attribute: &str| {
        let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        format!("{}={}", key.trim().to_lowercase(), value.trim().to_lowercase())
    };
    let issuer: BTreeSet<String> = certificate.issuer_attributes.iter().map(|attribute| normal(attribute)).collect();
    list.spki.contains(&certificate.spki_sha256)
        || list.issuers.iter().any(|entry| {
            let wanted = attributes(entry);
            !wanted.is_empty() && wanted.iter().all(|attribute| issuer.contains(&normal(attribute)))
        })
}

/// `O=Example, Inc., C=DE` is two attributes: a comma begins a new one only before `KEY=`.
fn attributes(entry: &str) -> Vec<String> {
    let mut attributes: Vec<String> = Vec::new();
    for piece in entry.split(',') {
        let key = piece.split_once('=').map(|(key, _)| key.trim());
        let begins = key.is_some_and(|key| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        });
        match attributes.last_mut() {
            Some(last) if !begins => {
                last.push(',');
                last.push_str(piece);
            }
            _ => attributes.push(piece.to_owned()),
        }
    }
    attributes.retain(|attribute| !attribute.trim().is_empty());
    attributes
}

#[cfg(test)]
mod tests {
    use super::attributes;

    #[test]
    fn splits_an_entry_into_attributes() {
        for (entry, expect) in [
            ("O=Example CA Inc", vec!["O=Example CA Inc"]),
            ("O=Example CA Inc, C=DE", vec!["O=Example CA Inc", " C=DE"]),
            ("O=Example, Inc., C=DE", vec!["O=Example, Inc.", " C=DE"]),
            ("", vec![]),
        ] {
            assert_eq!(attributes(entry), expect, "{entry}");
        }
    }
}
