//! RDP: a connection request of X.224 and its confirmation ([MS-RDPBCGR] §2.2.1.1 and §2.2.1.2), and what comes next within TLS where
//! `CredSSP` was chosen: NTLM's challenge, in which a Windows shows its build and its names ([MS-CSSP] §2.2.1).

use super::{Protocol, Speaker, named};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    ntlm, product,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "ms-wbt-server",
    speaker: Speaker::Client,
    ports: &[3389],
    // TLS, CredSSP, and CredSSP with early authorization.
    request: Some(|_| vec![3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0x0b, 0, 0, 0]),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x1f\x08\x00\x02\x00\x00\x00",
        b"\x03\x00\x00\x09\x02\xf0\x80\x21\x80",
        b"\x03\x00\x00\x0b\x06\xd0\x00\x00\x12\x34\x00",
        b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x03\x00\x08\x00\x05\x00\x00\x00",
        b"\x30\x47\xa0\x03\x02\x01\x06\xa1\x40\x30\x3e\x30\x3c\xa0\x3a\x04\x38NTLMSSP\0\x02\0\0\0\0\0\0\0\x38\0\0\0\0\0\0\x02\
          \x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\0\0\0\0\0\x38\0\0\0\x0a\0\x7c\x4f\0\0\0\x0f",
    ],
};

/// `TSRequest`, version 6, with NTLM's first message: what a server that has chosen `CredSSP` waits for within TLS. It answers before it
/// knows whom it talks to.
pub const CREDSSP_NEGOTIATE: [u8; 57] = {
    let around = *b"\x30\x37\xa0\x03\x02\x01\x06\xa1\x30\x30\x2e\x30\x2c\xa0\x2a\x04\x28";
    let mut all = [0; 57];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < around.len() { around[at] } else { ntlm::NEGOTIATE[at - around.len()] };
        at += 1;
    }
    all
};

const ULTIMATUM: &[u8] = b"\x03\0\0\x09\x02\xf0\x80\x21\x80";

fn parse(received: Received<'_>) -> Parse {
    if received.bytes.first() == Some(&0x30) {
        return credssp(received);
    }
    let header = [3, 0, 0];
    if !received.bytes.starts_with(&header) {
        return if received.may_become(&header) { Parse::NeedMore } else { Parse::No };
    }
    let mut reader = Reader::new(received.bytes);
    let (_, Some(length)) = (reader.take(3), reader.u8()) else { return Parse::need_more(received) };
    // What xrdp says to those who speak something else: an ultimatum of T.125, as if a session had been there.
    if received.bytes.starts_with(ULTIMATUM) {
        let mut service = named("ms-wbt-server");
        product::name(&mut service, "xrdp", None);
        return Parse::yes(service, Strength::Weak, Next::Again);
    }
    if length == 9 && received.may_become(ULTIMATUM) {
        return Parse::NeedMore;
    }
    if !matches!(length, 11 | 19) {
        return Parse::No;
    }
    let Some(packet) = reader.take(usize::from(length) - 4) else { return Parse::need_more(received) };
    // The length within, and a connection confirm.
    if packet.first() != Some(&(length - 5)) || packet.get(1) != Some(&0xd0) {
        return Parse::No;
    }
    let mut service = Service { name: "ms-wbt-server".into(), ..Service::default() };
    let security = match packet.get(7..) {
        Some([2, _, 8, 0, 1, ..]) => "TLS",
        Some([2, _, 8, 0, 2 | 8, ..]) => "CredSSP",
        Some([2, ..] | []) => "RDP",
        _ => "refused",
    };
    service.facts.insert("rdp.security".into(), security.into());
    Parse::yes(service, Strength::Structure, Next::Nothing)
}

/// A `TSRequest` with a challenge of NTLM. What else begins like this (LDAP, SNMP) has a plain number where its version stands in a
/// context of its own.
fn credssp(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    reader.take(1);
    let length = match reader.u8() {
        Some(length @ 0..=0x7f) => Some(usize::from(length)),
        Some(0x81) => reader.u8().map(usize::from),
        Some(0x82) => reader.u16().map(usize::from),
        Some(_) => return Parse::No,
        None => None,
    };
    let Some(length) = length else { return Parse::need_more(received) };
    let rest = reader.rest();
    let version = [0xa0, 3, 2, 1];
    if !rest.iter().zip(version).all(|(byte, expected)| *byte == expected) {
        return Parse::No;
    }
    let Some(request) = reader.take(length).filter(|request| request.len() > version.len()) else {
        return Parse::need_more(received);
    };
    let Some(challenge) = ntlm::challenge(request) else { return Parse::No };
    let mut service = named("ms-wbt-server");
    challenge.tell(&mut service);
    Parse::yes(service, Strength::Structure, Next::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntlm::tests::sample;

    fn wrapped(challenge: &[u8]) -> Vec<u8> {
        let long = |tag: u8, content: &[u8]| {
            [&[tag, 0x82], u16::try_from(content.len()).expect("short").to_be_bytes().as_slice(), content].concat()
        };
        let token = long(0xa1, &long(0x30, &long(0x30, &long(0xa0, &long(0x04, challenge)))));
        long(0x30, &[&[0xa0, 3, 2, 1, 6], token.as_slice()].concat())
    }

    fn read(bytes: &[u8], open: bool) -> Parse {
        parse(if open { Received::open(bytes) } else { Received::ended(bytes) })
    }

    #[test]
    fn a_windows_shows_its_build_and_names_before_anybody_logs_in() {
        let bytes = wrapped(&sample((10, 0, 20348), &[(1, "DC1"), (3, "dc1.example.org")]));
        let Parse::Yes(answer) = read(&bytes, true) else { panic!("not read") };
        assert_eq!(answer.service.os.as_ref().map(ToString::to_string).as_deref(), Some("Windows 10.0.20348"));
        assert_eq!(answer.service.facts["ntlm.dns_computer"], "dc1.example.org");
        for end in 1..bytes.len() {
            assert!(matches!(read(&bytes[..end], true), Parse::NeedMore), "{end}");
            assert!(!matches!(read(&bytes[..end], false), Parse::Yes(_)), "{end}");
        }
    }

    #[test]
    fn the_question_is_well_formed_and_no_answer() {
        assert_eq!(usize::from(CREDSSP_NEGOTIATE[1]) + 2, CREDSSP_NEGOTIATE.len());
        assert!(CREDSSP_NEGOTIATE.ends_with(&ntlm::NEGOTIATE));
        assert!(matches!(read(&CREDSSP_NEGOTIATE, true), Parse::No));
    }
}
