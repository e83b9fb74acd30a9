//! A busy day of the store: commits of everything there is, deliveries, retention. Which operation does what depends on its
//! number alone, so that any of them can be done again.

use crate::trace::Step;
use inventory::{CertificateState, EndpointState, HostState, PortStatus, ServiceState, Standing, TlsState};
use jiff::Timestamp;
use model::{
    Alert, AlertId, Certificate, Clock, Event, EventEndpoint, EventHost, EventType, HostKey, KeyInfo, Lane, PassId,
    Service, Sha256, Transport,
};
use monitor::{Batch, Journal as _, LeaseRecord, Note, PassRecord, Violations};
use notifiers::{Ending, Outbox as _, Owed};
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    fmt::Write as _,
    hash::{Hash as _, Hasher as _},
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use store::{Options, Store};

const OPERATIONS: usize = 240;
const HOSTS: usize = 12;

/// An operation takes a minute.
#[derive(Debug, Default)]
struct Day(AtomicUsize);

impl Clock for Day {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::Relaxed))
    }
}

fn at(operation: usize) -> Timestamp {
    let seconds = i64::try_from(operation * 60).expect("small");
    Timestamp::from_second(1_795_255_200 + seconds).expect("in range")
}

fn open(folder: &Path) -> (Store, Arc<Day>) {
    let day = Arc::new(Day::default());
    // A log this short is begun anew and cut back over and over.
    let options = Options { log_limit: 131_072, vantage: "scan1".into(), ..Options::default() };
    let store = Store::open(&folder.join("perimeter.db"), day.clone(), &options).expect("opens");
    (store, day)
}

/// Does the whole day's work and says after each operation what is stored then.
#[expect(clippy::print_stdout, reason = "the recording reads it")]
pub(crate) async fn run(folder: &Path) {
    let (store, day) = open(folder);
    println!("done 0 {}", state(folder));
    for number in 1..=OPERATIONS {
        println!("begin {number}");
        operate(&store, &day, number).await;
        println!("done {number} {}", state(folder));
    }
    store.close().await.expect("closes");
}

/// What each operation left, by its number.
pub(crate) fn states(steps: &[Step]) -> Vec<String> {
    let said = steps.iter().filter_map(|step| match step {
        Step::Said(text) => text.strip_prefix("done ")?.split_once(' '),
        _ => None,
    });
    let states: Vec<_> = said.map(|(_, state)| state.to_owned()).collect();
    assert_eq!(states.len(), OPERATIONS + 1, "everything was said");
    states
}

/// How many operations were begun and how many of them acknowledged.
pub(crate) fn progress(steps: &[Step]) -> (usize, usize) {
    let last = |word: &str| {
        let numbers = steps.iter().rev().find_map(|step| match step {
            Step::Said(text) => text.strip_prefix(word)?.split(' ').next()?.parse().ok(),
            _ => None,
        });
        numbers.unwrap_or(0)
    };
    (last("begin "), last("done "))
}

/// What a new start finds, which has to be sound.
pub(crate) async fn reopen(folder: &Path, acknowledged: usize, what: &str) -> String {
    let (store, _) = open(folder);
    let (_, restored) = store.load(Vec::new()).await.expect("loads");
    let ledger = restored.passes.iter().map(|pass| pass.groups_done).max().unwrap_or(0);
    assert!(ledger + 8 > acknowledged as u64, "{what}: the ledger is at {ledger}");
    store.close().await.expect("closes");
    let connection = read(folder);
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("asks");
    assert_eq!(sound, "ok", "{what}");
    let orphans: i64 =
        connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).expect("asks");
    assert_eq!(orphans, 0, "{what}");
    let (events, ids): (i64, i64) = connection
        .query_row("SELECT count(*), count(DISTINCT json_extract(json, '$.id')) FROM event", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("asks");
    assert_eq!(events, ids, "{what}: an event under two ids");
    state(folder)
}

/// Does what was not acknowledged again, and goes on: everything becomes as it would have been without the cut.
pub(crate) async fn go_on(folder: &Path, acknowledged: usize, states: &[String], what: &str) {
    let (store, day) = open(folder);
    for number in (acknowledged + 1..states.len()).take(3) {
        operate(&store, &day, number).await;
        let now = state(folder);
        assert_eq!(now, states[number], "{what}: going on at {number}: {}", difference(&now, &states[number]));
    }
    store.close().await.expect("closes");
}

