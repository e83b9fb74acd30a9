//! What the inventory remembers, in the shape in which it is kept, committed and restored. Everything the detector knows
//! is in here, pending confirmations and miss counters too, so that a restart goes on exactly where it was.

use jiff::Timestamp;
use model::{
    AddressSet, Certificate, Endpoint, EndpointFact, HostFacts, HostKey, Lane, Mac, NameSource, Os, PartOf, PassId,
    PortSet, Service, ServiceName, Sha256, SshKey, TlsPosture, Transport, Verdict, Weakness,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A host, as one vantage sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostState {
    pub key: HostKey,
    pub up: bool,
    pub first_seen: Timestamp,
    /// The last positive evidence of life.
    pub last_seen: Timestamp,
    /// Since when it is lost; none while it is up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub names: BTreeMap<NameSource, BTreeSet<String>>,
    pub assets: Arc<[Arc<str>]>,
    pub tags: Arc<[Arc<str>]>,
    pub value: u8,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub os: Option<Os>,
    /// Every endpoint ever seen open, ascending by transport and port.
    pub endpoints: Vec<EndpointState>,
    /// An endpoint that showed it lives although it is not open (it refused): what to ask where nothing is open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answered_by: Option<(Transport, u16)>,
    /// Passes that found no life in it. Of a provisional host (see [`HostState::is_provisional`]): its first sign of life.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub misses: Option<Pending>,
    /// When each source last gave its names: an older observation is recognised by it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub named_at: BTreeMap<NameSource, Timestamp>,
    /// The operator's word that it is meant to be there. Every host is unreviewed until then, however it was met.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approved: Option<Approval>,
    /// The keys that tell this machine from others, each with how long it has been seen here without another one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub identities: Vec<Identity>,
    /// How the names it is given change of late, where they do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name_turns: Option<Box<NameTurns>>,
    /// Signs of late that another machine answers at the address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub turnover: Option<Box<Turnover>>,
    /// An operating system that may have replaced the one in `os`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending_os: Option<Box<PendingOs>>,
    /// Its `HOST_FOUND`, for a while: what is first seen on it in that time is part of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub found: Option<PartOf>,
    /// Confirmed changes of late, of the host and its endpoints: what changes too often is flapping.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flaps: Vec<Flap>,
    /// Weaknesses of the host as a whole that were told and not yet found gone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<HostFinding>,
    /// Since when all that it has open refuses at once while others answer: a ban of the sensor, until shown otherwise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blocked_since: Option<Timestamp>,
}

/// Who approved a host, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub at: Timestamp,
    /// `operator`, or the file the list came from.
    pub by: String,
}

/// What tells one machine from another, whatever its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKey {
    Mac(Mac),
    Ssh(SshKey),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub key: IdentityKey,
    pub since: Timestamp,
    pub last: Timestamp,
}

/// What each source of names said of late, where it did not say the same every time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NameTurns {
    pub by_source: BTreeMap<NameSource, NameTurn>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NameTurn {
    /// Names it gave of late, each with when last: sets that stay within them take turns.
    pub recent: BTreeMap<String, Timestamp>,
    /// Another set than the one told, with how often it was seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending: Option<PendingNames>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingNames {
    pub evidence: Pending,
    pub names: BTreeSet<String>,
}

/// When each thing that tells machines apart was last seen to change. One alone is a repair or an upgrade; two together
/// are another machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Turnover {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mac: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<Timestamp>,
    /// A service showed a key of another algorithm instead of its own, which nobody had shown before: one more, or another machine's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub other_key: Option<Timestamp>,
    /// The family of its operating system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub os: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub products: Option<Timestamp>,
    /// When `HOST_REPLACED` was raised.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub told: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingOs {
    pub evidence: Pending,
    pub os: Os,
}

