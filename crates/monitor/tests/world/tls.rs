//! TLS in the world in memory: who speaks it, what an audit would find, and what was looked at when.

use jiff::{SignedDuration, Timestamp};
use model::{
    AuditObservation, Certificate, ClientAuth, Endpoint, KeyInfo, Sha256, TlsAudit, TlsObservation, TlsPosture,
    TlsVersion, TrustPath, Verdict, Weakness,
};
use monitor::{AuditRequest, Introduction};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Default)]
struct Truth {
    served: BTreeMap<Endpoint, (u8, Vec<String>)>,
    /// Certificates, by number, that live from and to another time than the others.
    lives: BTreeMap<u8, (Timestamp, Timestamp)>,
    /// Certificates, by number, on whose way to a root there is another, by its number.
    issuers: BTreeMap<u8, u8>,
    /// What is wrong with certificates, by number.
    verdicts: BTreeMap<u8, Vec<Verdict>>,
    /// Which roots chains are judged by.
    roots: String,
    weak: BTreeMap<Endpoint, BTreeSet<Weakness>>,
    audits: Vec<(Endpoint, Timestamp)>,
    under_way: BTreeSet<IpAddr>,
    /// The most at once, over everything.
    most: usize,
    /// Second looks, each at the time of its conversation.
    looks: Vec<(Endpoint, Timestamp)>,
    /// Names that were asked for as learnt.
    learnt: BTreeSet<String>,
}

/// Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls(Arc<Mutex<Truth>>);

/// All that audits here ask for.
const ASKED: [Weakness; 3] = [Weakness::Ssl3, Weakness::Tls10, Weakness::Rc4];
const DAY: SignedDuration = SignedDuration::from_hours(23);

fn place(ip: &str, port: u16) -> Endpoint {
    Endpoint::tcp(ip.parse().expect("an address"), port)
}

impl Tls {
    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a certificate of this number, for these names.
    pub(crate) fn serve(&self, ip: &str, port: u16, number: u8, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.truth().served.insert(place(ip, port), (number, names));
    }

    /// The certificates of that number live from then to then.
    pub(crate) fn live(&self, number: u8, from: &str, to: &str) {
        let time = |text: &str| text.parse().expect("a time");
        self.truth().lives.insert(number, (time(from), time(to)));
    }

    /// From now on the way to a root from the certificate of that number goes through that one.
    pub(crate) fn vouch(&self, number: u8, issuer: u8) {
        self.truth().issuers.insert(number, issuer);
    }

    /// What is wrong from now on with the certificate of that number, as these roots have it.
    pub(crate) fn judge(&self, number: u8, verdicts: &[Verdict], roots: &str) {
        let mut truth = self.truth();
        truth.verdicts.insert(number, verdicts.to_vec());
        roots.clone_into(&mut truth.roots);
    }

    pub(crate) fn roots(&self) -> String {
        self.truth().roots.clone()
    }

    /// What audits find from now on.
    pub(crate) fn weaken(&self, ip: &str, port: u16, weak: &[Weakness]) {
        self.truth().weak.insert(place(ip, port), weak.iter().copied().collect());
    }

    pub(crate) fn audits(&self) -> Vec<(Endpoint, Timestamp)> {
        self.truth().audits.clone()
    }

    pub(crate) fn looks(&self) -> usize {
        self.truth().looks.len()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.truth().most
    }

    pub(crate) fn learnt(&self) -> BTreeSet<String> {
        self.truth().learnt.clone()
    }

    /// What a conversation shows; none where no TLS is spoken.
    pub(super) fn shown(&self, whom: &Introduction, at: Timestamp) -> Option<TlsObservation> {
        let mut truth = self.truth();
        let (number, names) = truth.served.get(&whom.endpoint)?.clone();
        if let Some(name) = whom.name.as_ref().filter(|_| whom.learnt) {
            truth.learnt.insert(name.to_string());
        }
        let is_bare = whom.name.is_none();
        let looked = whom.earlier.as_ref().and_then(|earlier| earlier.looked);
        let is_due = is_bare && looked.is_none_or(|then| at.duration_since(then) >= DAY);
        if is_due {
            truth.looks.push((whom.endpoint, at));
        }
        let posture =
            TlsPosture { at: is_due.then_some(at), client_auth: Some(ClientAuth::No), ..TlsPosture::default() };
        let path = truth.issuers.get(&number).map(|issuer| {
            Box::new(TrustPath { issuers: vec![truth.certificate(*issuer, Vec::new())], root: "CN=Root".to_owned() })
        });
        Some(TlsObservation {
            certificate: Some(truth.certificate(number, names)),
            path,
            verdicts: truth.verdicts.get(&number).cloned().unwrap_or_default(),
            posture: Some(Box::new(posture)),
            ..TlsObservation::new("TLSv1.3", "TLS_AES_128_GCM_SHA256")
        })
    }

    pub(super) fn begin_audit(&self, whom: &AuditRequest, at: Timestamp) {
        let mut truth = self.truth();
        truth.audits.push((whom.endpoint, at));
        assert!(truth.under_way.insert(whom.endpoint.ip), "two audits of one host at once");
        truth.most = truth.most.max(truth.under_way.len());
    }

    pub(super) fn end_audit(&self, whom: AuditRequest, at: Timestamp) -> AuditObservation {
        let mut truth = self.truth();
        truth.under_way.remove(&whom.endpoint.ip);
        let found = truth.weak.get(&whom.endpoint).cloned().unwrap_or_default();
        let versions = Some([TlsVersion::Tls12, TlsVersion::Tls13].into());
        AuditObservation {
            endpoint: whom.endpoint,
            name: whom.name,
            at,
            posture: Box::new(TlsPosture { versions, ..TlsPosture::default() }),
            weaknesses: TlsAudit { asked: ASKED.into(), found },
        }
    }
}

impl Truth {
    fn certificate(&self, number: u8, names: Vec<String>) -> Certificate {
        let mut certificate = certificate(number, names);
        if let Some((from, to)) = self.lives.get(&number) {
            (certificate.not_before, certificate.not_after) = (*from, *to);
        }
        certificate
    }
}

fn certificate(number: u8, names: Vec<String>) -> Certificate {
    let time = |text: &str| text.parse().expect("a time");
    Certificate {
        sha256: Sha256([number; 32]),
        spki_sha256: Sha256([number; 32]),
        tbs_sha256: None,
        version: Some(3),
        subject: "CN=lab".to_owned(),
        issuer: "O=Example CA Inc".to_owned(),
        issuer_attributes: vec!["O=Example CA Inc".to_owned()],
        sans: names,
        serial: number.to_string(),
        not_before: time("2026-06-01T00:00:00Z"),
        not_after: time("2027-06-01T00:00:00Z"),
        key: KeyInfo { algorithm: "EC".to_owned(), bits: Some(256) },
        signature: "ecdsa-with-SHA256".to_owned(),
        self_signed: false,
        scts: 0,
        unreadable: Vec::new(),
    }
}
