//! What an observation changes: computed first, committed by the caller, installed last.

use crate::{CertificateState, HostState, PoolState, Region};
use jiff::Timestamp;
use model::{Event, HostKey, ServiceName, Sha256, Transport};
use std::{net::IpAddr, sync::Arc};

/// The outcome of one decision: new versions of everything it touched, and what it gives rise to. Nothing in the
/// inventory has changed until [`crate::Inventory::install`] is given it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    pub hosts: Vec<HostState>,
    pub removed_hosts: Vec<HostKey>,
    pub certificates: Vec<CertificateState>,
    pub removed_certificates: Vec<Sha256>,
    pub regions: Vec<Region>,
    pub pools: Vec<PoolState>,
    /// Profiles whose baseline is complete with this change.
    pub baselines: Vec<Arc<str>>,
    /// In causal order: a host before its ports, a port before its service.
    pub events: Vec<Event>,
    /// Questions to ask again, and when.
    pub requests: Vec<ConfirmRequest>,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// A question the detector wants asked again before it believes something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfirmRequest {
    /// Not before this.
    pub at: Timestamp,
    pub ip: IpAddr,
    /// Whose `confirm` settings are in force.
    pub profile: Arc<str>,
    pub question: Question,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// Is it open?
    Port { transport: Transport, port: u16 },
    /// Who answers there, asked under that name?
    Service { transport: Transport, port: u16, name: Option<ServiceName> },
    /// Does anything at the address live? Ask these, by more than one method where there are several.
    Host { endpoints: Vec<(Transport, u16)> },
}
