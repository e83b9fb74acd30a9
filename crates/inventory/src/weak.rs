//! Weaknesses of TLS: those of a service, which audits find, and those of a certificate, wherever it is served. Each is told
//! once, while learning too: it is no change, it is wrong.

use crate::{
    CertificateState, EndpointState, Inventory, ServiceState, Suspicion, apply::Plan, certificate::Leaf, confirm, event,
};
use jiff::Timestamp;
use model::{Endpoint, Event, EventType, Severity, Sha256, TlsAudit, Verdict, Weakness};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// An audit alone is not believed: somebody on the way, or one of several servers, may have answered. So many must agree, over
/// as much time as a service has to be another one before that is told.
const AGREED: u16 = 2;
/// A weakness that so many audits in a row did not find is gone: behind one address may be several servers.
const GONE_AFTER: u8 = 3;
/// The fact of a service that went over to TLS.
const STARTTLS: &str = "starttls";
const SUBMISSION: u16 = 587;
/// The same self-signed certificate on so many addresses of one family is on more than one machine.
const SHARED_BY: usize = 3;

impl Plan<'_> {
    /// `SSL_WEAK` where audits agree on more than was known.
    pub(crate) fn judge_audit(
        &self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        audit: &TlsAudit,
        at: Timestamp,
        told: &mut Vec<Event>,
    ) {
        let is_opportunistic = is_opportunistic(endpoint.port, state);
        let Some(tls) = &mut state.tls else { return };
        let before: Vec<Weakness> = tls.weaknesses.keys().copied().collect();
        let asked = audit.asked.union(&audit.found);
        for weakness in asked.filter(|weakness| !is_opportunistic || **weakness == Weakness::Ssl2) {
            match (audit.found.contains(weakness), tls.weaknesses.get_mut(weakness)) {
                (true, Some(missed)) => *missed = 0,
                (false, Some(missed)) => *missed = missed.saturating_add(1),
                (true, None) => {
                    if self.suspect(&mut tls.suspected, *weakness, at) {
                        tls.weaknesses.insert(*weakness, 0);
                    }
                }
                (false, None) => _ = tls.suspected.remove(weakness),
            }
        }
        tls.weaknesses.retain(|_, missed| *missed < GONE_AFTER);
        let new: Vec<Weakness> = tls.weaknesses.keys().filter(|weakness| !before.contains(weakness)).copied().collect();
        let now: Vec<Weakness> = tls.weaknesses.keys().copied().collect();
        if new.is_empty() {
            return;
        }
        let subject = (self.host.endpoint_at(endpoint), &state.name, &new);
        let mut event = Event::new(EventType::SslWeak, self.now, &self.inventory.vantage, &subject);
        event::on_service(&mut event, endpoint, state);
        event.old = (!before.is_empty()).then(|| list(&before));
        event.new = Some(list(&now));
        event.reason = Some(words(&new));
        event.severity = severity(&new);
        event.evidence.extend(new.iter().map(|weakness| event::evidence(at, weakness.words())));
        told.push(event);
    }

    /// One more audit has found it. Tells whether that is enough.
    fn suspect(&self, suspected: &mut BTreeMap<Weakness, Suspicion>, weakness: Weakness, at: Timestamp) -> bool {
        let rule = self.policy.confirm.service_changed;
        let due = |since| confirm::after(since, rule.at_least);
        let suspicion = suspected.entry(weakness).or_insert(Suspicion { count: 0, since: at, due: due(at) });
        suspicion.count = suspicion.count.saturating_add(1);
        let is_enough = u16::from(suspicion.count) >= rule.passes.max(AGREED) && at >= due(suspicion.since);
        if is_enough {
            suspected.remove(&weakness);
        }
        is_enough
    }

    /// `SSL_WEAK` once for a certificate and what is weak about it.
    pub(crate) fn judge_certificate(
        &mut self,
        endpoint: &EndpointState,
        state: &ServiceState,
        leaf: Leaf<'_>,
        told: &mut Vec<Event>,
    ) {
        let sha256 = leaf.certificate.sha256;
        let is = |verdict: Verdict| leaf.verdicts.contains(&verdict);
        let relied_upon = !is(Verdict::SelfSigned) && !is(Verdict::UntrustedRoot);
        let shared = self.sharers(&sha256);
        let found: BTreeSet<Weakness> = [
            (is(Verdict::WeakKey), Weakness::WeakKey),
            (is(Verdict::WeakSignature), Weakness::WeakSignature),
            // How long it lives matters to those who rely on somebody's word for it.
            (is(Verdict::TooLong) && relied_upon, Weakness::TooLong),
            (!shared.is_empty(), Weakness::SharedKey),
        ]
        .into_iter()
        .filter(|(is_so, _)| *is_so)
        .map(|(_, weakness)| weakness)
        .collect();
        let Some(known) = self.certificates.get_mut(&sha256) else { return };
        let new: Vec<Weakness> = found.difference(&known.weaknesses).copied().collect();
        if new.is_empty() {
            return;
        }
        known.weaknesses.extend(&new);
        let subject = (sha256, &new);
        let mut event = Event::new(EventType::SslWeak, self.now, &self.inventory.vantage, &subject);
        event::on_service(&mut event, endpoint, state);
        let mut verdicts = leaf.verdicts.to_vec();
        verdicts.extend((!shared.is_empty()).then_some(Verdict::SharedKey));
        event::certificate(&mut event, leaf.certificate, &verdicts);
        event.new = Some(list(&new));
        event.reason = Some(words(&new));
        event.severity = severity(&new);
        event.endpoints = shared.iter().take(event::MOST_LISTED).map(ToString::to_string).collect();
        told.push(event);
    }

    /// Where else its key is served, if that is on another machine than this one and by no design: in certificates for other
    /// names, or self-signed.
    fn sharers(&self, sha256: &Sha256) -> BTreeSet<Endpoint> {
        let here = self.slice.ip;
        let Some(this) = self.certificates.get(sha256) else { return BTreeSet::new() };
        let places = |state: &CertificateState| -> BTreeSet<Endpoint> {
            state.endpoints.iter().map(|(endpoint, _)| *endpoint).collect()
        };
        let own = places(this);
        let is_elsewhere = |endpoint: &Endpoint| {
            own.iter().all(|place| place.ip != endpoint.ip) && !self.inventory.are_of_one_pool([here, endpoint.ip])
        };
        let names = |state: &CertificateState| state.certificate.sans.iter().cloned().collect::<BTreeSet<_>>();
        let carriers = self.inventory.carriers(&this.certificate.spki_sha256);
        let others = carriers.filter(|other| other.certificate.sha256 != *sha256 && names(other) != names(this));
        // What is served at the same address as well is one machine's.
        let others = others.filter(|other| other.endpoints.iter().all(|(endpoint, _)| is_elsewhere(endpoint)));
        let mut shared: BTreeSet<Endpoint> = others.flat_map(places).collect();
        if this.certificate.self_signed {
            let addresses: BTreeSet<IpAddr> = own.iter().map(|endpoint| endpoint.ip).collect();
            let mut families = BTreeMap::<bool, usize>::new();
            for ip in addresses.iter().filter(|ip| !self.inventory.are_of_one_pool([here, **ip]) || **ip == here) {
                *families.entry(ip.is_ipv4()).or_default() += 1;
            }
            if families.values().any(|count| *count >= SHARED_BY) {
                shared.extend(own);
            }
        }
        shared
    }
}