/// The tables that are not alike.
pub(crate) fn difference(found: &str, expected: &str) -> String {
    let tables: BTreeSet<_> = expected.split(' ').collect();
    found.split(' ').filter(|table| !tables.contains(table)).collect::<Vec<_>>().join(" ")
}

fn read(folder: &Path) -> Connection {
    Connection::open_with_flags(folder.join("perimeter.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens")
}

/// Every table with a digest of every row of it.
fn state(folder: &Path) -> String {
    let connection = read(folder);
    let mut names =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").expect("prepares");
    let names: Vec<String> =
        names.query_map([], |row| row.get(0)).expect("asks").map(|name| name.expect("a name")).collect();
    let mut text = String::new();
    for name in names {
        let mut rows = connection.prepare(&format!("SELECT * FROM \"{name}\" ORDER BY 1, 2")).expect("prepares");
        let columns = rows.column_count();
        let mut digests: Vec<u64> = Vec::new();
        let mut rows = rows.query([]).expect("asks");
        while let Some(row) = rows.next().expect("reads") {
            let mut digest = DefaultHasher::new();
            for column in 0..columns {
                match row.get_ref(column).expect("a column") {
                    ValueRef::Null => 0.hash(&mut digest),
                    ValueRef::Integer(number) => number.hash(&mut digest),
                    ValueRef::Real(number) => number.to_bits().hash(&mut digest),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(&mut digest),
                }
            }
            digests.push(digest.finish());
        }
        digests.sort_unstable();
        let mut digest = DefaultHasher::new();
        digests.hash(&mut digest);
        let _ =
            write!(text, "{}{name}:{}:{:x}", if text.is_empty() { "" } else { " " }, digests.len(), digest.finish());
    }
    text
}

async fn operate(store: &Store, day: &Day, number: usize) {
    day.0.store(number, Ordering::Relaxed);
    match number % 8 {
        5 => drop(store.begin("soc", at(number), 20).await.expect("begins")),
        6 => {
            // The digest that the operation before began.
            if let Some(digest) = store.begin("soc", at(number - 1), 20).await.expect("begins") {
                let ending = Ending::Delivered { at: at(number), answer: "250 ok".to_owned() };
                store.end(&digest.id, ending).await.expect("ends");
            }
        }
        7 if is_in_parts(number) => {
            store.expire(at(number), Duration::from_hours(1)).await.expect("expires");
        }
        _ => drop(store.commit(batch(number)).await.expect("commits")),
    }
}

/// Retention deletes in slices, each a transaction of its own: it is the one operation that may be left half done.
pub(crate) fn is_in_parts(number: usize) -> bool {
    number % 40 == 39
}

fn ip(host: usize) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, u8::try_from(host % HOSTS + 1).expect("small")).into()
}

fn key(host: usize) -> HostKey {
    HostKey { vantage: "scan1".into(), ip: ip(host) }
}

fn batch(number: usize) -> Batch {
    let port = u16::try_from(1000 + number).expect("small");
    let mut event = Event::new(EventType::PortOpen, at(number), &"scan1".into(), &number);
    event.host = Some(EventHost { ip: ip(number), names: Vec::new(), os: None });
    event.endpoint = Some(EventEndpoint { transport: Transport::Tcp, port });
    let alert = Alert {
        id: AlertId::of(event.id, event.time, "dmz"),
        event: event.id,
        profile: "dmz".to_owned(),
        rules: vec!["open".to_owned()],
        severity: event.severity,
        time: event.time,
    };
    let owed = ["soc", "siem"].map(|recipient| Owed { recipient: recipient.to_owned(), alert: alert.id }).into();
    let mut batch = Batch {
        hosts: vec![host(number, number), host(number + 5, number)],
        certificates: vec![certificate(number)],
        // Bulk, so that the log comes round often.
        certificate_der: vec![(digest(number), vec![u8::try_from(number % 251).expect("small"); 8_000])],
        events: vec![event],
        alerts: vec![alert],
        owed,
        passes: vec![pass(number)],
        violations: vec![Violations {
            host: key(number),
            broken: vec![("dmz".to_owned(), "strict".to_owned(), number.to_string(), at(number))],
        }],
        leases: number.is_multiple_of(3).then(|| {
            vec![LeaseRecord {
                asset: "dmz".into(),
                name: "www.example.org".to_owned(),
                addresses: vec![ip(number)],
                until: at(number + 5),
                earlier: BTreeMap::new(),
                in_turns: false,
            }]
        }),
        halted: Some(number.is_multiple_of(2)),
        notes: vec![Note { kind: "step".to_owned(), key: String::new(), value: Some(number.to_string()) }],
        ..Batch::default()
    };
    if number % 16 == 9 {
        batch.removed_hosts = vec![key(number + 7)];
    }
    batch.removed_certificates = (number.saturating_sub(16)..number.saturating_sub(8)).map(digest).collect();
    batch
}

