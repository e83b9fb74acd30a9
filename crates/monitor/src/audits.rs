//! Deep audits of TLS, in the background: one service of an endpoint at a time, few at once, after a conversation has shown that it
//! is due. Nothing waits for them, and nobody who holds back from a host is overtaken by one.

use crate::{
    conversation::{Answered, PerHost},
    looks,
    network::AuditRequest,
    pass::{Report, Tools},
};
use inventory::TlsState;
use jiff::{SignedDuration, Timestamp};
use model::{
    AuditObservation, Coverage, Endpoint, HostSlice, PassRef, ServiceObservation, Sha256, TlsObservation, Transport,
};
use probe::starttls::Protocol;
use siphasher::sip::SipHasher13;
use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// Under way at once, over everything. On one host there is one.
const AT_ONCE: usize = 4;
/// Under way or waiting. Beyond it an audit waits for the next conversation with its endpoint.
const MOST: usize = 256;
/// A service is audited again within the last day of this, each at a time of its own.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Certificates that come and go are no reason to audit more often than this.
const NEWS: SignedDuration = SignedDuration::from_hours(6);

/// The version of those with whom none was agreed on.
const UNKNOWN: &str = "unknown";
/// A server that counts broken handshakes and forgets none is audited so seldom that it would take decades to be shut out by it.
const QUARTER: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Audits of such a one in that time, whatever becomes of them: a suspicion has to be seen again, and some come to nothing.
const MOST_OF_SPARED: u8 = 3;

/// Shared by all passes.
#[derive(Debug, Clone)]
pub(crate) struct Audits {
    slots: Arc<Semaphore>,
    hosts: PerHost,
    wanted: Arc<Mutex<HashSet<Endpoint>>>,
    spared: Spared,
}

/// Those that count broken handshakes: how many audits each has had since when. It grows with such services alone.
#[derive(Debug, Clone, Default)]
struct Spared(Arc<Mutex<HashMap<Endpoint, (Timestamp, u8)>>>);

impl Spared {
    /// Whether one more may be made; it counts as made then.
    fn admits(&self, endpoint: Endpoint, now: Timestamp) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, made) = all.entry(endpoint).or_insert((now, 0));
        // A clock that was set back makes nobody wait for longer than that.
        if now < *since || now.duration_since(*since) >= QUARTER {
            (*since, *made) = (now, 0);
        }
        let admits = *made < MOST_OF_SPARED;
        *made += u8::from(admits);
        admits
    }
}

impl Default for Audits {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            hosts: PerHost::new(1),
            wanted: Arc::default(),
            spared: Spared::default(),
        }
    }
}

/// The only audit of an endpoint.
#[derive(Debug)]
struct Wanted {
    all: Arc<Mutex<HashSet<Endpoint>>>,
    endpoint: Endpoint,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.endpoint);
    }
}

impl Audits {
    /// None while one of that endpoint is under way or waits, or too many do.
    fn begin(&self, endpoint: Endpoint) -> Option<Wanted> {
        let mut all = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        (all.len() < MOST && all.insert(endpoint)).then(|| Wanted { all: self.wanted.clone(), endpoint })
    }
}

/// The audit that a conversation shows to be due; none most of the time. To be asked before the conversation is reported: what it
/// shows is held against what was known before.
pub(crate) fn due(tools: &Tools, answered: &[Answered]) -> Option<AuditRequest> {
    let (service, tls) = subject(answered.iter().flat_map(|answer| &answer.services))?;
    let starttls = tls.starttls.clone();
    if is_fragile(&service.endpoint) {
        return None;
    }
    let request = AuditRequest { endpoint: service.endpoint, name: service.name.clone(), starttls };
    let shown = tls.certificate.as_ref().map(|leaf| leaf.sha256);
    let manner = manner(&request);
    is_due(known(tools, &request).as_deref(), shown, &request.endpoint, manner, tools.clock.now()).then_some(request)
}

/// How often is too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Usual,
    /// It counts broken handshakes.
    Sparing,
}

fn manner(request: &AuditRequest) -> Manner {
    let protocol = request.starttls.as_deref().and_then(Protocol::by_name);
    if protocol.is_some_and(Protocol::counts_broken_handshakes) { Manner::Sparing } else { Manner::Usual }
}

