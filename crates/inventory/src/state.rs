//! What the inventory remembers, in the shape in which it is kept, committed and restored. Everything the detector knows
//! is in here, pending confirmations and miss counters too, so that a restart goes on exactly where it was.

use jiff::Timestamp;
use model::{
    AddressSet, Certificate, Endpoint, EndpointFact, HostFacts, HostKey, Lane, NameSource, Os, PassId, PortSet,
    Service, ServiceName, Sha256, Transport, Verdict,
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
    /// Where nothing is open: an endpoint that showed it lives (it refused).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answered_by: Option<(Transport, u16)>,
    /// Passes that found no life in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub misses: Option<Pending>,
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
    /// One for the bare address (name none) and one for each name it was asked under.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub services: Vec<ServiceState>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<ServiceName>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<Service>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls: Option<TlsState>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub changed_at: Timestamp,
    pub last_observed: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending_service: Option<PendingService>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending_certificate: Option<PendingCertificate>,
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
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingService {
    pub evidence: Pending,
    pub service: Option<Service>,
    pub tls: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCertificate {
    pub evidence: Pending,
    pub certificate: Sha256,
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
}

/// What one lane of one profile has asked completely at least once: inside it an opening is news, outside it is learnt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    pub profile: Arc<str>,
    pub lane: Lane,
    pub tcp: Arc<PortSet>,
    pub udp: Arc<PortSet>,
    pub covered: AddressSet,
}

impl HostState {
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
            endpoints: self
                .open()
                .map(|endpoint| EndpointFact {
                    transport: endpoint.transport,
                    port: endpoint.port,
                    service: endpoint.services.iter().find_map(|service| service.service.clone()),
                    tls: endpoint.services.iter().any(|service| service.tls.is_some()),
                })
                .collect(),
        }
    }
}
