use super::{
    read::{LOWER_UP, NO_ARP, UP},
    *,
};
use model::Target;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn all(datagram: &[u8]) -> Vec<(u32, Message)> {
    messages(datagram).collect()
}

fn range(text: &str) -> AddressRange {
    text.parse::<Target>().expect("a target").range().expect("addresses")
}

fn datagram(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(HEADER + body.len()).expect("small").to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 2]);
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn with(head: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = head.to_vec();
    for (kind, value) in attributes {
        attribute(&mut body, *kind, value);
    }
    body
}

fn link_head(index: u32, flags: u32) -> Vec<u8> {
    let mut head = vec![0; 2];
    head.extend(libc::ARPHRD_ETHER.to_ne_bytes());
    head.extend(index.to_ne_bytes());
    head.extend(flags.to_ne_bytes());
    head.extend([0; 4]);
    head
}

const MAC: [u8; 6] = [2, 0, 0x5e, 0x10, 0, 7];

#[test]
fn reads_links() {
    let mut counters = vec![0; 24 * 8];
    for (place, value) in [(5_usize, 1_u64), (6, 1_000), (7, 2), (11, 4), (14, 8), (15, 16), (4, 1_000)] {
        counters[place * 8..place * 8 + 8].copy_from_slice(&value.to_ne_bytes());
    }
    let attributes: [(u16, &[u8]); 5] = [
        (libc::IFLA_IFNAME, b"eth0\0"),
        (libc::IFLA_ADDRESS, &MAC),
        (libc::IFLA_MTU, &1_420_u32.to_ne_bytes()),
        (libc::IFLA_CARRIER_CHANGES, &7_u32.to_ne_bytes()),
        (libc::IFLA_STATS64, &counters),
    ];
    for (flags, up, carrier, silent) in [
        (UP | LOWER_UP, true, true, false),
        (UP, true, false, false),
        (0, false, false, false),
        (UP | LOWER_UP | NO_ARP, true, true, true),
    ] {
        let read = all(&datagram(libc::RTM_NEWLINK, 9, &with(&link_head(2, flags), &attributes)));
        let link = Link {
            index: 2,
            name: "eth0".into(),
            hardware: libc::ARPHRD_ETHER,
            mac: Some(Mac(MAC)),
            mtu: 1_420,
            up,
            carrier,
            silent,
            carrier_changes: 7,
            dropped: 31,
        };
        assert_eq!(read, [(9, Message::Link(link))]);
    }
}

fn v4(text: &str) -> [u8; 4] {
    text.parse::<Ipv4Addr>().expect("an address").octets()
}

/// As a table has it: family, prefix length, kind, and the prefix.
fn route(family: i32, length: u8, kind: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let family = u8::try_from(family).expect("a small number");
    with(&[family, length, 0, 0, 254, 0, 0, kind, 0, 0, 0, 0], attributes)
}

#[test]
fn reads_routes_and_addresses() {
    let (to, oif, gateway, source) = (v4("198.51.100.0"), 3_u32.to_ne_bytes(), v4("192.0.2.254"), v4("192.0.2.1"));
    let attributes: [(u16, &[u8]); 4] =
        [(libc::RTA_DST, &to), (libc::RTA_OIF, &oif), (libc::RTA_GATEWAY, &gateway), (libc::RTA_PREFSRC, &source)];
    for (kind, expect, link) in [
        (libc::RTN_UNICAST, RouteKind::Unicast, Some(3)),
        (libc::RTN_LOCAL, RouteKind::Local, Some(3)),
        (libc::RTN_BROADCAST, RouteKind::Broadcast, Some(3)),
        (libc::RTN_UNREACHABLE, RouteKind::Unreachable, None),
        (libc::RTN_PROHIBIT, RouteKind::Prohibited, None),
        (libc::RTN_BLACKHOLE, RouteKind::BlackHole, None),
        (libc::RTN_THROW, RouteKind::Other, None),
        (200, RouteKind::Other, None),
    ] {
        let read = all(&datagram(libc::RTM_NEWROUTE, 1, &route(libc::AF_INET, 23, kind, &attributes)));
        let to = range("198.51.100.0/23");
        let route = Route { to, kind: expect, link, gateway: Some(gateway.into()), source: Some(source.into()) };
        assert_eq!(read, [(1, Message::Route(route))]);
    }
    let mut head = vec![2, 24, 0, 0];
    head.extend(3_u32.to_ne_bytes());
    let body = with(&head, &[(libc::IFA_ADDRESS, &gateway), (libc::IFA_LOCAL, &source)]);
    let read = all(&datagram(libc::RTM_NEWADDR, 1, &body));
    assert_eq!(read, [(1, Message::Address { link: 3, ip: source.into() })]);
}