/// Makes an audit when its turn has come, if it is still wanted then, and reports it.
pub(crate) async fn make(tools: &Tools, pass: PassRef, request: AuditRequest) {
    let endpoint = request.endpoint;
    let Some(_wanted) = tools.audits.begin(endpoint) else { return };
    // No semaphore is ever closed; were one, auditing without a turn harms nobody.
    let host = tools.audits.hosts.of(endpoint.ip);
    let _host = host.acquire().await;
    let _slot = tools.audits.slots.acquire().await;
    let turn = tools.conversations.turn(endpoint.ip);
    let _turn = turn.acquire().await;
    if tools.restraint.borrow().silences(endpoint.ip) || tools.mirages.hold(&endpoint) {
        return;
    }
    if manner(&request) == Manner::Sparing && !tools.audits.spared.admits(endpoint, tools.clock.now()) {
        tracing::debug!(%endpoint, "it counts broken handshakes, and has had enough of them for now");
        return;
    }
    let Some(seen) = tools.network.audit(request).await else { return };
    let slice = slice(tools, pass, seen);
    // The loop has gone: the daemon is ending.
    let _ = tools.reports.send(Report::Slice { slice }).await;
}

fn slice(tools: &Tools, pass: PassRef, seen: AuditObservation) -> HostSlice {
    HostSlice {
        vantage: tools.vantage.clone(),
        ip: seen.endpoint.ip,
        pass,
        at: tools.clock.now(),
        covered: Coverage::default(),
        ports: Vec::new(),
        services: Vec::new(),
        audits: vec![seen],
        names: Vec::new(),
        mac: None,
        presence: None,
    }
}

fn known(tools: &Tools, request: &AuditRequest) -> Option<Box<TlsState>> {
    looks::state(&tools.index, &request.endpoint, request.name.as_ref())
}

/// Versions and ciphers are a setting of the server, whatever it is called: it is asked without a name, or where it wants one
/// under the first that it answers to. A name that was learnt gives no leave. Weakest of all are those that show no certificate.
fn subject<'a>(
    mut services: impl Iterator<Item = &'a ServiceObservation> + Clone,
) -> Option<(&'a ServiceObservation, &'a TlsObservation)> {
    let with_tls = |service: &'a ServiceObservation| Some((service, service.tls.as_ref()?));
    let shows =
        |&(_, tls): &(&ServiceObservation, &TlsObservation)| tls.certificate.is_some() || tls.version != UNKNOWN;
    let bare = services.clone().filter(|service| service.name.is_none()).filter_map(with_tls).find(shows);
    bare.or_else(|| services.find_map(|service| with_tls(service).filter(shows).filter(|_| !service.learnt)))
}

fn is_due(
    known: Option<&TlsState>,
    shown: Option<Sha256>,
    endpoint: &Endpoint,
    manner: Manner,
    now: Timestamp,
) -> bool {
    let Some(tls) = known else { return true };
    let posture = tls.posture.as_deref();
    let Some(audited) = posture.and_then(|posture| posture.audited) else { return true };
    let age = now.duration_since(audited);
    if age.is_negative() {
        // A clock that was set back makes nobody wait.
        return true;
    }
    if !tls.suspected.is_empty() {
        return tls.suspected.values().any(|suspicion| suspicion.due <= now);
    }
    let is_news = shown.is_some_and(|shown| tls.certificate != Some(shown) && !tls.alternates.contains_key(&shown));
    let is_unsettled =
        tls.weaknesses.values().any(|missed| *missed > 0) || posture.is_none_or(|posture| posture.versions.is_none());
    match manner {
        Manner::Usual => (is_news && age >= NEWS) || (is_unsettled && age >= DAY) || age >= WEEK - spread(endpoint),
        Manner::Sparing => (is_news && age >= WEEK) || age >= QUARTER,
    }
}

/// Up to a day, the same for the same endpoint.
fn spread(endpoint: &Endpoint) -> SignedDuration {
    let mut hasher = SipHasher13::new();
    endpoint.hash(&mut hasher);
    let seconds = DAY.as_secs();
    SignedDuration::from_secs(i64::try_from(hasher.finish() % seconds.unsigned_abs()).unwrap_or(0))
}

