use super::cursor::{Cursor, put};
use crate::Numbering;
use model::{AddressRange, AddressSet, Endpoint, PortSet, Transport};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The endpoints of volleys, in a few bytes: as stored, once for all volleys that had them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Territory {
    bytes: Vec<u8>,
    /// The lowest and the highest address; none where it is empty.
    extent: Option<(IpAddr, IpAddr)>,
}

/// What tells one territory from another: the first 16 bytes of the SHA-256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 16]);

/// The bytes were not written by this program, or were damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes say nothing of endpoints; the ledger is damaged, or another version wrote it")]
pub struct NotATerritory;

/// What the first byte says.
const PRODUCT: u8 = 1;
const LIST: u8 = 2;

impl Territory {
    /// Ranges and ports, or of a list each address with its ports; every number as its distance from the one before.
    pub fn of(numbering: &Numbering) -> Self {
        let mut bytes = Vec::new();
        let addresses = numbering.addresses();
        if let (Some(tcp), Some(udp)) = (numbering.port_set(Transport::Tcp), numbering.port_set(Transport::Udp)) {
            bytes.push(PRODUCT);
            put_addresses(&mut bytes, &addresses);
            put_ports(&mut bytes, &tcp);
            put_ports(&mut bytes, &udp);
        } else {
            bytes.push(LIST);
            put_list(&mut bytes, numbering);
        }
        let ranges = addresses.ranges();
        let extent = ranges.first().zip(ranges.last()).map(|(first, last)| (first.first(), last.last()));
        Self { bytes, extent }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn extent(&self) -> Option<(IpAddr, IpAddr)> {
        self.extent
    }

    pub fn digest(&self) -> Digest {
        let hash = Sha256::digest(&self.bytes);
        let mut digest = [0; 16];
        digest.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
        Digest(digest)
    }

    /// The numbers it was made of.
    pub fn read(bytes: &[u8]) -> Result<Numbering, NotATerritory> {
        let mut cursor = Cursor(bytes);
        let numbering = match cursor.byte() {
            Some(PRODUCT) => product(&mut cursor),
            Some(LIST) => list(&mut cursor),
            _ => None,
        };
        numbering.filter(|_| cursor.is_at_its_end()).ok_or(NotATerritory)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn put_addresses(bytes: &mut Vec<u8>, addresses: &AddressSet) {
    for v4 in [true, false] {
        let ranges = || addresses.ranges().iter().filter(|range| range.first().is_ipv4() == v4);
        put(bytes, ranges().count() as u128);
        let mut before = 0;
        for range in ranges() {
            put(bytes, number(range.first()) - before);
            put(bytes, number(range.last()) - number(range.first()));
            before = number(range.last());
        }
    }
}

fn addresses(cursor: &mut Cursor<'_>) -> Option<AddressSet> {
    let mut ranges = Vec::new();
    for v4 in [true, false] {
        let mut before = 0_u128;
        for _ in 0..cursor.count()? {
            let first = before.checked_add(cursor.number()?)?;
            let last = first.checked_add(cursor.number()?)?;
            ranges.push(AddressRange::new(address(first, v4)?, address(last, v4)?)?);
            before = last;
        }
    }
    Some(ranges.into_iter().collect())
}

fn put_ports(bytes: &mut Vec<u8>, ports: &PortSet) {
    put(bytes, ports.ranges().len() as u128);
    let mut before = 0;
    for (first, last) in ports.ranges() {
        put(bytes, u128::from(first - before));
        put(bytes, u128::from(last - first));
        before = *last;
    }
}

fn ports(cursor: &mut Cursor<'_>) -> Option<PortSet> {
    let mut all: Vec<(u16, u16)> = Vec::new();
    let mut before = 0_u16;
    for _ in 0..cursor.count()? {
        let first = before.checked_add(u16::try_from(cursor.number()?).ok()?)?;
        let last = first.checked_add(u16::try_from(cursor.number()?).ok()?)?;
        // Ascending and apart, as they were put down: so there are at most as many as there are ports.
        if first == 0 || (!all.is_empty() && first == before) {
            return None;
        }
        all.push((first, last));
        before = last;
    }
    Some(all.into_iter().flat_map(|(first, last)| first..=last).collect())
}

/// By address, so that hosts with the same ports look the same.
fn put_list(bytes: &mut Vec<u8>, numbering: &Numbering) {
    let mut hosts: BTreeMap<IpAddr, [Vec<u16>; 2]> = BTreeMap::new();
    for endpoint in (0..numbering.len()).filter_map(|number| numbering.at(number)) {
        let [tcp, udp] = hosts.entry(endpoint.ip).or_default();
        match endpoint.transport {
            Transport::Tcp => tcp.push(endpoint.port),
            Transport::Udp => udp.push(endpoint.port),
        }
    }
    for v4 in [true, false] {
        let hosts = || hosts.iter().filter(|(ip, _)| ip.is_ipv4() == v4);
        put(bytes, hosts().count() as u128);
        let mut before = 0;
        for (ip, ports) in hosts() {
            put(bytes, number(*ip) - before);
            before = number(*ip);
            for ports in ports {
                put(bytes, ports.len() as u128);
                let mut before = 0;
                for port in ports {
                    put(bytes, u128::from(port - before));
                    before = *port;
                }
            }
        }
    }
}

fn list(cursor: &mut Cursor<'_>) -> Option<Numbering> {
    let mut endpoints = Vec::new();
    for v4 in [true, false] {
        let mut before = 0_u128;
        for _ in 0..cursor.count()? {
            before = before.checked_add(cursor.number()?)?;
            let ip = address(before, v4)?;
            for transport in [Transport::Tcp, Transport::Udp] {
                let mut port = 0_u16;
                for _ in 0..cursor.count()? {
                    port = port.checked_add(u16::try_from(cursor.number()?).ok()?)?;
                    endpoints.push(Endpoint { ip, transport, port });
                }
            }
        }
    }
    Some(Numbering::list(endpoints))
}

fn product(cursor: &mut Cursor<'_>) -> Option<Numbering> {
    let (addresses, tcp, udp) = (addresses(cursor)?, ports(cursor)?, ports(cursor)?);
    Numbering::product(&addresses, &tcp, &udp)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn address(number: u128, v4: bool) -> Option<IpAddr> {
    if v4 {
        u32::try_from(number).ok().map(|ip| Ipv4Addr::from(ip).into())
    } else {
        Some(Ipv6Addr::from(number).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(number: u128, v4: bool) -> IpAddr {
        address(if v4 { 0xc000_0200 } else { 0x2001_0db8_u128 << 96 } + number, v4).expect("small")
    }

    fn numbering() -> impl Strategy<Value = Numbering> {
        let ports = || prop::collection::btree_set(1_u16.., 0..8);
        let product = (prop::collection::vec((0_u128..500, 0_u128..60, any::<bool>()), 0..8), ports(), ports())
            .prop_map(|(ranges, tcp, udp)| {
                let addresses = ranges
                    .into_iter()
                    .filter_map(|(first, more, v4)| AddressRange::new(near(first, v4), near(first + more, v4)))
                    .collect();
                Numbering::product(&addresses, &tcp.into_iter().collect(), &udp.into_iter().collect()).expect("small")
            });
        let list = prop::collection::vec((0_u128..40, any::<bool>(), any::<bool>(), 1_u16..), 0..80).prop_map(|list| {
            Numbering::list(list.into_iter().map(|(host, v4, is_tcp, port)| Endpoint {
                ip: near(host, v4),
                transport: if is_tcp { Transport::Tcp } else { Transport::Udp },
                port,
            }))
        });
        prop_oneof![product, list]
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(numbering in numbering()) {
            let territory = Territory::of(&numbering);
            prop_assert_eq!(Territory::read(territory.bytes()), Ok(numbering.clone()));
            prop_assert_eq!(territory.digest(), Territory::of(&numbering).digest());
            let addresses = numbering.addresses();
            let extent = territory.extent();
            prop_assert!(addresses.iter().all(|ip| extent.is_some_and(|(low, high)| low <= ip && ip <= high)));
            for cut in 0..territory.bytes().len() {
                prop_assert_eq!(Territory::read(&territory.bytes()[..cut]), Err(NotATerritory));
            }
        }

        #[test]
        fn reads_any_bytes(kind in 0_u8..4, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Territory::read(&[&[kind][..], &bytes].concat());
        }
    }

    #[test]
    fn is_small() {
        let all: AddressSet =
            [AddressRange::new(near(0, true), near(65_535, true)).expect("in order")].into_iter().collect();
        let full = Numbering::product(&all, &PortSet::all(), &PortSet::empty()).expect("small");
        assert!(Territory::of(&full).bytes().len() < 20);
        let known =
            Numbering::list((0..10_000).map(|n| Endpoint::tcp(near(n / 3, true), [22, 80, 443][n as usize % 3])));
        assert!(Territory::of(&known).bytes().len() < 30_000);
        let everything = Numbering::product(
            &[AddressRange::new(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::from(u128::from(u64::MAX) - 1).into())
                .expect("in order")]
            .into_iter()
            .collect(),
            &[80].into_iter().collect(),
            &PortSet::empty(),
        )
        .expect("one less than 2^64");
        assert_eq!(Territory::read(Territory::of(&everything).bytes()), Ok(everything));
    }
}
