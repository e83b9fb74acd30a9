//! AMQP 0-9-1: the protocol header, and the broker's `Connection.Start` with its properties. A broker that is told anything else
//! answers with the header it wants, which names the protocol too.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "amqp",
    speaker: Speaker::Client,
    ports: &[5672, 5671],
    request: Some(|_| b"AMQP\0\0\x09\x01".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"AMQP\0\0\x09\x01",
        b"AMQP\x03\x01\0\0",
        b"\x01\0\0\0\0\0\x48\0\x0a\0\x0a\0\x09\0\0\0\x2c\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8\x01at\x01\0\0\0\x05PLAIN\0\0\0\x05en_US\xce",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    // Method frame on channel 0: Connection.Start of version 0-9.
    const START: [(usize, &[u8]); 2] = [(0, b"\x01\0\0\0\0"), (7, b"\0\x0a\0\x0a\0\x09")];
    if received.bytes.first() == Some(&b'A') {
        return header(received);
    }
    let sound = START.iter().all(|(at, expect)| {
        received.bytes.get(*at..).unwrap_or_default().iter().zip(*expect).all(|(got, expect)| got == expect)
    });
    if !sound {
        return Parse::No;
    }
    let mut reader = Reader::new(received.bytes);
    let (_, Some(length)) = (reader.take(3), reader.u32()) else { return Parse::need_more(received) };
    if !(10..16 * 1024).contains(&length) {
        return Parse::No;
    }
    let Some(frame) = usize::try_from(length).ok().and_then(|length| reader.take(length)) else {
        return Parse::need_more(received);
    };
    let mut service = named("amqp");
    let mut frame = Reader::new(frame);
    frame.take(6);
    let properties = frame.u32().and_then(|length| frame.take(usize::try_from(length).ok()?));
    properties_of(properties.unwrap_or_default(), &mut service);
    if let Some(mechanisms) = frame.u32().and_then(|length| frame.take(usize::try_from(length).ok()?)) {
        note(&mut service, "amqp.mechanisms", mechanisms);
    }
    Parse::certain(service)
}

/// `AMQP` and four bytes: an identifier and a version.
fn header(received: Received<'_>) -> Parse {
    if let Some(parse) = received.lacks(b"AMQP") {
        return parse;
    }
    let mut service = named("amqp");
    match received.bytes.get(4..8) {
        None => return Parse::need_more(received),
        Some([0, 0, 9, 1]) => return Parse::yes(service, Strength::Structure, Next::Again),
        // 1.0, bare or behind SASL or TLS.
        Some([0 | 2 | 3, 1, 0, 0]) => note(&mut service, "amqp.version", "1.0"),
        Some([0, 0, 9, 0] | [1, 1, _, _]) => note(&mut service, "amqp.version", "0"),
        Some(_) => return Parse::No,
    }
    Parse::certain(service)
}

/// A field table: short text, a kind, a value. Tables within and lists count their own length.
fn properties_of(table: &[u8], service: &mut Service) {
    let mut reader = Reader::new(table);
    let (mut name, mut version) = (None, None);
    for _ in 0..64 {
        let Some(key) = reader.u8().and_then(|length| reader.take(usize::from(length))) else { break };
        let length = match reader.u8() {
            Some(b'S' | b'x' | b'F' | b'A') => reader.u32().and_then(|length| usize::try_from(length).ok()),
            Some(b't' | b'b' | b'B') => Some(1),
            Some(b's' | b'u') => Some(2),
            Some(b'I' | b'i' | b'f') => Some(4),
            Some(b'l' | b'd' | b'T') => Some(8),
            _ => None,
        };
        let Some(value) = length.and_then(|length| reader.take(length)) else { break };
        match key {
            b"product" => name = Some(text::printable(value)),
            b"version" => version = Some(text::printable(value)),
            b"platform" => note(service, "amqp.platform", value),
            b"cluster_name" => note(service, "amqp.cluster", value),
            _ => {}
        }
    }
    if let Some(name) = name {
        product::name(service, &name, version.as_deref().and_then(text::version));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_introduces_itself() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[2])) else { panic!() };
        assert_eq!(answer.service.product.as_deref(), Some("RabbitMQ"));
        assert_eq!(answer.service.version.as_deref(), Some("3.10.8"));
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.next, Next::Again);
    }
}
