use super::*;
use crate::ScopeHandle;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn tcp(text: &str) -> Endpoint {
    Endpoint::tcp(ip(text), 443)
}

fn name(text: &str) -> ServiceName {
    text.parse().expect(text)
}

fn asset(name: &str, targets: &[&str], until: Option<Timestamp>) -> AssetScope {
    AssetScope { name: name.into(), targets: targets.iter().map(|text| text.parse().expect(text)).collect(), until }
}

fn set(ranges: &[&str]) -> AddressSet {
    ranges.iter().filter_map(|text| text.parse::<Target>().expect(text).range()).collect()
}

fn lease(asset: &str, host: &str, addresses: &[&str], until: Timestamp) -> Lease {
    let addresses = addresses.iter().map(|text| ip(text)).collect();
    Lease { asset: asset.into(), name: name(host), addresses, until }
}

/// What the two independent checks say; they must agree.
fn allowed(scope: &Scope, address: IpAddr, now: Timestamp) -> bool {
    let authorized = scope.authorize(Endpoint::tcp(address, 443), now).is_ok();
    assert_eq!(ScopeHandle::new(scope.clone()).permits(address, now), authorized, "{address}");
    assert_eq!(scope.contains(address, now), authorized, "{address}");
    authorized
}

fn lab() -> Scope {
    Scope::new(
        vec![
            asset("dmz", &["192.0.2.0/24", "2001:db8:1::/120", "www.example.org"], None),
            asset("temporary", &["198.51.100.0/25", "192.0.2.128/25", "shop.example.org"], Some(at(100))),
            asset("huge", &["2001:db8:2::/64", "2001:db8:3::/104", "2001:db8:4::/103"], None),
        ],
        set(&["192.0.2.7", "192.0.2.192/26", "203.0.113.66"]),
    )
}

#[test]
fn only_what_is_written_and_not_excluded_is_in_scope() {
    for (address, early, late) in [
        ("192.0.2.0", true, true),
        ("192.0.2.6", true, true),
        ("192.0.2.7", false, false),
        ("192.0.2.8", true, true),
        ("192.0.2.191", true, true),
        ("192.0.2.192", false, false),
        ("192.0.2.255", false, false),
        ("192.0.3.0", false, false),
        ("192.0.1.255", false, false),
        ("198.51.100.127", true, false),
        ("198.51.100.128", false, false),
        ("2001:db8:1::ff", true, true),
        ("2001:db8:1::100", false, false),
        ("2001:db8:2::1:2:3", true, true),
        ("::ffff:192.0.2.8", false, false),
        ("::ffff:192.0.2.7", false, false),
        ("127.0.0.1", false, false),
    ] {
        assert_eq!(
            (allowed(&lab(), ip(address), at(0)), allowed(&lab(), ip(address), at(100))),
            (early, late),
            "{address}"
        );
    }
    assert_eq!(lab().authorize(tcp("192.0.2.8"), at(0)).map(|leave| leave.get()), Ok(tcp("192.0.2.8")));
}

#[test]
fn a_refusal_says_why() {
    let until = at(100);
    for (endpoint, refusal) in [
        (tcp("192.0.2.7"), Refusal::Excluded(ip("192.0.2.7"))),
        (tcp("203.0.113.1"), Refusal::OutOfScope(ip("203.0.113.1"))),
        (tcp("::ffff:192.0.2.8"), Refusal::NotAHost(ip("::ffff:192.0.2.8"))),
        (tcp("198.51.100.1"), Refusal::Expired { ip: ip("198.51.100.1"), asset: "temporary".into(), until }),
        (Endpoint::tcp(ip("192.0.2.8"), 0), Refusal::Port),
    ] {
        assert_eq!(lab().authorize(endpoint, at(100)), Err(refusal), "{endpoint}");
    }
}

#[test]
fn no_configuration_brings_what_is_no_host() {
    let scope = Scope::new(vec![asset("all", &["0.0.0.0/0", "::/0"], None)], set(&["127.0.0.1"]));
    for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:127.0.0.1", "127.0.0.1"] {
        assert!(!allowed(&scope, ip(address), at(0)), "{address}");
    }
    for address in ["127.0.0.2", "192.0.2.1", "::1", "fe80::1", "2001:db8::1"] {
        assert!(allowed(&scope, ip(address), at(0)), "{address}");
    }
}

