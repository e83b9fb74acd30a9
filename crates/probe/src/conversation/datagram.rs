//! UDP: the question is asked by the sweep, and the answer to it names its sender.

use super::{Ask, Conversation, Timeouts, handshake, second, to_millisecond};
use crate::{Dialer, tls};
use identify::{Asking, Parse, Received, tls::ServerFlight};
use jiff::Timestamp;
use model::{Endpoint, Heard, NotProbed, OpenReason, Outcome, PortObservation, Service, ServiceObservation, Transport};
use std::net::Ipv4Addr;
use tokio::time::Instant;

/// The datagram that a UDP port is asked with, so that the answer to a sweep names its sender already.
pub fn udp_payload(port: u16) -> Option<Vec<u8>> {
    let endpoint = Endpoint::udp(Ipv4Addr::UNSPECIFIED.into(), port);
    let request = identify::likely(Transport::Udp, port)?.request?;
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
    let replied = dialer.datagram(target, &payload, timeouts.answer.0).await;
    match replied {
        Ok(reply) => Conversation {
            observation: Some(identify_reply(dialer, endpoint, &reply, now())),
            ports: vec![port(Outcome::Open(OpenReason::Reply))],
        },
        Err(outcome) => Conversation { observation: None, ports: vec![port(outcome)] },
    }
}

/// The same as far as to the certificate, where it speaks DTLS.
pub(super) async fn ask_again(dialer: &Dialer, endpoint: Endpoint, ask: Ask<'_>) -> Conversation {
    if let Some(talk) = resume(dialer, endpoint, ask).await {
        return talk;
    }
    let mut talk = identify_udp(dialer, endpoint, ask.timeouts).await;
    if let Some(heard) = talk.observation.as_mut().filter(|heard| leads_further(heard)) {
        look_into(dialer, heard, ask).await;
    }
    talk
}

/// Whether it would say more to who goes on: by DTLS it shows a certificate.
pub fn leads_further(heard: &ServiceObservation) -> bool {
    heard.endpoint.transport == Transport::Udp && heard.service.as_ref().is_some_and(is_dtls)
}

fn is_dtls(service: &Service) -> bool {
    service.name == "dtls"
}

/// Goes on with who speaks DTLS as far as to his certificate, and notes what he shows. Nothing of it is ever answered.
pub async fn look_into(dialer: &Dialer, heard: &mut ServiceObservation, ask: Ask<'_>) {
    if let Some(Ok(flight)) = exchange(dialer, heard.endpoint, ask).await {
        heard.tls = second::observed(&flight, ask.roots, None, dialer.clock().now());
    }
}

/// Asks one who spoke DTLS before, or a moment ago, by that alone. None where it comes to nothing: what he speaks now is open.
async fn resume(dialer: &Dialer, endpoint: Endpoint, ask: Ask<'_>) -> Option<Conversation> {
    let service = ask.prior.filter(|prior| is_dtls(prior))?;
    let flight = exchange(dialer, endpoint, ask).await?.ok()?;
    let at = to_millisecond(dialer.clock().now());
    let outcome = Outcome::Open(OpenReason::Reply);
    let observation = ServiceObservation {
        endpoint,
        name: None,
        at,
        heard: None,
        service: Some(service.clone()),
        tls: second::observed(&flight, ask.roots, None, at),
        connections: 0,
        learnt: false,
    };
    let port = PortObservation { endpoint, outcome, at, attempts: 1, refused: 0, rtt_us: None };
    Some(Conversation { observation: Some(observation), ports: vec![port] })
}

/// None where it is not ours to ask, or there is nothing to ask with.
async fn exchange(dialer: &Dialer, endpoint: Endpoint, ask: Ask<'_>) -> Option<Result<ServerFlight, Outcome>> {
    let target = dialer.authorize(endpoint).ok()?;
    let limit = Instant::now() + ask.timeouts.answer.1;
    Some(tls::datagrams::exchange(dialer, target, handshake::random()?, limit).await)
}
