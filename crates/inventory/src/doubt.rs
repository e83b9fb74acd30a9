//! Doubts that turn out to rest on nothing: what looked like silence was the sensor's own.

use crate::{Change, HostState, Inventory, PortStatus};
use std::{collections::BTreeSet, net::IpAddr};

impl Inventory {
    /// Drops the evidence that gathers against hosts and open ports, everywhere. For the moments at which the sensor falls ill
    /// and gets well again: what was gathered around them proves nothing, and must not be completed by the next stray silence.
    /// What is really gone is doubted anew by the next look.
    pub fn forget_doubts(&self) -> Change {
        let mut change = Change::default();
        for host in self.hosts.rows().filter(|row| row.is_unsettled()).map(crate::Row::unpack) {
            change.hosts.extend(without_doubts(host));
        }
        change
    }

    /// The same for these hosts alone.
    pub fn forget_doubts_about(&self, hosts: &BTreeSet<IpAddr>) -> Change {
        let known = hosts.iter().filter_map(|&ip| self.hosts.row(ip)).map(crate::Row::unpack);
        Change { hosts: known.filter_map(without_doubts).collect(), ..Change::default() }
    }
}

/// None where there was nothing to forget.
fn without_doubts(mut host: HostState) -> Option<HostState> {
    let mut open = host.endpoints.iter().filter(|endpoint| endpoint.status == PortStatus::Open);
    // One that refuses the sensor goes on doing so whatever the sensor's health, until it answers.
    let is_sure = host.misses.is_none() && open.all(|endpoint| endpoint.pending.is_none());
    if is_sure || host.blocked_since.is_some() {
        return None;
    }
    host.misses = None;
    for endpoint in host.endpoints.iter_mut().filter(|endpoint| endpoint.status == PortStatus::Open) {
        endpoint.pending = None;
    }
    Some(host)
}
