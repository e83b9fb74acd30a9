//! QUIC's negotiation of a version (RFC 9000 §6, RFC 8999 §6): asked in a version that is reserved for this (RFC 9000 §15), a server
//! lists those it knows, and keeps nothing of it.

use super::{Protocol, Speaker, named, note};
use crate::{Reader, answer::Parse};
use model::Service;
use std::collections::BTreeSet;

/// Connection ids of the question; the answer has them the other way round.
const OURS: &[u8; 8] = b"sensor-1";
const THEIRS: &[u8; 8] = b"perimetr";
/// Of the pattern `0x?a?a?a?a`.
const RESERVED: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];
/// A server does not answer to less than a first datagram has to fill (RFC 9000 §14.1).
const DATAGRAM: usize = 1200;
/// Versions that are noted.
const MOST: usize = 16;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "quic",
    speaker: Speaker::Client,
    // So large a question goes nowhere else by itself. The last is DNS over QUIC (RFC 9250).
    ports: &[443, 8443, 853],
    request: Some(|_| {
        let mut packet = [&[0xc0][..], &RESERVED, &[8], THEIRS, &[8], OURS].concat();
        packet.resize(DATAGRAM, 0);
        packet
    }),
    parse: |received| negotiation(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x80\0\0\0\0\x08sensor-1\x08perimetr\0\0\0\x01\x6b\x33\x43\xcf",
        b"\xe5\0\0\0\0\x08sensor-1\x08perimetr\x9a\xfa\x2a\x7a\0\0\0\x01\xff\0\0\x1d",
    ],
};

/// Of the first byte only the highest bit means anything, and what follows the ids is versions to the end.
fn negotiation(bytes: &[u8]) -> Option<Service> {
    let mut reader = Reader::new(bytes);
    let (first, version) = (reader.u8()?, reader.u32()?);
    (first & 0x80 != 0 && version == 0).then_some(())?;
    let mut id = || {
        let length = reader.u8()?;
        reader.take(usize::from(length))
    };
    (id()? == OURS && id()? == THEIRS).then_some(())?;
    let listed = reader.rest();
    (!listed.is_empty() && listed.len().is_multiple_of(4)).then_some(())?;
    let mut service = named("quic");
    let versions: BTreeSet<String> = listed.chunks_exact(4).filter_map(version_name).take(MOST).collect();
    note(&mut service, "quic.versions", versions.into_iter().collect::<Vec<_>>().join(" "));
    Some(service)
}

/// `1`, `2` (RFC 9369), of all others the number in hexadecimal. Reserved ones are there to be ignored, and change.
fn version_name(bytes: &[u8]) -> Option<String> {
    let version = u32::from_be_bytes(bytes.try_into().ok()?);
    match version {
        1 => Some("1".to_owned()),
        0x6b33_43cf => Some("2".to_owned()),
        version if version & 0x0f0f_0f0f == 0x0a0a_0a0a => None,
        version => Some(format!("{version:08x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Asking, Received};
    use model::{Endpoint, Transport};
    use proptest::prelude::*;

    fn answer(listed: &[u8]) -> Vec<u8> {
        [b"\x80\0\0\0\0\x08sensor-1\x08perimetr", listed].concat()
    }

    fn versions(bytes: &[u8]) -> Option<String> {
        match (PROTOCOL.parse)(Received::ended(bytes)) {
            Parse::Yes(answer) => Some(answer.service.facts.get("quic.versions").cloned().unwrap_or_default()),
            Parse::No | Parse::NeedMore => None,
        }
    }

    #[test]
    fn the_question_is_one_that_a_server_has_to_answer() {
        let endpoint = Endpoint::udp([192, 0, 2, 7].into(), 443);
        let request = PROTOCOL.request.expect("it asks");
        let question = request(&Asking { endpoint, name: None, tls: false, agent: "" });
        assert_eq!(question.len(), 1200);
        // A long header with the fixed bit, in a version that nobody may speak.
        assert_eq!(question[0] & 0xc0, 0xc0);
        assert!(question[1..5].iter().all(|byte| byte & 0x0f == 0x0a));
        assert_eq!(versions(&question), None, "an echo is no answer");
    }

    #[test]
    fn dns_is_asked_for_both_ways_at_its_port_and_nothing_else_is() {
        let asked = |port| crate::likely(Transport::Udp, port).filter(|protocol| protocol.request.is_some());
        for port in 0..=u16::MAX {
            let second = crate::likely_as_well(Transport::Udp, port);
            assert_eq!(second.map(|protocol| protocol.name), (port == 853).then_some("quic"), "{port}");
            assert!(second.is_none() || asked(port).is_some_and(|first| first.name == "dtls"), "{port}");
            assert!(crate::likely_as_well(Transport::Tcp, port).is_none());
        }
    }

    #[test]
    fn what_is_listed() {
        for (listed, expect) in [
            (b"\0\0\0\x01".as_slice(), Some("1")),
            (b"\x6b\x33\x43\xcf\0\0\0\x01", Some("1 2")),
            (b"\0\0\0\x01\x6b\x33\x43\xcf", Some("1 2")),
            (b"\0\0\0\x01\0\0\0\x01\x1a\x2a\x3a\x4a\xda\xca\xba\xaa", Some("1")),
            (b"\xff\0\0\x1dQ050", Some("51303530 ff00001d")),
            (b"\x1a\x2a\x3a\x4a", Some("")),
            (b"", None),
            (b"\0\0\0\x01\0", None),
        ] {
            assert_eq!(versions(&answer(listed)).as_deref(), expect, "{}", listed.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_answer_to_us() {
        let good = answer(b"\0\0\0\x01");
        for (at, why) in [(0, "a short header"), (4, "a version"), (5, "a length"), (8, "our id"), (17, "its id")] {
            let mut other = good.clone();
            other[at] ^= 0x81;
            assert_eq!(versions(&other), None, "{why}");
        }
        assert_eq!(versions(&answer(&[7; 4 * 300])).map(|listed| listed.len()), Some(8), "one of them, once");
    }

    proptest! {
        #[test]
        fn any_list_is_borne(listed in prop::collection::vec(any::<u8>(), 0..200)) {
            let told = versions(&answer(&listed));
            prop_assert_eq!(told.is_some(), !listed.is_empty() && listed.len() % 4 == 0);
            prop_assert!(told.unwrap_or_default().split(' ').count() <= MOST);
        }
    }
}
