//! Certificates on services: new, replaced, taking turns, not allowed.

use crate::{
    CertificateState, EndpointState, Pending, PendingCertificate, ServiceState, Standing, TlsState, apply::Plan,
    confirm, event,
};
use jiff::Timestamp;
use model::{AllowList, Certificate, ConfirmRule, Endpoint, Event, EventType, ServiceName, Severity, Sha256, Verdict};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A member of a balancer that was not met for so long, in so many handshakes, is gone from it.
const FORSAKEN: ConfirmRule = ConfirmRule { passes: 8, at_least: Duration::from_hours(24) };
/// A balancer has no more members than this to us.
const MOST_ALTERNATES: usize = 16;
/// On a learnt endpoint, a balancer's members come to light over the first day; they belong to the baseline.
const LEARNING: Duration = Duration::from_hours(24);

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
        let pending = state.pending_certificate.take();
        let stranger = pending.as_ref().filter(|pending| !tls.alternates.contains_key(&pending.certificate));
        if sha256 == primary || tls.alternates.contains_key(&sha256) {
            // An old acquaintance: what was seen in between takes turns with it.
            let joined = stranger.map(|pending| (pending.certificate, pending.evidence.last));
            if let Some((member, last)) = joined {
                tls.alternates.insert(member, last);
                tls.alternates.insert(primary, leaf.at);
            }
            if !tls.alternates.is_empty() {
                tls.alternates.insert(sha256, leaf.at);
            }
            if sha256 == primary {
                tls.verdicts = leaf.verdicts.to_vec();
            } else {
                state.pending_certificate = Some(self.gather(pending.filter(|_| joined.is_none()), leaf));
            }
            if let Some((member, _)) = joined
                && let Some(known) = self.known(&member)
            {
                let member = Leaf { certificate: &known.certificate, verdicts: &[], at: leaf.at };
                let news = !endpoint.learnt || confirm::between(state.first_seen, leaf.at) > LEARNING;
                self.serve(endpoint, state, member, news, told);
            }
            self.serve(endpoint, state, leaf, false, told);
            self.forsake(endpoint, state, leaf, told);
            return;
        }
        let mut pending = self.gather(stranger.cloned(), leaf);
        let rule = self.policy.confirm.certificate_changed;
        if pending.evidence.satisfies(&rule) {
            self.replace_leaf(endpoint, state, leaf, &pending.evidence, told);
        } else {
            pending.evidence.schedule(&rule, self.now);
            state.pending_certificate = Some(pending);
        }
    }

    /// Handshakes in a row without the certificate in force.
    fn gather(&self, pending: Option<Box<PendingCertificate>>, leaf: Leaf<'_>) -> Box<PendingCertificate> {
        let sha256 = leaf.certificate.sha256;
        let text = format!("certificate {sha256}");
        match pending {
            Some(mut pending) => {
                pending.evidence.add(leaf.at, &self.slice.pass, &text);
                pending.certificate = sha256;
                pending
            }
            None => Box::new(PendingCertificate {
                evidence: Pending::begin(leaf.at, &self.slice.pass, &text, self.now),
                certificate: sha256,
            }),
        }
    }

    /// Drops members of a balancer that were not met for long; if the one in force is among them, that is its replacement.
    fn forsake(&mut self, endpoint: &EndpointState, state: &mut ServiceState, leaf: Leaf<'_>, told: &mut Vec<Event>) {
        let Some(tls) = &mut state.tls else { return };
        let primary = tls.certificate;
        let mut gone: BTreeSet<Sha256> = tls
            .alternates
            .iter()
            .filter(|(member, last)| {
                Some(**member) != primary && confirm::between(**last, leaf.at) >= FORSAKEN.at_least
            })
            .map(|(member, _)| *member)
            .collect();
        while tls.alternates.len() - gone.len() > MOST_ALTERNATES {
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
        let forsaken = state
            .pending_certificate
            .as_ref()
            .filter(|pending| pending.certificate == leaf.certificate.sha256 && pending.evidence.satisfies(&FORSAKEN));
        if let Some(pending) = forsaken.cloned() {
            self.replace_leaf(endpoint, state, leaf, &pending.evidence, told);
        }
    }

    /// `SSL_CHANGED`: the old one and everything that took turns with it are gone.
    fn replace_leaf(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        leaf: Leaf<'_>,
        evidence: &Pending,
        told: &mut Vec<Event>,
    ) {
        state.pending_certificate = None;
        state.changed_at = leaf.at;
        let place = self.host.endpoint_at(endpoint);
        let Some(mut tls) = state.tls.take() else { return };
        self.withdraw(place, state.name.as_ref(), &tls);
        let old = tls.certificate.and_then(|sha256| self.known(&sha256));
        tls.certificate = Some(leaf.certificate.sha256);
        tls.alternates = BTreeMap::new();
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
