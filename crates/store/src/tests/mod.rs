mod answers;
mod backup;
mod history;
mod journal;
mod notes;
mod open;
mod outbox;
mod probes;
mod reader;
mod retention;
mod soundness;

use crate::{Options, Store};
use inventory::{
    CertificateState, EndpointState, HostState, PortStatus, Region, ServiceState, Standing, Suspicion, TlsState,
};
use jiff::Timestamp;
use model::{
    Alert, AlertId, Certificate, ClientAuth, Clock, Event, EventEndpoint, EventHost, EventType, HostKey, KeyInfo, Lane,
    Os, PassId, Service, Sha256, TlsPosture, TlsVersion, Transport, Verdict, Weakness,
};
use monitor::{Batch, Journal as _, LeaseRecord, PassRecord, Restored, Violations};
use notifiers::Owed;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;
use uuid::Uuid;

/// It is always half past.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        at(1800)
    }
}

/// Seconds after a moment in 2026.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_255_200 + seconds).expect("in range")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(folder: &Path) -> Store {
    open_with(folder, &Options::default())
}

fn open_with(folder: &Path, options: &Options) -> Store {
    Store::open(&folder.join("perimeter.db"), Arc::new(Stopped), options).expect("opens")
}

/// What a power cut leaves: the files as they are now, without a checkpoint.
fn snapshot(from: &Path) -> TempDir {
    let to = folder();
    for name in ["perimeter.db", "perimeter.db-wal"] {
        let from = from.join(name);
        if from.exists() {
            fs::copy(from, to.path().join(name)).expect("copies");
        }
    }
    to
}

/// Hosts by address, and the rest.
async fn load(store: &Store) -> (Vec<HostState>, Restored) {
    let (mut hosts, restored) = store.load(Vec::<HostState>::new()).await.expect("loads");
    hosts.sort_by_key(|host| host.key.ip);
    (hosts, restored)
}

fn key(text: &str) -> HostKey {
    HostKey { vantage: "scan1".into(), ip: ip(text) }
}

fn service(name: &str, product: Option<(&str, &str)>) -> Service {
    Service {
        name: name.to_owned(),
        product: product.map(|(product, _)| product.to_owned()),
        version: product.map(|(_, version)| version.to_owned()),
        confidence: 0.98,
        ..Service::default()
    }
}

fn endpoint(port: u16, status: PortStatus, services: Vec<ServiceState>) -> EndpointState {
    EndpointState {
        transport: Transport::Tcp,
        port,
        status,
        reason: "connected".to_owned(),
        first_seen: at(0),
        last_seen: at(60),
        changed_at: at(0),
        last_observed: at(60),
        pending: None,
        recovered: 0,
        learnt: true,
        services,
    }
}

fn asked(name: Option<&str>, service: Service, certificate: Option<Sha256>) -> ServiceState {
    ServiceState {
        name: name.map(|name| name.parse().expect("a name")),
        learnt: false,
        service: Some(std::sync::Arc::new(service)),
        tls: certificate.map(|sha256| {
            Box::new(TlsState {
                version: "TLS 1.3".to_owned(),
                cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
                alpn: None,
                certificate: Some(sha256),
                alternates: std::iter::once((Sha256([9; 32]), at(5))).collect(),
                // The fixtures' second certificate is not for its name.
                verdicts: (sha256.0[0] == 2).then_some(Verdict::NameMismatch).into_iter().collect(),
                chain: Vec::new(),
                path: None,
                posture: Some(Box::new(TlsPosture {
                    at: Some(at(50)),
                    audited: Some(at(40)),
                    versions: Some([TlsVersion::Tls10, TlsVersion::Tls12].into()),
                    client_auth: Some(ClientAuth::Optional),
                    scts: Some(2),
                    ..TlsPosture::default()
                })),
                weaknesses: [(Weakness::Tls10, 1)].into(),
                suspected: [(Weakness::Rc4, Suspicion { count: 1, since: at(40), due: at(640) })].into(),
            })
        }),
        first_seen: at(0),
        last_seen: at(60),
        changed_at: at(0),
        last_observed: at(60),
        pending_service: None,
        pending_certificate: None,
        pending_key: None,
        pending_trust: None,
    }
}

fn host(text: &str, endpoints: Vec<EndpointState>) -> HostState {
    HostState {
        up: true,
        last_seen: at(60),
        assets: ["dmz".into()].into(),
        tags: ["production".into()].into(),
        value: 5,
        os: Some(Os { family: "linux".to_owned(), product: None, version: None, confidence: 0.8 }),
        endpoints,
        ..HostState::new(key(text), at(0))
    }
}

