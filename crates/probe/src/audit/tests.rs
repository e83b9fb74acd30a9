use super::*;
use crate::{
    DialerSettings, Identity,
    check::{Verdict, scripted::message},
};
use identify::Reader;
use model::{SystemClock, TlsVersion, Weakness};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a server takes, by the book: the highest version and the first suite of its own list that it was offered.
#[derive(Clone)]
struct Policy {
    versions: Vec<Version>,
    ssl2: bool,
    ciphers: Vec<u16>,
    /// Those of them that it has up to TLS 1.0 alone.
    only_old: Vec<u16>,
    dh_bits: u16,
    knows_fallback: bool,
    secure_renegotiation: bool,
    compresses: bool,
    /// Hangs up where others send an alert.
    rude: bool,
    wants_name: bool,
}

struct Offer {
    version: Version,
    ciphers: Vec<u16>,
    compression: bool,
    named: bool,
}

fn read(hello: &[u8]) -> Option<Offer> {
    let mut reader = Reader::new(hello);
    reader.take(4)?;
    let mut version = Version(reader.u16()?);
    reader.take(32)?;
    let session = reader.u8()?;
    reader.take(usize::from(session))?;
    let length = reader.u16()?;
    let ciphers =
        reader.take(usize::from(length))?.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let length = reader.u8()?;
    let compression = reader.take(usize::from(length))?.contains(&1);
    let mut named = false;
    reader.u16();
    while let (Some(kind), Some(length)) = (reader.u16(), reader.u16()) {
        reader.take(usize::from(length))?;
        named |= kind == 0;
        if kind == 43 {
            version = Version::TLS1_3;
        }
    }
    Some(Offer { version, ciphers, compression, named })
}

impl Policy {
    fn modern() -> Self {
        Self {
            versions: vec![Version::TLS1_2, Version::TLS1_3],
            ssl2: false,
            ciphers: vec![0x1301, 0xc02f, 0xc030],
            only_old: vec![],
            dh_bits: 2048,
            knows_fallback: true,
            secure_renegotiation: true,
            compresses: false,
            rude: false,
            wants_name: false,
        }
    }

