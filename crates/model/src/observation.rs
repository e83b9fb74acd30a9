//! What came back from the network, as evidence.

use crate::{
    Certificate, Coverage, Endpoint, Mac, PassRef, Service, ServiceName, Sha256, TlsAudit, TlsPosture, TrustPath,
    Vantage, Verdict,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What one question to an endpoint yielded. Only the first three are evidence about the endpoint, silence is weak
/// evidence, and the last two are none: they never change state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Open(OpenReason),
    Closed(ClosedReason),
    Filtered(FilteredReason),
    Silent,
    NotProbed(NotProbed),
    LocalError(LocalErrorKind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenReason {
    SynAck,
    /// A SYN-ACK with a window of 0, or without any option although the SYN carried those of an end system: that is how proxies
    /// and firewalls answer for others, and hardly ever how a host does. A connection has to show whether anybody is there.
    BareSynAck,
    /// A `connect()` of the kernel succeeded (and was no self-connection).
    Connected,
    /// UDP: a datagram came back.
    Reply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClosedReason {
    /// A RST to a raw SYN: definite.
    Rst,
    /// `ECONNREFUSED` from `connect()`: a RST, or an ICMP port-unreachable that could not be told from one (Linux does not
    /// say which). A firewall's REJECT and a ban may look alike, so it needs spaced repetition.
    Refused,
    /// UDP: ICMP port unreachable.
    PortUnreachable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilteredReason {
    HostUnreachable,
    NetUnreachable,
    /// `EACCES`/`EPERM` from the path, or another ICMP prohibition.
    Prohibited,
    /// TCP: an ICMP port-unreachable. A host answers a closed port by RST, so this is a firewall's REJECT, or a ban.
    PortUnreachable,
    Other,
}

/// Why a question was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotProbed {
    OutOfScope,
    Halted,
    OutsideWindow,
    Blocked,
    Fragile,
    Aborted,
}

/// Our own trouble, never the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalErrorKind {
    /// `EMFILE`, `ENFILE`.
    Descriptors,
    /// `EADDRNOTAVAIL`: no source port left.
    SourcePorts,
    /// `ENOBUFS`, `ENOMEM`, `EAGAIN`.
    Buffers,
    /// `ENETUNREACH`/`EHOSTUNREACH` straight from `connect()`: no route of our own, link down.
    NoRoute,
    /// `EPERM`/`EACCES` straight from `connect()`: our own firewall.
    Denied,
    Other,
}

impl OpenReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SynAck => "syn-ack",
            Self::BareSynAck => "bare-syn-ack",
            Self::Connected => "connected",
            Self::Reply => "udp-reply",
        }
    }
}

impl ClosedReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rst => "rst",
            Self::Refused => "refused",
            Self::PortUnreachable => "port-unreachable",
        }
    }
}

impl FilteredReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostUnreachable => "host-unreachable",
            Self::NetUnreachable => "net-unreachable",
            Self::Prohibited => "prohibited",
            Self::PortUnreachable => "port-unreachable",
            Self::Other => "icmp",
        }
    }
}

impl NotProbed {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfScope => "out of scope",
            Self::Halted => "halted",
            Self::OutsideWindow => "outside the window",
            Self::Blocked => "blocked",
            Self::Fragile => "fragile",
            Self::Aborted => "aborted",
        }
    }
}

impl LocalErrorKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Descriptors => "out of file descriptors",
            Self::SourcePorts => "out of source ports",
            Self::Buffers => "out of buffers",
            Self::NoRoute => "no route",
            Self::Denied => "denied by the local firewall",
            Self::Other => "local error",
        }
    }
}

impl Outcome {
    /// Open by an answer that somebody else may have given: see [`OpenReason::BareSynAck`].
    pub fn is_doubtful(self) -> bool {
        self == Self::Open(OpenReason::BareSynAck)
    }

    /// Something at that address answered: it lives.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Open(_) | Self::Closed(_))
    }

    pub fn is_open(self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Whether it says anything at all about the endpoint.
    pub fn is_evidence(self) -> bool {
        !matches!(self, Self::NotProbed(_) | Self::LocalError(_))
    }

    /// The word used in reasons and evidence: `connected`, `refused`, `silent`, `host-unreachable`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open(reason) => reason.as_str(),
            Self::Closed(reason) => reason.as_str(),
            Self::Filtered(reason) => reason.as_str(),
            Self::Silent => "silent",
            Self::NotProbed(reason) => reason.as_str(),
            Self::LocalError(kind) => kind.as_str(),
        }
    }
}

/// One endpoint's answer (or none) to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortObservation {
    pub endpoint: Endpoint,
    pub outcome: Outcome,
    /// When the answer came, or was given up on. With the endpoint it identifies the observation: the same one applied
    /// twice is recognised by it.
    pub at: Timestamp,
    /// Packets or connections it took, from 1.
    pub attempts: u8,
    /// Those of them that were refused before one was accepted: not by the endpoint, then, but by somebody on the way.
    #[serde(default)]
    pub refused: u8,
    /// In microseconds.
    pub rtt_us: Option<u32>,
}

impl PortObservation {
    /// Whether it is open, and packets were lost before that showed.
    pub fn is_late(&self) -> bool {
        self.outcome.is_open() && self.attempts.saturating_sub(self.refused) > 1
    }
}

