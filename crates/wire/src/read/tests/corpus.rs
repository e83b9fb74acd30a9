//! The corpus of the fuzz target, replayed and mutated here, so that it is run where there is no fuzzer.

use super::{super::*, LINUX, oracle, syn_ack, v4, v6};
use std::{fs, path::Path};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/read")
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

/// What the corpus holds, by name: one of each kind of answer, and what hostile or broken peers have sent to others.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let error = |kind: u8, code: u8, quoted: &[u8]| [&[kind, code, 0, 0, 0, 0, 0, 0], quoted].concat();
    let datagram = [&[0, 53, 0xee, 0x48, 0, 13, 0, 0][..], b"hello"].concat();
    let mut headers_longer_than_it_is = v4(6, &syn_ack(&LINUX));
    headers_longer_than_it_is[0] = 0x4f;
    let mut data_offset_zero = v4(6, &syn_ack(&[]));
    data_offset_zero[32] = 0;
    let mut fragment = v4(6, &syn_ack(&[]));
    fragment[7] = 1;
    let mut long = v4(17, &datagram);
    long[2..4].fill(0xff);
    let quoted = v4(6, &[0xee, 0x48, 0, 22, 1, 2, 3, 4]);
    let nested = (0..8).fold(quoted.clone(), |inner, _| v4(1, &error(3, 1, &inner)));
    let extensions: Vec<u8> =
        [60, 60, 60, 60, 60, 60, 60, 6].iter().flat_map(|next| [*next, 0, 1, 4, 0, 0, 0, 0]).collect();
    vec![
        ("v4-syn-ack", v4(6, &syn_ack(&LINUX))),
        ("v6-syn-ack", v6(6, &syn_ack(&LINUX))),
        ("v4-syn-ack-without-options", v4(6, &syn_ack(&[]))),
        ("v4-udp", v4(17, &datagram)),
        ("v6-udp", v6(17, &datagram)),
        ("v4-echo-reply", v4(1, &[0, 0, 0, 0, 0, 1, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8])),
        ("v6-echo-reply", v6(58, &[129, 0, 0, 0, 0, 1, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8])),
        ("v4-timestamp-reply", v4(1, &[14, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5])),
        ("v4-port-unreachable", v4(1, &error(3, 3, &quoted))),
        ("v4-time-exceeded-about-udp", v4(1, &error(11, 0, &v4(17, &[0xee, 0x48, 0, 53, 0, 13, 0, 0])))),
        ("v6-port-unreachable", v6(58, &error(1, 4, &v6(6, &[0xee, 0x48, 0, 22, 1, 2, 3, 4])))),
        (
            "v6-prohibited-behind-headers",
            v6(58, &error(1, 1, &v6(60, &[&[6, 0, 0, 0, 0, 0, 0, 0], &[9; 8][..]].concat()))),
        ),
        ("v6-extensions", v6(60, &[&extensions[..], &syn_ack(&LINUX)].concat())),
        ("v6-fragment", v6(44, &[&[6, 0, 0, 1, 0, 0, 0, 1], &syn_ack(&[])[..]].concat())),
        ("hostile-option-of-no-length", v4(6, &syn_ack(&[8, 0, 8, 0, 8, 0, 8, 0]))),
        ("hostile-option-of-length-one", v4(6, &syn_ack(&[3, 1, 3, 1]))),
        ("hostile-option-too-long", v4(6, &syn_ack(&[2, 255, 0, 0]))),
        ("hostile-options-all-padding", v4(6, &syn_ack(&[1; 40]))),
        ("hostile-data-offset-zero", data_offset_zero),
        ("hostile-header-longer-than-packet", headers_longer_than_it_is),
        ("hostile-length-longer-than-packet", long),
        ("hostile-later-fragment", fragment),
        ("hostile-errors-in-errors", v4(1, &error(3, 1, &nested))),
        ("hostile-error-quotes-half-a-header", v4(1, &error(3, 3, &quoted[..19]))),
        ("hostile-error-quotes-other-family", v6(58, &error(1, 4, &quoted))),
        ("hostile-extension-longer-than-packet", v6(0, &[6, 255, 0, 0, 0, 0, 0, 0])),
        ("hostile-udp-of-no-length", v4(17, &[0, 53, 0xee, 0x48, 0, 0, 0, 0])),
        ("hostile-nothing", Vec::new()),
        ("hostile-one-byte", vec![0x45]),
        ("hostile-no-version", vec![0; 60]),
        ("hostile-all-ones", vec![0xff; 120]),
    ]
}

/// What is committed is what is written down here, and what a fuzzer added. A seed that is missing is written.
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
        oracle::check(&bytes);
        let is_answer = !name.starts_with("hostile-");
        assert!(read(&bytes).is_some() || !is_answer, "{name}");
    }
}

/// A little of what a fuzzer does, the same every time: bits flipped, bytes set to extremes, cut off, copied about, joined.
#[test]
fn mutants_of_the_corpus_are_read_or_not() {
    let files = files();
    let mut state = 0x0004_e4f5_0001_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = state;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 27;
        usize::try_from(x >> 33).unwrap_or_default() % below.max(1)
    };
    let mut answers = 0_u32;
    for turn in 0..60_000 {
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
        oracle::check(&bytes);
        answers += u32::from(read(&bytes).is_some());
    }
    // Both happen, and often.
    assert!((6_000..54_000).contains(&answers), "{answers}");
}