    fn answer(&self, offer: &Offer) -> Vec<u8> {
        let refuse = |description| if self.rude { Vec::new() } else { vec![21, 3, 1, 0, 2, 2, description] };
        if self.wants_name && !offer.named {
            return refuse(112);
        }
        let Some(version) = self.versions.iter().copied().filter(|version| *version <= offer.version).max() else {
            return refuse(70);
        };
        let best = self.versions.iter().copied().max().unwrap_or(version);
        if self.knows_fallback && offer.ciphers.contains(&0x5600) && best > offer.version {
            return refuse(86);
        }
        let is_13 = |id: u16| id >> 8 == 0x13;
        let has = |id: &u16| version <= Version::TLS1_0 || !self.only_old.contains(id);
        let fits = |id: &u16| offer.ciphers.contains(id) && has(id) && is_13(*id) == (version == Version::TLS1_3);
        let Some(cipher) = self.ciphers.iter().copied().find(fits) else { return refuse(40) };
        let mut hello = version.min(Version::TLS1_2).0.to_be_bytes().to_vec();
        hello.extend([9; 32]);
        hello.push(0);
        hello.extend(cipher.to_be_bytes());
        hello.push(u8::from(self.compresses && offer.compression));
        let mut extensions: Vec<u8> = Vec::new();
        if version == Version::TLS1_3 {
            extensions.extend([0, 43, 0, 2, 3, 4]);
        } else if self.secure_renegotiation {
            extensions.extend([0xff, 1, 0, 1, 0]);
        }
        hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        hello.extend(extensions);
        let mut flight = message(2, &hello);
        if version == Version::TLS1_3 {
            return flight;
        }
        let cipher = Cipher(cipher);
        if cipher.shows_certificate() {
            flight.extend(message(11, &[0, 0, 4, 0, 0, 1, 0x30]));
        }
        if cipher.name().is_some_and(|name| name.contains("_DHE_")) {
            let bytes = self.dh_bits / 8;
            let mut exchange = bytes.to_be_bytes().to_vec();
            exchange.extend(vec![0xff; usize::from(bytes)]);
            exchange.extend([0, 1, 2, 0, 1, 5, 0, 0]);
            flight.extend(message(12, &exchange));
        }
        flight.extend(message(14, &[]));
        flight
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut head = [0; 5];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        if head[0] & 0x80 != 0 {
            if self.ssl2 {
                // Hello, no session, a certificate of one byte, two ciphers, 16 bytes of connection.
                let mut hello = vec![4, 0, 1, 0, 2, 0, 1, 0, 6, 0, 16, 0x30];
                hello.extend([7, 0, 0xc0, 2, 0, 0x80]);
                hello.extend([1; 16]);
                let mut record = vec![0x80, u8::try_from(hello.len()).unwrap()];
                record.extend(hello);
                let _ = stream.write_all(&record).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
            return;
        }
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        if stream.read_exact(&mut hello).await.is_err() {
            return;
        }
        let answer = self.answer(&read(&hello).expect("a hello"));
        let _ = stream.write_all(&answer).await;
        if answer.first() == Some(&22) {
            let mut early = [0; 6];
            if stream.read_exact(&mut early).await.is_ok() {
                let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 10]).await;
            }
        }
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn dialer() -> Dialer {
    let targets = vec!["127.0.0.1".parse().unwrap()];
    let scope =
        Scope::new(vec![AssetScope { name: "home".into(), targets, until: None }], model::AddressSet::default());
    let rate: model::Rate = "10k/s".parse().unwrap();
    let identity = Identity { sensor: "scan1".into(), contact: None, version: "1".into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    Dialer::with_concurrency(ScopeHandle::new(scope), Arc::new(SystemClock), settings, 8)
}

/// Audits a server that does this with each connection; and how many there were.
async fn audited<F, T>(starttls: Option<Protocol>, serve: F) -> (Report, usize)
where
    F: Fn(TcpStream) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::tcp(LOOPBACK, listener.local_addr().unwrap().port());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    let report = audit(&dialer(), Subject { endpoint, name: None, starttls }).await;
    accepting.abort();
    (report, connections.load(Ordering::SeqCst))
}

async fn of(policy: &Policy) -> Report {
    let policy = policy.clone();
    let (report, connections) = audited(None, move |stream| policy.clone().serve(stream)).await;
    assert_eq!(connections, usize::from(report.connections + report.check_connections), "each is counted");
    assert!(report.connections <= MOST_CONNECTIONS, "{}", report.connections);
    assert_eq!(report.incomplete, None);
    assert_eq!(report.checks.len(), check::CHECKS.len());
    for checked in &report.checks {
        assert!(checked.connections <= checked.check.connections, "{checked:?}");
    }
    report
}

fn vulnerable(report: &Report) -> Vec<&'static str> {
    let found = report.checks.iter().filter(|checked| checked.verdict == Verdict::Vulnerable);
    found.map(|checked| checked.check.id).collect()
}

#[tokio::test]
async fn a_sound_server_has_no_weakness_and_costs_little() {
    for rude in [false, true] {
        let report = of(&Policy { rude, ..Policy::modern() }).await;
        let found = report.shown.weaknesses();
        assert_eq!(found.found, BTreeSet::new());
        let asked = found.asked.len();
        // A server that hangs up does not say that it knows a fallback when it sees one.
        assert!(asked >= 14 - usize::from(rude), "{asked}: {:?}", found.asked);
        assert_eq!(vulnerable(&report), [""; 0]);
        assert!(report.checks.iter().all(|checked| checked.verdict == Verdict::NotVulnerable), "{:?}", report.checks);
        assert!(report.connections <= 9, "{}", report.connections);
        let posture = report.shown.posture();
        assert_eq!(posture.versions, Some([TlsVersion::Tls12, TlsVersion::Tls13].into()));
        assert_eq!(posture.fallback_scsv, (!rude).then_some(true));
        assert_eq!((posture.secure_renegotiation, posture.compression), (Some(true), Some(false)));
    }
}

