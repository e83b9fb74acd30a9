//! The corpus of the fuzz target, replayed and mutated here, so that it is run where there is no fuzzer. Flights that begin with
//! `real-` were recorded from servers.

use super::*;
use std::{fs, path::Path};

/// What holds of any bytes: they are read within bounds, the pieces they come in change nothing, and what is read can be told.
pub(super) fn check(bytes: &[u8]) {
    let at_once = {
        let mut reader = FlightReader::default();
        reader.feed(bytes);
        reader
    };
    let mut by_pieces = FlightReader::default();
    for piece in bytes.chunks(7) {
        by_pieces.feed(piece);
    }
    assert_eq!(at_once.flight(), by_pieces.flight());
    let flight = at_once.flight();
    assert!(flight.certificates.len() <= 64 && flight.alerts.len() <= 16);
    let shown: usize = flight.certificates.iter().map(Vec::len).sum();
    assert!(shown <= bytes.len());
    assert!(flight.profile().is_none_or(|profile| profile.is_ascii() || flight.hello.is_some()));
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/flight")
}

fn files() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder()).expect("the corpus is committed");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a folder can be read").path();
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a file can be read"))
        })
        .collect();
    files.sort();
    files
}

/// What the corpus holds, by name, beside what was recorded.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let tls13 = [extension(43, &[3, 4]), extension(51, &[0, 29, 0, 0])].concat();
    let ssl2 = [&[0x80, 33, 4, 0, 1, 0, 2, 0, 4, 0, 3, 0, 16][..], b"cert", &[1, 0, 0x80], &[8; 16]].concat();
    let dhe = [sized(2, &[0xff; 64]), sized(2, &[2]), sized(2, &[9; 64])].concat();
    vec![
        ("flight-tls-1.2", whole()),
        ("flight-ssl-2", ssl2),
        (
            "flight-ssl-3-dhe",
            record(22, 0x0300, &[hello(0x0300, DHE, 1, None), message(12, &dhe), DONE.to_vec()].concat()),
        ),
        ("flight-tls-1.3", record(22, 0x0303, &hello(0x0303, 0x1301, 0, Some(&tls13)))),
        ("alert-handshake-failure", record(21, 0x0301, &[2, 40])),
        ("alert-unrecognized-name", [record(21, 0x0303, &[1, 112]), whole()].concat()),
        ("hostile-nothing", Vec::new()),
        ("hostile-message-longer-than-any", record(22, 0x0303, &[2, 0xff, 0xff, 0xff])),
        ("hostile-extension-longer-than-hello", record(22, 0x0303, &hello(0x0303, RSA, 0, Some(&[0, 16, 0xff, 0xff])))),
        (
            "hostile-certificates-longer-than-message",
            record(22, 0x0303, &[hello(0x0303, RSA, 0, None), message(11, &[0xff; 3])].concat()),
        ),
        ("hostile-records-of-no-length", record(22, 0x0303, &[]).repeat(50)),
        ("hostile-text", b"220 mail.example.org ESMTP\r\n".to_vec()),
        ("hostile-ssl-2-of-no-length", vec![0x80, 0, 4]),
        ("hostile-ssl-2-longer-than-record", vec![0x80, 11, 4, 0, 1, 0, 2, 0xff, 0xff, 0, 3, 0, 16]),
    ]
}

/// What is committed is what is written down here, what was recorded, and what a fuzzer added. A seed that is missing is written.
#[test]
fn the_corpus_is_complete() {
    let files = files();
    let mut missing = Vec::new();
    for (name, bytes) in seeds() {
        if let Some((_, there)) = files.iter().find(|(known, _)| known == name) {
            assert_eq!(*there, bytes, "{name} has changed");
        } else {
            fs::write(folder().join(name), bytes).expect("the corpus can be written");
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "were missing and have been written, commit them: {missing:?}");
}

#[test]
fn the_corpus_is_read() {
    for (name, bytes) in files() {
        check(&bytes);
        let flight = read(&bytes);
        assert_eq!(flight.speaks_tls(), !name.starts_with("hostile-") || flight.hello.is_some(), "{name}");
        if name.starts_with("real-") {
            let leaf = flight.certificates.first().map(|der| crate::read_certificate(der).expect("a certificate"));
            assert!(leaf.is_some() && flight.end == Some(End::HelloDone), "{name}");
        }
    }
}

/// A little of what a fuzzer does, the same every time: bits flipped, bytes set to extremes, cut off, copied about, joined.
#[test]
fn mutants_of_the_corpus_are_read_or_not() {
    let files = files();
    let mut state = 0x0007_1500_0001_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = state;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 27;
        usize::try_from(x >> 33).unwrap_or_default() % below.max(1)
    };
    let mut whole_ones = 0_u32;
    for turn in 0..10_000 {
        let mut bytes = files[turn % files.len()].1.clone();
        for _ in 0..=random(4) {
            let (at, length) = (random(bytes.len()), bytes.len());
            match random(6) {
                0 if length > 0 => bytes[at] ^= 1 << random(8),
                1 if length > 0 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)],
                2 => bytes.truncate(at),
                3 if length > 0 => bytes.copy_within(at..length.min(at + 8), random(length.saturating_sub(8))),
                4 => bytes.extend_from_slice(&files[random(files.len())].1),
                5 if length > 0 => bytes[at] = u8::try_from(random(256)).unwrap_or_default(),
                _ => {}
            }
        }
        check(&bytes);
        whole_ones += u32::from(read(&bytes).end == Some(End::HelloDone));
    }
    // Both happen, and often.
    assert!((1_000..9_000).contains(&whole_ones), "{whole_ones}");
}
