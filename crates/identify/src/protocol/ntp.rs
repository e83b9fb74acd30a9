//! NTP (RFC 5905 §7.3): a client's question and the server's answer to it, which repeats our transmit time.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "ntp",
    speaker: Speaker::Client,
    ports: &[123],
    request: Some(|_| request()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x24\x02\x03\xe8\x00\x00\x00\x10\x00\x00\x00\x20\xc0\x00\x02\x01\xea\xaa\xaa\xaa\x00\x00\x00\x00perimetr\xea\xaa\xaa\xab\x00\x00\x00\x00\xea\xaa\xaa\xac\x00\x00\x00\x00",
    ],
};

/// Stands for our transmit time: an answer must give it back, so nothing needs a clock here.
const COOKIE: &[u8; 8] = b"perimetr";

fn request() -> Vec<u8> {
    const VERSION_4_CLIENT: u8 = 0o43;
    let mut packet = vec![0; 40];
    if let Some(first) = packet.first_mut() {
        *first = VERSION_4_CLIENT;
    }
    packet.extend(COOKIE);
    packet
}

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    let Some(first) = reader.u8() else { return Parse::No };
    let (version, mode) = (first >> 3 & 7, first & 7);
    let origin = received.bytes.get(24..32);
    if received.bytes.len() < 48 || mode != 4 || !(1..=4).contains(&version) || origin != Some(COOKIE) {
        return Parse::No;
    }
    Parse::yes(Service { name: "ntp".into(), ..Service::default() }, Strength::Structure, Next::Nothing)
}
