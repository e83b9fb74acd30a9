//! Hosts, packed: ascending by address in chunks, each with its endpoints in slots of a fixed size and what they share kept
//! once. The detector thinks on [`HostState`]; this is how a million of them wait to be thought about.

mod chunks;
mod extra;
mod moment;
mod pool;
mod record;
mod row;
mod slot;
mod unchanged;
mod values;

pub use row::{Known, Row};

use crate::{Counts, HostState};
use chunks::Chunks;
use model::Vantage;
use record::Record;
use std::{net::IpAddr, ops::Bound};
use values::Values;

/// What one vantage knows of hosts.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    vantage: Vantage,
    chunks: Chunks,
    values: Values,
    counts: Counts,
    /// Where handing out touched hosts goes on.
    cursor: Bound<IpAddr>,
}

impl Table {
    pub(crate) fn new(vantage: Vantage) -> Self {
        Self {
            vantage,
            chunks: Chunks::default(),
            values: Values::default(),
            counts: Counts::default(),
            cursor: Bound::Unbounded,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// A copy in its working form.
    pub(crate) fn get(&self, ip: &IpAddr) -> Option<HostState> {
        Some(self.chunks.get(ip)?.unpack(*ip, &self.vantage, &self.values))
    }

    pub(crate) fn row(&self, ip: IpAddr) -> Option<Row<'_>> {
        let (ip, record) = self.chunks.get_key_value(&ip)?;
        Some(Row::new(ip, record, self))
    }

    /// Ascending by address, each unpacked as it is reached.
    pub(crate) fn values(&self) -> impl Iterator<Item = HostState> + '_ {
        self.rows().map(Row::unpack)
    }