fn is_fragile(endpoint: &Endpoint) -> bool {
    endpoint.transport != Transport::Tcp || identify::is_fragile(endpoint.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inventory::Suspicion;
    use model::{TlsPosture, TlsVersion, Weakness};
    use std::collections::BTreeMap;

    const LEAF: Sha256 = Sha256([1; 32]);

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + hour * 3_600).expect("in range")
    }

    /// Audited at hour 100, and found sound.
    fn sound() -> TlsState {
        let versions = Some([TlsVersion::Tls13].into());
        let posture = TlsPosture { audited: Some(at(100)), versions, ..TlsPosture::default() };
        TlsState {
            version: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
            alpn: None,
            certificate: Some(LEAF),
            alternates: BTreeMap::new(),
            verdicts: Vec::new(),
            chain: Vec::new(),
            path: None,
            posture: Some(Box::new(posture)),
            weaknesses: BTreeMap::new(),
            suspected: BTreeMap::new(),
        }
    }

    #[test]
    fn is_due_by_what_is_known() {
        let endpoint = Endpoint::tcp([192, 0, 2, 7].into(), 443);
        let never = TlsState { posture: None, ..sound() };
        let suspicion = Suspicion { count: 1, since: at(100), due: at(101) };
        let suspected = TlsState { suspected: [(Weakness::Rc4, suspicion)].into(), ..sound() };
        let missed = TlsState { weaknesses: [(Weakness::Rc4, 1)].into(), ..sound() };
        let known = TlsState { weaknesses: [(Weakness::Rc4, 0)].into(), ..sound() };
        let other = Some(Sha256([2; 32]));
        for (state, shown, hour, expect) in [
            (None, Some(LEAF), 100, true),
            (Some(never), Some(LEAF), 100, true),
            (Some(sound()), Some(LEAF), 100 + 24 * 6 - 1, false),
            (Some(sound()), Some(LEAF), 100 + 24 * 7, true),
            // A clock that was set back.
            (Some(sound()), Some(LEAF), 99, true),
            (Some(sound()), None, 130, false),
            (Some(sound()), other, 105, false),
            (Some(sound()), other, 106, true),
            (Some(suspected.clone()), Some(LEAF), 100, false),
            (Some(suspected), Some(LEAF), 101, true),
            (Some(missed.clone()), Some(LEAF), 123, false),
            (Some(missed), Some(LEAF), 124, true),
            (Some(known), Some(LEAF), 124, false),
        ] {
            let due = is_due(state.as_ref(), shown, &endpoint, Manner::Usual, at(hour));
            assert_eq!(due, expect, "{hour} {shown:?} {state:?}");
        }
    }

    #[test]
    fn who_counts_broken_handshakes_is_seldom_audited() {
        let endpoint = Endpoint::tcp([192, 0, 2, 7].into(), 3306);
        let missed = TlsState { weaknesses: [(Weakness::Rc4, 1)].into(), ..sound() };
        let other = Some(Sha256([2; 32]));
        for (state, shown, hour, expect) in [
            (None, Some(LEAF), 100, true),
            (Some(sound()), Some(LEAF), 100 + 24 * 89, false),
            (Some(sound()), Some(LEAF), 100 + 24 * 90, true),
            // What could not be told is not asked again the next day.
            (Some(missed), Some(LEAF), 100 + 24 * 8, false),
            (Some(sound()), other, 100 + 24 * 6, false),
            (Some(sound()), other, 100 + 24 * 7, true),
        ] {
            let due = is_due(state.as_ref(), shown, &endpoint, Manner::Sparing, at(hour));
            assert_eq!(due, expect, "{hour} {shown:?} {state:?}");
        }
        let spared = Spared::default();
        let made = |hour: i64| (0..9).filter(|_| spared.admits(endpoint, at(hour))).count();
        assert_eq!([made(0), made(24 * 89), made(24 * 90), made(24 * 91)], [3, 0, 3, 0]);
        assert!(spared.admits(Endpoint::tcp([192, 0, 2, 8].into(), 3306), at(0)), "each counts by itself");
    }

    #[test]
    fn protocols_and_manners() {
        for (starttls, expect) in
            [(None, Manner::Usual), (Some("smtp"), Manner::Usual), (Some("mysql"), Manner::Sparing)]
        {
            let endpoint = Endpoint::tcp([192, 0, 2, 7].into(), 3306);
            let request = AuditRequest { endpoint, name: None, starttls: starttls.map(str::to_owned) };
            assert_eq!(manner(&request), expect, "{starttls:?}");
        }
    }
}
