//! What the monitor commits to. The store implements it.

use inventory::{CertificateState, HostState, PoolState, Region};
use jiff::Timestamp;
use model::{
    AddressSet, Alert, Coverage, Event, Heard, HostKey, Lane, Loss, PassId, PortSet, ServiceName, Sha256, Transport,
};
use notifiers::Owed;
use scope::ledger::Entry;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, future::Future, net::IpAddr, sync::Arc};

/// Everything one decision changes, committed in one transaction: all of it is on disk afterwards, or nothing is.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub hosts: Vec<HostState>,
    pub removed_hosts: Vec<HostKey>,
    pub certificates: Vec<CertificateState>,
    pub removed_certificates: Vec<Sha256>,
    /// DER of certificates seen for the first time, leaf or chain member.
    pub certificate_der: Vec<(Sha256, Vec<u8>)>,
    pub regions: Vec<Region>,
    pub removed_regions: Vec<(Arc<str>, Lane)>,
    /// Profiles whose baseline is complete.
    pub baselines: Vec<Arc<str>>,
    pub events: Vec<Event>,
    pub alerts: Vec<Alert>,
    /// The outbox rows of those alerts.
    pub owed: Vec<Owed>,
    pub passes: Vec<PassRecord>,
    /// Which state rules each host breaks now; replaces what was known of that host.
    pub violations: Vec<Violations>,
    pub leases: Option<Vec<LeaseRecord>>,
    pub halted: Option<bool>,
    pub pools: Vec<PoolState>,
    /// Assets that are pools no more.
    pub removed_pools: Vec<Arc<str>>,
    /// What the monitor must remember of itself over a restart: each replaces the one of its kind and key.
    pub notes: Vec<Note>,
    /// What services were recognised by. One that says what is kept already is not kept again.
    pub answers: Vec<KeptAnswer>,
    /// Rows of the probe ledger; one takes the place of an earlier one of its volley.
    pub probes: Vec<Entry>,
}

/// A small durable record of the loop: a trouble that was told, a lane that was called stale, a prefix that answers for
/// everything, a storm under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// `trouble`, `stale`, `prefix`, `storm`, …
    pub kind: String,
    pub key: String,
    /// JSON of whatever that kind remembers; none removes the record.
    pub value: Option<String>,
}

/// What a service was recognised by, as it was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptAnswer {
    pub place: AnswerPlace,
    /// Of the bytes: those of many are the same.
    pub digest: Sha256,
    pub heard: Heard,
}

/// Where an answer was heard, by this vantage. In the order of pages of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerPlace {
    pub ip: IpAddr,
    pub transport: Transport,
    pub port: u16,
    /// The name it was asked under; none for the address alone.
    pub name: Option<ServiceName>,
}

impl Batch {
    /// Adds a note; an earlier one of its kind and key in the batch counts no more.
    pub(crate) fn note(&mut self, note: Note) {
        self.notes.retain(|earlier| (&earlier.kind, &earlier.key) != (&note.kind, &note.key));
        self.notes.push(note);
    }

    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
            && self.removed_hosts.is_empty()
            && self.certificates.is_empty()
            && self.removed_certificates.is_empty()
            && self.certificate_der.is_empty()
            && self.regions.is_empty()
            && self.removed_regions.is_empty()
            && self.baselines.is_empty()
            && self.events.is_empty()
            && self.alerts.is_empty()
            && self.owed.is_empty()
            && self.passes.is_empty()
            && self.violations.is_empty()
            && self.leases.is_none()
            && self.halted.is_none()
            && self.answers.is_empty()
            && self.pools.is_empty()
            && self.removed_pools.is_empty()
            && self.notes.is_empty()
            && self.probes.is_empty()
    }
}

/// The ledger's row of one pass. Written when it begins, whenever a group of addresses is done, and when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassRecord {
    pub id: PassId,
    pub profile: Arc<str>,
    pub lane: Lane,
    pub started: Timestamp,
    pub finished: Option<Timestamp>,
    /// Seed of its order, and the groups done in that order: where a restart goes on.
    pub seed: u64,
    pub groups_done: u64,
    pub groups: u64,
    /// What it was to cover, in short; a restart under another configuration begins anew.
    pub fingerprint: u64,
    /// How its groups were made, in short: what was begun in another way begins anew.
    #[serde(default)]
    pub manner: u64,
    pub complete: bool,
    pub probes: u64,
    pub attempts: u64,
    pub covered: u64,
    pub local_errors: u64,
    /// Endpoints known to answer that were asked, and those of them that did not answer the first attempt.
    pub loss_asked: u64,
    pub loss_missed: u64,
    /// Endpoints by the questions they were asked, or would have been had they stayed silent: the first place is of those asked once.
    #[serde(default)]
    pub silent: Vec<u64>,
    /// Stretches of questions that were asked again because this machine itself lost packets.
    #[serde(default)]
    pub replayed: u64,
    /// What counts of the group under way, where a group is asked its ports in parts: a restart goes on in the middle of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<Credit>,
    /// Endpoints whose answers it may have lost for good: as good as not asked.
    #[serde(default)]
    pub lost_here: u64,
}

