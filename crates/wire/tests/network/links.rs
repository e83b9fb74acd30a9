//! Probes over every kind of link: they leave, a kernel answers, and the answers prove themselves.

use crate::common::{gateway, interview, link, listeners};
use std::{
    net::{IpAddr, TcpListener},
    time::Duration,
};
use testkit::{Lab, lacks_root, router::Scenario};
use wire::{LinkKind, NextHop};

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

#[test]
fn an_ethernet_is_asked_past_routing_and_by_it() {
    if lacks_root("an_ethernet_is_asked_past_routing_and_by_it") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let host = lab.host("host", &["10.77.0.2", "fd77::2"]);
    let _listening = listeners(&host, 22);
    let (way, hop) = (link(&watcher, "eth0"), gateway(&host, "eth0"));
    let NextHop::Gateway(mac) = hop else { panic!("an Ethernet") };
    let asked = watcher.namespace().enter(move || {
        let pairs = [(ip("10.77.0.1"), ip("10.77.0.2")), (ip("fd77::1"), ip("fd77::2"))];
        // By routing first: nobody knows the neighbours yet.
        [NextHop::Kernel, hop].map(|hop| interview(&way, hop, &pairs))
    });
    for arrival in asked.join().expect("the interviews").concat() {
        assert_eq!((arrival.sender, arrival.vlan), (Some(mac), None));
        // The interview of a busy machine may take its time; the answer waits for a moment only.
        assert!(arrival.waited < Duration::from_secs(5), "{arrival:?}");
        assert!(arrival.length >= 40 && arrival.at.as_secs() > 1_600_000_000, "{arrival:?}");
    }
}

#[test]
fn a_tun_device_is_asked() {
    if lacks_root("a_tun_device_is_asked") {
        return;
    }
    let (mut lab, watcher) =
        Lab::across_router(&Scenario::read("seed = 1\nstage = [{ kind = 'loss', share = 0.0 }]").expect("a scenario"));
    let host = lab.host("host", &["10.77.0.2", "fd77::2"]);
    let _listening = listeners(&host, 22);
    let way = link(&watcher, "near0");
    assert_eq!(way.kind, LinkKind::NoLinkLayer);
    let asked = watcher.namespace().enter(move || {
        let pairs = [(ip("10.78.0.1"), ip("10.77.0.2")), (ip("fd78::1"), ip("fd77::2"))];
        [NextHop::Point, NextHop::Kernel].map(|hop| interview(&way, hop, &pairs))
    });
    for arrival in asked.join().expect("the interviews").concat() {
        assert_eq!((arrival.sender, arrival.vlan), (None, None));
    }
}

#[test]
fn loopback_is_asked() {
    if lacks_root("loopback_is_asked") {
        return;
    }
    let mut lab = Lab::new();
    let host = lab.host("host", &["10.77.0.2"]);
    let way = link(&host, "lo");
    assert_eq!(way.kind, LinkKind::Loopback);
    let asked = host.namespace().enter(move || {
        let pairs = ["127.0.0.1", "::1"].map(|address| (ip(address), ip(address)));
        let _listening = pairs.map(|(address, _)| TcpListener::bind((address, 22)).expect("the port is free"));
        interview(&way, NextHop::Kernel, &pairs)
    });
    asked.join().expect("the interview");
}