/// What may flap: the host itself, or one endpoint of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlapSubject {
    Host,
    Endpoint(Transport, u16),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flap {
    pub subject: FlapSubject,
    /// When it changed, ascending; those older than the window are dropped.
    pub changes: Vec<Timestamp>,
    /// Its `FLAP_START`, while it flaps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flapping: Option<PartOf>,
    /// How many changes `FLAP_START` and what came after it stand for.
    #[serde(default)]
    pub damped: u32,
    /// While it flaps: in how many looks of its lanes it was as it is, since its last change.
    #[serde(default)]
    pub looks: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFinding {
    /// `shared-key …`, `answers-every-port`: what it is, and of which key.
    pub id: String,
    pub since: Timestamp,
    pub last_seen: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortStatus {
    Open,
    Closed,
    /// A first sighting that still waits for its confirmation; nobody has been told.
    Opening,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointState {
    pub transport: Transport,
    pub port: u16,
    pub status: PortStatus,
    /// The outcome it rests on: `connected`, `refused`, `silent`, …
    pub reason: String,
    pub first_seen: Timestamp,
    /// When it was last seen open.
    pub last_seen: Timestamp,
    /// When it took its present status.
    pub changed_at: Timestamp,
    /// The last observation applied: the same one again is recognised by its time.
    pub last_observed: Timestamp,
    /// Evidence against the present status, not yet enough.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending: Option<Pending>,
    /// How often of late evidence against it was taken back by an answer: an unsteady path needs more of it.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub recovered: u8,
    /// It came with the baseline, so what is first found on it is learnt in silence too.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub learnt: bool,
    /// One for the bare address (name none) and one for each name it was asked under.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub services: Vec<ServiceState>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<ServiceName>,
    /// The name was learnt from the certificate shown under no name, and is asked for as long as that has it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub learnt: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<Arc<Service>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls: Option<Box<TlsState>>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub changed_at: Timestamp,
    pub last_observed: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending_service: Option<Box<PendingService>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending_certificate: Option<Box<PendingCertificate>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending_key: Option<Box<PendingKey>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending_trust: Option<Box<PendingTrust>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsState {
    pub version: String,
    pub cipher: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alpn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate: Option<Sha256>,
    /// Others seen here in turn with it: a balancer's. Alternation among them is no change.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub alternates: BTreeMap<Sha256, Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub verdicts: Vec<Verdict>,
    /// What was presented after the leaf.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub chain: Vec<Sha256>,
    /// The way from the leaf to a root, where it verifies.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<Box<PathState>>,
    /// What further looks at its TLS said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub posture: Option<Box<TlsPosture>>,
    /// What audits found, each told once while it lasts, with in how many audits since it was not found.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub weaknesses: BTreeMap<Weakness, u8>,
    /// What audits found that is not believed, nor told, yet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub suspected: BTreeMap<Weakness, Suspicion>,
}

/// A weakness that an audit found, until others agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Suspicion {
    /// Audits that found it, in a row.
    pub count: u8,
    pub since: Timestamp,
    /// When the next audit may speak for it.
    pub due: Timestamp,
}

/// A chain as it was validated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PathState {
    /// The leaf's issuer first, without the root.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub issuers: Vec<Sha256>,
    /// The root's subject.
    pub root: String,
    /// When the first of the issuers ends; none where the root itself issued the leaf.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issuers_end: Option<Timestamp>,
}

/// Evidence that gathers: how often, since when, in which pass last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub count: u16,
    pub since: Timestamp,
    pub last: Timestamp,
    pub last_pass: PassId,
    /// What the last of it was: `refused`, `silent`.
    pub reason: String,
    /// Whose `confirm` settings were in force last.
    pub profile: Arc<str>,
    /// When to ask again.
    pub due: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingService {
    /// Conversations in a row that gave this answer; a count of nought where only `turns` are remembered.
    pub evidence: Pending,
    pub service: Option<Arc<Service>>,
    pub tls: bool,
    /// Other answers that take turns with the one in force: a balancer's.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub turns: Vec<Turn>,
}

/// An answer that takes turns with others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<Arc<Service>>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub tls: bool,
    /// When it was last given, and in how many conversations since it was not.
    pub last: Timestamp,
    pub missed: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCertificate {
    /// Handshakes in a row without the one in force; a count of nought where only `missed` is remembered.
    pub evidence: Pending,
    /// The one shown instead, last.
    pub certificate: Sha256,
    /// And what was found of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub verdicts: Vec<Verdict>,
    /// Of those that take turns: in how many handshakes since it was last met each was not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub missed: BTreeMap<Sha256, u16>,
    /// While all that take turns are asked for because one joined them: how many conversations more.
    #[serde(skip_serializing_if = "is_none_left", default)]
    pub census: u16,
}

/// The certificate in force with somebody who vouches for it where nobody did, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingTrust {
    /// Handshakes in a row; a count of nought where it is only remembered that there were some of late.
    pub evidence: Pending,
    /// It was so before, and then as it had been.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub wavers: bool,
}

/// Another SSH host key than the one in the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingKey {
    pub evidence: Pending,
    pub key: SshKey,
}

/// A pool of interchangeable hosts (`asset.kind = "pool"`): its members come and go, what they offer stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolState {
    /// The asset's name.
    pub asset: Arc<str>,
    /// What members offer, learnt or told.
    #[serde(with = "offers")]
    pub offers: BTreeMap<PoolOffer, PoolPlace>,
    /// Since when no member lives, once that was told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost_since: Option<Timestamp>,
}

