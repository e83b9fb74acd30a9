//! Certificates that run out. Driven by the clock, not by scans: once for each certificate and threshold, wherever and
//! however often it is served.

use crate::{CertificateState, Change, EndpointState, Inventory, Row, ServiceState, apply::Plan, event};
use jiff::{SignedDuration, Timestamp};
use model::{Certificate, Endpoint, Event, EventEndpoint, EventType, Evidence, ServiceName, Severity, Sha256};
use std::{collections::BTreeSet, net::IpAddr};

const DAY: i64 = 86_400;
const THRESHOLDS: [u16; 6] = [60, 30, 14, 7, 3, 1];
/// A certificate that lives no longer than this also tells when its last third begins.
const SHORT_LIFE: i64 = 90 * DAY;
/// By how many seconds a clock may be set without anything that was told being taken back.
const SLACK: i64 = 3_600;
/// How long a certificate that is served nowhere is remembered, so that its return is no news.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(90 * DAY);
/// The same for one that was only ever seen as an unconfirmed replacement.
const UNSETTLED: SignedDuration = SignedDuration::from_secs(DAY);

/// When time alone brings something about for each certificate: so that no minute walks over all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expiries(BTreeSet<(Timestamp, Sha256)>);

impl Expiries {
    pub(crate) fn add(&mut self, state: &CertificateState) {
        self.0.extend(next_moment(state).map(|at| (at, state.certificate.sha256)));
    }

    pub(crate) fn remove(&mut self, state: &CertificateState) {
        if let Some(at) = next_moment(state) {
            self.0.remove(&(at, state.certificate.sha256));
        }
    }

    /// Those whose moment has come.
    fn until(&self, now: Timestamp) -> impl Iterator<Item = &Sha256> {
        self.0.iter().take_while(move |(at, _)| *at <= now).map(|(_, sha256)| sha256)
    }
}

impl<'a> FromIterator<&'a CertificateState> for Expiries {
    fn from_iter<I: IntoIterator<Item = &'a CertificateState>>(states: I) -> Self {
        let mut expiries = Self::default();
        for state in states {
            expiries.add(state);
        }
        expiries
    }
}

impl Inventory {
    /// What time alone brings about: `SSL_EXPIRY` and `SSL_EXPIRED` of certificates served now, and of those that vouch for one that ends
    /// later. Thresholds crossed since the
    /// last call fold into the tightest. Certificates served nowhere for 90 days are forgotten. What flapped and has settled is
    /// told, and so is what is gone from a pool.
    pub fn tick(&self, now: Timestamp) -> Change {
        let mut change = Change::default();
        for state in self.expiries.until(now).filter_map(|sha256| self.certificates.get(sha256)) {
            let places = self.rests_on(state);
            if places.is_empty() {
                if now.duration_since(state.last_seen) > kept(state) {
                    change.removed_certificates.push(state.certificate.sha256);
                }
                continue;
            }
            let left = state.certificate.not_after.duration_since(now).as_secs();
            if now >= state.certificate.not_after {
                if !state.expired_told {
                    change.events.push(self.expiry_event(
                        EventType::SslExpired,
                        state,
                        &places,
                        left,
                        Severity::HIGH,
                        now,
                    ));
                    change.certificates.push(CertificateState { expired_told: true, ..state.clone() });
                }
            } else if let Some(due) = tightest(state, left)
                && state.expiry_told.is_none_or(|told| due.days < told)
            {
                change.events.push(self.expiry_event(EventType::SslExpiry, state, &places, left, due.severity, now));
                change.certificates.push(CertificateState { expiry_told: Some(due.days), ..state.clone() });
            }
        }
        if !change.removed_certificates.is_empty() {
            let doubted = self.doubted_certificates();
            change.removed_certificates.retain(|sha256| !doubted.contains(sha256));
        }
        self.end_flapping(now, &mut change);
        self.judge_pools(now, &mut change);
        change
    }