impl Inventory {
    /// Certificates with that key.
    pub(crate) fn carriers(&self, spki: &Sha256) -> impl Iterator<Item = &CertificateState> + use<'_> {
        let first = (*spki, Sha256([0; 32]));
        let last = (*spki, Sha256([0xff; 32]));
        self.keys.range(first..=last).filter_map(|(_, sha256)| self.certificates.get(sha256))
    }
}

/// Mail servers encrypt to each other wherever they can, authenticate nobody and fall back to plain text (RFC 3207, RFC 7435): old
/// versions and weak ciphers take nothing away there. SSL 2.0 does: with it the key's other uses are attacked (DROWN).
/// Submission (RFC 6409) is no such thing: users' passwords go there.
fn is_opportunistic(port: u16, state: &ServiceState) -> bool {
    if port == SUBMISSION {
        return false;
    }
    let service = state.service.as_deref();
    service
        .is_some_and(|service| matches!(service.name.as_str(), "smtp" | "lmtp") && service.facts.contains_key(STARTTLS))
}

fn list(weaknesses: &[Weakness]) -> String {
    weaknesses.iter().map(|weakness| weakness.as_str()).collect::<Vec<_>>().join(", ")
}

fn words(weaknesses: &[Weakness]) -> String {
    weaknesses.iter().map(|weakness| weakness.words()).collect::<Vec<_>>().join("; ")
}

/// What gives a session away to whoever listens is worse than what helps him.
fn severity(weaknesses: &[Weakness]) -> Severity {
    let grave = |weakness: &Weakness| {
        matches!(weakness, Weakness::Ssl2 | Weakness::NullCipher | Weakness::AnonymousCipher | Weakness::ExportCipher)
    };
    if weaknesses.iter().any(grave) { Severity::HIGH } else { EventType::SslWeak.default_severity() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Service;
    use std::sync::Arc;

    #[test]
    fn only_mail_that_may_be_encrypted_is_opportunistic() {
        for (name, port, upgraded, expect) in [
            ("smtp", 25, true, true),
            ("lmtp", 24, true, true),
            ("smtp", 587, true, false),
            ("smtp", 465, false, false),
            ("imap", 143, true, false),
        ] {
            let facts = upgraded.then(|| (STARTTLS.to_owned(), name.to_owned())).into_iter().collect();
            let service = Service { name: name.into(), facts, ..Service::default() };
            let at = Timestamp::UNIX_EPOCH;
            let state = ServiceState {
                name: None,
                service: Some(Arc::new(service)),
                tls: None,
                first_seen: at,
                last_seen: at,
                changed_at: at,
                last_observed: at,
                pending_service: None,
                pending_certificate: None,
                pending_key: None,
                pending_trust: None,
                learnt: false,
            };
            assert_eq!(is_opportunistic(port, &state), expect, "{name} {port}");
        }
    }
}
