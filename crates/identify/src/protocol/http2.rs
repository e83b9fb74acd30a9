//! HTTP/2 (RFC 9113 §3.4) without TLS: a server that speaks nothing else begins with its settings, whatever it is told.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "http",
    speaker: Speaker::Client,
    ports: &[50051],
    // The preface and empty settings.
    request: Some(|_| b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64",
        b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const SETTINGS: u8 = 4;
    // Length of a few settings, type, no flags, stream nought.
    let sound = received.bytes.iter().zip(0..9).all(|(byte, at)| match at {
        2 => *byte % 6 == 0 && *byte <= 96,
        3 => *byte == SETTINGS,
        _ => *byte == 0,
    });
    if !sound {
        return Parse::No;
    }
    let mut reader = Reader::new(received.bytes);
    let Some(head) = reader.take(9) else { return Parse::need_more(received) };
    let length = head.get(2).copied().unwrap_or_default();
    let Some(settings) = reader.take(usize::from(length)) else { return Parse::need_more(received) };
    // Settings that have been assigned.
    let known = settings.chunks_exact(6).all(|setting| matches!(setting, [0, 1..=9, ..] | [0xfe | 0xff, ..]));
    if !known {
        return Parse::No;
    }
    let mut service = named("http");
    note(&mut service, "http.version", "2");
    Parse::certain(service)
}
