//! UDP: the question is asked by the sweep, and the answer to it names its sender.

use super::{Ask, Conversation, Timeouts, handshake, quic, second, to_millisecond};
use crate::{Dialer, tls};
use identify::{Asking, Parse, Received, tls::Alert};
use jiff::Timestamp;
use model::{
    Endpoint, Heard, NotProbed, OpenReason, Outcome, PortObservation, Service, ServiceName, ServiceObservation,
    TlsObservation, Transport,
};
use std::net::Ipv4Addr;
use tokio::time::Instant;

/// The datagram that a UDP port is asked with, so that the answer to a sweep names its sender already.
pub fn udp_payload(port: u16) -> Option<Vec<u8>> {
    let endpoint = Endpoint::udp(Ipv4Addr::UNSPECIFIED.into(), port);
    let request = identify::likely(Transport::Udp, port)?.request?;
    Some(request(&Asking { endpoint, name: None, tls: false, agent: "" }))
}

/// The datagram that a UDP port is asked with as well: there two protocols are silent to each other's question.
pub(crate) fn second_udp_payload(port: u16) -> Option<Vec<u8>> {
    let endpoint = Endpoint::udp(Ipv4Addr::UNSPECIFIED.into(), port);
    let request = identify::likely_as_well(Transport::Udp, port)?.request?;
    Some(request(&Asking { endpoint, name: None, tls: false, agent: "" }))
}

/// What a datagram that came back says of its sender, by the operator's own rules too. No packet is sent.
pub fn identify_reply(dialer: &Dialer, endpoint: Endpoint, reply: &[u8], at: Timestamp) -> ServiceObservation {
    let mut observation = identify_datagram(endpoint, reply, at);
    if let (Some(service), Some(rules)) = (&mut observation.service, dialer.fingerprints()) {
        rules.label(endpoint.transport, service, reply);
    }
    observation
}

/// What a datagram that came back says of its sender. No packet is sent.
pub fn identify_datagram(endpoint: Endpoint, reply: &[u8], at: Timestamp) -> ServiceObservation {
    let service: Option<Service> = match identify::classify(Transport::Udp, Received::ended(reply)) {
        Parse::Yes(answer) => Some(answer.service),
        Parse::No | Parse::NeedMore => None,
    };
    ServiceObservation {
        endpoint,
        name: None,
        at: to_millisecond(at),
        heard: service.as_ref().map(|service| Box::new(Heard::new(service.clone(), reply))),
        service,
        tls: None,
        connections: 0,
        learnt: false,
    }
}

/// Asks a UDP endpoint again, with the datagram its port calls for.
pub async fn identify_udp(dialer: &Dialer, endpoint: Endpoint, timeouts: Timeouts) -> Conversation {
    let now = || dialer.clock().now();
    let port = |outcome| PortObservation { endpoint, outcome, at: now(), attempts: 1, refused: 0, rtt_us: None };
    let Ok(target) = dialer.authorize(endpoint) else {
        let outcome = Outcome::NotProbed(NotProbed::OutOfScope);
        return Conversation { observation: None, ports: vec![port(outcome)] };
    };
    let payload = udp_payload(endpoint.port).unwrap_or_default();
    let mut replied = dialer.datagram(target, &payload, timeouts.answer.0).await;
    if replied == Err(Outcome::Silent)
        && let Some(second) = second_udp_payload(endpoint.port)
    {
        replied = dialer.datagram(target, &second, timeouts.answer.0).await;
    }
    match replied {
        Ok(reply) => Conversation {
            observation: Some(identify_reply(dialer, endpoint, &reply, now())),
            ports: vec![port(Outcome::Open(OpenReason::Reply))],
        },
        Err(outcome) => Conversation { observation: None, ports: vec![port(outcome)] },
    }
}

/// The same as far as to the certificate, where there is a way to it. By a name only who speaks DTLS or QUIC is asked: none of the others
/// is told one. A name that `is_learnt` gives no leave by itself.
pub(super) async fn ask_again(dialer: &Dialer, endpoint: Endpoint, ask: Ask<'_>, is_learnt: bool) -> Conversation {
    let before = ask.prior.and_then(Way::of);
    if let Some(talk) = resume(dialer, endpoint, ask, is_learnt).await {
        return talk;
    }
    if ask.name.is_some() {
        return Conversation::default();
    }
    let mut talk = identify_udp(dialer, endpoint, ask.timeouts).await;
    let Some(heard) = talk.observation.as_mut() else { return talk };
    match heard.service.as_ref().and_then(Way::of) {
        // It has just been silent to a handshake, or its answer broke off, which is no sign that its certificate has gone.
        Some(way) if before == Some(way) && ask.prior_tls => talk.observation = None,
        Some(Way::Quic) if before == Some(Way::Quic) => {}
        Some(_) => look_into(dialer, heard, ask).await,
        None => {}
    }
    talk
}