    /// Ascending by address, as they lie.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows_from(Bound::Unbounded)
    }

    pub(crate) fn rows_from(&self, from: Bound<IpAddr>) -> impl Iterator<Item = Row<'_>> {
        self.chunks.iter_from(from).map(|(ip, record)| Row::new(ip, record, self))
    }

    /// Takes a host as it was read back, and not met yet.
    pub(crate) fn insert(&mut self, host: &HostState) {
        let record = Record::pack(host, &self.vantage, &mut self.values);
        self.put(host.key.ip, record);
    }

    /// Leaves no room between hosts that were inserted in no order.
    pub(crate) fn close_up(&mut self) {
        self.chunks.close_up();
    }

    /// Replaces what was known of its address by what came of a look the long way. It counts as written, and as met where
    /// that look found nothing but what was known.
    pub(crate) fn install(&mut self, host: &HostState) {
        // Packed before the old one goes, so that what both share is not dropped in between.
        let mut record = Record::pack(host, &self.vantage, &mut self.values);
        record.meet(self.chunks.get(&host.key.ip).is_some_and(|before| record.says_what(before)));
        self.put(host.key.ip, record);
    }

    fn put(&mut self, ip: IpAddr, record: Record) {
        self.counts.add(record.counts());
        if let Some(old) = self.chunks.insert(ip, record) {
            self.forget(&old);
        }
    }

    pub(crate) fn remove(&mut self, ip: &IpAddr) {
        if let Some(old) = self.chunks.remove(ip) {
            self.forget(&old);
        }
    }

    fn forget(&mut self, old: &Record) {
        self.counts.subtract(old.counts());
        old.release(&mut self.values);
    }

    /// Every host's next slice takes the long way.
    pub(crate) fn meet_anew(&mut self) {
        for record in self.chunks.records_mut() {
            record.meet(false);
        }
    }

    /// Without certificates.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn touched(&self) -> usize {
        self.chunks.touched()
    }

    /// Hands out touched hosts, at most so many, going round by address; they count as written from then on.
    pub(crate) fn take_touched(&mut self, limit: usize) -> Vec<HostState> {
        let mut taken = self.chunks.take_touched(self.cursor, limit);
        if taken.len() < limit {
            let more = self.chunks.take_touched(Bound::Unbounded, limit - taken.len());
            taken.extend(more);
        }
        self.cursor = taken.last().map_or(Bound::Unbounded, |last| Bound::Excluded(*last));
        taken.iter().filter_map(|ip| self.get(ip)).collect()
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.hosts += other.hosts;
        self.hosts_up += other.hosts_up;
        self.endpoints += other.endpoints;
        self.services += other.services;
    }

    fn subtract(&mut self, other: Self) {
        self.hosts -= other.hosts;
        self.hosts_up -= other.hosts_up;
        self.endpoints -= other.endpoints;
        self.services -= other.services;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Approval, EndpointState, Identity, IdentityKey, PortStatus, ServiceState, TlsState};
    use jiff::Timestamp;
    use model::{HostKey, Os, Service, Sha256, SshKey, TlsPosture, Transport, Verdict};
    use std::{collections::BTreeMap, sync::Arc};

    fn ip(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    fn service(name: Option<&str>, key: u8) -> ServiceState {
        let at = Timestamp::UNIX_EPOCH;
        let ssh_key = SshKey { algorithm: "ssh-ed25519".to_owned(), sha256: Sha256([key; 32]) };
        let service = Service { name: "ssh".to_owned(), ssh_key: Some(ssh_key), ..Service::default() };
        let tls = TlsState {
            version: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
            alpn: Some("h2".to_owned()),
            certificate: Some(Sha256([key; 32])),
            alternates: BTreeMap::new(),
            verdicts: vec![Verdict::SelfSigned],
            chain: vec![Sha256([key; 32])],
            path: None,
            // Looked at each at a time of its own.
            posture: Some(Box::new(TlsPosture {
                at: Some(at + jiff::SignedDuration::from_secs(key.into())),
                audited: Some(at + jiff::SignedDuration::from_hours(key.into())),
                profile: Some("tsp1:-|-".to_owned()),
                ..TlsPosture::default()
            })),
            weaknesses: BTreeMap::new(),
            suspected: BTreeMap::new(),
        };
        ServiceState {
            name: name.map(|name| name.parse().expect("a name")),
            learnt: false,
            service: Some(Arc::new(service)),
            tls: Some(Box::new(tls)),
            first_seen: at,
            last_seen: at,
            changed_at: at,
            last_observed: at,
            pending_service: None,
            pending_certificate: None,
            pending_key: None,
            pending_trust: None,
        }
    }

    /// Every third with a name, which does not fit its slot; each with a key of its own.
    fn host(number: u8, reason: &str) -> HostState {
        let at = Timestamp::UNIX_EPOCH;
        let mut services = vec![service(None, number)];
        if number.is_multiple_of(3) {
            services.push(service(Some("www.example.org"), number));
        }
        let key = services[0].service.as_ref().and_then(|service| service.ssh_key.clone()).expect("a key");
        HostState {
            up: true,
            os: Some(Os { family: "linux".to_owned(), product: None, version: None, confidence: 0.5 }),
            approved: Some(Approval { at, by: "operator".to_owned() }),
            identities: vec![Identity { key: IdentityKey::Ssh(key), since: at, last: at }],
            endpoints: vec![EndpointState {
                transport: Transport::Tcp,
                port: 22,
                status: PortStatus::Open,
                reason: reason.to_owned(),
                first_seen: at,
                last_seen: at,
                changed_at: at,
                last_observed: at,
                pending: None,
                recovered: 0,
                learnt: true,
                services,
            }],
            ..HostState::new(HostKey { vantage: Vantage::from("scan1"), ip: ip(number) }, at)
        }
    }

    #[test]
    fn what_nobody_uses_any_more_is_dropped() {
        let mut table = Table::new(Vantage::from("scan1"));
        for round in ["connected", "syn-ack", "connected"] {
            for number in 0..=255 {
                table.insert(&host(number, round));
                assert_eq!(table.get(&ip(number)), Some(host(number, round)));
            }
        }
        // A key for each, a whole service for those with a name and a TLS state with its chain for the others; and what all have
        // in common: five texts, a service, a system, the configuration's words, an approval, a posture.
        assert_eq!(table.values.len(), 256 + 86 + 2 * 170 + 10);
        for number in 0..=255 {
            table.remove(&ip(number));
        }
        assert_eq!((table.values.len(), table.len(), table.counts()), (0, 0, Counts::default()));
    }

    #[test]
    fn hosts_that_came_in_no_order_lie_as_if_they_had_come_in_order() {
        let mut table = Table::new(Vantage::from("scan1"));
        let numbers = || (0..8_u32).flat_map(|net| (0..=255).map(move |low| (net, low)));
        let ip = |(net, low): (u32, u32)| IpAddr::from(std::net::Ipv4Addr::from(0xc612_0000 | net << 8 | low));
        let mixed = |(net, low): (u32, u32)| ((net * 5 + 3) % 8, (low * 77 + 31) % 256);
        for number in numbers().map(mixed) {
            let mut host = host(1, "connected");
            host.key.ip = ip(number);
            table.insert(&host);
        }
        let touched = [ip((0, 9)), ip((3, 200)), ip((7, 255))];
        for ip in &touched {
            assert!(table.chunks.touch(ip, |_| true));
        }
        let before: Vec<_> = table.values().collect();
        table.close_up();
        assert_eq!(table.values().collect::<Vec<_>>(), before);
        assert_eq!(table.values().map(|host| host.key.ip).collect::<Vec<_>>(), numbers().map(ip).collect::<Vec<_>>());
        assert_eq!(table.chunks.room(), 0, "no room is left between them");
        assert_eq!((table.len(), table.touched()), (2_048, 3));
        assert_eq!(table.take_touched(9).iter().map(|host| host.key.ip).collect::<Vec<_>>(), touched);
        // It takes more, and lets go, as before.
        assert!(table.get(&ip((4, 0))).is_some());
        table.remove(&ip((4, 0)));
        let mut more = host(1, "connected");
        more.key.ip = ip((4, 0));
        table.insert(&more);
        assert_eq!(table.values().count(), 2_048);
    }

    #[test]
    fn touched_hosts_are_handed_out_once_going_round() {
        let mut table = Table::new(Vantage::from("scan1"));
        (0..=255).for_each(|number| table.insert(&host(number, "connected")));
        let touch = |table: &mut Table, number| assert!(table.chunks.touch(&ip(number), |_| true));
        let taken = |table: &mut Table, limit| {
            table.take_touched(limit).iter().map(|host| host.key.ip.to_string()).collect::<Vec<_>>()
        };
        for number in [3, 5, 9, 5] {
            touch(&mut table, number);
        }
        assert_eq!(table.touched(), 3);
        assert_eq!(taken(&mut table, 2), ["192.0.2.3", "192.0.2.5"]);
        // What comes again behind the cursor waits for its turn.
        touch(&mut table, 3);
        assert_eq!(taken(&mut table, 1), ["192.0.2.9"]);
        touch(&mut table, 7);
        assert_eq!(taken(&mut table, 9), ["192.0.2.3", "192.0.2.7"]);
        // What is replaced or goes needs no writing any more.
        for number in [1, 2] {
            touch(&mut table, number);
        }
        table.insert(&host(1, "connected"));
        table.remove(&ip(2));
        assert_eq!((table.touched(), taken(&mut table, 9)), (0, Vec::new()));
    }
}