    /// Takes back what can only have been told by a clock that was ahead: otherwise the true thresholds would never be told.
    /// For when the clock was set, and for a start.
    pub fn untell_expiries(&self, now: Timestamp) -> Change {
        let mut change = Change::default();
        for state in self.certificates.values().filter(|state| state.expired_told || state.expiry_told.is_some()) {
            // What is due within the hour may stay told: clocks are set by a little all the time.
            let left = state.certificate.not_after.duration_since(now).as_secs().saturating_sub(SLACK);
            let expired_told = state.expired_told && left <= 0;
            let crossed = tightest(state, left).map(|due| due.days);
            let expiry_told = state.expiry_told.and_then(|told| crossed.map(|crossed| crossed.max(told)));
            if (expired_told, expiry_told) != (state.expired_told, state.expiry_told) {
                change.certificates.push(CertificateState { expiry_told, expired_told, ..state.clone() });
            }
        }
        change
    }

    /// Those that a service showed and has yet to show again before it is believed.
    fn doubted_certificates(&self) -> BTreeSet<Sha256> {
        let unsettled = self.hosts.rows().filter(|row| row.is_unsettled()).map(Row::unpack);
        let endpoints = unsettled.flat_map(|host| host.endpoints);
        let services = endpoints.flat_map(|endpoint| endpoint.services);
        services.filter_map(|service| service.pending_certificate).map(|pending| pending.certificate).collect()
    }

    fn expiry_event(
        &self,
        kind: EventType,
        state: &CertificateState,
        places: &BTreeSet<(Endpoint, Option<ServiceName>)>,
        left: i64,
        severity: Severity,
        now: Timestamp,
    ) -> Event {
        let certificate = &state.certificate;
        let mut event = Event::new(kind, now, &self.vantage, &certificate.sha256);
        let days = left.div_euclid(DAY);
        event.severity = severity;
        event::certificate(&mut event, certificate, &[]);
        event.evidence.push(Evidence { at: state.last_seen, what: format!("not after {}", certificate.not_after) });
        event.first_seen = Some(state.first_seen);
        event.last_seen = Some(state.last_seen);
        event.metric = Some(days);
        event.new = Some(certificate.not_after.to_string());
        let endpoints: BTreeSet<_> = places.iter().map(|(endpoint, _)| *endpoint).collect();
        event.endpoints = endpoints.iter().take(event::MOST_LISTED).map(ToString::to_string).collect();
        let more = endpoints.len().saturating_sub(event.endpoints.len());
        let mut reason = if kind == EventType::SslExpired {
            format!("expired on {}", certificate.not_after)
        } else if days == 0 {
            "expires in less than a day".to_owned()
        } else {
            format!("expires in {days} day{}", if days == 1 { "" } else { "s" })
        };
        let mut verb = "serve";
        if state.endpoints.is_empty() {
            reason = format!("an issuer in the chain {reason}, before the certificate it vouches for");
            verb = "rest on";
        }
        if more > 0 {
            reason = format!("{reason}; {more} more endpoints {verb} it");
        }
        event.reason = Some(reason);
        let hosts: BTreeSet<_> = endpoints.iter().map(|endpoint| endpoint.ip).collect();
        let hosts: Vec<_> = hosts.iter().filter_map(|ip| self.hosts.get(ip)).collect();
        event.host = hosts.first().map(event::host);
        if let [only] = endpoints.iter().collect::<Vec<_>>()[..] {
            event.endpoint = Some(EventEndpoint { transport: only.transport, port: only.port });
        }
        if let [(_, name)] = places.iter().collect::<Vec<_>>()[..] {
            event.name = name.as_ref().map(ToString::to_string);
        }
        let words = |of: fn(&crate::HostState) -> &[std::sync::Arc<str>]| {
            let all: BTreeSet<_> = hosts.iter().flat_map(of).collect();
            all.into_iter().map(ToString::to_string).collect()
        };
        event.assets = words(|host| &host.assets);
        event.tags = words(|host| &host.tags);
        event
    }
}