#[test]
fn prefixes_have_borders() {
    let (four, six) =
        (v4("198.51.100.77"), "2001:db8:1:2::3".parse::<std::net::Ipv6Addr>().expect("an address").octets());
    let everything = |v4| if v4 { "0.0.0.0/0" } else { "::/0" };
    for (family, length, to, expect) in [
        (libc::AF_INET, 32, Some(&four[..]), Some("198.51.100.77")),
        (libc::AF_INET, 31, Some(&four[..]), Some("198.51.100.76/31")),
        (libc::AF_INET, 1, Some(&four[..]), Some("128.0.0.0/1")),
        (libc::AF_INET, 0, Some(&four[..]), Some(everything(true))),
        (libc::AF_INET, 0, None, Some(everything(true))),
        (libc::AF_INET6, 128, Some(&six[..]), Some("2001:db8:1:2::3")),
        (libc::AF_INET6, 48, Some(&six[..]), Some("2001:db8:1::/48")),
        (libc::AF_INET6, 0, None, Some(everything(false))),
        // What makes no sense.
        (libc::AF_INET, 33, Some(&four[..]), None),
        (libc::AF_INET6, 129, Some(&six[..]), None),
        (libc::AF_INET, 24, None, None),
        (libc::AF_INET, 24, Some(&four[..3]), None),
        (17, 0, None, None),
    ] {
        let attributes: Vec<(u16, &[u8])> = to.iter().map(|to| (libc::RTA_DST, *to)).collect();
        let body = route(family, length, libc::RTN_UNICAST, &attributes);
        for kind in [libc::RTM_NEWROUTE, libc::RTM_DELROUTE] {
            let told: Vec<News> = news(&datagram(kind, 0, &body)).collect();
            let expect = expect.map_or(News::Other, |text| News::Route(range(text)));
            assert_eq!(told, [expect], "{family} {length} {to:?}");
        }
        let rules = all(&datagram(libc::RTM_NEWRULE, 1, &body));
        let expect = expect.map_or(Message::Other, |text| Message::Rule(range(text)));
        assert_eq!(rules, [(1, expect)], "{family} {length} {to:?}");
    }
}

#[test]
fn reads_neighbours() {
    let source = v4("192.0.2.1");
    for (state, flags, expect) in [
        (libc::NUD_REACHABLE, 0, Some(true)),
        (libc::NUD_PERMANENT, 0, Some(true)),
        (libc::NUD_STALE, 0, Some(false)),
        (libc::NUD_PROBE, 0, Some(false)),
        (libc::NUD_FAILED, 0, None),
        (libc::NUD_INCOMPLETE, 0, None),
        (libc::NUD_NOARP, 0, None),
        (libc::NUD_REACHABLE, 0x08, None),
    ] {
        let mut head = vec![2, 0, 0, 0, 3, 0, 0, 0];
        head.extend(state.to_ne_bytes());
        head.extend([flags, 1]);
        let body = with(&head, &[(libc::NDA_DST, &source), (libc::NDA_LLADDR, &MAC)]);
        let read = all(&datagram(libc::RTM_NEWNEIGH, 1, &body));
        let is_stale = state == libc::NUD_STALE;
        let neighbour =
            expect.map(|is_fresh| Neighbour { link: 3, ip: source.into(), mac: Mac(MAC), is_fresh, is_stale });
        assert_eq!(read, [(1, neighbour.map_or(Message::Other, Message::Neighbour))], "{state}");
        // That somebody has gone, or nobody answers, is news as well.
        for kind in [libc::RTM_NEWNEIGH, libc::RTM_DELNEIGH] {
            let told: Vec<News> = news(&datagram(kind, 0, &body)).collect();
            assert_eq!(told, [News::Neighbour { link: 3, ip: source.into() }], "{state}");
        }
    }
}

#[test]
fn reads_on_over_what_it_does_not_know_and_stops_at_what_is_cut_short() {
    let unknown = datagram(4_711, 1, &[1, 2, 3]);
    let failed = datagram(2, 5, &(-libc::ENETUNREACH).to_ne_bytes());
    let done = datagram(3, 6, &[]);
    let everything = [unknown, failed, done].concat();
    let expect = [(1, Message::Other), (5, Message::Error(libc::ENETUNREACH)), (6, Message::Done)];
    assert_eq!(all(&everything), expect);
    assert_eq!(news(&everything).collect::<Vec<_>>(), [News::Other; 3]);
    assert_eq!(all(&everything[..everything.len() - 1]), expect[..2]);
}

#[test]
fn questions_are_as_long_as_they_say() {
    for question in [
        Question::Links,
        Question::Link(7),
        Question::Addresses,
        Question::way(IpAddr::from([192, 0, 2, 7])),
        Question::way("2001:db8::7".parse().expect("an address")),
        Question::Way { to: IpAddr::from([192, 0, 2, 7]), from: Some(IpAddr::from([192, 0, 2, 1])), by: Some(2) },
        Question::Routes { v4: true },
        Question::Rules { v4: false },
        Question::Neighbours,
        Question::Neighbour { link: 2, ip: IpAddr::from([192, 0, 2, 7]) },
    ] {
        let bytes = question.to_bytes(11);
        let length = u32::from_ne_bytes(*bytes.first_chunk().expect("a header"));
        assert_eq!(usize::try_from(length).expect("small"), bytes.len(), "{question:?}");
        assert_eq!(all(&bytes), [(11, Message::Other)], "{question:?}");
    }
}

proptest! {
    #[test]
    fn takes_any_bytes(kind in 0_u16..64, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for datagram in [bytes.clone(), datagram(kind, 0, &bytes)] {
            let _ = (messages(&datagram).count(), news(&datagram).count());
        }
    }
}
