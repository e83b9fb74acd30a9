use super::*;
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

fn range(text: &str) -> AddressRange {
    text.parse::<model::Target>().expect(text).range().expect("addresses")
}

fn ports(text: &str) -> PortSet {
    PortSet::parse(text, Transport::Tcp).expect(text)
}

/// What is true of every numbering, against the plain list of what it should number.
fn check(numbering: &Numbering, expected: &[Endpoint]) {
    let all: Vec<Endpoint> = (0..numbering.len()).filter_map(|number| numbering.at(number)).collect();
    assert_eq!(all, expected);
    assert_eq!((numbering.at(numbering.len()), numbering.at(u64::MAX)), (None, None));
    assert_eq!(numbering.host_of(numbering.len()), None);
    let hosts: BTreeSet<IpAddr> = expected.iter().map(|endpoint| endpoint.ip).collect();
    for (number, endpoint) in (0..).zip(expected) {
        assert_eq!(numbering.number_of(endpoint), Some(number), "{endpoint}");
        let host = numbering.host_of(number).expect("inside");
        assert_eq!(numbering.address_of(host), Some(endpoint.ip));
        assert_eq!(numbering.host_index(endpoint.ip), Some(host));
        assert!(numbering.numbers_of(host).contains(&number));
    }
    if !expected.is_empty() {
        assert!((0..numbering.hosts()).filter_map(|host| numbering.address_of(host)).eq(hosts.iter().copied()));
        let sizes: u64 =
            (0..numbering.hosts()).map(|host| numbering.numbers_of(host)).map(|range| range.end - range.start).sum();
        assert_eq!(sizes, numbering.len());
    }
    assert_eq!(numbering.address_of(numbering.hosts()), None);
    assert!(numbering.numbers_of(numbering.hosts()).is_empty());
}

#[test]
fn numbers_every_port_of_every_address_of_both_families() {
    let addresses: AddressSet =
        ["192.0.2.254-192.0.3.1", "198.51.100.7", "2001:db8::ffff-2001:db8::1:1", "2001:db8:1::"]
            .into_iter()
            .map(range)
            .collect();
    let (tcp, udp) = (ports("1,22,64-65,65535"), ports("53,1024"));
    let numbering = Numbering::product(&addresses, &tcp, &udp).expect("small");
    let mut expected = Vec::new();
    for ip in &addresses {
        expected.extend(tcp.iter().map(|port| Endpoint::tcp(ip, port)));
        expected.extend(udp.iter().map(|port| Endpoint::udp(ip, port)));
    }
    check(&numbering, &expected);
    assert_eq!(numbering.addresses(), addresses);
    assert_eq!(numbering.ports().map(<[_]>::len), Some(7));
    assert_eq!((numbering.port_set(Transport::Tcp), numbering.port_set(Transport::Udp)), (Some(tcp), Some(udp)));
    let first: IpAddr = Ipv4Addr::new(192, 0, 2, 254).into();
    for absent in [
        Endpoint::tcp(first, 2),
        Endpoint::tcp(first, 0),
        Endpoint::udp(first, 22),
        Endpoint::tcp(Ipv4Addr::new(192, 0, 2, 253).into(), 22),
        Endpoint::tcp(Ipv4Addr::new(192, 0, 3, 2).into(), 22),
        Endpoint::tcp(Ipv6Addr::LOCALHOST.into(), 22),
        Endpoint::tcp("2001:db8::1:2".parse().expect("an address"), 22),
        Endpoint::tcp("ffff::".parse().expect("an address"), 22),
    ] {
        assert_eq!(numbering.number_of(&absent), None, "{absent}");
    }
}

#[test]
fn numbers_nothing_and_nearly_everything() {
    let (none, all) = (PortSet::empty(), PortSet::all());
    check(&Numbering::product(&AddressSet::empty(), &all, &all).expect("empty"), &[]);
    check(&Numbering::product(&[range("192.0.2.0/24")].into_iter().collect(), &none, &none).expect("empty"), &[]);
    check(&Numbering::list([]), &[]);
    let ipv4: AddressSet = [range("0.0.0.0/0")].into_iter().collect();
    let everything = Numbering::product(&ipv4, &all, &all).expect("fewer than 2^64");
    assert_eq!(everything.len(), (1 << 32) * 131_070);
    let last = Endpoint::udp(Ipv4Addr::BROADCAST.into(), u16::MAX);
    assert_eq!(
        (everything.at(everything.len() - 1), everything.number_of(&last)),
        (Some(last), Some(everything.len() - 1))
    );
    let large: AddressSet = [range("2001:db8::/66")].into_iter().collect();
    assert_eq!(Numbering::product(&large, &ports("80"), &none).map(|numbering| numbering.len()), Some(1 << 62));
    assert_eq!(Numbering::product(&large, &ports("80-84"), &none), None);
    let larger: AddressSet = [range("2001:db8::/64")].into_iter().collect();
    assert_eq!(Numbering::product(&larger, &ports("80"), &none), None);
}

fn near(number: u128, v4: bool) -> IpAddr {
    if v4 {
        Ipv4Addr::from(0xc000_0200 + u32::try_from(number).expect("small")).into()
    } else {
        Ipv6Addr::from((0x2001_0db8_u128 << 96) + number).into()
    }
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (0_u128..20, any::<bool>(), any::<bool>(), 1_u16..8).prop_map(|(host, v4, is_tcp, port)| Endpoint {
        ip: near(host, v4),
        transport: if is_tcp { Transport::Tcp } else { Transport::Udp },
        port,
    })
}

proptest! {
    #[test]
    fn numbers_any_product(
        ranges in prop::collection::vec((0_u128..60, 0_u128..9, any::<bool>()), 0..8),
        tcp in prop::collection::btree_set(1_u16.., 0..6),
        udp in prop::collection::btree_set(1_u16..300, 0..6),
    ) {
        let addresses: AddressSet = ranges
            .into_iter()
            .filter_map(|(first, more, v4)| AddressRange::new(near(first, v4), near(first + more, v4)))
            .collect();
        let numbering = Numbering::product(
            &addresses,
            &tcp.iter().copied().collect(),
            &udp.iter().copied().collect(),
        );
        let mut expected = Vec::new();
        for ip in &addresses {
            expected.extend(tcp.iter().map(|port| Endpoint::tcp(ip, *port)));
            expected.extend(udp.iter().map(|port| Endpoint::udp(ip, *port)));
        }
        check(&numbering.expect("small"), &expected);
    }

    #[test]
    fn numbers_any_list(endpoints in prop::collection::vec(endpoint(), 0..60), other in endpoint()) {
        let numbering = Numbering::list(endpoints.iter().copied());
        let expected: BTreeSet<Endpoint> = endpoints.iter().copied().collect();
        check(&numbering, &expected.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(numbering.number_of(&other).is_some(), expected.contains(&other));
        prop_assert_eq!(numbering.ports(), None);
    }
}
