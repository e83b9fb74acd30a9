//! What turns out to be nobody's: endpoints that only a middlebox answered for.

use crate::{Change, EndpointState, Inventory};
use model::{AddressRange, AddressSet, Endpoint};
use std::ops::Bound;

impl EndpointState {
    /// Somebody was heard there: a service, or TLS.
    pub(crate) fn speaks(&self) -> bool {
        self.services.iter().any(|service| service.service.is_some() || service.tls.is_some())
    }
}

impl Inventory {
    /// Forgets, in silence, the endpoints in a range that `is_nobodys` and at which nobody was ever heard, and the hosts of which
    /// nothing else is known. What was covered stays covered, so that who is found there later is news, but while a profile
    /// learns.
    pub fn disown(&self, range: AddressRange, is_nobodys: impl Fn(&Endpoint) -> bool) -> Change {
        let mut change = Change::default();
        let rows = self.rows(Bound::Included(range.first())).take_while(|row| row.ip() <= range.last());
        for mut host in rows.map(crate::Row::unpack) {
            let (ip, known) = (host.key.ip, host.endpoints.len());
            host.endpoints.retain(|endpoint| {
                let at = Endpoint { ip, transport: endpoint.transport, port: endpoint.port };
                endpoint.speaks() || !is_nobodys(&at)
            });
            if host.endpoints.len() == known {
                continue;
            }
            host.answered_by =
                host.answered_by.filter(|&(transport, port)| !is_nobodys(&Endpoint { ip, transport, port }));
            if host.endpoints.is_empty() && host.answered_by.is_none() {
                change.removed_hosts.push(host.key);
            } else {
                change.hosts.push(host);
            }
        }
        // Who is behind it and has not been heard yet is learnt, as long as all the rest is.
        let range: AddressSet = std::iter::once(range).collect();
        for region in self.regions.values().filter(|region| !self.has_baseline(&region.profile)) {
            let shrunk = region.without(&range);
            if shrunk != *region {
                change.regions.push(shrunk);
            }
        }
        change
    }

    /// Forgets, in silence, the hosts in a range of which nothing was ever seen but that somebody answered for their address.
    /// Whoever is found there once nobody answers for it any more is learnt.
    pub fn disown_unseen(&self, range: AddressRange) -> Change {
        let rows = self.rows(Bound::Included(range.first())).take_while(|row| row.ip() <= range.last());
        let unseen = rows.filter(|row| row.asked_len() == 0).map(|row| row.unpack().key);
        let mut change = Change { removed_hosts: unseen.collect(), ..Change::default() };
        let range: AddressSet = std::iter::once(range).collect();
        for region in self.regions.values() {
            let mut shrunk = region.clone();
            shrunk.absent = shrunk.absent.difference(&range);
            if shrunk != *region {
                change.regions.push(shrunk);
            }
        }
        change
    }
}
