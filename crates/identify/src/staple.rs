//! What a server staples to its handshake about its certificate's standing (OCSP, RFC 6960 §4.2).

use crate::{Reader, certificate};
use model::{Staple, StapleStatus};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const TIME: u8 = 0x18;

/// Reads an `OCSPResponse`. The first of its single responses counts: what is stapled is about the leaf, or should be.
pub fn read_staple(bytes: &[u8]) -> Staple {
    let unreadable = Staple { status: StapleStatus::Unreadable, this_update: None, next_update: None };
    read(bytes).map_or(unreadable, |(staple, _)| staple)
}

/// Whether it is about the certificate of that serial number (in hexadecimal, as it is written in the certificate). Servers go on with the
/// staple of the one before.
pub(crate) fn is_about(bytes: &[u8], serial: &str) -> bool {
    let written = |serial: &[u8]| serial.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    read(bytes).is_some_and(|(_, said)| written(said).eq_ignore_ascii_case(serial))
}

/// With the serial number it is about.
fn read(bytes: &[u8]) -> Option<(Staple, &[u8])> {
    /// `id-pkix-ocsp-basic`.
    const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let mut response = Reader::new(Reader::new(bytes).expect(SEQUENCE)?);
    // Anything but `successful` has nothing to say.
    response.expect(ENUMERATED).filter(|status| *status == [0])?;
    let mut inner = Reader::new(Reader::new(response.expect(0xa0)?).expect(SEQUENCE)?);
    inner.expect(OBJECT).filter(|kind| *kind == BASIC)?;
    let basic = Reader::new(inner.expect(OCTETS)?).expect(SEQUENCE)?;
    let mut data = Reader::new(Reader::new(basic).expect(SEQUENCE)?);
    // The version, where it is written, who answers and when.
    _ = data.expect(0xa0);
    data.element().filter(|responder| matches!(responder.tag, 0xa1 | 0xa2))?;
    data.expect(TIME)?;
    let mut single = Reader::new(Reader::new(data.expect(SEQUENCE)?).expect(SEQUENCE)?);
    let mut about = Reader::new(single.expect(SEQUENCE)?);
    about.expect(SEQUENCE)?;
    about.expect(OCTETS)?;
    about.expect(OCTETS)?;
    let serial = about.expect(INTEGER)?;
    let status = match single.element()?.tag {
        0x80 => StapleStatus::Good,
        0xa1 => StapleStatus::Revoked,
        0x82 => StapleStatus::Unknown,
        _ => return None,
    };
    let this_update = single.element().and_then(certificate::time);
    let next_update = single.expect(0xa0).and_then(|next| Reader::new(next).element()).and_then(certificate::time);
    Some((Staple { status, this_update, next_update }, serial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let contents = parts.concat();
        let length = u8::try_from(contents.len()).expect("short");
        let length = if length < 0x80 { vec![length] } else { vec![0x81, length] };
        [&[tag][..], &length, &contents].concat()
    }

    /// An answer as authorities give them.
    fn answer(status: &[u8]) -> Vec<u8> {
        let hash = tlv(SEQUENCE, &[&tlv(OBJECT, &[&[0x2b, 0x0e, 3, 2, 0x1a]]), &[5, 0]]);
        let id = tlv(SEQUENCE, &[&hash, &tlv(OCTETS, &[&[1; 20]]), &tlv(OCTETS, &[&[2; 20]]), &tlv(2, &[&[7]])]);
        let next = tlv(0xa0, &[&tlv(TIME, &[b"20261129000000Z"])]);
        let single = tlv(SEQUENCE, &[&id, status, &tlv(TIME, &[b"20261122000000Z"]), &next]);
        let by = tlv(0xa2, &[&tlv(OCTETS, &[&[3; 20]])]);
        let data = tlv(SEQUENCE, &[&by, &tlv(TIME, &[b"20261122000000Z"]), &tlv(SEQUENCE, &[&single])]);
        let basic = tlv(OCTETS, &[&tlv(SEQUENCE, &[&data])]);
        let kind = tlv(OBJECT, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]]);
        tlv(SEQUENCE, &[&tlv(ENUMERATED, &[&[0]]), &tlv(0xa0, &[&tlv(SEQUENCE, &[&kind, &basic])])])
    }

    #[test]
    fn reads_what_is_said() {
        let revoked = tlv(0xa1, &[&tlv(TIME, &[b"20261101000000Z"])]);
        for (status, expect) in [
            (vec![0x80, 0], StapleStatus::Good),
            (revoked, StapleStatus::Revoked),
            (vec![0x82, 0], StapleStatus::Unknown),
        ] {
            let staple = read_staple(&answer(&status));
            assert_eq!(staple.status, expect);
            assert_eq!(staple.this_update.expect("a time").to_string(), "2026-11-22T00:00:00Z");
            assert_eq!(staple.next_update.expect("a time").to_string(), "2026-11-29T00:00:00Z");
        }
        for (serial, expect) in [("07", true), ("08", false), ("0707", false), ("", false)] {
            assert_eq!(is_about(&answer(&[0x80, 0]), serial), expect, "{serial}");
        }
        let refused = [0x30, 3, 0x0a, 1, 3];
        for bytes in [&b""[..], b"junk", &refused] {
            assert_eq!(read_staple(bytes).status, StapleStatus::Unreadable);
        }
    }

    proptest! {
        #[test]
        fn never_panics(at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut bytes = answer(&[0x80, 0]);
            let at = at.index(bytes.len());
            bytes[at] = value;
            bytes.truncate(cut.index(bytes.len() + 1));
            _ = read_staple(&bytes);
        }
    }
}
