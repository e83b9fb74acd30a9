use super::{message::RouteKind, *};
use model::Target as Asset;
use scope::AssetScope;

fn set(targets: &[&str]) -> AddressSet {
    targets.iter().filter_map(|text| text.parse::<Asset>().expect("a target").range()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn every_range_has_an_example() {
    let own = BTreeSet::from([ip("2001:db8:1::1"), ip("203.0.113.1")]);
    let examples =
        |set: &AddressSet| targets(set, &own).iter().map(|target| target.example.to_string()).collect::<Vec<_>>();
    assert_eq!(
        examples(&set(&["192.0.2.0/24", "198.51.100.7", "203.0.113.1", "2001:db8:1::/64"])),
        ["192.0.2.1", "198.51.100.7", "203.0.113.1", "2001:db8:1::2"]
    );
    assert_eq!(targets(&AddressSet::empty(), &own), []);
    let many: Vec<String> = (0..250).map(|number| format!("10.0.{number}.8/30")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let few = examples(&set(&many));
    assert!((50..=MOST_TARGETS).contains(&few.len()), "{}", few.len());
    assert_eq!(
        (few.first().map(String::as_str), few.last().map(String::as_str)),
        (Some("10.0.0.9"), Some("10.0.248.9"))
    );
}

fn link(index: u32, name: &str, up: bool, carrier: bool) -> (u32, message::Link) {
    let link = message::Link {
        index,
        name: name.into(),
        hardware: 1,
        mac: None,
        mtu: 1_500,
        up,
        carrier,
        silent: false,
        carrier_changes: 0,
        dropped: 0,
    };
    (index, link)
}

fn through(link: u32) -> Route {
    let to = model::AddressRange::single(ip("192.0.2.1"));
    Route { to, kind: RouteKind::Unicast, link: Some(link), gateway: None, source: None }
}

/// What happened, the ways to both targets, the links, what carried the targets, and what is said.
type Case = (&'static str, [Option<Route>; 2], Vec<(u32, message::Link)>, Vec<(IpAddr, u32)>, &'static [&'static str]);

#[test]
fn what_is_wrong_is_said_of_those_that_matter() {
    let targets = targets(&set(&["192.0.2.0/24", "198.51.100.0/24"]), &BTreeSet::new());
    let [a, b] = [ip("192.0.2.1"), ip("198.51.100.1")];
    let (one, two) = ((1, "eth0"), (2, "wg0"));
    let names: BTreeMap<u32, String> = [one, two].map(|(index, name)| (index, name.to_owned())).into();
    let up = |(index, name)| link(index, name, true, true);
    let cases: Vec<Case> = vec![
        ("fine", [Some(through(1)), Some(through(2))], vec![up(one), up(two)], vec![(a, 1), (b, 2)], &[]),
        ("never had a route", [Some(through(1)), None], vec![up(one)], vec![(a, 1)], &[]),
        (
            "switched off",
            [None, Some(through(2))],
            vec![link(1, "eth0", false, false), up(two)],
            vec![(a, 1), (b, 2)],
            &["eth0 is down", "there is no route to 192.0.2.0-192.0.2.255 any more"],
        ),
        // The kernel may leave the route where it is.
        (
            "unplugged",
            [Some(through(1)), Some(through(2))],
            vec![link(1, "eth0", true, false), up(two)],
            vec![(a, 1), (b, 2)],
            &["eth0 has no carrier"],
        ),
        (
            "taken out",
            [None, None],
            vec![],
            vec![(a, 1), (b, 1)],
            &["eth0 is gone", "there is no route to 192.0.2.0-192.0.2.255 and 1 more ranges of targets any more"],
        ),
        (
            "a route deleted",
            [Some(through(1)), None],
            vec![up(one), up(two)],
            vec![(a, 1), (b, 2)],
            &["there is no route to 198.51.100.0-198.51.100.255 any more"],
        ),
        (
            "another way",
            [Some(through(2)), Some(through(2))],
            vec![link(1, "eth0", false, false), up(two)],
            vec![(a, 1), (b, 2)],
            &[],
        ),
    ];
    for (what, [to_a, to_b], links, carriers, expect) in cases {
        let view = View {
            ways: BTreeMap::from([(a, to_a), (b, to_b)]),
            links: links.into_iter().collect(),
            addresses: BTreeSet::new(),
        };
        assert_eq!(faults(&targets, &view, &carriers.into_iter().collect(), &names), expect, "{what}");
    }
}

#[test]
fn softnet_counts_what_had_no_room() {
    let text = "00001f2a 00000003 00000001 00000000\n000000ff 0000000a 00000000 00000000\n";
    assert_eq!(softnet_drops(text), Some(13));
    assert_eq!(softnet_drops("garbage\n"), None);
}

#[test]
fn the_freshest_neighbour_counts() {
    let neighbour = |last, is_fresh| {
        Message::Neighbour(Neighbour {
            link: 2,
            ip: ip("192.0.2.7"),
            mac: Mac([2, 0, 0, 0, 0, last]),
            is_fresh,
            is_stale: !is_fresh,
        })
    };
    for (answer, expect) in [
        (vec![neighbour(1, false), neighbour(2, false)], 1),
        (vec![neighbour(1, false), neighbour(2, true)], 2),
        (vec![neighbour(1, true), neighbour(2, false), Message::Other], 1),
    ] {
        assert_eq!(neighbours(answer)[&ip("192.0.2.7")].mac.0[5], expect);
    }
}

/// Without any other network than loopback nothing is wrong, nobody is a neighbour, and nothing changes by looking.
#[test]
fn loopback_has_no_faults() {
    let asset =
        AssetScope { name: "home".into(), targets: vec!["127.0.0.0/8".parse().expect("a target")], until: None };
    let scope = Arc::new(Scope::new(vec![asset], AddressSet::empty()));
    let place = Place::watch();
    for _ in 0..3 {
        let report = place.report(&scope, Timestamp::UNIX_EPOCH);
        assert_eq!((report.generation, report.faults), (0, Vec::new()));
    }
    assert_eq!(place.mac(ip("127.0.0.1")), None);
}

#[test]
fn where_the_kernel_is_mute_nothing_is_reported() {
    let scope = Arc::new(Scope::new(Vec::new(), AddressSet::empty()));
    let place = Place(None);
    assert_eq!(place.report(&scope, Timestamp::UNIX_EPOCH), PlaceReport::default());
    assert_eq!(place.mac(ip("192.0.2.7")), None);
}
