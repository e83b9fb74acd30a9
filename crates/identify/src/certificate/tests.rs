use super::*;
use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair};

fn sample() -> Vec<u8> {
    let mut params =
        CertificateParams::new(vec!["WWW.Example.org".into(), "192.0.2.7".into(), "2001:db8::7".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "www.example.org");
    params.distinguished_name.push(DnType::OrganizationName, "Example, Inc");
    params.not_before = rcgen::date_time_ymd(2026, 1, 2);
    params.not_after = rcgen::date_time_ymd(2051, 3, 4);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

/// Puts other bytes in the place of the first ones found.
fn replace(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = der.windows(from.len()).position(|window| window == from).expect("present");
    [&der[..at], to, &der[at + from.len()..]].concat()
}

#[test]
fn reads_a_certificate() {
    let der = sample();
    let certificate = read_certificate(&der).unwrap();
    assert!(certificate.subject.contains("CN=www.example.org"), "{}", certificate.subject);
    assert_eq!(certificate.subject, certificate.issuer);
    assert!(certificate.issuer_attributes.contains(&"O=Example, Inc".to_owned()));
    assert_eq!(certificate.sans, ["www.example.org", "192.0.2.7", "2001:db8::7"]);
    assert_eq!(certificate.not_before.to_string(), "2026-01-02T00:00:00Z");
    assert_eq!(certificate.not_after.to_string(), "2051-03-04T00:00:00Z");
    assert_eq!(certificate.key.to_string(), "EC 256");
    assert_eq!(certificate.signature, "ecdsa-with-SHA256");
    assert!(certificate.self_signed);
}

#[test]
fn agrees_with_the_strict_reader() {
    let der = sample();
    let (_, strict) = X509Certificate::from_der(&der).unwrap();
    let ours = read_certificate(&der).unwrap();
    assert_eq!(ours.not_before.as_second(), strict.validity().not_before.timestamp());
    assert_eq!(ours.not_after.as_second(), strict.validity().not_after.timestamp());
    assert_eq!(ours.serial, strict.raw_serial_as_string().replace(':', ""));
    assert_eq!(ours.spki_sha256, sha256(strict.public_key().raw));
    assert_eq!(ours.version, Some(3));
    let tbs = strict.tbs_certificate.as_ref();
    assert_eq!(ours.tbs_sha256, Some(sha256(tbs)));
    assert_eq!(ours.unreadable, []);
}

#[test]
fn a_broken_extension_costs_nothing_else() {
    // The version's number 2 (v3) becomes 9, which the strict reader refuses.
    let der = replace(&sample(), &[0xa0, 0x03, 0x02, 0x01, 0x02], &[0xa0, 0x03, 0x02, 0x01, 0x09]);
    let broken = [der.as_slice(), b"trailing"].concat();
    let details = Details::read(&broken).unwrap();
    assert!(details.malformed);
    assert_eq!(details.certificate.sans, ["www.example.org", "192.0.2.7", "2001:db8::7"]);
    assert_eq!(details.certificate.not_after.to_string(), "2051-03-04T00:00:00Z");
}

#[test]
fn a_forged_self_signature_is_none() {
    let der = sample();
    let anatomy = Anatomy::of(&der).unwrap();
    assert!(self_signed(&anatomy));
    let mut forged = anatomy;
    forged.tbs = &forged.tbs[1..];
    assert!(!self_signed(&forged));
}

#[test]
fn refuses_what_is_none() {
    assert_eq!(read_certificate(b""), Err(CertificateError::NoCertificate));
    assert_eq!(read_certificate(b"\x30\x03\x02\x01\x01"), Err(CertificateError::NoCertificate));
    let der = replace(&sample(), b"260102000000Z", b"26ab02000000Z");
    assert_eq!(read_certificate(&der).unwrap().unreadable, [CertificateField::NotBefore]);
}

#[test]
fn keys_and_object_identifiers() {
    assert_eq!(name::dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b]), "1.2.840.113549.1.1.11");
    assert_eq!(name::dotted(&[0x88, 0x37]), "2.999");
    let rsa = [
        &[0x30, 0x1c, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0x00][..],
        &[0x03, 0x0b, 0x00, 0x30, 0x08, 0x02, 0x03, 0x00, 0xc0, 0x01, 0x02, 0x01, 0x03],
    ]
    .concat();
    assert_eq!(key::read(&rsa).to_string(), "RSA 16");
    assert_eq!(key::read(b"junk").to_string(), "unknown");
}

proptest! {
    #[test]
    fn never_panics(edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8), cut in any::<proptest::sample::Index>()) {
        static SAMPLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(sample);
        let mut der = SAMPLE.clone();
        for (at, value) in edits {
            let at = at.index(der.len());
            der[at] = value;
        }
        if let Ok(certificate) = read_certificate(&der) {
            prop_assert_eq!(certificate.sha256, sha256(&der));
            prop_assert!(!certificate.subject.chars().any(char::is_control));
        }
        der.truncate(cut.index(der.len() + 1));
        _ = read_certificate(&der);
    }

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        _ = read_certificate(&bytes);
    }
}