/// As a list of pairs: JSON has no maps with such keys.
mod offers {
    use super::{PoolOffer, PoolPlace};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(
        offers: &BTreeMap<PoolOffer, PoolPlace>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        offers.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<PoolOffer, PoolPlace>, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolOffer {
    pub transport: Transport,
    pub port: u16,
    /// The protocol and product, in lower case; none where no member said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub product: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolPlace {
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none_left(number: &u16) -> bool {
    *number == 0
}

/// How far a certificate is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// `SSL_NEW` was raised for it.
    #[default]
    Told,
    /// Learnt without `SSL_NEW`, in that pass: in the same pass it may still be told, so that the order of hosts inside a
    /// pass does not matter; later it may not.
    Learnt(PassId),
    /// Only seen as an unconfirmed replacement.
    Unsettled,
}

/// A certificate, once for everything that serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateState {
    pub certificate: Certificate,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Where it is served now, with the name it was asked under.
    pub endpoints: BTreeSet<(Endpoint, Option<ServiceName>)>,
    /// The tightest expiry threshold already told, in days.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expiry_told: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub expired_told: bool,
    /// Endpoints where it was already called rogue.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub rogue_told: BTreeSet<(Endpoint, Option<ServiceName>)>,
    /// The first `SSL_ROGUE` of those in force, by the assets it was told of: one elsewhere in the same assets is part of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub rogue: BTreeMap<String, PartOf>,
    /// The first `SSL_CHANGED` to it, by the certificate it took the place of and the assets: the same elsewhere is part of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub replaced: BTreeMap<String, PartOf>,
    /// What is weak about it, wherever it is served; each was told once.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub weaknesses: BTreeSet<Weakness>,
    #[serde(default)]
    pub standing: Standing,
    /// Those that end before it and have vouched for it on a way to a root that verified, anywhere and ever. Which of them do now
    /// stands with the services that serve it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub outlives: BTreeSet<Sha256>,
    /// It vouched for one that ends later.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_issuer: bool,
}

impl CertificateState {
    /// Served nowhere, and nobody told.
    pub(crate) fn new(certificate: Certificate, at: Timestamp) -> Self {
        Self {
            certificate,
            first_seen: at,
            last_seen: at,
            endpoints: BTreeSet::new(),
            expiry_told: None,
            expired_told: false,
            rogue_told: BTreeSet::new(),
            rogue: BTreeMap::new(),
            replaced: BTreeMap::new(),
            weaknesses: BTreeSet::new(),
            standing: Standing::Unsettled,
            outlives: BTreeSet::new(),
            is_issuer: false,
        }
    }

    /// It is not rogue at that place, or not served there any more: if it is met there again, that is news.
    pub(crate) fn not_rogue(&mut self, place: &(Endpoint, Option<ServiceName>)) {
        self.rogue_told.remove(place);
        if self.rogue_told.is_empty() {
            self.rogue.clear();
        }
    }
}

/// What one lane of one profile has asked completely at least once: inside it an opening is news, outside it is learnt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    pub profile: Arc<str>,
    pub lane: Lane,
    pub tcp: Arc<PortSet>,
    pub udp: Arc<PortSet>,
    pub covered: AddressSet,
    /// What it covered under other port lists and the part above does not contain. Few, and gone as the part above grows.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub earlier: Vec<CoveredPart>,
    /// Addresses that were asked whether anybody is there at all, and nobody was: a host found there is news.
    #[serde(skip_serializing_if = "AddressSet::is_empty", default)]
    pub absent: AddressSet,
}

/// Ports on addresses, all of them asked completely at least once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredPart {
    pub tcp: Arc<PortSet>,
    pub udp: Arc<PortSet>,
    pub addresses: AddressSet,
}

impl HostState {
    /// Nothing is known of it but when it was first met.
    pub fn new(key: HostKey, first_seen: Timestamp) -> Self {
        Self {
            key,
            up: false,
            first_seen,
            last_seen: Timestamp::MIN,
            lost_since: None,
            names: BTreeMap::new(),
            assets: Arc::default(),
            tags: Arc::default(),
            value: 1,
            os: None,
            endpoints: Vec::new(),
            answered_by: None,
            misses: None,
            named_at: BTreeMap::new(),
            approved: None,
            identities: Vec::new(),
            name_turns: None,
            turnover: None,
            pending_os: None,
            found: None,
            flaps: Vec::new(),
            findings: Vec::new(),
            blocked_since: None,
        }
    }

    /// A first sign of life waits for its confirmation: nobody has been told, and it may vanish again in silence.
    pub fn is_provisional(&self) -> bool {
        !self.up && self.lost_since.is_none()
    }

    pub fn endpoint(&self, transport: Transport, port: u16) -> Option<&EndpointState> {
        self.endpoints
            .binary_search_by_key(&(transport, port), |endpoint| (endpoint.transport, endpoint.port))
            .ok()
            .map(|index| &self.endpoints[index])
    }

    /// The endpoints that are open now, ascending.
    pub fn open(&self) -> impl Iterator<Item = &EndpointState> {
        self.endpoints.iter().filter(|endpoint| endpoint.status == PortStatus::Open)
    }

    pub fn all_names(&self) -> BTreeSet<String> {
        self.names.values().flatten().cloned().collect()
    }

    /// The view rules get.
    pub fn facts(&self) -> HostFacts {
        HostFacts {
            ip: self.key.ip,
            up: self.up,
            names: self.all_names(),
            os: self.os.clone(),
            assets: self.assets.iter().map(ToString::to_string).collect(),
            tags: self.tags.iter().map(ToString::to_string).collect(),
            value: self.value,
            approved: self.approved.is_some(),
            endpoints: self
                .open()
                .map(|endpoint| EndpointFact {
                    transport: endpoint.transport,
                    port: endpoint.port,
                    service: endpoint.services.iter().find_map(|service| service.service.as_deref().cloned()),
                    tls: endpoint.services.iter().any(|service| service.tls.is_some()),
                })
                .collect(),
        }
    }
}
