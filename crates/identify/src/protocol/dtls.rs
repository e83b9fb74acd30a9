//! DTLS (RFC 6347): asked with a hello, a server wants to be shown a cookie, or says hello itself.

use super::{Protocol, Speaker, named, note};
use crate::{
    answer::{Parse, Received},
    tls::{Hello, Version, dtls},
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "dtls",
    speaker: Speaker::Client,
    // DNS, RADIUS, remote desktops, OpenSSL's own, IPFIX, TURN, CoAP, Cisco's tunnels to access points, SNMP.
    ports: &[853, 2083, 3391, 4433, 4740, 5349, 5684, 5246, 5247, 10161],
    request: Some(|_| dtls::datagram(&Hello::broad(Version::DTLS1_2, *b"perimetrperimetrperimetrperimetr"), &[], 0)),
    parse: |received: Received<'_>| parse(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x13\x03\0\0\x07\0\0\0\0\0\0\0\x07\xfe\xff\x04abcd",
        b"\x15\xfe\xfd\0\0\0\0\0\0\0\0\0\x02\x02\x28",
    ],
};

fn parse(bytes: &[u8]) -> Option<Service> {
    const SERVER_HELLO: u8 = 2;
    const HELLO_VERIFY_REQUEST: u8 = 3;
    let (version, message) = dtls::first_record(bytes)?;
    if message.is_some_and(|kind| kind != SERVER_HELLO && kind != HELLO_VERIFY_REQUEST) {
        return None;
    }
    let mut service = named("dtls");
    // A request for a cookie says 1.0 whatever comes later (RFC 6347 §4.2.1).
    if message == Some(SERVER_HELLO) {
        note(&mut service, "dtls.record", version.to_string());
    }
    Some(service)
}
