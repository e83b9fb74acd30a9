use super::*;
use crate::{AssetScope, Lease, Numbering, ScopeHandle, Space};
use model::{AddressRange, AddressSet, Endpoint, PortSet, Target, Transport};
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).expect("a time")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// The first packet to an endpoint, as an engine would send it: 20 bytes of TCP header or 8 of UDP behind the IP header.
fn packet(to: Endpoint) -> Vec<u8> {
    let (protocol, length) = match to.transport {
        Transport::Tcp => (TCP, 20_u8),
        Transport::Udp => (UDP, 8),
    };
    let mut packet = match to.ip {
        IpAddr::V4(ip) => {
            let mut packet = vec![0x45, 0, 0, 20 + length, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, 192, 0, 2, 1];
            packet.extend(ip.octets());
            packet
        }
        IpAddr::V6(ip) => {
            let mut packet = vec![0x60, 0, 0, 0, 0, length, protocol, 64];
            packet.extend("2001:db8::1".parse::<Ipv6Addr>().expect("an address").octets());
            packet.extend(ip.octets());
            packet
        }
    };
    let header = packet.len();
    packet.extend(60_000_u16.to_be_bytes());
    packet.extend(to.port.to_be_bytes());
    packet.resize(header + usize::from(length), 0);
    packet
}

fn lab() -> Scope {
    let targets = ["192.0.2.0/24", "2001:db8:1::/64"].map(|text| text.parse().expect(text)).into();
    let exclude = ["192.0.2.7", "2001:db8:1::7"].map(|text| AddressRange::single(ip(text)));
    Scope::new(vec![AssetScope { name: "dmz".into(), targets, until: None }], exclude.into_iter().collect())
}

#[test]
fn reads_where_a_packet_goes() {
    let guard = ScopeHandle::new(lab()).last_guard(at(0));
    for (to, permitted) in [
        ("192.0.2.8", true),
        ("192.0.2.7", false),
        ("198.51.100.1", false),
        ("2001:db8:1::8", true),
        ("2001:db8:1::7", false),
        ("2001:db8:2::8", false),
        ("::ffff:192.0.2.8", false),
    ] {
        for endpoint in [Endpoint::tcp(ip(to), 443), Endpoint::udp(ip(to), 53)] {
            assert_eq!(guard.permits_packet(&packet(endpoint)), permitted, "{endpoint}");
        }
        assert_eq!(guard.permits(ip(to)), permitted, "{to}");
        assert!(!guard.permits_packet(&packet(Endpoint::tcp(ip(to), 0))), "port 0 of {to}");
        assert!(!guard.permits_packet(&packet(Endpoint::udp(ip(to), 0))), "port 0 of {to}");
    }
}

#[test]
fn refuses_what_it_cannot_read_and_what_would_go_elsewhere() {
    let guard = ScopeHandle::new(lab()).last_guard(at(0));
    let (v4, v6) = (packet(Endpoint::tcp(ip("192.0.2.8"), 443)), packet(Endpoint::tcp(ip("2001:db8:1::8"), 443)));
    // (of which packet, byte, value, what it says then, whether it may leave)
    for (of, byte, value, what, permitted) in [
        (&v4, 1, 0xb8, "another class of service", true),
        (&v4, 8, 1, "another time to live", true),
        (&v4, 9, ICMP, "ICMP", true),
        (&v4, 9, ICMP6, "ICMPv6 in IPv4", false),
        (&v4, 9, 47, "a tunnel", false),
        (&v4, 9, 4, "IPv4 in IPv4", false),
        (&v4, 0, 0x46, "an option: it may be a source route", false),
        (&v4, 0, 0x44, "four words of header", false),
        (&v4, 0, 0x55, "version 5", false),
        (&v4, 3, 41, "a length beyond its end", false),
        (&v4, 3, 39, "a length before its end", true),
        (&v4, 3, 23, "a length before its port", false),
        (&v4, 3, 19, "a length within its header", false),
        (&v4, 3, 0, "no length", false),
        (&v4, 6, 0x00, "may be fragmented", true),
        (&v4, 6, 0x20, "the first fragment", false),
        (&v4, 6, 0x80, "the reserved bit", false),
        (&v4, 7, 1, "a later fragment", false),
        (&v6, 1, 0x0f, "a flow label", true),
        (&v6, 6, ICMP6, "ICMPv6", true),
        (&v6, 6, ICMP, "ICMP in IPv6", false),
        (&v6, 6, 0, "hop-by-hop options", false),
        (&v6, 6, 43, "a routing header", false),
        (&v6, 6, 44, "a fragment", false),
        (&v6, 6, 60, "destination options", false),
        (&v6, 0, 0x40, "version 4", false),
        (&v6, 5, 21, "a length beyond its end", false),
        (&v6, 5, 3, "a length before its port", false),
    ] {
        let mut changed = of.clone();
        changed[byte] = value;
        assert_eq!(guard.permits_packet(&changed), permitted, "{what}");
    }
    for whole in [&v4, &v6] {
        for length in 0..whole.len() {
            assert!(!guard.permits_packet(&whole[..length]), "cut after {length}");
        }
    }
}

