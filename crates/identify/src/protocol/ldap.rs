//! LDAP (RFC 4511): asked for the entry at the root, which servers show to everybody.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "ldap",
    speaker: Speaker::Client,
    ports: &[389, 636, 3268, 3269],
    request: Some(|_| question()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x30\x1d\x02\x01\x01\x64\x18\x04\x00\x30\x14\x30\x12\x04\x0avendorName\x31\x04\x04\x02ab",
        b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x32\x04\x00\x04\x00",
        b"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x65\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00",
    ],
};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
/// `[APPLICATION n]`: an entry found, the end of a search, the answer to an extended operation.
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const EXTENDED: u8 = 0x78;

/// `SearchRequest` number 1: base "", this object only, no limits, `(objectClass=*)`, two attributes.
fn question() -> Vec<u8> {
    let attributes: Vec<u8> = ["vendorName", "vendorVersion"]
        .iter()
        .flat_map(|name| [&[OCTETS, u8::try_from(name.len()).unwrap_or_default()], name.as_bytes()].concat())
        .collect();
    let filter: &[u8] = b"\x87\x0bobjectClass";
    let search = [
        b"\x04\0\x0a\x01\0\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0".as_slice(),
        filter,
        &element(SEQUENCE, &attributes),
    ];
    element(SEQUENCE, &[&[INTEGER, 1, 1], element(0x63, &search.concat()).as_slice()].concat())
}

/// Of less than 128 bytes.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(contents.len()).unwrap_or_default()], contents].concat()
}

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    if received.bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
        return Parse::No;
    }
    let Some(message) = reader.expect(SEQUENCE) else {
        // Begun: a length, then a number of ours, as far as there is any of it.
        let begun = matches!(received.bytes.get(1), None | Some(7..=0x7f | 0x81..=0x84));
        return if begun && received.bytes.len() < 8192 { Parse::need_more(received) } else { Parse::No };
    };
    let mut message = Reader::new(message);
    let numbered = message.expect(INTEGER).is_some_and(|number| (1..=4).contains(&number.len()));
    let Some(operation) = message.element().filter(|_| numbered) else { return Parse::No };
    if !matches!(operation.tag, ENTRY | DONE | EXTENDED) {
        return Parse::No;
    }
    let mut service = Service { name: "ldap".into(), ..Service::default() };
    if operation.tag == ENTRY {
        attributes(operation.contents, &mut service);
    }
    Parse::yes(service, Strength::Structure, Next::Nothing)
}

fn attributes(entry: &[u8], service: &mut Service) {
    let mut entry = Reader::new(entry);
    let Some(list) = entry.expect(OCTETS).and_then(|_| entry.expect(SEQUENCE)) else { return };
    let mut list = Reader::new(list);
    for _ in 0..16 {
        let Some(mut attribute) = list.expect(SEQUENCE).map(Reader::new) else { return };
        let name = attribute.expect(OCTETS);
        let value = attribute.expect(SET).and_then(|values| Reader::new(values).expect(OCTETS));
        let (Some(name), Some(value)) = (name, value) else { return };
        let fact = match name.to_ascii_lowercase().as_slice() {
            b"vendorname" => "ldap.vendor",
            b"vendorversion" => "ldap.version",
            _ => continue,
        };
        service.facts.insert(fact.into(), text::printable(value));
    }
}
