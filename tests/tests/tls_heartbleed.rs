//! What Heartbleed's check takes from a server that bleeds: our own bytes and sixteen of padding, and it keeps neither. A relay
//! between the two writes down every byte.

use model::{AddressSet, Endpoint, SystemClock};
use probe::{
    Dialer, DialerSettings, Identity,
    audit::{Report, Subject, check_again},
    check::Verdict,
};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use testkit::{
    Lab, lacks_root,
    server::tls::{Certificates, Key, old_node},
    skip,
};

/// The bytes of one connection.
#[derive(Debug, Default, Clone)]
struct Talk {
    ours: Vec<u8>,
    theirs: Vec<u8>,
}

type Talks = Arc<Mutex<Vec<Talk>>>;

/// Passes on what comes, and writes it down in its place.
fn pass(mut from: TcpStream, mut to: TcpStream, talks: &Talks, at: usize, ours: bool) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut talks = talks.lock().unwrap_or_else(PoisonError::into_inner);
        let talk = &mut talks[at];
        if ours { &mut talk.ours } else { &mut talk.theirs }.extend_from_slice(&buffer[..count]);
        drop(talks);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Either may be gone already.
    let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}

/// A relay on loopback to that server; ends with the process, in a network that ends before.
fn relay(server: SocketAddr, talks: &Talks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("bound");
    let talks = Arc::clone(talks);
    thread::spawn(move || {
        for near in listener.incoming() {
            let Ok(near) = near else { return };
            #[expect(clippy::disallowed_methods, reason = "the test's own relay to the test's own server")]
            let Ok(far) = TcpStream::connect(server) else { return };
            let at = {
                let mut talks = talks.lock().unwrap_or_else(PoisonError::into_inner);
                talks.push(Talk::default());
                talks.len() - 1
            };
            let (near_too, far_too) = (near.try_clone().expect("a socket"), far.try_clone().expect("a socket"));
            let (there, back) = (Arc::clone(&talks), Arc::clone(&talks));
            thread::spawn(move || pass(near, far, &there, at, true));
            thread::spawn(move || pass(far_too, near_too, &back, at, false));
        }
    });
    address
}

fn dialer() -> Dialer {
    let targets = vec!["127.0.0.1".parse().expect("an address")];
    let scope = Scope::new(vec![AssetScope { name: "own".into(), targets, until: None }], AddressSet::default());
    let rate: model::Rate = "1k/s".parse().expect("a rate");
    let identity = Identity { sensor: "test".into(), contact: None, version: "1".into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    Dialer::with_concurrency(ScopeHandle::new(scope), Arc::new(SystemClock), settings, 8)
}

/// The records of a stream; panics where it is none of records.
fn records(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut records = Vec::new();
    while let [kind, 3, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!(rest.len() >= length, "a record is cut off");
        records.push((*kind, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "{} bytes are no record", bytes.len());
    records
}

const HEARTBEAT: u8 = 24;

/// Whether sixteen bytes in a row of the one are anywhere in the other, as they are, in hexadecimal or as a list of numbers.
fn holds(text: &str, secret: &[u8]) -> bool {
    secret.windows(16).any(|window| {
        let hex = window.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let list = window.iter().map(ToString::to_string).collect::<Vec<_>>();
        let raw = text.as_bytes().windows(window.len()).any(|part| part == window);
        raw || text.to_lowercase().contains(&hex) || text.contains(&list.join(", ")) || text.contains(&list.join(","))
    })
}

#[test]
fn nothing_comes_back_but_our_own_bytes_and_padding_and_neither_is_kept() {
    const TEST: &str = "nothing_comes_back_but_our_own_bytes_and_padding_and_neither_is_kept";
    if lacks_root(TEST) {
        return;
    }
    let mut lab = Lab::new();
    let host = lab.host("bleeding", &["10.77.0.2"]);
    let pair = Certificates::new(host.dir()).issue(Key::Rsa(2048), &["www.lab.example"], 90);
    let Some(_server) = old_node(&host, 8443, "0.10.1", &pair, None) else {
        skip(TEST, "tests/rig has not been run");
        return;
    };
    let talks = Talks::default();
    let written = Arc::clone(&talks);
    let run = host.namespace().enter(move || {
        let address = relay("10.77.0.2:8443".parse().expect("an address"), &written);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let subject = Subject { endpoint: Endpoint::tcp(address.ip(), address.port()), name: None, starttls: None };
            let mut reports: Vec<Report> = Vec::new();
            for _ in 0..3 {
                reports.push(check_again(&dialer(), subject).await);
            }
            reports
        })
    });
    let reports = run.join().expect("the audit ends");
    let talks = talks.lock().unwrap_or_else(PoisonError::into_inner).clone();

    let (mut paddings, mut secrets) = (HashSet::new(), Vec::new());
    for talk in &talks {
        let said: Vec<_> = records_of_ours(talk).into_iter().filter(|(kind, _)| *kind == HEARTBEAT).collect();
        if said.is_empty() {
            continue;
        }
        assert_eq!(said.len(), 1, "one heartbeat a connection");
        let request = &said[0].1;
        // A request of 4096 bytes, and no padding: the record ends with what is ours.
        assert_eq!((request.len(), &request[..3]), (3 + 4096, [1, 0x10, 0].as_slice()));
        let ours = &request[3..];
        let answers: Vec<_> = records(&talk.theirs).into_iter().filter(|(kind, _)| *kind == HEARTBEAT).collect();
        assert_eq!(answers.len(), 1, "one answer");
        let answer = &answers[0].1;
        assert_eq!((answer.len(), &answer[..3]), (3 + 4096 + 16, [2, 0x10, 0].as_slice()));
        assert_eq!(&answer[3..3 + 4096], ours, "nothing but what we sent");
        let padding = answer[3 + 4096..].to_vec();
        // It is new each time, and nothing that the server ever says: random, not memory.
        assert!(paddings.insert(padding.clone()), "the padding repeats itself");
        for other in &talks {
            let elsewhere = [&other.ours, &other.theirs].into_iter();
            let times: usize = elsewhere.map(|bytes| bytes.windows(16).filter(|part| *part == padding).count()).sum();
            assert!(times <= 1, "the padding is something else as well");
        }
        secrets.push(ours.to_vec());
        secrets.push(padding);
    }
    assert_eq!(paddings.len(), 3 * 2, "each yes is said twice");

    for report in &reports {
        let heartbleed = report.checks.iter().find(|checked| checked.check.id == "tls/heartbleed").expect("it ran");
        assert_eq!(heartbleed.verdict, Verdict::Vulnerable, "{}", heartbleed.evidence);
        // Everything there is of a report: it has no other field.
        let kept = format!("{report:?} {}", heartbleed.evidence);
        assert!(!secrets.iter().any(|secret| holds(&kept, secret)), "the report keeps what came back");
    }
}

/// Our own side begins with hellos of SSL 2.0 at times, which are no records.
fn records_of_ours(talk: &Talk) -> Vec<(u8, Vec<u8>)> {
    if talk.ours.first().is_some_and(|byte| byte & 0x80 != 0) { Vec::new() } else { records(&talk.ours) }
}

#[test]
fn what_is_looked_for_would_be_found() {
    let secret: Vec<u8> = (100..140).collect();
    assert!(holds(&format!("{secret:?}"), &secret[4..]));
    assert!(holds("xx 6465666768696a6b6c6d6e6f70717273 xx", &secret));
    assert!(holds("dddd defghijklmnopqrst", &secret));
    assert!(!holds("100, 101, 102", &secret));
}
