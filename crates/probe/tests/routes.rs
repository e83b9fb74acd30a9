//! Where packets go below IP, in an isolated network with several links, routers and rules.

use model::{AddressSet, Mac, Target};
use probe::{Egress, LinkKind, NextHop, NoWay, Routes, Way, Ways};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use std::{
    net::{IpAddr, UdpSocket},
    sync::mpsc,
    time::Duration,
};
use testkit::{Host, Lab, eventually, lacks_root, soon};

fn set(targets: &[&str]) -> AddressSet {
    targets.iter().filter_map(|text| text.parse::<Target>().expect("a target").range()).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn ip(host: &Host, arguments: &str) {
    host.run("ip", &arguments.split(' ').collect::<Vec<_>>());
}

/// The ways as they are seen from the host.
fn follow(host: &Host, targets: &[&str], egress: Egress) -> Routes {
    let targets = set(targets);
    let routes = host.namespace().enter(move || Routes::follow(targets, egress));
    routes.join().expect("no panic in the namespace").expect("the kernel answers")
}

fn to(ways: &Ways, target: &str) -> Result<Way, NoWay> {
    ways.way(address(target)).unwrap_or_else(|| panic!("{target} is a target")).cloned().map_err(Clone::clone)
}

fn mac(host: &Host) -> Mac {
    host.run("cat", &["/sys/class/net/eth0/address"]).trim().parse().expect("a link-layer address")
}

/// The next hops' MACs are known, those of `but` aside.
fn settled(routes: &mut Routes) {
    soon("the routers' addresses", || {
        routes.refresh();
        let known = |way: &Way| !matches!(way.next_hop, NextHop::Gateway { mac: None, .. });
        routes.ways().parts().iter().all(|(_, way)| way.as_ref().map_or(true, known)).then_some(())
    });
}

/// The watcher, two routers beside it, and a tun device.
fn network() -> (Lab, Host, [Host; 2]) {
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let routers = [lab.host("one", &["10.77.0.2", "fd77::2"]), lab.host("two", &["10.77.0.3", "fd77::3"])];
    for command in [
        "tuntap add dev tun0 mode tun",
        "addr add 10.99.0.1/24 dev tun0",
        "addr add fd99::1/64 dev tun0 nodad",
        "link set tun0 up mtu 1380",
        "route add 10.88.0.0/16 via 10.77.0.2",
        "route add 10.88.5.0/24 via 10.77.0.3",
        "route add fd88::/32 via fd77::2",
        "route add fd88:0:5::/48 via fd77::3",
        "route add 10.66.0.0/16 via inet6 fd77::3 dev eth0",
        "route add blackhole 10.88.9.0/24",
        "route add prohibit 10.88.10.0/24",
        "route add unreachable 10.88.11.0/24",
        "route add blackhole fd88:0:9::/48",
        "route add prohibit fd88:0:a::/48",
        "route add unreachable fd88:0:b::/48",
    ] {
        ip(&watcher, command);
    }
    (lab, watcher, routers)
}

const TARGETS: [&str; 11] = [
    "10.77.0.0/24",
    "10.88.0.0/16",
    "10.99.0.0/24",
    "10.66.0.0/24",
    "127.0.0.0/8",
    "192.0.2.0/24",
    "::1",
    "fd77::/64",
    "fd88::/40",
    "fd99::/64",
    "2001:db8::/64",
];

#[test]
fn every_kind_of_way() {
    if lacks_root("every_kind_of_way") {
        return;
    }
    let (_lab, watcher, [one, two]) = network();
    let mut routes = follow(&watcher, &TARGETS, Egress::default());
    settled(&mut routes);
    let ways = routes.ways();
    assert_eq!(ways.limit(), None);
    let by = |router: &Host, v4: bool| NextHop::Gateway {
        ip: *router.addresses().iter().find(|ip| ip.is_ipv4() == v4).expect("both families"),
        mac: Some(mac(router)),
    };
    for (target, link, source, next_hop) in [
        ("10.77.0.9", "eth0", "10.77.0.1", NextHop::OnLink),
        ("10.77.0.2", "eth0", "10.77.0.1", NextHop::OnLink),
        ("10.77.0.1", "lo", "10.77.0.1", NextHop::Local),
        ("10.88.0.0", "eth0", "10.77.0.1", by(&one, true)),
        ("10.88.4.255", "eth0", "10.77.0.1", by(&one, true)),
        ("10.88.5.0", "eth0", "10.77.0.1", by(&two, true)),
        ("10.88.5.255", "eth0", "10.77.0.1", by(&two, true)),
        ("10.88.255.255", "eth0", "10.77.0.1", by(&one, true)),
        ("10.66.0.7", "eth0", "10.77.0.1", by(&two, false)),
        ("10.99.0.7", "tun0", "10.99.0.1", NextHop::Point),
        ("127.0.0.1", "lo", "127.0.0.1", NextHop::Local),
        ("127.9.9.9", "lo", "127.0.0.1", NextHop::Local),
        ("::1", "lo", "::1", NextHop::Local),
        ("fd77::9", "eth0", "fd77::1", NextHop::OnLink),
        ("fd77::1", "lo", "fd77::1", NextHop::Local),
        ("fd88::", "eth0", "fd77::1", by(&one, false)),
        ("fd88:0:5::7", "eth0", "fd77::1", by(&two, false)),
        ("fd88:0:6::7", "eth0", "fd77::1", by(&one, false)),
        ("fd99::7", "tun0", "fd99::1", NextHop::Point),
    ] {
        let way = to(&ways, target).unwrap_or_else(|why| panic!("{target}: {why}"));
        assert_eq!((way.link.name.as_str(), way.source, way.next_hop), (link, address(source), next_hop), "{target}");
    }
    for (target, why) in [
        ("10.77.0.255", NoWay::Broadcast),
        ("127.255.255.255", NoWay::Broadcast),
        ("10.88.9.7", NoWay::BlackHole),
        ("10.88.10.7", NoWay::Prohibited),
        ("10.88.11.7", NoWay::Unreachable),
        ("192.0.2.7", NoWay::NoRoute),
        ("fd88:0:9::7", NoWay::BlackHole),
        ("fd88:0:a::7", NoWay::Prohibited),
        ("fd88:0:b::7", NoWay::Unreachable),
        ("2001:db8::7", NoWay::NoRoute),
    ] {
        assert_eq!(to(&ways, target), Err(why), "{target}");
    }
    let own = mac(&watcher);
    let links: Vec<_> = ways.links().iter().map(|link| (link.name.clone(), link.kind, link.mtu)).collect();
    for link in [
        ("lo".to_owned(), LinkKind::Loopback, 65_536),
        ("eth0".to_owned(), LinkKind::Ethernet(own), 1_500),
        ("tun0".to_owned(), LinkKind::NoLinkLayer, 1_380),
    ] {
        assert!(links.contains(&link), "{link:?} in {links:?}");
    }
    assert_eq!(ways.way(address("10.78.0.1")), None);
}

#[test]
fn rules_of_policy_hold() {
    if lacks_root("rules_of_policy_hold") {
        return;
    }
    let (_lab, watcher, _routers) = network();
    for command in [
        "addr add 10.77.0.99/24 dev eth0",
        "rule add from 10.77.0.99 lookup 100",
        "route add default via 10.77.0.3 table 100",
        // Nothing in this table but a default: where it holds is said by the rule alone.
        "rule add to 10.88.128.0/17 lookup 101 pref 100",
        "route add default dev tun0 table 101",
    ] {
        ip(&watcher, command);
    }
    let target = ["10.88.0.0/16", "127.0.0.0/8", "fd88::/64"];
    let hops = |egress: Egress| {
        let ways = follow(&watcher, &target, egress).ways();
        let hop = |text: &str| {
            to(&ways, text).map(|way| match way.next_hop {
                NextHop::Gateway { ip, .. } => (way.source.to_string(), ip.to_string()),
                other => (way.source.to_string(), format!("{other:?}")),
            })
        };
        ["10.88.127.255", "10.88.128.0", "10.88.5.7", "127.0.0.1", "fd88::7"].map(hop)
    };
    let said = |source: &str, hop: &str| Ok((source.to_owned(), hop.to_owned()));
    let loopback = said("127.0.0.1", "Local");
    let six = said("fd77::1", "fd77::2");
    assert_eq!(
        hops(Egress::default()),
        [
            said("10.77.0.1", "10.77.0.2"),
            said("10.99.0.1", "Point"),
            said("10.77.0.1", "10.77.0.3"),
            loopback.clone(),
            six.clone()
        ]
    );
    let source = |text: &str| Egress { source: Some(address(text)), interface: None };
    assert_eq!(
        hops(source("10.77.0.99")),
        [
            said("10.77.0.99", "10.77.0.3"),
            said("10.77.0.99", "Point"),
            said("10.77.0.99", "10.77.0.3"),
            loopback.clone(),
            six.clone()
        ]
    );
    let not_ours = || Err(NoWay::NotOurs(address("10.77.0.66")));
    assert_eq!(hops(source("10.77.0.66")), [not_ours(), not_ours(), not_ours(), loopback, six]);
    let by = |name: &str| Egress { source: None, interface: Some(name.to_owned()) };
    let no_link = || Err(NoWay::NoLink("none0".to_owned()));
    assert_eq!(hops(by("none0")), [no_link(), no_link(), no_link(), no_link(), no_link()]);
}

#[test]
fn changes_are_followed() {
    if lacks_root("changes_are_followed") {
        return;
    }
    let (_lab, watcher, [one, two]) = network();
    let mut routes = follow(&watcher, &["10.88.0.0/16", "fd88::/64"], Egress::default());
    settled(&mut routes);
    let hop = |routes: &Routes, target: &str| to(&routes.ways(), target).map(|way| way.next_hop);
    let via = |router: &Host, ip: &str| Ok(NextHop::Gateway { ip: address(ip), mac: Some(mac(router)) });
    assert_eq!(hop(&routes, "10.88.1.1"), via(&one, "10.77.0.2"));

    // What leads elsewhere, and who else is on the link, is nothing to them.
    let begun = routes.generation();
    ip(&watcher, "route add 10.55.0.0/16 via 10.77.0.3");
    ip(&watcher, "neigh replace 10.77.0.44 lladdr 02:00:00:00:00:44 dev eth0 nud reachable");
    routes.refresh();
    assert_eq!(routes.generation(), begun);

    // Another router for a part, then for all.
    let mut changed = |what: &str| {
        let before = routes.generation();
        soon(what, || {
            routes.refresh();
            (routes.generation() > before).then_some(())
        });
        settled(&mut routes);
        ["10.88.1.1", "10.88.7.1", "fd88::1"].map(|target| hop(&routes, target))
    };
    ip(&watcher, "route add 10.88.7.0/24 via 10.77.0.3");
    assert_eq!(changed("another route"), [via(&one, "10.77.0.2"), via(&two, "10.77.0.3"), via(&one, "fd77::2")]);
    ip(&watcher, "route replace fd88::/32 via fd77::3");
    assert_eq!(changed("another route"), [via(&one, "10.77.0.2"), via(&two, "10.77.0.3"), via(&two, "fd77::3")]);
    ip(&watcher, "route del 10.88.0.0/16");
    assert_eq!(changed("a route less"), [Err(NoWay::NoRoute), via(&two, "10.77.0.3"), via(&two, "fd77::3")]);

    // A router that takes over from another, with a link-layer address of its own.
    let new = "02:77:00:00:00:99";
    ip(&watcher, &format!("neigh replace 10.77.0.3 lladdr {new} dev eth0 nud reachable"));
    let taken =
        Ok(NextHop::Gateway { ip: address("10.77.0.3"), mac: Some(new.parse().expect("a link-layer address")) });
    assert_eq!(changed("another router"), [Err(NoWay::NoRoute), taken, via(&two, "fd77::3")]);

    // Down, and up again.
    watcher.unplug();
    let gone = || Err(NoWay::NoRoute);
    assert_eq!(changed("a link that is down"), [gone(), gone(), gone()]);
    watcher.plug_in();
    ip(&watcher, "route add 10.88.0.0/16 via 10.77.0.2");
    soon("the way back", || {
        routes.refresh();
        (hop(&routes, "10.88.1.1") == via(&one, "10.77.0.2")).then_some(())
    });
}

#[test]
fn without_the_right_to_tell_the_kernel_a_packet_to_a_target_does_it() {
    if lacks_root("without_the_right_to_tell_the_kernel_a_packet_to_a_target_does_it") {
        return;
    }
    let (_lab, watcher, [one, _]) = network();
    let (forget, forgotten) = mpsc::channel();
    let seen = watcher.namespace().enter(move || {
        let mut sets = capabilities(None).expect("capabilities can be asked for");
        sets.effective -= CapabilitySet::NET_ADMIN;
        set_capabilities(None, sets).expect("and given up");
        let mut routes = Routes::follow(set(&["10.88.0.0/24", "fd88::/64"]), Egress::default()).expect("an answer");
        routes.refresh();
        let hops =
            |routes: &Routes| ["10.88.0.7", "fd88::7"].map(|to_it| to(&routes.ways(), to_it).map(|way| way.next_hop));
        let send = || {
            for (ours, theirs) in [("10.77.0.1:0", "10.88.0.7:9"), ("[fd77::1]:0", "[fd88::7]:9")] {
                let socket = UdpSocket::bind(ours).expect("a socket");
                socket.send_to(b"x", theirs).expect("a packet");
            }
        };
        let begun = (hops(&routes), routes.unconfirmed());
        assert!(routes.unconfirmed().is_empty(), "not again so soon");
        send();
        settled(&mut routes);
        let met = hops(&routes);
        forget.send(()).expect("somebody waits");
        let doubted = eventually("routers nobody is sure of", Duration::from_secs(20), || {
            routes.refresh();
            Some(routes.unconfirmed()).filter(|targets| targets.len() == 2)
        });
        let remembered = hops(&routes);
        send();
        (begun, met, doubted, remembered)
    });
    // As time would.
    forgotten.recv().expect("it has met the routers");
    for router in ["10.77.0.2", "fd77::2"] {
        ip(&watcher, &format!("neigh change {router} dev eth0 lladdr {} nud stale", mac(&one)));
    }
    let (begun, met, doubted, remembered) = seen.join().expect("no panic in the namespace");
    let routers = ["10.77.0.2", "fd77::2"].map(address);
    let targets = ["10.88.0.0", "fd88::"].map(address);
    let unknown = routers.map(|ip| Ok(NextHop::Gateway { ip, mac: None }));
    let known = routers.map(|ip| Ok(NextHop::Gateway { ip, mac: Some(mac(&one)) }));
    assert_eq!(begun, (unknown, targets.to_vec()));
    assert_eq!((met, doubted, remembered), (known.clone(), targets.to_vec(), known));
}

#[tokio::test]
async fn nobody_waits_for_a_router_that_is_not_there() {
    if lacks_root("nobody_waits_for_a_router_that_is_not_there") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let router = lab.host("router", &["10.77.0.2"]);
    ip(&watcher, "route add 10.88.0.0/16 via 10.77.0.2");
    let mut routes = follow(&watcher, &["10.88.0.0/16"], Egress::default());
    assert!(routes.settle(Duration::from_secs(10)).await);
    drop(router);
    ip(&watcher, "route replace 10.88.0.0/16 via 10.77.0.9");
    let nobody = Ok(NextHop::Gateway { ip: address("10.77.0.9"), mac: None });
    soon("the other router", || {
        routes.refresh();
        (to(&routes.ways(), "10.88.0.7").map(|way| way.next_hop) == nobody).then_some(())
    });
    assert!(!routes.settle(Duration::from_millis(50)).await);
}

/// As of a machine that speaks BGP: many routes, and few ways among them.
#[test]
fn a_routers_full_table() {
    if lacks_root("a_routers_full_table") {
        return;
    }
    let (_lab, watcher, _routers) = network();
    // Every other /24 of 10.128.0.0/9 by one router, every fifth of the rest by the other.
    let via = |number: u32| if number.is_multiple_of(2) { Some(2) } else { number.is_multiple_of(5).then_some(3) };
    let prefix = |number: u32| format!("10.{}.{}", 128 + number / 256, number % 256);
    let line = |number| Some(format!("route add {}.0/24 via 10.77.0.{}\n", prefix(number), via(number)?));
    let batch = watcher.write("routes", &(0..32_768).filter_map(line).collect::<String>());
    ip(&watcher, &format!("-batch {}", batch.display()));
    let routes = follow(&watcher, &["10.128.0.0/9"], Egress::default());
    let ways = routes.ways();
    assert_eq!(ways.limit(), None);
    for number in (0..32_768).step_by(7) {
        let expect = via(number).map(|last| address(&format!("10.77.0.{last}"))).ok_or(NoWay::NoRoute);
        for target in [format!("{}.0", prefix(number)), format!("{}.255", prefix(number))] {
            let hop = to(&ways, &target).map(|way| match way.next_hop {
                NextHop::Gateway { ip, .. } => ip,
                other => panic!("{target}: {other:?}"),
            });
            assert_eq!(hop, expect, "{target}");
        }
    }
}

/// Without root, on this machine: nothing but loopback is asked about.
#[test]
fn loopback_needs_no_rights() {
    let routes = Routes::follow(set(&["127.0.0.0/8", "::1"]), Egress::default()).expect("the kernel answers");
    let ways = routes.ways();
    assert_eq!(
        to(&ways, "127.0.0.1").map(|way| (way.next_hop, way.link.kind)),
        Ok((NextHop::Local, LinkKind::Loopback))
    );
}
