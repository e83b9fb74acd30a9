//! Doubts that turn out to rest on nothing: what looked like silence was the sensor's own.

use crate::{Change, Inventory, PortStatus};

impl Inventory {
    /// Drops the evidence that gathers against hosts and open ports, everywhere. For the moments at which the sensor falls ill
    /// and gets well again: what was gathered around them proves nothing, and must not be completed by the next stray silence.
    /// What is really gone is doubted anew by the next look.
    pub fn forget_doubts(&self) -> Change {
        let mut change = Change::default();
        for mut host in self.hosts.rows().filter(|row| row.is_unsettled()).map(crate::Row::unpack) {
            let mut open = host.endpoints.iter().filter(|endpoint| endpoint.status == PortStatus::Open);
            // One that refuses the sensor goes on doing so whatever the sensor's health, until it answers.
            let is_sure = host.misses.is_none() && open.all(|endpoint| endpoint.pending.is_none());
            if is_sure || host.blocked_since.is_some() {
                continue;
            }
            host.misses = None;
            for endpoint in host.endpoints.iter_mut().filter(|endpoint| endpoint.status == PortStatus::Open) {
                endpoint.pending = None;
            }
            change.hosts.push(host);
        }
        change
    }
}
