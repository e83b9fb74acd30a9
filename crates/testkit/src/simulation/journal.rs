//! A journal in memory: what was committed survives the monitor, as on a disk.

use super::truth::FastMap;
use inventory::{CertificateState, HostState, PoolState, Region};
use model::{Event, HostKey, Lane, PassId, Sha256};
use monitor::{Batch, Committed, Journal, JournalError, LeaseRecord, Note, PassRecord, Restored, Violations};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Cheap to clone; clones are the same memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    /// Where the last state of each lies: copying all that is written would cost more than all else here.
    hosts: FastMap<IpAddr, (Arc<Batch>, usize)>,
    certificates: HashMap<Sha256, CertificateState>,
    regions: HashMap<(Arc<str>, Lane), Region>,
    baselines: Vec<Arc<str>>,
    /// The last two of a lane: one that goes on, and the one before.
    passes: BTreeMap<(Arc<str>, Lane), Vec<PassRecord>>,
    violations: HashMap<HostKey, Violations>,
    leases: Vec<LeaseRecord>,
    halted: bool,
    pools: HashMap<Arc<str>, PoolState>,
    notes: BTreeMap<(String, String), Note>,
    events: Vec<Event>,
    commits: u64,
    alerts: u64,
}

impl Memory {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.contents().events.clone()
    }

    pub(super) fn hosts(&self) -> Vec<HostState> {
        self.contents().all_hosts()
    }

    pub(super) fn commits(&self) -> u64 {
        self.contents().commits
    }
}

impl Contents {
    fn all_hosts(&self) -> Vec<HostState> {
        self.hosts.values().filter_map(|(batch, place)| batch.hosts.get(*place)).cloned().collect()
    }
}

impl Journal for Memory {
    async fn load<H>(&self, mut hosts: H) -> Result<(H, Restored), JournalError>
    where
        H: Extend<HostState> + Send + 'static,
    {
        let contents = self.contents();
        hosts.extend(contents.all_hosts());
        let restored = Restored {
            certificates: contents.certificates.values().cloned().collect(),
            regions: contents.regions.values().cloned().collect(),
            baselines: contents.baselines.clone(),
            passes: contents.passes.values().flatten().cloned().collect(),
            violations: contents.violations.values().cloned().collect(),
            leases: contents.leases.clone(),
            halted: contents.halted,
            pools: contents.pools.values().cloned().collect(),
            notes: contents.notes.values().cloned().collect(),
            events: contents.events.len() as u64,
        };
        Ok((hosts, restored))
    }

    async fn commit(&self, batch: impl Into<Arc<Batch>> + Send) -> Result<Committed, JournalError> {
        let batch = batch.into();
        let mut contents = self.contents();
        let contents = &mut *contents;
        contents.commits += 1;
        for key in &batch.removed_hosts {
            contents.hosts.remove(&key.ip);
        }
        let hosts = batch.hosts.iter().enumerate();
        contents.hosts.extend(hosts.map(|(place, host)| (host.key.ip, (batch.clone(), place))));
        for sha256 in &batch.removed_certificates {
            contents.certificates.remove(sha256);
        }
        let certificates = batch.certificates.iter();
        contents.certificates.extend(certificates.map(|state| (state.certificate.sha256, state.clone())));
        for key in &batch.removed_regions {
            contents.regions.remove(key);
        }
        let regions = batch.regions.iter();
        contents.regions.extend(regions.map(|region| ((region.profile.clone(), region.lane), region.clone())));
        contents.baselines.extend(batch.baselines.iter().cloned());
        for pass in &batch.passes {
            remember(contents.passes.entry((pass.profile.clone(), pass.lane)).or_default(), pass);
        }
        contents.violations.extend(batch.violations.iter().map(|known| (known.host.clone(), known.clone())));
        if let Some(leases) = &batch.leases {
            contents.leases.clone_from(leases);
        }
        contents.halted = batch.halted.unwrap_or(contents.halted);
        contents.pools.extend(batch.pools.iter().map(|pool| (pool.asset.clone(), pool.clone())));
        for note in &batch.notes {
            let key = (note.kind.clone(), note.key.clone());
            if note.value.is_some() {
                contents.notes.insert(key, note.clone());
            } else {
                contents.notes.remove(&key);
            }
        }
        let first = contents.events.len() as u64 + 1;
        let events = (first..).take(batch.events.len()).collect();
        contents.events.extend(batch.events.iter().cloned());
        let alerts = (contents.alerts + 1..).take(batch.alerts.len()).collect();
        contents.alerts += batch.alerts.len() as u64;
        Ok(Committed { events, alerts })
    }
}

fn remember(passes: &mut Vec<PassRecord>, pass: &PassRecord) {
    let id: PassId = pass.id;
    match passes.iter_mut().find(|known| known.id == id) {
        Some(known) => known.clone_from(pass),
        None => passes.push(pass.clone()),
    }
    if passes.len() > 2 {
        passes.remove(0);
    }
}