/// What a conversation with an open endpoint found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceObservation {
    pub endpoint: Endpoint,
    /// The name it was asked under; none for the address alone.
    pub name: Option<ServiceName>,
    pub at: Timestamp,
    /// None: it accepts, and said nothing that was recognised.
    pub service: Option<Service>,
    pub tls: Option<TlsObservation>,
    /// TCP connections used.
    pub connections: u8,
    /// The name was learnt from the network: it is asked for as the configured ones are, and its first answer is no news.
    #[serde(default)]
    pub learnt: bool,
    /// What it was recognised by. Not kept in memory by the inventory.
    #[serde(skip)]
    pub heard: Option<Box<Heard>>,
}

/// What a service was recognised by, for rules that are yet to come.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// What our own parsers and rules made of it; the operator's rules had no say yet.
    pub base: Service,
    /// The beginning of what it said, as far as [`Heard::MOST`] goes.
    pub bytes: Vec<u8>,
}

impl Heard {
    /// In bytes.
    pub const MOST: usize = 16 * 1024;

    pub fn new(base: Service, bytes: &[u8]) -> Self {
        Self { base, bytes: bytes.get(..bytes.len().min(Self::MOST)).unwrap_or_default().to_vec() }
    }
}

/// What a deep audit of a service's TLS found, on connections of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditObservation {
    pub endpoint: Endpoint,
    /// The name it was asked under; none for the address alone.
    pub name: Option<ServiceName>,
    pub at: Timestamp,
    pub posture: Box<TlsPosture>,
    pub weaknesses: TlsAudit,
}

/// What a TLS handshake showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsObservation {
    /// `TLSv1.2`, `TLSv1.3`.
    pub version: String,
    pub cipher: String,
    pub alpn: Option<String>,
    /// The leaf; none where even the lenient reader could make nothing of it.
    pub certificate: Option<Certificate>,
    pub verdicts: Vec<Verdict>,
    /// The chain as presented, leaf first, each certificate's DER. Not kept in memory by the inventory.
    #[serde(skip)]
    pub chain: Vec<Vec<u8>>,
    /// The same, each by its digest.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub presented: Vec<Sha256>,
    /// The chain as validated; none where it does not verify, or nobody tried.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<Box<TrustPath>>,
    /// What further looks at its TLS said; none where this one brought nothing of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub posture: Option<Box<TlsPosture>>,
    /// The protocol that went over to TLS in the middle of a connection, as [`Service::name`](crate::Service::name) has it; none
    /// where TLS comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starttls: Option<String>,
}

impl TlsObservation {
    /// A handshake that shows nothing yet but its version and cipher.
    pub fn new(version: impl Into<String>, cipher: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            cipher: cipher.into(),
            alpn: None,
            certificate: None,
            verdicts: Vec::new(),
            chain: Vec::new(),
            presented: Vec::new(),
            path: None,
            posture: None,
            starttls: None,
        }
    }
}

/// Where a name of a host comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameSource {
    /// A host name in the configuration that resolves to this address.
    Configured,
    Ptr,
    /// What it calls itself to whoever asks for its `NetBIOS` names.
    NetBios,
    /// What it calls itself before somebody logs in (SMB, RDP, RPC and others).
    Ntlm,
    /// What its directory says of itself.
    Ldap,
}

/// The complete set of names one source gives a host now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameObservation {
    pub source: NameSource,
    pub names: std::collections::BTreeSet<String>,
    pub at: Timestamp,
}

/// Everything one pass learnt about one host up to now: the unit that is applied, committed and told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostSlice {
    pub vantage: Vantage,
    pub ip: IpAddr,
    pub pass: PassRef,
    /// When the slice was closed; no observation in it is later.
    pub at: Timestamp,
    /// What was asked completely. Empty in a slice that only brings good news early.
    pub covered: Coverage,
    /// Open endpoints, every endpoint the inventory knows that was asked, and where nothing is open the first answer
    /// that shows the host lives. Ascending by time.
    pub ports: Vec<PortObservation>,
    pub services: Vec<ServiceObservation>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub audits: Vec<AuditObservation>,
    pub names: Vec<NameObservation>,
    /// The link-layer address that answers for it, where it is on a link of ours and the kernel knows it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mac: Option<Mac>,
    /// What came of asking whether it is there at all; none where that was not asked, or proves nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub presence: Option<Presence>,
}

/// Whether a host is there at all, whatever its ports say: what came of knocking where no port answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// When the answer came, or was given up on.
    pub at: Timestamp,
    /// What it answered to; none where it was asked in every way there is and stayed silent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sign: Option<Sign>,
}

/// A sign of life that is no answer of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// RST to an acknowledgement of what was never sent. Firewalls send it on behalf of others, as they do for SYNs, so it shows
    /// that a known host lives and finds none.
    Acknowledgement,
    /// It answers for its address on a link of ours: ARP (RFC 826), neighbour discovery (RFC 4861).
    Neighbour,
    /// ICMP timestamp (RFC 792).
    Timestamp,
    /// ICMP echo (RFC 792, RFC 4443).
    Echo,
}

impl Sign {
    /// The word used in reasons and evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledgement => "tcp-ack",
            Self::Neighbour => "neighbour",
            Self::Timestamp => "icmp-timestamp",
            Self::Echo => "icmp-echo",
        }
    }

    /// Whether it is enough to believe in a host of which nothing else was ever heard.
    pub fn finds(self) -> bool {
        self != Self::Acknowledgement
    }
}

impl Presence {
    /// Whether it was asked in every way and said nothing.
    pub fn is_silent(&self) -> bool {
        self.sign.is_none()
    }
}
