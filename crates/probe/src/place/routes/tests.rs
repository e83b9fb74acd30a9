use super::{
    cut::{Cuts, Cutter, Rank},
    *,
};
use model::Target;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn range(text: &str) -> AddressRange {
    text.parse::<Target>().expect("a target").range().expect("addresses")
}

fn set(targets: &[&str]) -> AddressSet {
    targets.iter().map(|text| range(text)).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Cuts these targets at those prefixes.
fn cuts(targets: &AddressSet, prefixes: &[&str], most: usize) -> Cuts {
    let mut cutter = Cutter::new(targets, most);
    for text in prefixes {
        let to = range(text);
        cutter.add(to, rank(&Route { to, kind: RouteKind::Unicast, link: Some(1), gateway: None, source: None }));
    }
    cutter.cut()
}

#[test]
fn targets_are_cut_where_prefixes_end() {
    for (targets, prefixes, expect) in [
        (&["192.0.2.0/24"][..], &[][..], &["192.0.2.0/24"][..]),
        // Those around them, and those elsewhere, are no borders.
        (
            &["192.0.2.0/24"],
            &["0.0.0.0/0", "192.0.0.0/16", "192.0.2.0/24", "198.51.100.0/24", "::/0"],
            &["192.0.2.0/24"],
        ),
        (&["192.0.2.0/24"], &["192.0.2.128/25"], &["192.0.2.0/25", "192.0.2.128/25"]),
        (
            &["192.0.2.0/24"],
            &["192.0.2.0", "192.0.2.64/26", "192.0.2.255"],
            &["192.0.2.0", "192.0.2.1-192.0.2.63", "192.0.2.64/26", "192.0.2.128-192.0.2.254", "192.0.2.255"],
        ),
        // A border between two targets; what is between them belongs to neither.
        (
            &["192.0.2.10", "192.0.2.200", "198.51.100.7"],
            &["192.0.2.100/30", "192.0.2.128/25"],
            &["192.0.2.10", "192.0.2.200", "198.51.100.7"],
        ),
        (&["192.0.2.10", "192.0.2.200"], &["192.0.2.100/30"], &["192.0.2.10-192.0.2.200"]),
        (
            &["255.255.255.0/24", "2001:db8::/64"],
            &["255.255.255.255", "2001:db8::8000:0:0:0/65", "ff00::/8"],
            &[
                "255.255.255.0-255.255.255.254",
                "255.255.255.255",
                "2001:db8::-2001:db8::7fff:ffff:ffff:ffff",
                "2001:db8::8000:0:0:0/65",
            ],
        ),
        (&["0.0.0.0/0", "::/0"], &["128.0.0.0/1", "8000::/1"], &["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]),
        (&[], &["0.0.0.0/0"], &[]),
    ] {
        let expect: Vec<AddressRange> = expect.iter().map(|text| range(text)).collect();
        assert_eq!(
            cuts(&set(targets), prefixes, 100),
            Cuts { stretches: expect, left_out: None },
            "{targets:?} {prefixes:?}"
        );
    }
}

#[test]
fn the_longest_prefixes_give_way_first() {
    let targets = set(&["10.0.0.0/8"]);
    let mut cutter = Cutter::new(&targets, 6);
    for number in 0..200 {
        cutter.add(range(&format!("10.9.{number}.128/25")), Rank::Ordinary(25));
    }
    for text in ["10.1.0.0/16", "10.3.0.0/16"] {
        cutter.add(range(text), Rank::Ordinary(16));
    }
    cutter.add(range("10.5.0.1"), Rank::Special);
    let Cuts { stretches, left_out } = cutter.cut();
    assert_eq!(left_out, Some(Rank::Ordinary(25)));
    let expect = [
        "10.0.0.0/16",
        "10.1.0.0/16",
        "10.2.0.0/16",
        "10.3.0.0/16",
        "10.4.0.0-10.5.0.0",
        "10.5.0.1",
        "10.5.0.2-10.255.255.255",
    ];
    assert_eq!(stretches, expect.map(range));
    assert!(limit(Rank::Ordinary(25)).contains("those of /25 and longer are left out"));
}

fn link(index: u32, kind: LinkKind) -> Arc<Link> {
    Arc::new(Link { index, name: format!("link{index}"), kind, mtu: 1_500 })
}

#[test]
fn a_route_says_whom_the_frame_is_for() {
    let mac = Mac([2, 0, 0x5e, 0x10, 0, 7]);
    let kinds = [LinkKind::Loopback, LinkKind::Ethernet(mac), LinkKind::NoLinkLayer, LinkKind::Other];
    let links: BTreeMap<u32, Arc<Link>> = (1..).zip(kinds).map(|(index, kind)| (index, link(index, kind))).collect();
    let (router, source) = (ip("192.0.2.254"), ip("192.0.2.1"));
    let gateway = NextHop::Gateway { ip: router, mac: None };
    for (kind, index, via, from, expect) in [
        (RouteKind::Unicast, Some(2), Some(router), Some(source), Ok(gateway)),
        (RouteKind::Unicast, Some(2), None, Some(source), Ok(NextHop::OnLink)),
        (RouteKind::Unicast, Some(3), None, Some(source), Ok(NextHop::Point)),
        (RouteKind::Unicast, Some(3), Some(router), Some(source), Ok(NextHop::Point)),
        (RouteKind::Unicast, Some(4), Some(router), Some(source), Ok(NextHop::OnLink)),
        (RouteKind::Unicast, Some(1), None, Some(source), Ok(NextHop::Local)),
        (RouteKind::Local, Some(2), None, Some(source), Ok(NextHop::Local)),
        (RouteKind::Unicast, Some(2), None, None, Err(NoWay::NoSource)),
        (RouteKind::Unicast, Some(9), None, Some(source), Err(NoWay::NoRoute)),
        (RouteKind::Unicast, None, None, Some(source), Err(NoWay::NoRoute)),
        (RouteKind::Broadcast, Some(2), None, Some(source), Err(NoWay::Broadcast)),
        (RouteKind::Multicast, Some(2), None, Some(source), Err(NoWay::Multicast)),
        (RouteKind::Unreachable, None, None, None, Err(NoWay::Unreachable)),
        (RouteKind::Prohibited, None, None, None, Err(NoWay::Prohibited)),
        (RouteKind::BlackHole, None, None, None, Err(NoWay::BlackHole)),
        (RouteKind::Other, None, None, None, Err(NoWay::NoRoute)),
    ] {
        let to = range("198.51.100.7");
        let route = Route { to, kind, link: index, gateway: via, source: from };
        assert_eq!(way(&route, None, &links).map(|way| way.next_hop), expect, "{route:?}");
    }
    // What the operator says counts before what the kernel would take.
    let route = Route {
        to: range("198.51.100.7"),
        kind: RouteKind::Unicast,
        link: Some(2),
        gateway: None,
        source: Some(source),
    };
    let chosen = way(&route, Some(ip("192.0.2.99")), &links).expect("a way");
    assert_eq!(chosen.source, ip("192.0.2.99"));
}

#[test]
fn links_are_told_by_their_hardware() {
    let mac = Mac([2, 0, 0x5e, 0x10, 0, 7]);
    for (hardware, mac, silent, expect) in [
        (libc::ARPHRD_ETHER, Some(mac), false, LinkKind::Ethernet(mac)),
        (libc::ARPHRD_ETHER, Some(mac), true, LinkKind::Other),
        (libc::ARPHRD_LOOPBACK, Some(Mac([0; 6])), false, LinkKind::Loopback),
        // tun and WireGuard, PPP, 6in4.
        (0xfffe, None, true, LinkKind::NoLinkLayer),
        (libc::ARPHRD_PPP, None, true, LinkKind::NoLinkLayer),
        (776, None, true, LinkKind::NoLinkLayer),
        // Infiniband.
        (32, None, false, LinkKind::Other),
    ] {
        let link = message::Link {
            index: 2,
            name: "some0".into(),
            hardware,
            mac,
            mtu: 1_500,
            up: true,
            carrier: true,
            silent,
            carrier_changes: 0,
            dropped: 0,
        };
        assert_eq!(Link::from(link).kind, expect, "{hardware}");
    }
}

#[test]
fn a_routers_address_is_filled_in_and_what_is_alike_is_one() {
    let way = |link: &Arc<Link>, next_hop| Ok(Way { link: link.clone(), source: ip("192.0.2.1"), next_hop });
    let [one, two] = [2, 3].map(|index| link(index, LinkKind::Ethernet(Mac([2; 6]))));
    let router = NextHop::Gateway { ip: ip("192.0.2.254"), mac: None };
    let parts = [
        (range("10.0.0.0/24"), way(&one, router)),
        (range("10.0.1.0/24"), way(&one, router)),
        (range("10.0.9.0/24"), way(&one, router)),
        (range("10.1.0.0/24"), way(&two, router)),
        (range("10.2.0.0/24"), Err(NoWay::NoRoute)),
        (range("10.3.0.0/24"), Err(NoWay::NoRoute)),
        (range("10.4.0.0/24"), Err(NoWay::Prohibited)),
        (range("2001:db8::/64"), Err(NoWay::Prohibited)),
    ];
    let ways = Ways::new(parts, None);
    assert_eq!(
        ways.parts().iter().map(|(range, _)| range.to_string()).collect::<Vec<_>>(),
        [
            "10.0.0.0-10.0.9.255",
            "10.1.0.0-10.1.0.255",
            "10.2.0.0-10.3.0.255",
            "10.4.0.0-10.4.0.255",
            "2001:db8::-2001:db8::ffff:ffff:ffff:ffff"
        ]
    );
    assert_eq!(ways.links(), [one, two]);
    let mac = Mac([2, 0, 0, 0, 0, 9]);
    // The same address on another link is another router.
    let filled = ways.with_gateways(|link, _| (link == 3).then_some(mac));
    let hop = |text: &str| filled.way(ip(text)).map(|way| way.map(|way| way.next_hop));
    assert_eq!(hop("10.0.1.9"), Some(Ok(router)));
    assert_eq!(hop("10.1.0.9"), Some(Ok(NextHop::Gateway { ip: ip("192.0.2.254"), mac: Some(mac) })));
    assert_eq!(hop("10.4.0.9"), Some(Err(&NoWay::Prohibited)));
    assert_eq!(hop("10.5.0.0"), None);
    assert_eq!(hop("192.0.2.7"), None);
}

/// A prefix in a space of 64 addresses, and the number of its way.
fn prefix() -> impl Strategy<Value = (AddressRange, u32)> {
    (any::<bool>(), 0_u32..64, 0_u32..7, 0_u32..4).prop_map(|(v4, first, bits, number)| {
        let (first, rest) = (first >> bits << bits, (1 << bits) - 1);
        (AddressRange::new(address(v4, first), address(v4, first + rest)).expect("in order"), number)
    })
}

fn address(v4: bool, number: u32) -> IpAddr {
    if v4 {
        Ipv4Addr::from(0x0a00_0000 + number).into()
    } else {
        Ipv6Addr::from((0xfd << 120) + u128::from(number)).into()
    }
}

/// As a kernel would: the longest prefix counts, and the first of equals.
fn by_table(table: &[(AddressRange, u32)], ip: IpAddr) -> Result<Way, NoWay> {
    let fitting = table.iter().filter(|(prefix, _)| prefix.contains(ip));
    let (_, number) = fitting.min_by_key(|(prefix, _)| prefix.len()).ok_or(NoWay::NoRoute)?;
    Ok(Way { link: link(*number, LinkKind::NoLinkLayer), source: address(ip.is_ipv4(), 1), next_hop: NextHop::Point })
}

proptest! {
    #[test]
    fn every_target_goes_the_way_the_table_says(
        table in prop::collection::vec(prefix(), 0..12),
        targets in prop::collection::vec(prefix(), 0..6),
    ) {
        let targets: AddressSet = targets.into_iter().map(|(range, _)| range).collect();
        let mut cutter = Cutter::new(&targets, 1_000);
        for (to, _) in &table {
            cutter.add(*to, Rank::Ordinary(1));
        }
        let Cuts { stretches, left_out } = cutter.cut();
        prop_assert_eq!(left_out, None);
        let ways = Ways::new(stretches.into_iter().map(|stretch| (stretch, by_table(&table, stretch.first()))), None);
        for ip in &targets {
            let expect = by_table(&table, ip);
            prop_assert_eq!(ways.way(ip), Some(expect.as_ref()), "{}", ip);
        }
        for pair in ways.parts().windows(2) {
            prop_assert!(pair[0].0.last() < pair[1].0.first());
            prop_assert!(pair[0].1 != pair[1].1 || pair[0].0.first().is_ipv4() != pair[1].0.first().is_ipv4());
        }
    }

    #[test]
    fn however_many_prefixes_there_are_borders_are_few(
        prefixes in prop::collection::vec(prefix(), 0..60),
        most in 0_usize..8,
    ) {
        let targets: AddressSet = [true, false].into_iter().filter_map(|v4| AddressRange::new(address(v4, 0), address(v4, 63))).collect();
        let mut cutter = Cutter::new(&targets, most);
        for (to, _) in prefixes {
            cutter.add(to, Rank::Ordinary(u8::try_from(128 - to.len().ilog2()).expect("small")));
        }
        let Cuts { stretches, .. } = cutter.cut();
        // Each family begins somewhere, too.
        prop_assert!(stretches.len() <= most + 2);
        prop_assert_eq!(stretches.into_iter().collect::<AddressSet>(), targets);
    }
}
