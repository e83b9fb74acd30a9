//! Host names as leases: when each is asked for again, and what its addresses are until then.

use crate::LeaseRecord;
use jiff::Timestamp;
use model::ServiceName;
use scope::{Lease, Scope};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// A name whose question failed is asked again after this.
const RETRY: Duration = Duration::from_secs(10);
/// A record is renewed so long before it ends.
const MARGIN: Duration = Duration::from_secs(5);

/// No record is believed for longer.
const LONGEST: Duration = Duration::from_hours(1);

type Key = (Arc<str>, ServiceName);

#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: HashMap<Key, (Vec<IpAddr>, Timestamp)>,
    retry_at: HashMap<Key, Timestamp>,
    asking: HashSet<Key>,
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

impl Leases {
    pub(crate) fn restore(records: Vec<LeaseRecord>) -> Self {
        let mut leases = Self::default();
        for record in records {
            // A name this version would not accept any more is resolved anew, if it is still configured.
            if let Ok(name) = record.name.parse() {
                leases.held.insert((record.asset, name), (record.addresses, record.until));
            }
        }
        leases
    }

    /// The names to ask for now; they count as being asked until [`Self::answered`] or [`Self::failed`].
    pub(crate) fn due(&mut self, scope: &Scope, now: Timestamp) -> Vec<Key> {
        let mut due = Vec::new();
        for key in scope.names() {
            let held_until = self.held.get(&key).map(|(_, until)| *until);
            // Further ahead than any record lives, or any retry waits: the clock was set back.
            let is_due = |at: Timestamp, most: Duration| at <= now || after(now, most) < at;
            let renew = held_until.is_none_or(|until| is_due(until.checked_sub(MARGIN).unwrap_or(until), LONGEST));
            let allowed = self.retry_at.get(&key).is_none_or(|at| is_due(*at, RETRY));
            if renew && allowed && self.asking.insert(key.clone()) {
                due.push(key);
            }
        }
        due
    }

    /// Takes an answer. Returns the addresses it replaces, where it replaces others.
    pub(crate) fn answered(&mut self, key: &Key, addresses: &[IpAddr], until: Timestamp) -> Option<Vec<IpAddr>> {
        self.asking.remove(key);
        self.retry_at.remove(key);
        let before = self.held.insert(key.clone(), (addresses.to_vec(), until));
        before.map(|(before, _)| before).filter(|before| before != addresses)
    }

    pub(crate) fn failed(&mut self, key: &Key, now: Timestamp) {
        self.asking.remove(key);
        self.retry_at.insert(key.clone(), now.checked_add(RETRY).unwrap_or(now));
    }

    /// There is no such name any more: once its last record has run out, the addresses it had are given up and returned.
    pub(crate) fn ended(&mut self, key: &Key, now: Timestamp) -> Option<Vec<IpAddr>> {
        let (addresses, until) = self.held.get_mut(key)?;
        (*until <= now && !addresses.is_empty()).then(|| std::mem::take(addresses))
    }

    /// The names that have no living record, for `status`.
    pub(crate) fn lapsed(&self, scope: &Scope, now: Timestamp) -> Vec<ServiceName> {
        let living = |key: &Key| self.held.get(key).is_some_and(|(_, until)| *until > now);
        scope
            .names()
            .into_iter()
            .filter(|key| self.retry_at.contains_key(key) && !living(key))
            .map(|(_, name)| name)
            .collect()
    }

    /// Whether some name of these assets has not been asked for even once: what they hold is not known yet.
    pub(crate) fn awaits_first_answer(&self, scope: &Scope, assets: &[Arc<str>]) -> bool {
        let unknown = |key: &Key| !self.held.contains_key(key) && !self.retry_at.contains_key(key);
        scope.names().iter().any(|key| assets.contains(&key.0) && unknown(key))
    }

    /// Drops names that are no longer configured.
    pub(crate) fn retain(&mut self, scope: &Scope) {
        let wanted: HashSet<Key> = scope.names().into_iter().collect();
        self.held.retain(|key, _| wanted.contains(key));
        self.retry_at.retain(|key, _| wanted.contains(key));
    }

    pub(crate) fn for_scope(&self) -> Vec<Lease> {
        let lease = |((asset, name), (addresses, until)): (&Key, &(Vec<IpAddr>, Timestamp))| Lease {
            asset: asset.clone(),
            name: name.clone(),
            addresses: addresses.clone(),
            until: *until,
        };
        self.held.iter().map(lease).collect()
    }

    pub(crate) fn records(&self) -> Vec<LeaseRecord> {
        self.for_scope()
            .into_iter()
            .map(|lease| LeaseRecord {
                asset: lease.asset,
                name: lease.name.to_string(),
                addresses: lease.addresses,
                until: lease.until,
            })
            .collect()
    }
}