#[tokio::test]
async fn everything_weak_is_found_within_sixteen_connections() {
    let everything = Policy {
        versions: vec![Version::SSL3, Version::TLS1_0, Version::TLS1_1, Version::TLS1_2],
        ssl2: true,
        // RC4 for export by RSA and by DH, without authentication, without encryption, DES, 3DES, RC4, DHE, RSA.
        ciphers: vec![0x0035, 0x0033, 0x0003, 0x0014, 0x0018, 0x0002, 0x0009, 0x000a, 0x0005],
        only_old: vec![],
        dh_bits: 512,
        knows_fallback: false,
        secure_renegotiation: false,
        compresses: true,
        rude: false,
        wants_name: false,
    };
    let report = of(&everything).await;
    let all: BTreeSet<Weakness> =
        Weakness::ALL.iter().copied().filter(|weakness| !weakness.is_of_certificate()).collect();
    assert_eq!(report.shown.weaknesses().found, all);
    assert_eq!(report.shown.dh_bits, Some(512));
    assert_eq!(
        vulnerable(&report),
        [
            "tls/drown",
            "tls/poodle",
            "tls/freak",
            "tls/logjam",
            "tls/rc4",
            "tls/sweet32",
            "tls/anonymous",
            "tls/null",
            "tls/crime"
        ]
    );
    assert_eq!(report.shown.ssl2.len(), 2);
}

/// RFC 4346 and RFC 5246 did away with them, and several libraries have them in the versions before.
#[tokio::test]
async fn ciphers_of_old_versions_alone_are_found() {
    let policy = Policy {
        versions: vec![Version::TLS1_0, Version::TLS1_1, Version::TLS1_2],
        ciphers: vec![0xc02f, 0x002f, 0x0003, 0x0009],
        only_old: vec![0x0003, 0x0009],
        ..Policy::modern()
    };
    let report = of(&policy).await;
    assert!(report.shown.weaknesses().found.contains(&Weakness::ExportCipher), "{:?}", report.shown.weaknesses());
    assert!(vulnerable(&report).contains(&"tls/freak"), "{:?}", report.checks);
    let sound = of(&Policy { ciphers: vec![0xc02f, 0x002f], ..policy }).await;
    assert!(
        !vulnerable(&sound).contains(&"tls/freak") && !sound.shown.weaknesses().found.contains(&Weakness::ExportCipher)
    );
}

/// Printers print what they are sent, and machine controllers do worse.
#[tokio::test]
async fn who_may_only_be_listened_to_is_not_audited() {
    let endpoint = Endpoint::tcp(Ipv4Addr::LOCALHOST.into(), 9_100);
    let report = audit(&dialer(), Subject { endpoint, name: None, starttls: None }).await;
    assert_eq!((report.incomplete, report.connections, report.check_connections), (Some(Incomplete::Fragile), 0, 0));
    assert!(report.checks.is_empty());
}

/// As it goes over to TLS in `MySQL`.
async fn within_mysql(policy: Policy) -> Report {
    let (report, connections) = audited(Some(Protocol::MySql), move |mut stream: TcpStream| {
        let policy = policy.clone();
        async move {
            let mut greeting = b"\x0a8.0.35\0\x07\0\0\0saltsalt\0\xff\xff\x21\x02\0\xff\xdf\x15".to_vec();
            greeting.extend([0; 10]);
            greeting.extend(b"saltsaltsalt\0mysql_native_password\0");
            let header = [u8::try_from(greeting.len()).unwrap(), 0, 0, 0];
            _ = stream.write_all(&[&header, greeting.as_slice()].concat()).await;
            if stream.read_exact(&mut [0; 36]).await.is_ok() {
                policy.serve(stream).await;
            }
        }
    })
    .await;
    assert_eq!(connections, usize::from(report.connections + report.check_connections), "each is counted");
    assert!(connections <= usize::from(MOST_BROKEN), "{connections}");
    report
}

#[tokio::test]
async fn who_counts_broken_handshakes_has_few_to_count() {
    let sound = within_mysql(Policy::modern()).await;
    assert_eq!(sound.incomplete, None);
    assert!(sound.connections + sound.check_connections <= 6, "{sound:?}");
    assert_eq!(sound.shown.posture().versions, Some([TlsVersion::Tls12, TlsVersion::Tls13].into()));
    assert_eq!(sound.shown.weaknesses().found, BTreeSet::new());
    assert!(sound.checks.iter().all(|checked| checked.verdict == Verdict::NotVulnerable), "{:?}", sound.checks);
    // Old versions do not hide behind one that is left out.
    let versions = vec![Version::TLS1_0, Version::TLS1_2, Version::TLS1_3];
    let old = within_mysql(Policy { versions, ..Policy::modern() }).await;
    let seen = Some([TlsVersion::Tls10, TlsVersion::Tls12, TlsVersion::Tls13].into());
    assert_eq!((old.incomplete, old.shown.posture().versions), (None, seen));
    assert!(old.shown.weaknesses().found.contains(&Weakness::Tls10), "{:?}", old.shown.weaknesses());
    // And where there is no end to it, it ends.
    let versions = vec![Version::SSL3, Version::TLS1_0, Version::TLS1_1, Version::TLS1_2];
    let ciphers = vec![0x0035, 0x0033, 0x0003, 0x0014, 0x0018, 0x0002, 0x0009, 0x000a, 0x0005];
    let weak = within_mysql(Policy { versions, ciphers, ..Policy::modern() }).await;
    assert_eq!(weak.incomplete, Some(Incomplete::Enough));
    assert!(weak.shown.weaknesses().found.contains(&Weakness::Rc4), "{:?}", weak.shown.weaknesses());
}

