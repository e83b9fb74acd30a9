//! The parts events are made of.

use crate::{EndpointState, HostState, Pending, ServiceState};
use jiff::Timestamp;
use model::{Certificate, Event, EventCertificate, EventEndpoint, EventHost, EventService, Evidence, Service, Verdict};

/// How much of anything an event lists at most.
pub(crate) const MOST_EVIDENCE: usize = 8;
pub(crate) const MOST_LISTED: usize = 100;
const LONGEST: usize = 256;

pub(crate) fn host(state: &HostState) -> EventHost {
    EventHost {
        ip: state.key.ip,
        names: state.all_names().into_iter().collect(),
        os: state.os.as_ref().map(ToString::to_string),
    }
}

pub(crate) fn service(service: &Service, tls: bool) -> EventService {
    EventService {
        name: service.name.clone(),
        product: service.product.clone(),
        version: service.version.clone(),
        banner: service.banner.clone(),
        tls,
    }
}

/// What an endpoint's services say, the one of the bare address first.
pub(crate) fn shown_service(endpoint: &EndpointState) -> Option<EventService> {
    endpoint.services.iter().find_map(|state| Some(service(state.service.as_ref()?, state.tls.is_some())))
}

/// What changed on an endpoint: the fields every such event has.
pub(crate) fn on_endpoint(event: &mut Event, endpoint: &EndpointState) {
    event.endpoint = Some(EventEndpoint { transport: endpoint.transport, port: endpoint.port });
    event.first_seen = Some(endpoint.first_seen);
    event.last_seen = Some(endpoint.last_seen);
}

/// The same for a service on it.
pub(crate) fn on_service(event: &mut Event, endpoint: &EndpointState, state: &ServiceState) {
    on_endpoint(event, endpoint);
    event.name = state.name.as_ref().map(ToString::to_string);
    event.service = state.service.as_ref().map(|known| service(known, state.tls.is_some()));
    event.first_seen = Some(state.first_seen);
    event.last_seen = Some(state.last_seen);
}

pub(crate) fn certificate(event: &mut Event, certificate: &Certificate, verdicts: &[Verdict]) {
    event.certificate = Some(EventCertificate::new(certificate, verdicts));
    event.evidence.push(Evidence { at: event.time, what: format!("certificate {}", certificate.sha256) });
}

pub(crate) fn evidence(at: Timestamp, what: &str) -> Evidence {
    Evidence { at, what: printable(what) }
}

/// The first and the last of what gathered.
pub(crate) fn gathered(pending: &Pending) -> Vec<Evidence> {
    let mut list = vec![evidence(pending.since, &pending.reason)];
    if pending.last != pending.since {
        list.push(evidence(pending.last, &pending.reason));
    }
    list
}

/// The banner as evidence, where there is one.
pub(crate) fn banner(at: Timestamp, service: Option<&Service>) -> Option<Evidence> {
    let banner = service?.banner.as_deref()?;
    Some(evidence(at, &format!("banner {banner}")))
}

/// Printable text of at most 256 characters: what comes from the network may be anything.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(LONGEST).collect()
}