impl Plan<'_> {
    /// What was told of a certificate's end to those who serve it is told once more where it comes to somebody else's assets.
    pub(crate) fn repeat_expiry(
        &self,
        endpoint: &EndpointState,
        state: &ServiceState,
        sha256: &Sha256,
    ) -> Option<Event> {
        let known = self.certificates.get(sha256).filter(|known| known.expired_told || known.expiry_told.is_some())?;
        let place = (self.host.endpoint_at(endpoint), state.name.clone());
        let mut others = known.endpoints.iter().filter(|other| **other != place).peekable();
        others.peek()?;
        let is_ours = |ip: &IpAddr| {
            let host = self.inventory.hosts.get(ip);
            host.is_some_and(|host| host.assets.iter().any(|asset| self.policy.assets.contains(asset)))
        };
        if others.any(|(other, _)| other.ip == place.0.ip || is_ours(&other.ip)) {
            return None;
        }
        let left = known.certificate.not_after.duration_since(self.now).as_secs();
        let (kind, severity) = match tightest(known, left) {
            _ if known.expired_told && left <= 0 => (EventType::SslExpired, Severity::HIGH),
            Some(due) if left > 0 => (EventType::SslExpiry, due.severity),
            _ => return None,
        };
        let mut event =
            self.inventory.expiry_event(kind, known, &BTreeSet::from([place.clone()]), left, severity, self.now);
        event.id = Event::new(kind, self.now, &self.inventory.vantage, &(place, sha256)).id;
        event::on_service(&mut event, endpoint, state);
        Some(event)
    }
}

struct Due {
    /// The threshold in days, rounded up: what is remembered as told.
    days: u16,
    severity: Severity,
}

/// From when on there is something to tell of a certificate, or to forget it; none where there is nothing to come.
fn next_moment(state: &CertificateState) -> Option<Timestamp> {
    let forgotten = || state.last_seen.checked_add(kept(state)).unwrap_or(Timestamp::MAX);
    match (state.endpoints.is_empty(), state.is_issuer) {
        (false, _) => next_end(state),
        (true, false) => Some(forgotten()),
        // Something may rest on it.
        (true, true) => Some(next_end(state).map_or_else(forgotten, |end| end.min(forgotten()))),
    }
}

/// From when on there is something to tell of a certificate's end.
fn next_end(state: &CertificateState) -> Option<Timestamp> {
    if state.expired_told {
        return None;
    }
    let Certificate { not_before, not_after, .. } = state.certificate;
    let life = not_after.duration_since(not_before).as_secs().max(0);
    let third = life / 3;
    // The moment of renewal is the third itself, remembered in whole days.
    let thresholds = THRESHOLDS.iter().map(|&days| (i64::from(days), i64::from(days) * DAY));
    let renewal = (life <= SHORT_LIFE).then_some(((third + DAY - 1) / DAY, third));
    let thresholds = thresholds.filter(|(_, left)| *left <= third).chain(renewal);
    let untold = thresholds.filter(|(days, _)| state.expiry_told.is_none_or(|told| *days < i64::from(told)));
    let most = untold.map(|(_, left)| left).max().unwrap_or(0);
    // Seconds left are counted whole.
    Some(not_after.checked_sub(SignedDuration::from_secs(most + 1)).unwrap_or(Timestamp::MIN))
}

/// How long one that is served nowhere is remembered.
fn kept(state: &CertificateState) -> SignedDuration {
    if state.standing == crate::Standing::Unsettled && !state.is_issuer { UNSETTLED } else { REMEMBERED }
}

/// The tightest threshold that has been crossed, given the seconds left.
fn tightest(state: &CertificateState, left: i64) -> Option<Due> {
    let life = state.certificate.not_after.duration_since(state.certificate.not_before).as_secs().max(0);
    let third = life / 3;
    let fixed =
        THRESHOLDS.iter().rev().find(|&&days| i64::from(days) * DAY <= third && left <= i64::from(days) * DAY).map(
            |&days| Due {
                days,
                severity: match days {
                    ..=3 => Severity::HIGH,
                    4..=14 => Severity::MEDIUM,
                    _ => Severity::LOW,
                },
            },
        );
    fixed.or_else(|| {
        let days = u16::try_from((third + DAY - 1) / DAY).ok()?;
        // The usual moment to renew a short-lived certificate: worth a word, no more.
        (life <= SHORT_LIFE && left <= third).then_some(Due { days, severity: Severity::LOW })
    })
}