#[test]
fn a_name_brings_its_addresses_for_as_long_as_its_lease_lives() {
    let scope = lab().with_leases(vec![lease("dmz", "www.example.org", &["203.0.113.5", "203.0.113.66"], at(30))]);
    let (www, shop) = (name("www.example.org"), name("shop.example.org"));
    assert!(allowed(&scope, ip("203.0.113.5"), at(0)) && allowed(&scope, ip("203.0.113.5"), at(29)));
    assert!(!allowed(&scope, ip("203.0.113.5"), at(30)), "the lease has ended");
    assert!(!allowed(&scope, ip("203.0.113.66"), at(0)), "exclusions win");
    assert!(scope.authorize_name(tcp("203.0.113.5"), &www, at(0)).is_ok());
    assert!(scope.authorize_name(tcp("203.0.113.5"), &www, at(30)).is_err());
    for (address, under) in [("203.0.113.5", &shop), ("192.0.2.8", &www), ("203.0.113.66", &www), ("203.0.113.6", &www)]
    {
        assert!(scope.authorize_name(tcp(address), under, at(0)).is_err(), "{address} as {under}");
    }
    assert_eq!(scope.assets_of(ip("203.0.113.5"), at(0)), ["dmz".into()]);
    assert_eq!(scope.names_of(ip("203.0.113.5"), at(0)), [www]);
    assert!(
        scope.names_of(ip("203.0.113.5"), at(30)).is_empty() && scope.assets_of(ip("203.0.113.5"), at(30)).is_empty()
    );
    assert!(scope.names_of(ip("203.0.113.66"), at(0)).is_empty());
    // New leases replace the old ones.
    let moved = scope.with_leases(vec![lease("dmz", "www.example.org", &["203.0.113.9"], at(60))]);
    assert!(!allowed(&moved, ip("203.0.113.5"), at(0)) && allowed(&moved, ip("203.0.113.9"), at(0)));
    assert_eq!(moved.leases().len(), 1);
}

#[test]
fn a_lease_ends_with_its_assets_authorization() {
    let scope = lab().with_leases(vec![lease("temporary", "shop.example.org", &["203.0.113.5"], at(500))]);
    let shop = name("shop.example.org");
    assert!(allowed(&scope, ip("203.0.113.5"), at(99)) && !allowed(&scope, ip("203.0.113.5"), at(100)));
    assert!(scope.authorize_name(tcp("203.0.113.5"), &shop, at(100)).is_err());
    let expired = Refusal::Expired { ip: ip("203.0.113.5"), asset: "temporary".into(), until: at(100) };
    assert_eq!(scope.authorize(tcp("203.0.113.5"), at(100)), Err(expired));
}

#[test]
fn a_name_brings_nothing_its_asset_does_not_say_and_nothing_special() {
    let special = [
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
    ];
    let scope = lab().with_leases(vec![
        lease("dmz", "www.example.org", &special, at(500)),
        lease("dmz", "other.example.org", &["203.0.113.5"], at(500)),
        lease("huge", "www.example.org", &["203.0.113.6"], at(500)),
        lease("nobody", "www.example.org", &["203.0.113.7"], at(500)),
    ]);
    let others = ["203.0.113.5", "203.0.113.6", "203.0.113.7"];
    for address in special.iter().chain(&others) {
        assert!(!allowed(&scope, ip(address), at(0)), "{address}");
        assert!(scope.authorize_name(tcp(address), &name("www.example.org"), at(0)).is_err(), "{address}");
    }
    let everything = [Arc::from("dmz"), Arc::from("huge"), Arc::from("nobody")];
    let space = scope.sweep_space(&everything, at(0));
    assert!(special.iter().chain(&others).all(|address| !space.contains(ip(address))));
}

#[test]
fn a_name_may_be_used_where_its_asset_lists_the_address_itself() {
    let local = Scope::new(vec![asset("self", &["127.0.0.1", "localhost"], None)], AddressSet::empty());
    let local = local.with_leases(vec![lease("self", "localhost", &["127.0.0.1", "::1"], at(10))]);
    assert!(local.authorize_name(tcp("127.0.0.1"), &name("localhost"), at(0)).is_ok());
    assert!(local.authorize_name(tcp("::1"), &name("localhost"), at(0)).is_err() && !allowed(&local, ip("::1"), at(0)));
    assert!(allowed(&local, ip("127.0.0.1"), at(10)), "by its own target, whatever becomes of the lease");
}