#[test]
fn holds_for_the_moment_it_was_made() {
    let handle = ScopeHandle::new(lab());
    let before = handle.last_guard(at(0));
    handle.replace(Scope::new(Vec::new(), AddressSet::empty()));
    assert!(before.permits(ip("192.0.2.8")) && !handle.last_guard(at(0)).permits(ip("192.0.2.8")));
}

/// Addresses around which everything happens: 80 of each family.
fn near(n: u128, v4: bool) -> IpAddr {
    let n = n % 80;
    if v4 {
        Ipv4Addr::from(0xc000_0200 + u32::try_from(n).expect("small")).into()
    } else {
        Ipv6Addr::from((0x2001_0db8_u128 << 96) + n).into()
    }
}

fn range() -> impl Strategy<Value = AddressRange> {
    (0_u128..80, 0_u128..20, any::<bool>()).prop_map(|(first, more, v4)| {
        AddressRange::new(near(first, v4), near((first + more).min(79), v4)).expect("in order")
    })
}

proptest! {
    /// Whatever picks the packets, and however wrong: none leaves for what is excluded, outside, or no longer authorized or leased.
    /// What may be touched is told here by going through the configuration as it is written.
    #[test]
    fn stops_what_a_wrong_order_of_a_wrong_space_brings(
        assets in prop::collection::vec((prop::collection::vec(range(), 0..3), prop::option::of(0_i64..4)), 0..4),
        excluded in prop::collection::vec(range(), 0..4),
        leased in prop::collection::vec((0_usize..4, 0_u128..80, any::<bool>(), 0_i64..5), 0..6),
        now in 0_i64..5,
        (factor, offset) in (0_u64..1_000, 0_u64..1_000),
    ) {
        let assets: Vec<AssetScope> = assets
            .into_iter()
            .enumerate()
            .map(|(k, (ranges, until))| {
                let targets = ranges.into_iter().map(Target::Addresses).chain([Target::Name("www.example.org".to_owned())]);
                AssetScope { name: format!("asset{k}").into(), targets: targets.collect(), until: until.map(at) }
            })
            .collect();
        let leases: Vec<Lease> = leased
            .into_iter()
            .map(|(k, host, v4, until)| Lease {
                asset: format!("asset{k}").into(),
                name: "www.example.org".parse().expect("a name"),
                addresses: vec![near(host, v4)],
                until: at(until),
            })
            .collect();
        let exclude: AddressSet = excluded.iter().copied().collect();
        let scope = Scope::new(assets.clone(), exclude).with_leases(leases.clone());
        let ends = |until: Option<Timestamp>| until.is_some_and(|until| until <= at(now));
        let may = |ip: IpAddr| {
            let targeted = |asset: &AssetScope| {
                let own = asset.targets.iter().filter_map(Target::range).any(|range| range.contains(ip));
                let leased = leases.iter().any(|lease| {
                    lease.asset == asset.name && lease.addresses.contains(&ip) && !ends(Some(lease.until))
                });
                !ends(asset.until) && (own || leased)
            };
            !excluded.iter().any(|range| range.contains(ip)) && assets.iter().any(targeted)
        };

        // A space nobody looked at: everything around. An order that is none: the same numbers again and again, others never.
        let around: AddressSet = [true, false]
            .into_iter()
            .filter_map(|v4| AddressRange::new(near(0, v4), near(79, v4)))
            .collect();
        let ports: PortSet = [80].into_iter().collect();
        let wrong = Space::unchecked(Numbering::product(&around, &ports, &ports).expect("small"));
        let guard = ScopeHandle::new(scope).last_guard(at(now));
        for index in 0..wrong.len() {
            for number in [(index * factor + offset) % wrong.len(), index] {
                let endpoint = wrong.at(number).expect("inside").get();
                prop_assert_eq!(guard.permits_packet(&packet(endpoint)), may(endpoint.ip), "{}", endpoint);
            }
        }
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), first in prop::sample::select(vec![0x45_u8, 0x60, 0x4f])) {
        let guard = ScopeHandle::new(lab()).last_guard(at(0));
        let _ = guard.permits_packet(&bytes);
        let mut bytes = bytes;
        if let Some(version) = bytes.first_mut() {
            *version = first;
        }
        let permitted = guard.permits_packet(&bytes);
        prop_assert!(!permitted || bytes.len() >= 20);
    }
}
