//! The inventory as loop and passes share it: the loop alone writes, and passes look up what they need.

use crate::likely::Seen;
use inventory::{Inventory, Known, Row};
use jiff::Timestamp;
use model::{AddressSet, Coverage, Endpoint, PortObservation, PortSet, Transport};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Hosts looked at behind each place for something open, at most so many places, and so many endpoints in all.
const NEAR: usize = 8;
const MOST_STARTS: usize = 8;
const OTHERS: usize = 8;
/// Hosts looked at under one lock: a walk over a million must not hold the loop up.
const AT_ONCE: usize = 4_096;

/// A view of the one inventory. A guard is held for a few lines, never over an `await`.
#[derive(Debug, Clone)]
pub(crate) struct Index(Arc<RwLock<Inventory>>);

/// Whether an endpoint is believed open, and when it was last asked who it is.
pub(crate) type Acquaintance = Option<(bool, Option<Timestamp>)>;

/// How much a pass over known endpoints has to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    pub(crate) endpoints: u64,
    /// As [`Index::next_batch`] would give them now.
    pub(crate) batches: u64,
}

/// A host as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) is_up: bool,
    /// Something of it is known that can be asked by a port.
    pub(crate) has_ports: bool,
}

impl Index {
    pub(crate) fn new(inventory: Inventory) -> Self {
        Self(Arc::new(RwLock::new(inventory)))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Inventory> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop's alone.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Inventory> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, endpoint: &Endpoint) -> Option<Known> {
        self.read().remembered(endpoint)
    }

    /// Whether an endpoint is believed open, and when it was last asked who it is; none where it is not known.
    pub(crate) fn acquaintance(&self, endpoint: &Endpoint) -> Acquaintance {
        self.read().row(endpoint.ip)?.acquaintance(endpoint.transport, endpoint.port)
    }

