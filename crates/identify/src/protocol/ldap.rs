//! LDAP (RFC 4511): asked for the entry at the root, which servers show to everybody.

use super::{Protocol, Speaker, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
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

/// What is asked for: who made it, whose it is, and what shows `OpenLDAP` and Active Directory.
const ATTRIBUTES: [&str; 10] = [
    "vendorName",
    "vendorVersion",
    "structuralObjectClass",
    "dnsHostName",
    "defaultNamingContext",
    "namingContexts",
    "domainControllerFunctionality",
    "domainFunctionality",
    "supportedLDAPVersion",
    "supportedSASLMechanisms",
];

/// `SearchRequest` number 1: base "", this object only, no limits, `(objectClass=*)`.
fn question() -> Vec<u8> {
    let attributes = ATTRIBUTES.map(|name| element(OCTETS, name.as_bytes())).concat();
    let filter: &[u8] = b"\x87\x0bobjectClass";
    let search = [
        b"\x04\0\x0a\x01\0\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0".as_slice(),
        filter,
        &element(SEQUENCE, &attributes),
    ];
    element(SEQUENCE, &[&[INTEGER, 1, 1], element(0x63, &search.concat()).as_slice()].concat())
}

/// Of less than 64 KiB.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let head: &[u8] = if length < 0x80 { &[tag, low] } else { &[tag, 0x82, high, low] };
    [head, contents].concat()
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
    for _ in 0..32 {
        let Some(mut attribute) = list.expect(SEQUENCE).map(Reader::new) else { break };
        let (Some(name), Some(values)) = (attribute.expect(OCTETS), attribute.expect(SET)) else { break };
        let mut values = Reader::new(values);
        let values: Vec<String> = std::iter::from_fn(|| values.expect(OCTETS)).take(32).map(text::printable).collect();
        let Some(first) = values.first() else { continue };
        match name.to_ascii_lowercase().as_slice() {
            b"vendorname" => note(service, "ldap.vendor", first),
            b"vendorversion" => note(service, "ldap.version", first),
            // OpenLDAP does not say its name, but has a class of its own for this entry.
            b"structuralobjectclass" if first.eq_ignore_ascii_case("OpenLDAProotDSE") => {
                product::name(service, "openldap", None);
            }
            b"dnshostname" => note(service, "ldap.host", first),
            b"defaultnamingcontext" => note(service, "ldap.context", first),
            b"namingcontexts" => note(service, "ldap.contexts", values.join("; ")),
            b"supportedsaslmechanisms" => note(service, "ldap.mechanisms", values.join(" ")),
            b"domaincontrollerfunctionality" => note(service, "ldap.controller_level", first),
            b"domainfunctionality" => note(service, "ldap.domain_level", first),
            _ => {}
        }
    }
    name(service);
}

/// By the vendor's own words, or by the level that only Active Directory has. Samba's domain controllers have it too, and say
/// who made them.
fn name(service: &mut Service) {
    let fact = |name: &str| service.facts.get(name).cloned();
    let (vendor, version) = (fact("ldap.vendor"), fact("ldap.version"));
    match vendor.as_deref() {
        Some(vendor) if vendor.contains("Samba") => product::name(service, "samba", None),
        // `389-Directory/2.3.1 B2022.346.0000`, `OpenDJ 4.4`, `Apache Directory Server 2.0`.
        Some(vendor) => {
            let version = version.unwrap_or_default();
            let (product, number) = match version.split_once('/') {
                Some((product, rest)) => (product.to_owned(), text::version(rest)),
                None => (vendor.to_owned(), version.split(' ').find_map(text::version)),
            };
            product::name(service, &product, number);
            service.vendor = Some(vendor.to_owned());
        }
        None => {
            let Some(level) = fact("ldap.controller_level") else { return };
            service.vendor = Some("Microsoft".into());
            service.product = Some("Active Directory".into());
            // [MS-ADTS] §3.1.1.3.2.25.
            let release = match level.as_str() {
                "2" => Some("Server 2003"),
                "3" => Some("Server 2008"),
                "4" => Some("Server 2008 R2"),
                "5" => Some("Server 2012"),
                "6" => Some("Server 2012 R2"),
                "7" => Some("Server 2016 or later"),
                "10" => Some("Server 2025"),
                _ => None,
            };
            note(service, "windows.release", release.unwrap_or_default());
            service.os = Some(model::Os {
                family: "windows".into(),
                product: Some("Windows".into()),
                version: None,
                confidence: 0.9,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attributes: &[(&str, &str)]) -> Service {
        let list: Vec<u8> = attributes
            .iter()
            .flat_map(|(name, value)| {
                let values = element(SET, &element(OCTETS, value.as_bytes()));
                element(SEQUENCE, &[element(OCTETS, name.as_bytes()), values].concat())
            })
            .collect();
        let contents = [element(OCTETS, b""), element(SEQUENCE, &list)].concat();
        let message = element(SEQUENCE, &[vec![INTEGER, 1, 1], element(ENTRY, &contents)].concat());
        match parse(Received::open(&message)) {
            Parse::Yes(answer) => answer.service,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whose_it_is() {
        for (attributes, product, version) in [
            (vec![("structuralObjectClass", "OpenLDAProotDSE")], Some("OpenLDAP"), None),
            (
                vec![("vendorName", "389 Project"), ("vendorVersion", "389-Directory/2.3.1 B2022")],
                Some("389-Directory"),
                Some("2.3.1"),
            ),
            (vec![("domainControllerFunctionality", "7")], Some("Active Directory"), None),
            (
                vec![("vendorName", "Samba Team (https://www.samba.org)"), ("domainControllerFunctionality", "4")],
                Some("Samba"),
                None,
            ),
            (vec![("namingContexts", "dc=example,dc=org")], None, None),
        ] {
            let service = entry(&attributes);
            assert_eq!(service.product.as_deref(), product, "{attributes:?}");
            assert_eq!(service.version.as_deref(), version);
        }
    }

    #[test]
    fn the_question_is_sound() {
        let question = question();
        let mut reader = Reader::new(&question);
        assert!(reader.expect(SEQUENCE).is_some() && reader.is_empty());
    }
}
