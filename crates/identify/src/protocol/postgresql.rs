//! `PostgreSQL`: asked whether it speaks TLS, which is all that can be asked without a login. The one byte it answers means that only to
//! who asked.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "postgresql",
    speaker: Speaker::Client,
    ports: &[5432, 5433, 6432],
    // SSLRequest: its length, and the code 1234.5679.
    request: Some(|_| vec![0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]),
    parse,
    reply: Some(reply),
    #[cfg(test)]
    samples: &[
        b"E\x00\x00\x00\x54SFATAL\x00VFATAL\x00C0A000\x00Munsupported frontend protocol 1234.5680\x00",
        b"E\x00\x00\x00\x30SERROR\x00C08P01\x00MSSL not supported\x00\x00",
    ],
};

/// The answer to our question: yes, no, or an error.
pub(crate) fn reply(received: Received<'_>) -> Parse {
    let offer = match received.bytes {
        b"S" => "yes",
        b"N" => "no",
        _ => return parse(received),
    };
    let mut service = Service { name: "postgresql".into(), ..Service::default() };
    service.facts.insert("postgresql.tls".into(), offer.into());
    Parse::yes(service, Strength::Grammar, Next::Nothing)
}

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    let kind = reader.u8();
    if kind.is_some_and(|kind| kind != b'E') || received.bytes.get(1..3).is_some_and(|high| high != [0, 0]) {
        return Parse::No;
    }
    let Some(length) = reader.u32() else {
        let small = received.bytes.get(1).is_none_or(|&high| high == 0);
        return if small { Parse::need_more(received) } else { Parse::No };
    };
    if !(8..2048).contains(&length) {
        return Parse::No;
    }
    // The severity comes first, in the server's own language.
    match (reader.u8(), reader.until(0)) {
        (Some(b'S'), Some(severity)) if severity.iter().all(|byte| byte.is_ascii_uppercase() || *byte >= 0x80) => {
            let service = Service { name: "postgresql".into(), ..Service::default() };
            Parse::yes(service, Strength::Structure, Next::Nothing)
        }
        (None | Some(b'S'), None) if reader.rest().len() < 32 => Parse::need_more(received),
        _ => Parse::No,
    }
}