    /// The same of many, in one go: those of one host follow each other.
    pub(crate) fn acquaintances<'a>(&self, endpoints: impl Iterator<Item = &'a Endpoint>) -> Vec<Acquaintance> {
        let inventory = self.read();
        let mut host = None;
        endpoints
            .map(|endpoint| {
                let row = match host {
                    Some((ip, row)) if ip == endpoint.ip => row,
                    _ => inventory.row(endpoint.ip),
                };
                host = Some((endpoint.ip, row));
                row?.acquaintance(endpoint.transport, endpoint.port)
            })
            .collect()
    }

    /// Whether an observation speaks against what is believed: it was to be open and was not, or was to answer and did not.
    pub(crate) fn is_refuted_by(&self, seen: &PortObservation) -> bool {
        if seen.outcome.is_open() || !seen.outcome.is_evidence() {
            return false;
        }
        self.get(&seen.endpoint).is_some_and(|known| known.expected && (known.open || !seen.outcome.is_answer()))
    }

    pub(crate) fn contains(&self, endpoint: &Endpoint) -> bool {
        self.read().is_known(endpoint)
    }

    /// Whether a lane has asked it before: what is found open there now is news.
    pub(crate) fn is_covered(&self, endpoint: &Endpoint) -> bool {
        self.read().is_covered(endpoint.ip, endpoint.transport, endpoint.port)
    }

    /// What is known of a host as a whole; none of one that is not known.
    pub(crate) fn standing(&self, ip: IpAddr) -> Option<Standing> {
        let inventory = self.read();
        let row = inventory.row(ip)?;
        Some(Standing { is_up: row.is_up(), has_ports: row.asked_len() > 0 })
    }

    /// Those of these addresses of which anything is known.
    pub(crate) fn known_in(&self, addresses: &AddressSet) -> Vec<IpAddr> {
        let inventory = self.read();
        let rows = addresses.ranges().iter().flat_map(|range| {
            let last = range.last();
            inventory.rows(Bound::Included(range.first())).take_while(move |row| row.ip() <= last)
        });
        rows.map(Row::ip).collect()
    }

    /// Whether it is known of all these addresses if anybody is there that shows himself by no port.
    pub(crate) fn is_everybody_met(&self, addresses: &AddressSet) -> bool {
        let inventory = self.read();
        addresses.iter().all(|ip| inventory.is_absent(ip) || inventory.row(ip).is_some())
    }

    /// The known endpoints behind one, ascending, of hosts at addresses that pass the test: as many hosts as fit into `most`
    /// whole, at least one. Nothing where there are no more. A host's endpoints stay together, because its silence is judged
    /// over all of them.
    pub(crate) fn next_batch(
        &self,
        after: Option<Endpoint>,
        wanted: impl Fn(IpAddr) -> bool,
        most: usize,
    ) -> Vec<Endpoint> {
        let mut batch = Vec::new();
        self.walk(after.map(|endpoint| endpoint.ip), |row| {
            if !wanted(row.ip()) {
                return true;
            }
            if !batch.is_empty() && batch.len() + row.asked_len() > most {
                return false;
            }
            batch.extend(row.asked());
            true
        });
        batch
    }

    /// The known endpoints at these addresses.
    pub(crate) fn known_among(&self, addresses: &AddressSet) -> Vec<Endpoint> {
        let inventory = self.read();
        let rows = addresses.ranges().iter().flat_map(|range| {
            let last = range.last();
            inventory.rows(Bound::Included(range.first())).take_while(move |row| row.ip() <= last)
        });
        rows.flat_map(inventory::Row::asked).collect()
    }

    /// The ports of these endpoints, of those a lane has.
    pub(crate) fn ports_known_among(&self, addresses: &AddressSet, lane: &Coverage) -> Coverage {
        let known = self.known_among(addresses);
        let of = |wanted: Transport, all: &PortSet| {
            let ports = known.iter().filter(|endpoint| endpoint.transport == wanted).map(|endpoint| endpoint.port);
            Arc::new(ports.filter(|port| all.contains(*port)).collect::<PortSet>())
        };
        Coverage { tcp: of(Transport::Tcp, &lane.tcp), udp: of(Transport::Udp, &lane.udp) }
    }

    /// A few endpoints that are held to be open, the latest first of each host: of the hosts that come after each of `places`,
    /// and of the first of all.
    pub(crate) fn open_behind(&self, places: &BTreeSet<IpAddr>, wanted: impl Fn(IpAddr) -> bool) -> Vec<Endpoint> {
        let inventory = self.read();
        let mut seen = BTreeSet::new();
        let mut open = Vec::new();
        let starts = places.iter().map(|&ip| Bound::Included(ip)).chain([Bound::Unbounded]);
        for start in starts.take(MOST_STARTS) {
            let rows = inventory.rows(start).take(NEAR).filter(|row| row.is_up() && wanted(row.ip()));
            for row in rows {
                if !seen.insert(row.ip()) {
                    break;
                }
                let tcp = row.opened().filter(|(_, endpoint)| endpoint.transport == Transport::Tcp);
                open.extend(tcp.max().map(|(_, endpoint)| endpoint));
            }
        }
        // Not always the same ones of many.
        let step = (open.len() / OTHERS).max(1);
        open.into_iter().step_by(step).take(OTHERS).collect()
    }

    /// What batches of at most so many endpoints would come to. It goes out of date as hosts come and go.
    pub(crate) fn extent(&self, wanted: impl Fn(IpAddr) -> bool, most: usize) -> Extent {
        let (mut extent, mut batch) = (Extent::default(), 0);
        self.walk(None, |row| {
            let more = row.asked_len();
            if more > 0 && wanted(row.ip()) {
                extent.endpoints += more as u64;
                let begins = batch == 0 || batch + more > most;
                extent.batches += u64::from(begins);
                batch = if begins { more } else { batch + more };
            }
            true
        });
        extent
    }

    /// What was ever seen open, of all hosts.
    pub(crate) fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        self.walk(None, |row| {
            seen.note(row.ip(), row.endpoints());
            true
        });
        seen
    }

    /// Visits the hosts behind an address until the visitor has enough.
    fn walk(&self, after: Option<IpAddr>, mut visit: impl FnMut(Row<'_>) -> bool) {
        let mut from = after.map_or(Bound::Unbounded, Bound::Excluded);
        loop {
            let inventory = self.read();
            let mut last = None;
            for row in inventory.rows(from).take(AT_ONCE) {
                if !visit(row) {
                    return;
                }
                last = Some(row.ip());
            }
            let Some(last) = last else { return };
            from = Bound::Excluded(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inventory::{Change, EndpointState, HostState, PortStatus};
    use jiff::Timestamp;
    use model::{HostKey, Transport, Vantage};
    use std::net::Ipv4Addr;

    fn ip(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    /// With that many open ports.
    fn host(number: u32, ports: u16) -> HostState {
        let at = Timestamp::UNIX_EPOCH;
        let endpoints = (1..=ports).map(|port| EndpointState {
            transport: Transport::Tcp,
            port,
            status: PortStatus::Open,
            reason: "connected".to_owned(),
            first_seen: at,
            last_seen: at,
            changed_at: at,
            last_observed: at,
            pending: None,
            recovered: 0,
            learnt: true,
            services: Vec::new(),
        });
        let key = HostKey { vantage: Vantage::from("scan1"), ip: ip(number) };
        HostState { up: true, endpoints: endpoints.collect(), ..HostState::new(key, at) }
    }

    fn index(hosts: impl IntoIterator<Item = HostState>) -> Index {
        let mut inventory = Inventory::new(Vantage::from("scan1"));
        inventory.install(&Change { hosts: hosts.into_iter().collect(), ..Change::default() });
        Index::new(inventory)
    }

    #[test]
    fn batches_keep_hosts_together_and_come_to_what_was_foretold() {
        let ports = |number: u32| u16::try_from(number % 7).unwrap_or_default();
        // One that answers on more ports than a batch holds, and more hosts than are looked at under one lock.
        let trap = host(20_000, 300);
        let index = index((0..10_000).map(|number| host(number, ports(number))).chain([trap]));
        let wanted = |address: IpAddr| address != ip(8);
        let expect: Vec<Endpoint> = index
            .read()
            .hosts()
            .filter(|host| wanted(host.key.ip))
            .flat_map(|host| {
                let ip = host.key.ip;
                host.endpoints.into_iter().map(move |state| Endpoint {
                    ip,
                    transport: state.transport,
                    port: state.port,
                })
            })
            .collect();
        let extent = index.extent(wanted, 64);
        let (mut all, mut batches) = (Vec::new(), 0);
        loop {
            let batch = index.next_batch(all.last().copied(), wanted, 64);
            let Some(last) = batch.last() else { break };
            assert!(batch.len() <= 64 || last.ip == ip(20_000));
            batches += 1;
            all.extend(batch);
        }
        assert_eq!(extent, Extent { endpoints: expect.len() as u64, batches });
        assert_eq!(all, expect);
    }

    #[test]
    fn what_refused_is_asked_and_known() {
        let mut host = host(1, 2);
        host.answered_by = Some((Transport::Udp, 53));
        let index = index([host]);
        let refused = Endpoint::udp(ip(1), 53);
        let expect = vec![Endpoint::tcp(ip(1), 1), Endpoint::tcp(ip(1), 2), refused];
        assert_eq!(index.next_batch(None, |_| true, 256), expect);
        assert!(index.contains(&refused) && !index.contains(&Endpoint::tcp(ip(1), 3)));
        assert_eq!(index.get(&refused), Some(Known { expected: true, ..Known::default() }));
        assert_eq!(index.get(&Endpoint::tcp(ip(2), 1)), None);
    }
}