/// Ways to a certificate by datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Dtls,
    Quic,
}

impl Way {
    fn of(service: &Service) -> Option<Self> {
        match service.name.as_str() {
            "dtls" => Some(Self::Dtls),
            QUIC if quic::is_ours(service) => Some(Self::Quic),
            _ => None,
        }
    }
}

const QUIC: &str = "quic";

/// Whether it would say more to who goes on: by DTLS or QUIC it shows a certificate.
pub fn leads_further(heard: &ServiceObservation) -> bool {
    heard.endpoint.transport == Transport::Udp && heard.service.as_ref().and_then(Way::of).is_some()
}

/// Whether what it shows may be another thing under another name, as far as it has been heard: DTLS and QUIC are told one.
pub fn depends_on_name(heard: &ServiceObservation) -> bool {
    leads_further(heard) && heard.tls.is_some()
}

/// Goes on with who speaks DTLS or QUIC as far as to his certificate, and notes what he shows. By DTLS nothing of it is ever answered.
pub async fn look_into(dialer: &Dialer, heard: &mut ServiceObservation, ask: Ask<'_>) {
    let Some(way) = heard.service.as_ref().and_then(Way::of) else { return };
    if let Some(Ok(tls)) = show(dialer, heard.endpoint, way, ask, false).await {
        heard.tls = tls;
    }
}

/// Asks one who spoke DTLS or QUIC before, or a moment ago, by that alone. None where it comes to nothing: what he speaks now is open.
async fn resume(dialer: &Dialer, endpoint: Endpoint, ask: Ask<'_>, is_learnt: bool) -> Option<Conversation> {
    let (service, way) = ask.prior.and_then(|prior| Some((prior, Way::of(prior)?)))?;
    let tls = show(dialer, endpoint, way, ask, is_learnt).await?.ok()?;
    let at = to_millisecond(dialer.clock().now());
    let outcome = Outcome::Open(OpenReason::Reply);
    let observation = ServiceObservation {
        endpoint,
        name: ask.name.cloned(),
        at,
        heard: None,
        service: Some(service.clone()),
        tls,
        connections: 0,
        learnt: is_learnt,
    };
    let port = PortObservation { endpoint, outcome, at, attempts: 1, refused: 0, rtt_us: None };
    Some(Conversation { observation: Some(observation), ports: vec![port] })
}

/// What it shows; `Ok(None)`: it spoke to the end, and nothing of a certificate. None where it is not ours to ask, or there is nothing to ask with.
async fn show(
    dialer: &Dialer,
    endpoint: Endpoint,
    way: Way,
    ask: Ask<'_>,
    is_learnt: bool,
) -> Option<Result<Option<TlsObservation>, Outcome>> {
    let now = || dialer.clock().now();
    let target = match ask.name {
        Some(name) if !is_learnt => dialer.scope().load().authorize_name(endpoint, name, now()).ok()?,
        _ => dialer.authorize(endpoint).ok()?,
    };
    let limit = Instant::now() + ask.timeouts.answer.1;
    Some(match way {
        Way::Dtls => {
            let name = ask.name.map(ServiceName::as_str);
            let flight = tls::datagrams::exchange(dialer, target, handshake::random()?, name, limit).await;
            flight.and_then(|flight| match second::observed(&flight, ask.roots, name, now()) {
                None if flight.alerted(Alert::UNRECOGNIZED_NAME) => {
                    Ok(Some(quic::Met::Nameless.observed(ask.name, ask.roots, now())))
                }
                None if flight.end.is_none() && ask.prior_tls => Err(Outcome::Silent),
                seen => Ok(seen),
            })
        }
        Way::Quic => {
            let met = quic::shake(dialer, target, ask.name, limit).await;
            met.map(|met| Some(met.observed(ask.name, ask.roots, now())))
        }
    })
}
