//! Cassandra's native protocol: OPTIONS, answered with what is supported; anything else with an error in the same frames.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "cassandra",
    speaker: Speaker::Client,
    ports: &[9042, 9142],
    // Version 4, stream 0, OPTIONS, empty.
    request: Some(|_| b"\x04\0\0\0\x05\0\0\0\0".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x84\0\0\0\x06\0\0\0\x18\0\x01\0\x0bCQL_VERSION\0\x01\0\x053.4.5",
        b"\x85\0\0\0\0\0\0\0\x3d\0\0\0\x0a\0\x37Invalid or unsupported protocol version (71); supported",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const ERROR: u8 = 0;
    const SUPPORTED: u8 = 6;
    let bytes = received.bytes;
    let sound = bytes.iter().zip(0..7).all(|(byte, at)| match at {
        0 => matches!(byte, 0x81..=0x86),
        1 => matches!(byte, 0 | 0x10),
        4 => matches!(*byte, ERROR | SUPPORTED),
        _ => *byte == 0,
    });
    if !sound {
        return Parse::No;
    }
    let mut reader = Reader::new(bytes);
    let (Some([_, _, _, _, operation]), Some(length)) = (reader.array(), reader.u32()) else {
        return Parse::need_more(received);
    };
    if !(2..4096).contains(&length) {
        return Parse::No;
    }
    let Some(body) = usize::try_from(length).ok().and_then(|length| reader.take(length)) else {
        return Parse::need_more(received);
    };
    let mut service = named("cassandra");
    let mut body = Reader::new(body);
    if operation == ERROR {
        let (Some(code), Some(reason)) = (body.u32(), words(&mut body)) else { return Parse::No };
        if code > 0x3000 {
            return Parse::No;
        }
        service.banner = Some(reason);
        return Parse::yes(service, Strength::Structure, Next::Again);
    }
    let count = body.u16().unwrap_or_default();
    for _ in 0..count.min(16) {
        let (Some(name), Some(values)) = (words(&mut body), body.u16()) else { break };
        let values: Vec<String> = (0..values.min(16)).map_while(|_| words(&mut body)).collect();
        match name.as_str() {
            "CQL_VERSION" => note(&mut service, "cassandra.cql", values.join(" ")),
            "PROTOCOL_VERSIONS" => note(&mut service, "cassandra.protocols", values.join(" ")),
            _ => {}
        }
    }
    if service.facts.is_empty() {
        return Parse::No;
    }
    product::name(&mut service, "cassandra", None);
    Parse::certain(service)
}

fn words(reader: &mut Reader<'_>) -> Option<String> {
    let length = reader.u16()?;
    reader.take(usize::from(length)).map(text::printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_supports() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.facts["cassandra.cql"], "3.4.5");
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[1])) else { panic!() };
        assert_eq!(answer.next, Next::Again);
    }
}