fn digest(number: usize) -> Sha256 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Sha256(bytes)
}

fn host(index: usize, number: usize) -> HostState {
    let lost = number % 7 == 3;
    let endpoint = |port: u16| {
        let service = Service {
            name: "ssh".to_owned(),
            product: Some("OpenSSH".to_owned()),
            version: Some(format!("{}.{}", port, number / 20)),
            confidence: 0.5,
            ..Service::default()
        };
        EndpointState {
            transport: Transport::Tcp,
            port,
            status: if (number + usize::from(port)).is_multiple_of(3) { PortStatus::Closed } else { PortStatus::Open },
            reason: "connected".to_owned(),
            first_seen: at(0),
            last_seen: at(number),
            changed_at: at(number),
            last_observed: at(number),
            pending: None,
            recovered: 0,
            learnt: false,
            services: vec![ServiceState {
                name: None,
                learnt: false,
                service: Some(Arc::new(service)),
                tls: (port == 443).then(|| {
                    Box::new(TlsState {
                        version: "TLS 1.3".to_owned(),
                        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
                        alpn: None,
                        certificate: Some(digest(number)),
                        alternates: [].into(),
                        verdicts: Vec::new(),
                        chain: Vec::new(),
                        path: None,
                        posture: None,
                        weaknesses: BTreeMap::new(),
                        suspected: BTreeMap::new(),
                    })
                }),
                first_seen: at(0),
                last_seen: at(number),
                changed_at: at(number),
                last_observed: at(number),
                pending_service: None,
                pending_certificate: None,
                pending_key: None,
                pending_trust: None,
            }],
        }
    };
    HostState {
        up: !lost,
        last_seen: at(number),
        lost_since: lost.then(|| at(number)),
        endpoints: [22, 80, 443].map(endpoint).into(),
        ..HostState::new(key(index), at(0))
    }
}

fn certificate(number: usize) -> CertificateState {
    CertificateState {
        certificate: Certificate {
            sha256: digest(number),
            spki_sha256: digest(number),
            tbs_sha256: None,
            version: Some(3),
            subject: "CN=www.example.org".to_owned(),
            issuer: "CN=Example CA".to_owned(),
            issuer_attributes: Vec::new(),
            sans: Vec::new(),
            serial: number.to_string(),
            not_before: at(0),
            not_after: at(100_000),
            key: KeyInfo { algorithm: "EC".to_owned(), bits: Some(256) },
            signature: "ecdsa-with-SHA256".to_owned(),
            self_signed: false,
            scts: 0,
            unreadable: Vec::new(),
        },
        first_seen: at(number),
        last_seen: at(number),
        endpoints: BTreeSet::new(),
        expiry_told: None,
        expired_told: false,
        rogue_told: BTreeSet::new(),
        rogue: BTreeMap::new(),
        replaced: BTreeMap::new(),
        weaknesses: BTreeSet::new(),
        standing: Standing::default(),
        outlives: BTreeSet::new(),
        is_issuer: false,
    }
}

/// A ledger's row for each sixteen operations.
fn pass(number: usize) -> PassRecord {
    PassRecord {
        id: PassId(uuid::Uuid::from_u128(1 + number as u128 / 16)),
        profile: "dmz".into(),
        lane: Lane::Full,
        started: at(number / 16 * 16),
        finished: (number % 16 == 15).then(|| at(number)),
        seed: 7,
        groups_done: number as u64,
        groups: OPERATIONS as u64,
        fingerprint: 1,
        manner: 0,
        complete: number % 16 == 15,
        probes: 100,
        attempts: 100,
        covered: 100,
        local_errors: 0,
        loss_asked: 0,
        loss_missed: 0,
        silent: Vec::new(),
        replayed: 0,
        credit: None,
        lost_here: 0,
    }
}
