use super::*;
use crate::{AssetScope, Lease, ScopeHandle};
use model::{AddressRange, Target, Transport};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn set(ranges: &[&str]) -> AddressSet {
    ranges.iter().filter_map(|text| text.parse::<Target>().expect(text).range()).collect()
}

fn ports(text: &str) -> PortSet {
    PortSet::parse(text, Transport::Tcp).expect(text)
}

fn lab() -> Scope {
    let asset = |name: &str, targets: &[&str], until| AssetScope {
        name: name.into(),
        targets: targets.iter().map(|text| text.parse().expect(text)).collect(),
        until,
    };
    let lease = Lease {
        asset: "dmz".into(),
        name: "www.example.org".parse().expect("a name"),
        addresses: vec![ip("203.0.113.5")],
        until: at(30),
    };
    let assets = vec![
        asset("dmz", &["192.0.2.0/29", "224.0.0.0/30", "www.example.org"], None),
        asset("temporary", &["198.51.100.0/31", "2001:db8::/127"], Some(at(100))),
        asset("huge", &["2001:db8:5::/48"], None),
    ];
    Scope::new(assets, set(&["192.0.2.2-192.0.2.6"])).with_leases(vec![lease])
}

#[test]
fn a_space_is_what_of_it_may_be_touched_now() {
    let everything = set(&["0.0.0.0/0", "2001:db8::/120"]);
    for (now, addresses) in [
        (at(0), &["192.0.2.0/31", "192.0.2.7", "198.51.100.0/31", "203.0.113.5", "2001:db8::/127"][..]),
        (at(30), &["192.0.2.0/31", "192.0.2.7", "198.51.100.0/31", "2001:db8::/127"][..]),
        (at(100), &["192.0.2.0/31", "192.0.2.7"][..]),
    ] {
        let space = lab().space_for(&everything, &ports("22,80"), &ports("53"), now).expect("small");
        assert_eq!(space.addresses(), set(addresses), "at {now}");
        assert_eq!(u128::from(space.len()), set(addresses).len() * 3);
        for number in 0..space.len() {
            let endpoint = space.at(number).expect("inside").get();
            assert_eq!(lab().authorize(endpoint, now).map(|leave| leave.get()), Ok(endpoint));
            assert_eq!(space.number_of(&endpoint), Some(number));
        }
        assert_eq!(space.at(space.len()), None);
    }
    let nothing =
        lab().space_for(&set(&["192.0.2.2", "10.0.0.0/8"]), &ports("all"), &ports("all"), at(0)).expect("none");
    assert!(nothing.is_empty() && nothing.at(0).is_none());
}

#[test]
fn a_space_too_large_to_count_is_refused() {
    let refusal = lab().space_for(&set(&["2001:db8:5::/48"]), &ports("22,80"), &PortSet::empty(), at(0));
    assert_eq!(refusal, Err(Refusal::TooLarge { addresses: 1 << 80, ports: 2 }));
    assert!(lab().space_for(&set(&["2001:db8:5::/120"]), &ports("22,80"), &PortSet::empty(), at(0)).is_ok());
}

#[test]
fn a_list_says_what_it_leaves_out_and_why() {
    let endpoints = ["192.0.2.7", "192.0.2.3", "192.0.2.0", "192.0.2.7", "198.51.100.1", "203.0.113.9"]
        .map(|text| Endpoint::tcp(ip(text), 22));
    let (space, refused) = lab().list_for(endpoints.into_iter().chain([Endpoint::udp(ip("192.0.2.0"), 0)]), at(100));
    let listed: Vec<Endpoint> =
        (0..space.len()).filter_map(|number| space.at(number)).map(|leave| leave.get()).collect();
    assert_eq!(listed, [endpoints[2], endpoints[0]]);
    let expired = Refusal::Expired { ip: ip("198.51.100.1"), asset: "temporary".into(), until: at(100) };
    assert_eq!(
        refused,
        [
            (endpoints[1], Refusal::Excluded(ip("192.0.2.3"))),
            (endpoints[4], expired),
            (endpoints[5], Refusal::OutOfScope(ip("203.0.113.9"))),
            (Endpoint::udp(ip("192.0.2.0"), 0), Refusal::Port),
        ]
    );
}

fn near(n: u128, v4: bool) -> IpAddr {
    if v4 {
        Ipv4Addr::from(0xc000_0200 + u32::try_from(n).expect("small")).into()
    } else {
        Ipv6Addr::from((0x2001_0db8_u128 << 96) + n).into()
    }
}

fn range() -> impl Strategy<Value = AddressRange> {
    (0_u128..60, 0_u128..20, any::<bool>())
        .prop_map(|(first, more, v4)| AddressRange::new(near(first, v4), near(first + more, v4)).expect("in order"))
}

proptest! {
    /// It has an endpoint if and only if that is asked for and authorized, and the guard lets each of them pass.
    #[test]
    fn has_what_is_asked_for_and_authorized(
        targets in prop::collection::vec((range(), prop::option::of(0_i64..4)), 0..5),
        excluded in prop::collection::vec(range(), 0..4),
        asked in prop::collection::vec(range(), 0..4),
        now in 0_i64..5,
    ) {
        let assets = targets
            .into_iter()
            .enumerate()
            .map(|(k, (range, until))| AssetScope {
                name: format!("asset{k}").into(),
                targets: vec![Target::Addresses(range)],
                until: until.map(at),
            })
            .collect();
        let scope = Scope::new(assets, excluded.into_iter().collect());
        let asked: AddressSet = asked.into_iter().collect();
        let space = scope.space_for(&asked, &ports("80"), &ports("53"), at(now)).expect("small");
        let list: Vec<Endpoint> = asked.iter().flat_map(|ip| [Endpoint::tcp(ip, 80), Endpoint::udp(ip, 53)]).collect();
        let (listed, refused) = scope.list_for(list.clone(), at(now));
        let guard = ScopeHandle::new(scope.clone()).last_guard(at(now));
        for endpoint in &list {
            let authorized = scope.authorize(*endpoint, at(now)).is_ok();
            prop_assert_eq!(space.number_of(endpoint).is_some(), authorized);
            prop_assert_eq!(listed.number_of(endpoint).is_some(), authorized);
            prop_assert_eq!(guard.permits(endpoint.ip), authorized);
        }
        prop_assert_eq!(space.len(), listed.len());
        prop_assert_eq!(listed.len() + refused.len() as u64, list.len() as u64);
        for number in 0..space.len() {
            prop_assert_eq!(space.at(number), listed.at(number), "the same numbers either way");
        }
    }
}
