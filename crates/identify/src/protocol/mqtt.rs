//! MQTT 3.1.1 (OASIS): a connection that says who we are, and where it is accepted, the version that brokers publish.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "mqtt",
    speaker: Speaker::Client,
    ports: &[1883, 8883],
    request: Some(|_| CONNECT.to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x20\x02\x00\x05",
        b"\x20\x02\x00\x00",
        b"\x20\x02\x00\x00\x90\x03\x00\x01\x00\x31\x2d\x00\x13$SYS/broker/versionmosquitto version 2.0.11",
    ],
};

/// CONNECT: level 4, a clean session, 60 s, client `perimeterd`.
const CONNECT: &[u8] = b"\x10\x16\0\x04MQTT\x04\x02\0\x3c\0\x0aperimeterd";
/// SUBSCRIBE number 1 to the topic in which brokers say their version.
const SUBSCRIBE: &[u8] = b"\x82\x18\0\x01\0\x13$SYS/broker/version\0";
/// DISCONNECT.
const FAREWELL: &[u8] = b"\xe0\0";

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    // CONNACK: two bytes, whether a session is kept (it is not), and one of six codes.
    let code = match received.bytes {
        [0x20, 2, 0, code @ 0..=5, ..] => *code,
        [] | [0x20] | [0x20, 2] | [0x20, 2, 0] => return Parse::need_more(received),
        _ => return Parse::No,
    };
    reader.take(4);
    let mut service = named("mqtt");
    let accepted = match code {
        0 => "accepted",
        1 => "unacceptable version",
        2 => "identifier rejected",
        3 => "unavailable",
        4 => "bad credentials",
        _ => "not authorized",
    };
    note(&mut service, "mqtt.anonymous", accepted);
    if code != 0 {
        return Parse::certain(service);
    }
    let mut subscribed = false;
    while let Some((kind, contents)) = packet(&mut reader) {
        match kind >> 4 {
            9 => subscribed = true,
            3 => {
                let mut contents = Reader::new(contents);
                let topic = contents.u16().and_then(|length| contents.take(usize::from(length)));
                if topic == Some(b"$SYS/broker/version") {
                    version(&mut service, &text::printable(contents.rest()));
                }
            }
            _ => break,
        }
    }
    let next = match (subscribed, &service.banner) {
        // What is retained is published after the subscription is acknowledged, at once.
        (true, None) if !received.ended => return Parse::NeedMore,
        (false, None) => Next::Say(SUBSCRIBE),
        _ => Next::Farewell(FAREWELL),
    };
    Parse::yes(service, Strength::Structure, next)
}

/// The next whole control packet: its first byte and what it contains.
fn packet<'a>(reader: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let mut ahead = *reader;
    let kind = ahead.u8()?;
    let mut length = 0_usize;
    for shift in [0, 7, 14] {
        let byte = ahead.u8()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let contents = ahead.take(length)?;
            *reader = ahead;
            return Some((kind, contents));
        }
    }
    None
}

/// `mosquitto version 2.0.11`; others say only a number.
fn version(service: &mut model::Service, said: &str) {
    if let Some((name, version)) = said.split_once(" version ") {
        product::name(service, name, text::version(version));
    }
    service.banner = Some(said.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_says_its_version() {
        let [refused, accepted, told] = [0, 1, 2].map(|at| match parse(Received::open(PROTOCOL.samples[at])) {
            Parse::Yes(answer) => *answer,
            other => panic!("{other:?}"),
        });
        assert_eq!((refused.next, refused.service.facts["mqtt.anonymous"].as_str()), (Next::Nothing, "not authorized"));
        assert_eq!(accepted.next, Next::Say(SUBSCRIBE));
        assert_eq!(told.next, Next::Farewell(FAREWELL));
        assert_eq!(told.service.product.as_deref(), Some("Mosquitto"));
        assert_eq!(told.service.version.as_deref(), Some("2.0.11"));
    }

    #[test]
    fn questions_are_as_long_as_they_say() {
        for question in [CONNECT, SUBSCRIBE, FAREWELL] {
            let mut reader = Reader::new(question);
            assert!(packet(&mut reader).is_some());
            assert!(reader.is_empty());
            assert_eq!(parse(Received::ended(question)), Parse::No);
        }
    }
}
