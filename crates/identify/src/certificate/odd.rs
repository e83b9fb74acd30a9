//! Certificates that are merely odd: made by hand, byte by byte, because no tool of today makes them.

use super::*;
use rcgen::{CertificateParams, KeyPair};

/// An element with a length in as few bytes as it needs.
pub(super) fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let bytes = length.to_be_bytes();
    let significant = bytes.iter().position(|&byte| byte != 0).map_or(&bytes[7..], |first| &bytes[first..]);
    let mut der = vec![tag];
    if length >= 0x80 {
        der.push(0x80 | u8::try_from(significant.len()).unwrap());
    }
    der.extend(significant);
    der.extend(contents);
    der
}

/// `CN=<text>`, or no attribute at all.
pub(super) fn name(text: &str) -> Vec<u8> {
    if text.is_empty() {
        return tlv(0x30, &[]);
    }
    let attribute = [tlv(6, &[0x55, 4, 3]), tlv(0x0c, text.as_bytes())].concat();
    tlv(0x30, &tlv(0x31, &tlv(0x30, &attribute)))
}

/// An RSA key of so many bits.
pub(super) fn rsa(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0xff; bits / 8 + 1];
    modulus[0] = 0;
    let key = tlv(0x30, &[tlv(2, &modulus), tlv(2, &[1, 0, 1])].concat());
    let algorithm = [tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), vec![5, 0]].concat();
    tlv(0x30, &[tlv(0x30, &algorithm), tlv(3, &[&[0], &key[..]].concat())].concat())
}

/// What a hand-made certificate is made of.
#[derive(Debug, Clone)]
pub(super) struct Odd {
    /// As it is written: version 3 is a 2.
    pub(super) version: Option<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) validity: Vec<u8>,
    pub(super) spki: Vec<u8>,
    /// Tag and value of each alternative name.
    pub(super) sans: Vec<(u8, Vec<u8>)>,
}

impl Default for Odd {
    fn default() -> Self {
        Self {
            version: Some(2),
            serial: vec![1],
            issuer: name("Odd Authority"),
            subject: name("odd.example.org"),
            validity: [tlv(0x17, b"260101000000Z"), tlv(0x17, b"270101000000Z")].concat(),
            spki: rsa(2048),
            sans: vec![(0x82, b"odd.example.org".to_vec())],
        }
    }
}

impl Odd {
    pub(super) fn der(&self) -> Vec<u8> {
        let algorithm = [tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b]), vec![5, 0]].concat();
        let algorithm = tlv(0x30, &algorithm);
        let mut fields = Vec::new();
        fields.extend(self.version.iter().flat_map(|&version| tlv(0xa0, &tlv(2, &[version]))));
        fields.extend(tlv(2, &self.serial));
        fields.extend(&algorithm);
        fields.extend(&self.issuer);
        fields.extend(tlv(0x30, &self.validity));
        fields.extend(&self.subject);
        fields.extend(&self.spki);
        if !self.sans.is_empty() {
            let names: Vec<u8> = self.sans.iter().flat_map(|(tag, value)| tlv(*tag, value)).collect();
            let extension = [tlv(6, &[0x55, 0x1d, 0x11]), tlv(4, &tlv(0x30, &names))].concat();
            fields.extend(tlv(0xa3, &tlv(0x30, &tlv(0x30, &extension))));
        }
        tlv(0x30, &[tlv(0x30, &fields), algorithm, tlv(3, &[&[0; 257][..]].concat())].concat())
    }

    fn read(&self) -> Certificate {
        let certificate = read_certificate(&self.der()).unwrap();
        assert_eq!(certificate.unreadable, [], "{self:?}");
        certificate
    }
}

#[test]
fn serial_numbers() {
    for (serial, expect) in [
        (vec![0xff, 0x01], "ff01"),
        (vec![0x00], "00"),
        (vec![0x00, 0x80], "0080"),
        (vec![0x11; 40], "11".repeat(40).as_str()),
    ] {
        assert_eq!(Odd { serial, ..Odd::default() }.read().serial, expect);
    }
}

#[test]
fn versions() {
    let first = Odd { version: None, sans: Vec::new(), ..Odd::default() }.read();
    assert_eq!((first.version, first.subject.as_str()), (Some(1), "CN=odd.example.org"));
    assert_eq!(Odd { version: Some(1), ..Odd::default() }.read().version, Some(2));
    assert_eq!(Odd::default().read().version, Some(3));
    // Version 1 with what only version 3 may have.
    assert_eq!(Odd { version: None, ..Odd::default() }.read().sans, ["odd.example.org"]);
}

