//! UDP: the question is asked by the sweep, and the answer to it names its sender.

use super::to_millisecond;
use crate::Dialer;
use identify::{Asking, Parse, Received};
use jiff::Timestamp;
use model::{Endpoint, ServiceObservation, Transport};
use std::net::Ipv4Addr;

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
    let service = match identify::classify(Transport::Udp, Received::ended(reply)) {
        Parse::Yes(answer) => Some(answer.service),
        Parse::No | Parse::NeedMore => None,
    };
    ServiceObservation {
        endpoint,
        name: None,
        at: to_millisecond(at),
        service,
        tls: None,
        connections: 0,
        learnt: false,
    }
}
