//! SNMP: the discovery of an `SNMPv3` engine (RFC 3414 §4), which needs no secret and is answered with the engine's id and
//! so its maker. Answers of the community versions (RFC 3416) are read too.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    distribution,
    fingerprint::{self, Field},
    product, text,
};
use model::Service;
use std::fmt::Write as _;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "snmp",
    speaker: Speaker::Client,
    ports: &[161],
    request: Some(|_| DISCOVERY.to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x30\x55\x02\x01\x03\x30\x10\x02\x03\x70\x64\x01\x02\x03\x00\xff\xe3\x04\x01\x00\x02\x01\x03\x04\x1e\x30\x1c\x04\x0d\x80\x00\x1f\x88\x80\x11\x22\x33\x44\x55\x66\x77\x88\x02\x01\x05\x02\x02\x10\x20\x04\x00\x04\x00\x04\x00\x30\x1e\x04\x0d\x80\x00\x1f\x88\x80\x11\x22\x33\x44\x55\x66\x77\x88\x04\x00\xa8\x0b\x02\x01\x00\x02\x01\x00\x02\x01\x00\x30\x00",
        b"\x30\x2f\x02\x01\x01\x04\x06public\xa2\x22\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x17\x30\x15\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x04\x09Linux box",
    ],
};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const REPORT: u8 = 0xa8;
const RESPONSE: u8 = 0xa2;

/// `msgID` 0x706401, reportable, user-based security, empty engine, user and context, `GetRequest` of nothing.
const DISCOVERY: &[u8] = &[
    0x30, 0x3b, 0x02, 0x01, 0x03, 0x30, 0x10, 0x02, 0x03, 0x70, 0x64, 0x01, 0x02, 0x03, 0x00, 0xff, 0xe3, 0x04, 0x01,
    0x04, 0x02, 0x01, 0x03, 0x04, 0x10, 0x30, 0x0e, 0x04, 0x00, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x04, 0x00, 0x04,
    0x00, 0x04, 0x00, 0x30, 0x12, 0x04, 0x00, 0x04, 0x00, 0xa0, 0x0c, 0x02, 0x02, 0x70, 0x64, 0x02, 0x01, 0x00, 0x02,
    0x01, 0x00, 0x30, 0x00,
];

fn parse(received: Received<'_>) -> Parse {
    message(received.bytes).map_or(Parse::No, |service| Parse::yes(service, Strength::Structure, Next::Nothing))
}

fn message(bytes: &[u8]) -> Option<Service> {
    let mut message = Reader::new(Reader::new(bytes).expect(SEQUENCE)?);
    match message.expect(INTEGER)? {
        [3] => version_3(&mut message),
        [0 | 1] => community(&mut message),
        _ => None,
    }
}

fn version_3(message: &mut Reader<'_>) -> Option<Service> {
    message.expect(SEQUENCE)?;
    let mut security = Reader::new(Reader::new(message.expect(OCTETS)?).expect(SEQUENCE)?);
    let engine = security.expect(OCTETS)?;
    // The scoped PDU; in the clear, it must be the report that answers a discovery.
    let mut scoped = Reader::new(message.expect(SEQUENCE)?);
    scoped.expect(OCTETS)?;
    scoped.expect(OCTETS)?;
    scoped.element().filter(|pdu| pdu.tag == REPORT || pdu.tag == RESPONSE)?;
    let mut service = Service { name: "snmp".into(), ..Service::default() };
    service.facts.insert("snmp.version".into(), "3".into());
    if (5..=32).contains(&engine.len()) {
        let mut id = String::new();
        for byte in engine {
            write!(id, "{byte:02x}").ok()?;
        }
        service.banner = Some(format!("engine {id}"));
        service.facts.insert("snmp.engine_id".into(), id);
        // RFC 3411 §5: the enterprise number, under a top bit that tells the format.
        let enterprise = Reader::new(engine).u32()? & 0x7fff_ffff;
        service.facts.insert("snmp.enterprise".into(), enterprise.to_string());
        match enterprise {
            8072 => product::name(&mut service, "net-snmp", None),
            _ => service.vendor = vendor(enterprise).map(str::to_owned),
        }
    }
    Some(service)
}

/// IANA's private enterprise numbers of those often met at a perimeter.
fn vendor(enterprise: u32) -> Option<&'static str> {
    Some(match enterprise {
        9 => "Cisco",
        11 => "Hewlett-Packard",
        171 => "D-Link",
        311 => "Microsoft",
        674 => "Dell",
        2011 => "Huawei",
        2636 => "Juniper",
        3375 => "F5",
        4526 => "Netgear",
        6027 => "Force10",
        12356 => "Fortinet",
        14988 => "MikroTik",
        25461 => "Palo Alto Networks",
        30065 => "Arista",
        41112 => "Ubiquiti",
        _ => return None,
    })
}

fn community(message: &mut Reader<'_>) -> Option<Service> {
    const SYS_DESCR: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 1, 0];
    const OBJECT: u8 = 0x06;
    message.expect(OCTETS)?;
    let mut pdu = Reader::new(message.expect(RESPONSE)?);
    pdu.expect(INTEGER)?;
    pdu.expect(INTEGER)?;
    pdu.expect(INTEGER)?;
    let mut service = Service { name: "snmp".into(), ..Service::default() };
    let mut bindings = Reader::new(pdu.expect(SEQUENCE)?);
    while let Some(binding) = bindings.expect(SEQUENCE) {
        let mut binding = Reader::new(binding);
        let object = binding.expect(OBJECT)?;
        if object == SYS_DESCR
            && let Some(value) = binding.expect(OCTETS)
        {
            let description = text::printable(value);
            if !fingerprint::name(&mut service, Field::SnmpDescription, &description) {
                distribution::read(&mut service, &description);
            }
            service.banner = Some(description);
        }
    }
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_names_its_maker() {
        let service = message(PROTOCOL.samples[0]).unwrap();
        assert_eq!(service.product.as_deref(), Some("Net-SNMP"));
        assert_eq!(service.facts["snmp.enterprise"], "8072");
        assert_eq!(service.facts["snmp.engine_id"], "80001f88801122334455667788");
        assert!(!service.facts.contains_key("snmp.boots"), "what counts up is no fact");
    }

    #[test]
    fn a_description() {
        let service = message(PROTOCOL.samples[1]).unwrap();
        assert_eq!(service.banner.as_deref(), Some("Linux box"));
        assert_eq!(service.os.unwrap().family, "linux");
    }

    #[test]
    fn our_question_is_well_formed_and_no_answer() {
        let mut reader = Reader::new(DISCOVERY);
        assert!(reader.expect(SEQUENCE).is_some());
        assert!(reader.is_empty());
        assert!(message(DISCOVERY).is_none());
    }
}