#[test]
fn names() {
    let nobody = Odd { subject: name(""), issuer: name(""), ..Odd::default() }.read();
    assert_eq!((nobody.subject.as_str(), nobody.issuer.as_str()), ("", ""));
    let address =
        Odd { sans: vec![(0x82, b"192.0.2.7".to_vec()), (0x87, vec![192, 0, 2, 8])], ..Odd::default() }.read();
    assert_eq!(address.sans, ["192.0.2.7", "192.0.2.8"]);
    let strange = vec![(0x82, b"\xffA.b".to_vec()), (0x87, vec![1; 5]), (0x86, b"https://x".to_vec()), (0x82, vec![])];
    assert_eq!(Odd { sans: strange, ..Odd::default() }.read().sans, ["\u{fffd}a.b", ""]);
}

#[test]
fn periods() {
    let period = |from: (u8, &[u8]), to: (u8, &[u8])| {
        let validity = [tlv(from.0, from.1), tlv(to.0, to.1)].concat();
        let certificate = read_certificate(&Odd { validity, ..Odd::default() }.der()).unwrap();
        (certificate.not_before.to_string(), certificate.not_after.to_string(), certificate.unreadable)
    };
    let is = |from: &str, to: &str| (from.to_owned(), to.to_owned(), Vec::new());
    let end = Certificate::NO_END.to_string();
    assert_eq!(
        period((0x17, b"490101000000Z"), (0x18, b"20500101000000Z")),
        is("2049-01-01T00:00:00Z", "2050-01-01T00:00:00Z")
    );
    assert_eq!(
        period((0x17, b"500101000000Z"), (0x18, b"21260101000000Z")),
        is("1950-01-01T00:00:00Z", "2126-01-01T00:00:00Z")
    );
    // RFC 5280 §4.1.2.5: no end at all.
    assert_eq!(period((0x17, b"260101000000Z"), (0x18, b"99991231235959Z")), is("2026-01-01T00:00:00Z", &end));
    // Without seconds, with fractions, in another zone: BER, and seen.
    assert_eq!(
        period((0x17, b"2601010000Z"), (0x18, b"20270101000000.5Z")),
        is("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
    );
    assert_eq!(
        period((0x17, b"260101020000+0200"), (0x17, b"261231230000-0100")),
        is("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
    );
    // The end before the beginning.
    assert_eq!(
        period((0x17, b"270101000000Z"), (0x17, b"260101000000Z")),
        is("2027-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
    );
    // One that cannot be read, or both.
    let beginning = "2026-01-01T00:00:00Z".to_owned();
    let unread = vec![CertificateField::NotAfter];
    assert_eq!(period((0x17, b"260101000000Z"), (0x17, b"261332000000Z")), (beginning, end.clone(), unread));
    let (from, to, unread) = period((0x04, b"x"), (0x17, b""));
    assert_eq!((from, to), (Certificate::NO_BEGINNING.to_string(), end));
    assert_eq!(unread, [CertificateField::NotBefore, CertificateField::NotAfter]);
}

#[test]
fn keys() {
    assert_eq!(Odd { spki: rsa(16_384), ..Odd::default() }.read().key.to_string(), "RSA 16384");
    // Nobody checks a signature with such a key; that the names are the same has to do.
    let own = Odd { spki: rsa(16_384), issuer: name("odd.example.org"), ..Odd::default() }.read();
    assert!(own.self_signed);
    for (algorithm, key, signature) in [
        (&rcgen::PKCS_ED25519, "Ed25519 256", "Ed25519"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "EC 521", "ecdsa-with-SHA512"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "EC 384", "ecdsa-with-SHA384"),
    ] {
        let params = CertificateParams::new(vec!["odd.example.org".to_owned()]).unwrap();
        let made = params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap();
        let certificate = read_certificate(made.der()).unwrap();
        assert_eq!((certificate.key.to_string().as_str(), certificate.signature.as_str()), (key, signature));
        assert!(certificate.self_signed, "{key}");
    }
    let nothing = read_certificate(&Odd { spki: tlv(0x30, b"?"), ..Odd::default() }.der()).unwrap();
    assert_eq!((nothing.key.to_string().as_str(), nothing.unreadable), ("unknown", vec![CertificateField::Key]));
}

#[test]
fn timestamps_of_logs_are_counted() {
    let mut params = CertificateParams::new(vec!["odd.example.org".to_owned()]).unwrap();
    let list = [0, 10, 0, 3, 1, 2, 3, 0, 3, 4, 5, 6];
    let object = [1, 3, 6, 1, 4, 1, 11_129, 2, 4, 2];
    params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&object, tlv(4, &list)));
    let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
    assert_eq!(read_certificate(&der).unwrap().scts, 2);
}