fn certificate(digest: u8, ends: Timestamp) -> CertificateState {
    CertificateState {
        certificate: Certificate {
            sha256: Sha256([digest; 32]),
            spki_sha256: Sha256([digest ^ 0xff; 32]),
            tbs_sha256: None,
            version: Some(3),
            subject: format!("CN=www{digest}.example.org"),
            issuer: "CN=Example CA, O=Example CA Inc".to_owned(),
            issuer_attributes: vec!["CN=Example CA".to_owned(), "O=Example CA Inc".to_owned()],
            sans: vec![format!("www{digest}.example.org")],
            serial: "01".to_owned(),
            not_before: at(-1000),
            not_after: ends,
            key: KeyInfo { algorithm: "EC".to_owned(), bits: Some(256) },
            signature: "ecdsa-with-SHA256".to_owned(),
            self_signed: false,
            scts: 0,
            unreadable: Vec::new(),
        },
        first_seen: at(0),
        last_seen: at(60),
        endpoints: std::iter::once((model::Endpoint::tcp(ip("192.0.2.7"), 443), None)).collect(),
        expiry_told: Some(30),
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

fn event(kind: EventType, seconds: i64, about: Option<(&str, u16)>) -> Event {
    let mut event = Event::new(kind, at(seconds), &"scan1".into(), &about);
    if let Some((address, port)) = about {
        event.host = Some(EventHost { ip: ip(address), names: Vec::new(), os: None });
        event.endpoint = Some(EventEndpoint { transport: Transport::Tcp, port });
    }
    event
}

fn alert(event: &Event, profile: &str) -> Alert {
    Alert {
        id: AlertId::of(event.id, event.time, profile),
        event: event.id,
        profile: profile.to_owned(),
        rules: vec!["open-not-web".to_owned()],
        severity: event.severity,
        time: event.time,
    }
}

/// One opened port, alerted in one profile and owed to these.
fn told(seconds: i64, port: u16, recipients: &[&str]) -> Batch {
    let event = event(EventType::PortOpen, seconds, Some(("192.0.2.7", port)));
    let alert = alert(&event, "dmz");
    let owed = |recipient: &&str| Owed { recipient: (*recipient).to_owned(), alert: alert.id };
    Batch { owed: recipients.iter().map(owed).collect(), events: vec![event], alerts: vec![alert], ..Batch::default() }
}

fn pass(number: u32, lane: Lane) -> PassRecord {
    PassRecord {
        id: PassId(Uuid::from_u128(number.into())),
        profile: "dmz".into(),
        lane,
        started: at(number.into()),
        finished: None,
        seed: u64::MAX,
        groups_done: 3,
        groups: 9,
        fingerprint: u64::MAX - 1,
        manner: 7,
        complete: false,
        probes: 100,
        attempts: 101,
        covered: 99,
        local_errors: 1,
        loss_asked: 10,
        loss_missed: 1,
        silent: vec![40, 2],
        replayed: 1,
        credit: None,
        lost_here: 3,
    }
}

/// Something of everything.
fn everything() -> Batch {
    let mut batch = told(30, 3389, &["soc", "siem"]);
    batch.hosts = vec![
        host(
            "192.0.2.7",
            vec![
                endpoint(22, PortStatus::Open, vec![asked(None, service("ssh", Some(("OpenSSH", "9.2p1"))), None)]),
                endpoint(25, PortStatus::Closed, Vec::new()),
                endpoint(
                    443,
                    PortStatus::Open,
                    vec![
                        asked(None, service("http", Some(("nginx", "1.22.1"))), Some(Sha256([1; 32]))),
                        asked(Some("www.example.org"), service("http", None), Some(Sha256([2; 32]))),
                    ],
                ),
                endpoint(3389, PortStatus::Opening, Vec::new()),
            ],
        ),
        host("2001:db8::7", vec![endpoint(22, PortStatus::Open, Vec::new())]),
    ];
    batch.certificates = vec![certificate(1, at(1_000_000)), certificate(2, at(500))];
    batch.certificate_der = vec![(Sha256([1; 32]), vec![0x30, 0x82]), (Sha256([3; 32]), vec![0x30])];
    batch.regions = vec![Region {
        profile: "dmz".into(),
        lane: Lane::Hot,
        tcp: Arc::new([22, 80, 443].into_iter().collect()),
        udp: Arc::default(),
        covered: std::iter::once(model::AddressRange::single(ip("192.0.2.7"))).collect(),
        earlier: Vec::new(),
        absent: model::AddressSet::empty(),
    }];
    batch.baselines = vec!["dmz".into()];
    batch.passes = vec![pass(1, Lane::Hot), pass(2, Lane::Hot), pass(1000, Lane::Full)];
    batch.violations = vec![Violations {
        host: key("192.0.2.7"),
        broken: vec![("dmz".to_owned(), "dmz-critical".to_owned(), "three-ports".to_owned(), at(10))],
    }];
    batch.leases = Some(vec![LeaseRecord {
        asset: "dmz".into(),
        name: "www.example.org".to_owned(),
        addresses: vec![ip("192.0.2.7")],
        until: at(300),
        earlier: BTreeMap::new(),
        in_turns: false,
    }]);
    batch.halted = Some(true);
    batch
}