/// What the parts of a group that were asked have covered so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Credit {
    pub tcp: PortSet,
    pub udp: PortSet,
    /// Those of whom all of these ports were.
    pub addresses: AddressSet,
}

impl Credit {
    /// With another part, in which what these did not answer counted: of nobody where something was wrong with all of it, and then
    /// it covers no port.
    #[must_use]
    pub(crate) fn with(before: Option<Self>, part: &Coverage, counted: &AddressSet) -> Option<Self> {
        if counted.is_empty() {
            return before;
        }
        let Some(before) = before else {
            return Some(Self { tcp: (*part.tcp).clone(), udp: (*part.udp).clone(), addresses: counted.clone() });
        };
        Some(Self {
            tcp: before.tcp.union(&part.tcp),
            udp: before.udp.union(&part.udp),
            addresses: before.addresses.intersection(counted),
        })
    }

    pub(crate) fn coverage(&self) -> Coverage {
        Coverage { tcp: Arc::new(self.tcp.clone()), udp: Arc::new(self.udp.clone()) }
    }
}

impl PassRecord {
    pub(crate) fn loss(&self) -> Loss {
        Loss { asked: self.loss_asked, missed: self.loss_missed }
    }

    /// So many more endpoints that were asked so often, or would have been had they stayed silent; never, where this machine lost
    /// whatever they may have answered.
    pub(crate) fn note_silent(&mut self, questions: i32, endpoints: u64) {
        if questions < 1 {
            self.lost_here += endpoints;
            return;
        }
        let place = usize::try_from(questions - 1).unwrap_or_default();
        if endpoints > 0 {
            self.silent.resize(self.silent.len().max(place + 1), 0);
            self.silent[place] += endpoints;
        }
    }

    /// The chance that random loss hid a given open port in it.
    pub(crate) fn p_miss(&self) -> Option<f64> {
        let silent = self.silent.iter().enumerate();
        let silent = silent.map(|(place, count)| (i32::try_from(place).unwrap_or(i32::MAX).saturating_add(1), *count));
        self.loss().p_miss(self.probes, std::iter::once((0, self.lost_here)).chain(silent))
    }
}

/// The state rules a host breaks: profile, rule set and rule, with since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violations {
    pub host: HostKey,
    pub broken: Vec<(String, String, String, Timestamp)>,
}

/// A host name's addresses, as last resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    pub asset: Arc<str>,
    pub name: String,
    pub addresses: Vec<IpAddr>,
    pub until: Timestamp,
    /// Addresses it had before, and when it last had them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub earlier: BTreeMap<IpAddr, Timestamp>,
    /// Some of them came back: the name has its addresses in turns.
    #[serde(default)]
    pub in_turns: bool,
}

/// What a daemon finds when it starts, beside the hosts.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    pub certificates: Vec<CertificateState>,
    pub regions: Vec<Region>,
    pub baselines: Vec<Arc<str>>,
    /// The last pass of each profile and lane, finished or not.
    pub passes: Vec<PassRecord>,
    pub violations: Vec<Violations>,
    pub leases: Vec<LeaseRecord>,
    pub halted: bool,
    pub pools: Vec<PoolState>,
    pub notes: Vec<Note>,
    /// Committed ever, those that were let go since as well.
    pub events: u64,
}

/// What a commit gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// The batch's events' sequence numbers, in their order.
    pub events: Vec<u64>,
    pub alerts: Vec<u64>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Disk full, I/O error, lock: the same batch may succeed later, nothing of it is stored.
    #[error("{0}")]
    Retry(String),
    /// The database is damaged or not ours: no later attempt will succeed.
    #[error("{0}")]
    Broken(String),
}

/// The durable side of the loop.
pub trait Journal: std::fmt::Debug + Send + Sync + 'static {
    /// Gives every host to `hosts` as it is read, in no particular order, and gives `hosts` back with all the rest: a million
    /// hosts are never all there unpacked.
    fn load<H>(&self, hosts: H) -> impl Future<Output = Result<(H, Restored), JournalError>> + Send
    where
        H: Extend<HostState> + Send + 'static;

    /// Commits the batch; on `Ok` it survives power loss. The caller keeps it to try again, so it is shared and not copied.
    fn commit(
        &self,
        batch: impl Into<Arc<Batch>> + Send,
    ) -> impl Future<Output = Result<Committed, JournalError>> + Send;

    /// Answers that are kept, in the order of their places: at most so many of those behind a place.
    fn answers(
        &self,
        _after: Option<AnswerPlace>,
        _most: usize,
    ) -> impl Future<Output = Result<Vec<KeptAnswer>, JournalError>> + Send {
        async { Ok(Vec::new()) }
    }
}