#[test]
fn the_space_to_sweep_is_the_scope_without_what_is_too_large() {
    let scope = lab().with_leases(vec![lease("dmz", "www.example.org", &["203.0.113.5", "203.0.113.66"], at(30))]);
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
    for (assets, now, space) in [
        (
            names(&["dmz"]),
            at(0),
            set(&["192.0.2.0-192.0.2.6", "192.0.2.8-192.0.2.191", "203.0.113.5", "2001:db8:1::/120"]),
        ),
        (names(&["dmz"]), at(30), set(&["192.0.2.0-192.0.2.6", "192.0.2.8-192.0.2.191", "2001:db8:1::/120"])),
        (names(&["temporary"]), at(99), set(&["192.0.2.128/26", "198.51.100.0/25"])),
        (names(&["temporary"]), at(100), AddressSet::empty()),
        (names(&["huge"]), at(0), set(&["2001:db8:3::/104"])),
        (names(&["unknown"]), at(0), AddressSet::empty()),
    ] {
        assert_eq!(scope.sweep_space(&assets, now), space, "{assets:?} at {now}");
    }
    let shown = |assets: &[&str]| scope.unsweepable(&names(assets)).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&["huge", "dmz"]), ["2001:db8:2::/64", "2001:db8:4::/103"]);
    assert!(shown(&["dmz"]).is_empty());
}

#[test]
fn what_is_too_large_is_scope_without_exclusions_and_for_as_long() {
    let targets = &["2001:db8:2::/64", "2001:db8:2::7", "2001:db8:5::/120", "www.example.org"];
    let scope = Scope::new(
        vec![asset("open", targets, None), asset("brief", &["2001:db8:3::/64", "ff02::/64"], Some(at(100)))],
        set(&["2001:db8:2::bad"]),
    );
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
    for (assets, now, expect) in [
        (names(&["open"]), 0, set(&["2001:db8:2::/64"]).difference(&set(&["2001:db8:2::bad"]))),
        // No prefix of multicast addresses is anybody's.
        (names(&["brief"]), 99, set(&["2001:db8:3::/64"])),
        (names(&["brief"]), 100, AddressSet::empty()),
        (names(&["unknown"]), 0, AddressSet::empty()),
    ] {
        let space = scope.unsweepable_space(&assets, at(now));
        assert_eq!(space, expect, "{assets:?} at {now}");
        for ip in space.ranges().iter().flat_map(|range| [range.first(), range.last()]) {
            assert!(allowed(&scope, ip, at(now)), "{ip} at {now}");
        }
    }
}

#[test]
fn tells_assets_and_names() {
    let at_both = lab().assets_of(ip("192.0.2.130"), at(0));
    assert_eq!(at_both, [Arc::from("dmz"), Arc::from("temporary")]);
    assert_eq!(lab().assets_of(ip("192.0.2.130"), at(100)), ["dmz".into()]);
    assert!(lab().assets_of(ip("192.0.2.7"), at(0)).is_empty());
    let names = lab().names();
    let expect = [("dmz", "www.example.org"), ("temporary", "shop.example.org")];
    assert!(names.iter().map(|(asset, name)| (asset.as_ref(), name.as_str())).eq(expect));
}

#[test]
fn a_handle_shows_the_scope_that_holds_now() {
    let handle = ScopeHandle::new(lab());
    let clone = handle.clone();
    assert!(clone.permits(ip("192.0.2.8"), at(0)));
    handle.replace(Scope::new(Vec::new(), AddressSet::empty()));
    assert!(!clone.permits(ip("192.0.2.8"), at(0)) && clone.load().authorize(tcp("192.0.2.8"), at(0)).is_err());
}

fn small_target() -> impl Strategy<Value = Target> {
    let near = |n: u32| IpAddr::from(Ipv4Addr::from(0xc000_0200 + n));
    prop_oneof![
        (0_u32..64, 0_u32..20).prop_map(move |(first, more)| {
            Target::Addresses(AddressRange::new(near(first), near(first + more)).expect("in order"))
        }),
        (0_u32..16, 28_u8..=32).prop_map(move |(block, prefix)| Target::Network { base: near(block << 4), prefix }),
    ]
}

