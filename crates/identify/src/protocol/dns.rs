//! DNS (RFC 1035): asked for `version.bind`, which many servers tell (RFC 4892); any answer to our question will do.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    distribution,
    fingerprint::{self, Field},
    text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "domain",
    speaker: Speaker::Client,
    ports: &[53],
    request: Some(|_| question(ID)),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"pd\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03\xc0\x0c\x00\x10\x00\x03\x00\x00\x00\x00\x00\x1a\x199.18.33-1~deb12u2-Debian\x00",
        b"pd\x80\x05\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03",
        b"pd\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00",
    ],
};

/// Our transaction id. Constant: the socket is connected, so only the server asked can answer it.
const ID: [u8; 2] = *b"pd";
const TXT: u16 = 16;

/// `version.bind. CH TXT`, recursion not desired.
pub(super) fn question(id: [u8; 2]) -> Vec<u8> {
    const REST: &[u8] = b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03";
    [id.as_slice(), REST].concat()
}

fn parse(received: Received<'_>) -> Parse {
    message(received.bytes, ID).map_or(Parse::No, |service| Parse::yes(service, Strength::Structure, Next::Nothing))
}

/// A whole DNS message that answers our question.
pub(super) fn message(bytes: &[u8], asked: [u8; 2]) -> Option<Service> {
    let mut reader = Reader::new(bytes);
    let (id, flags) = (reader.array::<2>()?, reader.u16()?);
    let [questions, answers, authorities, additional] = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    let response = flags & 0x8000 != 0 && flags & 0x7800 == 0;
    // A reply to one question does not carry more records than this.
    if id != asked || !response || questions > 1 || answers.max(authorities).max(additional) > 64 {
        return None;
    }
    for _ in 0..questions {
        skip_name(&mut reader)?;
        reader.take(4)?;
    }
    let mut service = Service { name: "domain".into(), ..Service::default() };
    for _ in 0..answers {
        skip_name(&mut reader)?;
        let kind = reader.u16()?;
        reader.take(6)?;
        let length = reader.u16()?;
        let data = reader.take(usize::from(length))?;
        if kind == TXT && service.banner.is_none() {
            let mut data = Reader::new(data);
            let length = data.u8()?;
            let version = text::printable(data.take(usize::from(length))?);
            name(&mut service, &version);
            service.banner = Some(version).filter(|version| !version.is_empty());
        }
    }
    Some(service)
}

/// Labels up to the root or a pointer (which ends a name and is not followed).
fn skip_name(reader: &mut Reader<'_>) -> Option<()> {
    for _ in 0..128 {
        match reader.u8()? {
            0 => return Some(()),
            length @ 1..=63 => _ = reader.take(usize::from(length))?,
            0xc0..=0xff => return reader.u8().map(|_| ()),
            _ => return None,
        }
    }
    None
}

/// `9.18.33-1~deb12u2-Debian` is BIND's way: its packager's part follows the number.
fn name(service: &mut Service, version: &str) {
    fingerprint::name(service, Field::DnsVersion, version);
    if service.product.as_deref() == Some("BIND") {
        let bind = version.strip_prefix("BIND ").unwrap_or(version);
        let full = text::version(bind).unwrap_or(bind);
        let number = full.split(['-', '+']).next().unwrap_or(full);
        distribution::read(service, bind);
        let revision = full.strip_suffix("-Debian").or_else(|| full.strip_suffix("-Ubuntu")).unwrap_or(full);
        if service.os.is_some() && revision != number {
            distribution::package(service, revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, product, version, os, package) in [
            ("9.18.33-1~deb12u2-Debian", Some("BIND"), Some("9.18.33"), Some("Debian 12"), Some("9.18.33-1~deb12u2")),
            ("9.18.24", Some("BIND"), Some("9.18.24"), None, None),
            ("9.16.23-RH", Some("BIND"), Some("9.16.23"), None, None),
            ("dnsmasq-2.89", Some("dnsmasq"), Some("2.89"), None, None),
            ("unbound 1.17.1", Some("Unbound"), Some("1.17.1"), None, None),
            (
                "PowerDNS Authoritative Server 4.7.3 (built Jan 1 2026)",
                Some("PowerDNS Authoritative Server"),
                Some("4.7.3"),
                None,
                None,
            ),
            ("none of your business", None, None, None, None),
        ] {
            let mut service = Service::default();
            name(&mut service, text);
            assert_eq!(service.product.as_deref(), product, "{text}");
            assert_eq!(service.version.as_deref(), version, "{text}");
            assert_eq!(service.os.map(|os| os.to_string()).as_deref(), os, "{text}");
            assert_eq!(service.facts.get("package.version").map(String::as_str), package, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_an_answer_to_us() {
        let mut answer = PROTOCOL.samples[0].to_vec();
        assert!(message(&answer, ID).is_some());
        assert!(message(&question(ID), ID).is_none(), "our own question echoed");
        answer[0] ^= 1;
        assert!(message(&answer, ID).is_none(), "another id");
    }
}
