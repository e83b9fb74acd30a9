//! Certificates that were spoilt: ten thousand of them, every one made from a sound one by a sequence that is the same in
//! each run.

use super::{odd::Odd, *};
use crate::{Roots, Served, assess};
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use std::time::{Duration, Instant};

/// Numbers by a rule (`xorshift64`), so that a failure can be made again.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap() % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next() >> 56).unwrap()
    }
}

fn sound() -> Vec<Vec<u8>> {
    let mut params = CertificateParams::new(vec!["www.example.org".into(), "192.0.2.7".into()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    let made = |algorithm| params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap().der().to_vec();
    vec![
        made(&rcgen::PKCS_ECDSA_P256_SHA256),
        made(&rcgen::PKCS_ED25519),
        Odd::default().der(),
        Odd { version: None, sans: Vec::new(), ..Odd::default() }.der(),
        Odd { spki: odd::rsa(16_384), issuer: odd::name("odd.example.org"), ..Odd::default() }.der(),
        Odd { sans: vec![(0x82, b"a.example.org".to_vec()); 400], ..Odd::default() }.der(),
    ]
}

/// One way to spoil it.
fn spoil(der: &mut Vec<u8>, chance: &mut Chance) {
    const TELLING: [u8; 14] = [0, 1, 2, 4, 6, 0x17, 0x18, 0x30, 0x31, 0x7f, 0x80, 0x84, 0xa3, 0xff];
    if der.is_empty() {
        return der.push(chance.byte());
    }
    let at = chance.below(der.len());
    match chance.below(8) {
        0 => der[at] = chance.byte(),
        1 => der[at] ^= 1 << chance.below(8),
        2 => der[at] = TELLING[chance.below(TELLING.len())],
        3 => der.truncate(at),
        4 => drop(der.drain(at..(at + 1 + chance.below(8)).min(der.len()))),
        5 => (0..=chance.below(8)).for_each(|_| der.insert(at, chance.byte())),
        6 => {
            // Sequences within sequences.
            let deep = [0x30, 0x80].repeat(1 + chance.below(200));
            der.splice(at..at, deep);
        }
        _ => {
            let piece: Vec<u8> = der[at..(at + chance.below(200)).min(der.len())].to_vec();
            let place = chance.below(der.len());
            der.splice(place..place, piece);
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is asked")]
fn ten_thousand_spoilt_ones_are_read_or_refused_in_no_time() {
    let bases = sound();
    let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    let roots = Roots::public();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut longest, mut read, mut dated) = (Duration::ZERO, 0, 0);
    for number in 0..10_000 {
        let mut der = bases[number % bases.len()].clone();
        for _ in 0..=chance.below(6) {
            spoil(&mut der, &mut chance);
        }
        let chain = [der, bases[chance.below(bases.len())].clone()];
        let begun = Instant::now();
        let served = Served { chain: &chain, name: Some("www.example.org"), staple: Some(&chain[0]) };
        let assessment = assess(served, &roots, now);
        longest = longest.max(begun.elapsed());
        assert_eq!(assessment.presented[0], sha256(&chain[0]));
        if let Some(certificate) = assessment.certificate {
            read += 1;
            dated += usize::from(!certificate.unreadable.contains(&CertificateField::NotAfter));
            let shown = [&certificate.subject, &certificate.issuer].into_iter().chain(&certificate.sans);
            assert!(shown.into_iter().all(|text| !text.chars().any(char::is_control)), "{number}");
            assert!(certificate.sans.len() <= 512 && certificate.serial.len() <= 128, "{number}");
        } else {
            assert_eq!(assessment.verdicts, [model::Verdict::Malformed], "{number}");
        }
    }
    // In a build without optimisation, on a machine that does other things too.
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert!(read > 8_000 && dated > 7_000, "{read} read, {dated} with their end");
}

/// One byte anywhere before the dates, or anywhere behind the key, costs neither of them.
#[test]
fn dates_and_key_survive() {
    let der = sound().swap_remove(0);
    let anatomy = Anatomy::of(&der).unwrap();
    let whole = read_certificate(&der).unwrap();
    let offset = |part: &[u8]| part.as_ptr() as usize - der.as_ptr() as usize;
    // Two bytes of its own, a UTCTime and a GeneralizedTime.
    let period = offset(anatomy.subject) - 2 - 15 - 17;
    assert_eq!(der[period], 0x30);
    let behind = offset(anatomy.spki) + anatomy.spki.len();
    for at in (8..period).chain(behind..der.len()) {
        for value in [0x00, 0x02, 0x30, 0x7f, 0x84, 0xff] {
            let mut spoilt = der.clone();
            spoilt[at] = value;
            let kept = read_certificate(&spoilt).unwrap();
            assert_eq!((kept.not_before, kept.not_after), (whole.not_before, whole.not_after), "{at} {value:#x}");
            assert_eq!(kept.spki_sha256, whole.spki_sha256, "{at} {value:#x}");
            assert_eq!(kept.subject, whole.subject, "{at} {value:#x}");
        }
    }
}

#[test]
fn the_largest_that_fits_into_a_handshake() {
    // 4 MiB of sequences that promise a period, and 4 MiB of one name after the other.
    for inside in [[0x30, 2, 0x17, 0].repeat(1 << 20), odd::name("x").repeat(1 << 18)] {
        let der = odd::tlv(0x30, &odd::tlv(0x30, &inside));
        _ = read_certificate(&der);
    }
}