proptest! {
    /// The scope and its guard are two programs for the same question.
    #[test]
    fn scope_and_guard_agree_everywhere(
        assets in prop::collection::vec((prop::collection::vec(small_target(), 0..4), prop::option::of(0_i64..4)), 0..4),
        excluded in prop::collection::vec(small_target(), 0..4),
        leased in prop::collection::vec((0_usize..4, 0_u32..90, 0_i64..5), 0..6),
        now in 0_i64..5,
    ) {
        let assets: Vec<AssetScope> = assets
            .into_iter()
            .enumerate()
            .map(|(k, (mut targets, until))| {
                targets.push(Target::Name("www.example.org".to_owned()));
                AssetScope { name: format!("asset{k}").into(), targets, until: until.map(at) }
            })
            .collect();
        let exclude: AddressSet = excluded.iter().filter_map(Target::range).collect();
        let leases = leased
            .into_iter()
            .map(|(k, host, until)| Lease {
                asset: format!("asset{k}").into(),
                name: name("www.example.org"),
                addresses: vec![Ipv4Addr::from(0xc000_0200 + host).into()],
                until: at(until),
            })
            .collect();
        let names: Vec<Arc<str>> = assets.iter().map(|asset| Arc::clone(&asset.name)).collect();
        let scope = Scope::new(assets, exclude.clone()).with_leases(leases);
        let space = scope.sweep_space(&names, at(now));
        for host in 0..100 {
            let address = IpAddr::from(Ipv4Addr::from(0xc000_0200 + host));
            let inside = allowed(&scope, address, at(now));
            prop_assert_eq!(space.contains(address), inside);
            prop_assert_eq!(!scope.assets_of(address, at(now)).is_empty(), inside);
            prop_assert!(!inside || !exclude.contains(address));
        }
    }
}

#[test]
fn what_is_closed_stays_scope_and_gets_no_packet() {
    let nightly = |zone: &str| {
        let zone = jiff::tz::TimeZone::get(zone).expect(zone);
        Windows::new(vec!["22:00-06:00".parse().expect("hours")], zone).expect("a window")
    };
    let hours: HashMap<Arc<str>, Vec<Windows>> =
        [("dmz".into(), vec![nightly("UTC")]), ("temporary".into(), vec![nightly("Asia/Tokyo")])].into();
    let scope = lab().within(&hours).with_leases(vec![lease("dmz", "www.example.org", &["203.0.113.9"], at(1 << 30))]);
    let noon: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
    let night: Timestamp = "2026-11-23T23:00:00Z".parse().expect("a time");
    let dawn: Timestamp = "2026-11-23T14:00:00Z".parse().expect("a time");
    for (address, at_noon, at_night, in_tokyos_night) in [
        ("192.0.2.1", false, true, false),
        ("203.0.113.9", false, true, false),
        // In both assets: while one of them is open.
        ("192.0.2.130", false, true, true),
        ("198.51.100.1", false, false, true),
        ("2001:db8:2::1", true, true, true),
        // Whatever the hour.
        ("192.0.2.7", false, false, false),
    ] {
        let address = ip(address);
        for (now, expect) in [(noon, at_noon), (night, at_night), (dawn, in_tokyos_night)] {
            let leave = scope.authorize(Endpoint::tcp(address, 443), now);
            assert_eq!(leave.is_ok(), expect, "{address} {now}: {leave:?}");
            assert_eq!(ScopeHandle::new(scope.clone()).permits(address, now), expect, "{address} {now}");
            assert_eq!(
                scope.contains(address, now),
                lab().contains(address, now) || scope.leased.contains_key(&address)
            );
        }
    }
    assert!(scope.authorize_name(tcp("203.0.113.9"), &name("www.example.org"), noon).is_err());
    assert!(scope.authorize_name(tcp("203.0.113.9"), &name("www.example.org"), night).is_ok());
    let refusal = scope.authorize(tcp("192.0.2.1"), noon).expect_err("it is noon");
    let opens = "2026-11-23T22:00:00Z".parse().expect("a time");
    assert_eq!(refusal, Refusal::Closed { ip: ip("192.0.2.1"), asset: "dmz".into(), opens });
    assert_eq!(scope.space(noon), scope.space(night));
    assert_eq!(scope.open_space(night), scope.space(night).difference(&set(&["198.51.100.0/25"])));
    assert_eq!(scope.open_space(noon).ranges().len(), 3, "the huge ones");
    assert_eq!(scope.assets_of(ip("192.0.2.1"), noon), ["dmz".into()]);
}