#[tokio::test]
async fn each_weak_kind_is_told_from_the_others() {
    use Weakness::*;
    for (cipher, expect) in [
        (0x0002, vec![NullCipher]),
        (0x0034, vec![AnonymousCipher]),
        (0x0003, vec![ExportCipher, Rc4]),
        (0x0014, vec![ExportCipher, Des]),
        (0x0005, vec![Rc4]),
        (0x0009, vec![Des]),
        (0x000a, vec![TripleDes]),
        (0x0033, vec![WeakDh]),
    ] {
        let policy = Policy {
            versions: vec![Version::TLS1_2],
            ciphers: vec![0xc02f, cipher],
            dh_bits: 1024,
            ..Policy::modern()
        };
        let found = of(&policy).await.shown.weaknesses().found;
        // The group is seen with whatever uses one.
        let found: Vec<_> = found.into_iter().filter(|weakness| *weakness != WeakDh || cipher == 0x0033).collect();
        assert_eq!(found, expect, "{cipher:#06x}");
    }
}

#[tokio::test]
async fn the_oldest_are_found_though_they_do_not_take_the_newest_hello() {
    let old = Policy { versions: vec![], ssl2: true, rude: true, ..Policy::modern() };
    let report = of(&old).await;
    assert_eq!(report.shown.posture().versions, Some([TlsVersion::Ssl2].into()));
    assert!(vulnerable(&report).contains(&"tls/drown"), "{:?}", report.checks);
}

#[tokio::test]
async fn one_that_wants_a_name_is_not_asked_again_without() {
    let report = of(&Policy { wants_name: true, ..Policy::modern() }).await;
    assert!(report.shown.name_required);
    assert_eq!(report.connections, 1);
    assert_eq!(report.shown.posture().name_required, Some(true));
    assert!(report.shown.weaknesses().asked.is_empty());
    assert!(
        report.checks.iter().all(|checked| matches!(checked.verdict, Verdict::NotTestable(_))),
        "{:?}",
        report.checks
    );
}

#[tokio::test]
async fn what_is_no_tls_is_left_alone() {
    let (report, connections) = audited(None, async |mut stream: TcpStream| {
        let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert!(!report.shown.is_tls());
    assert!(connections <= 2, "{connections}");
    assert!(
        report.checks.iter().all(|checked| matches!(checked.verdict, Verdict::NotTestable(_))),
        "{:?}",
        report.checks
    );
}

#[tokio::test]
async fn a_port_that_closed_is_no_evidence_of_anything() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::tcp(LOOPBACK, listener.local_addr().unwrap().port());
    drop(listener);
    let report = audit(&dialer(), Subject { endpoint, name: None, starttls: None }).await;
    assert!(matches!(report.incomplete, Some(Incomplete::Failed(outcome)) if !outcome.is_open()), "{report:?}");
    assert!(report.shown.weaknesses().asked.is_empty());
    assert!(
        report.checks.iter().all(|checked| matches!(checked.verdict, Verdict::NotTestable(_))),
        "{:?}",
        report.checks
    );
}

#[tokio::test]
async fn nothing_is_asked_outside_the_scope() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let endpoint = Endpoint::tcp("127.0.0.2".parse().unwrap(), listener.local_addr().unwrap().port());
    let report = audit(&dialer(), Subject { endpoint, name: None, starttls: None }).await;
    let outside = Outcome::NotProbed(model::NotProbed::OutOfScope);
    assert_eq!((report.incomplete, report.connections), (Some(Incomplete::Failed(outside)), 0));
}
