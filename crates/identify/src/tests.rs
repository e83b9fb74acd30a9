//! The contract every protocol keeps: its own answers are recognised as soon as they suffice, a beginning is never refused,
//! another's answer is never claimed, and no bytes make it panic.

use crate::{Answer, Parse, Protocol, Received, Strength, classify, likely_as_well, protocols};
use model::Transport;
use proptest::prelude::*;

const BOTH: [Transport; 2] = [Transport::Tcp, Transport::Udp];

fn all() -> impl Iterator<Item = (Transport, &'static Protocol)> {
    BOTH.into_iter().flat_map(|transport| protocols(transport).iter().map(move |protocol| (transport, *protocol)))
}

fn samples() -> impl Iterator<Item = (Transport, &'static Protocol, &'static [u8])> {
    all().flat_map(|(transport, protocol)| protocol.samples.iter().map(move |sample| (transport, protocol, *sample)))
}

fn yes(parse: Parse) -> Option<Answer> {
    match parse {
        Parse::Yes(answer) => Some(*answer),
        _ => None,
    }
}

#[test]
fn everyone_recognises_his_own() {
    for (transport, protocol, sample) in samples() {
        let answer = yes((protocol.parse)(Received::ended(sample)));
        let answer = answer.unwrap_or_else(|| panic!("{} refuses {}", protocol.name, sample.escape_ascii()));
        assert_eq!(answer.service.name, protocol.name);
        assert!((answer.service.confidence - answer.strength.confidence()).abs() < f32::EPSILON);
        let classified = yes(classify(transport, Received::ended(sample))).unwrap();
        assert_eq!(classified.service.name, protocol.name, "{}", sample.escape_ascii());
    }
}

#[test]
fn nobody_claims_what_is_anothers() {
    for (transport, protocol) in all().filter(|(_, protocol)| protocol.name != "unknown") {
        for (_, other, sample) in
            samples().filter(|(there, other, _)| *there == transport && other.name != protocol.name)
        {
            for received in [Received::open(sample), Received::ended(sample)] {
                let claim = yes((protocol.parse)(received));
                assert!(claim.is_none(), "{} claims {}'s {}", protocol.name, other.name, sample.escape_ascii());
            }
        }
    }
}

#[test]
fn a_beginning_is_never_refused() {
    for (transport, protocol, sample) in samples().filter(|(transport, ..)| *transport == Transport::Tcp) {
        for end in 1..sample.len() {
            let parse = classify(transport, Received::open(&sample[..end]));
            match yes(parse.clone()) {
                None => assert_eq!(parse, Parse::NeedMore, "{} of {}", protocol.name, sample[..end].escape_ascii()),
                Some(answer) if answer.strength > Strength::Weak => assert_eq!(answer.service.name, protocol.name),
                Some(_) => {}
            }
        }
    }
}

#[test]
fn no_question_is_its_own_answer() {
    let endpoint = model::Endpoint::udp(std::net::Ipv4Addr::LOCALHOST.into(), 9);
    let asking = crate::Asking { endpoint, name: None, tls: false, agent: "perimeterd/1" };
    for (transport, protocol) in all() {
        let question = protocol.request.map(|request| request(&asking)).unwrap_or_default();
        assert!(protocol.request.is_none() || !question.is_empty());
        let claim = yes(classify(transport, Received::ended(&question))).map(|answer| answer.service.name);
        // Some are opened with the same words from either side; the rest of the conversation tells a server from an echo.
        let mutual = ["amqp", "jdwp", "echo", "unknown", "xmpp-client", "xmpp-server"];
        assert!(claim.as_deref().is_none_or(|claim| mutual.contains(&claim)), "{}: {claim:?}", protocol.name);
    }
}

#[test]
fn a_datagrams_port_has_one_question() {
    let mut asked = std::collections::BTreeMap::new();
    for protocol in protocols(Transport::Udp) {
        for &port in protocol.ports {
            let before = asked.insert(port, protocol.name);
            let as_well = likely_as_well(Transport::Udp, port).map(|protocol| protocol.name);
            assert!(before.is_none() || as_well == Some(protocol.name), "{port}: {before:?} and {}", protocol.name);
        }
    }
}

fn corpus() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/answers")
}

/// The corpus of the fuzz target, where there is no fuzzer; every sample is in it.
#[test]
fn the_corpus_is_borne() {
    let files: Vec<Vec<u8>> = std::fs::read_dir(corpus())
        .expect("the corpus is committed")
        .map(|entry| std::fs::read(entry.expect("a folder can be read").path()).expect("a file can be read"))
        .collect();
    for (_, protocol, sample) in samples() {
        assert!(files.iter().any(|file| file == sample), "no seed of {}: {}", protocol.name, sample.escape_ascii());
    }
    for file in &files {
        check_total(file);
        for at in 0..file.len().min(96) {
            let mut spoilt = file.clone();
            spoilt[at] ^= 0xff;
            check_total(&spoilt);
            check_total(&file[..at]);
        }
    }
}

fn check_total(bytes: &[u8]) {
    for (_, protocol) in all() {
        if let Some(reply) = protocol.reply {
            assert_ne!(reply(Received::ended(bytes)), Parse::NeedMore, "{} waits for nothing", protocol.name);
        }
        assert_ne!((protocol.parse)(Received::ended(bytes)), Parse::NeedMore, "{} waits for nothing", protocol.name);
        if let Some(answer) = yes((protocol.parse)(Received::open(bytes))) {
            let service = answer.service;
            assert_eq!(service.name, protocol.name);
            let texts = [&service.banner, &service.product, &service.version]
                .into_iter()
                .flatten()
                .chain(service.facts.values());
            for text in texts {
                assert!(text.chars().count() <= 256 + 8 && !text.chars().any(char::is_control), "{text:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        check_total(&bytes);
    }

    #[test]
    fn mutated_answers(
        pick in any::<proptest::sample::Index>(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<proptest::sample::Index>(),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let samples: Vec<&[u8]> = samples().map(|(_, _, sample)| sample).collect();
        let mut bytes = pick.get(&samples).to_vec();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes.extend(tail);
        check_total(&bytes);
    }
}
