//! TLS (RFC 8446 §5.1), recognised in an answer to something else: an alert, or a handshake record.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "tls",
    speaker: Speaker::Client,
    ports: &[443, 465, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 5986, 6443, 6514, 8443, 8883, 9443],
    // Asked with a real handshake, not with bytes of ours.
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x15\x03\x03\x00\x02\x02\x0a",
        b"\x16\x03\x03\x00\x3d\x02\x00\x00\x39\x03\x03",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const ALERT: u8 = 0x15;
    const HANDSHAKE: u8 = 0x16;
    let mut reader = Reader::new(received.bytes);
    let kind = reader.u8();
    let version = reader.array::<2>();
    let length = reader.u16();
    let possible = matches!(kind, Some(ALERT | HANDSHAKE))
        && received.bytes.get(1).is_none_or(|&major| major == 3)
        && received.bytes.get(2).is_none_or(|&minor| minor <= 4)
        && length.is_none_or(|length| if kind == Some(ALERT) { length == 2 } else { (4..=16_640).contains(&length) });
    if !possible {
        return Parse::No;
    }
    let (Some(_), Some(first)) = (version.and(length), reader.u8()) else { return Parse::need_more(received) };
    let sensible = match kind {
        Some(ALERT) => matches!(first, 1 | 2),
        // hello_request and server_hello are what a server may begin with.
        _ => matches!(first, 0 | 2),
    };
    if !sensible {
        return Parse::No;
    }
    Parse::yes(Service { name: "tls".into(), ..Service::default() }, Strength::Structure, Next::Tls)
}
