//! `PostgreSQL`: asked whether it speaks TLS. The one byte it answers means that only to who asked; the refusal of a version that
//! there is not tells whose program it is.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};

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

/// A `StartupMessage` of a version that there is not: its refusal names the place in the source that refuses.
pub const STARTUP: &[u8] = b"\0\0\0\x08\0\xff\0\xff";

/// The answer to our question: yes, no, or an error. After a no, the refusal of [`STARTUP`] may follow.
fn reply(received: Received<'_>) -> Parse {
    let mut service = named("postgresql");
    match received.bytes {
        b"S" => {
            note(&mut service, "postgresql.tls", "yes");
            Parse::yes(service, Strength::Grammar, Next::Nothing)
        }
        b"N" => {
            note(&mut service, "postgresql.tls", "no");
            Parse::yes(service, Strength::Grammar, Next::Say(STARTUP))
        }
        [b'N', rest @ ..] => match parse(Received { bytes: rest, ..received }) {
            Parse::Yes(mut answer) => {
                note(&mut answer.service, "postgresql.tls", "no");
                Parse::Yes(answer)
            }
            other => other,
        },
        _ => parse(received),
    }
}

/// An `ErrorResponse`.
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
    let fields = reader.rest();
    // The severity comes first, in the server's own language.
    match (reader.u8(), reader.until(0)) {
        (Some(b'S'), Some(severity)) if severity.iter().all(|byte| byte.is_ascii_uppercase() || *byte >= 0x80) => {}
        (None | Some(b'S'), None) if reader.rest().len() < 32 => return Parse::need_more(received),
        _ => return Parse::No,
    }
    let length = usize::try_from(length - 4).unwrap_or_default();
    if fields.len() < length && !received.ended {
        return Parse::NeedMore;
    }
    let fields = fields.get(..length).unwrap_or(fields);
    let field = |kind: u8| {
        let found = fields.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[kind]));
        found.map(text::printable).unwrap_or_default()
    };
    let mut service = named("postgresql");
    let (file, line, routine) = (field(b'F'), field(b'L'), field(b'R'));
    // Others speak the protocol, but are not written in these files.
    if ["postmaster.c", "backend_startup.c"].contains(&file.as_str()) && routine == "ProcessStartupPacket" {
        product::name(&mut service, "postgresql", None);
    }
    if !file.is_empty() {
        note(&mut service, "postgresql.source", format!("{file}:{line} {routine}"));
    }
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_an_error_names_the_product() {
        let fields = b"SFATAL\0VFATAL\0C0A000\0Munsupported\0Fpostmaster.c\0L2195\0RProcessStartupPacket\0\0";
        let length = u8::try_from(fields.len() + 4).unwrap();
        let error = [&[b'E', 0, 0, 0, length], fields.as_slice()].concat();
        let Parse::Yes(answer) = parse(Received::open(&error)) else { panic!() };
        assert_eq!(answer.service.product.as_deref(), Some("PostgreSQL"));
        assert_eq!(answer.service.facts["postgresql.source"], "postmaster.c:2195 ProcessStartupPacket");
        let Parse::Yes(answer) = reply(Received::open(&[b"N", error.as_slice()].concat())) else { panic!() };
        assert_eq!(answer.service.facts["postgresql.tls"], "no");
        assert_eq!(parse(Received::open(&error[..error.len() - 1])), Parse::NeedMore);
        assert!(matches!(reply(Received::open(b"N")), Parse::Yes(answer) if answer.next == Next::Say(STARTUP)));
    }
}
