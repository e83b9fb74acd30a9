use super::*;
use model::{Coverage, Lane, OpenReason, PassId, PassKind, PassRef, Service, ServiceObservation};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn news(mirages: &Mirages) -> Vec<Mirage> {
    std::iter::from_fn(|| mirages.next_news()).collect()
}

fn slice(ip: IpAddr, ports: &[u16], speaking: &[u16], mute: &[u16]) -> HostSlice {
    let open = |&port: &u16| PortObservation {
        endpoint: Endpoint::tcp(ip, port),
        outcome: Outcome::Open(OpenReason::Connected),
        at: NOW,
        attempts: 1,
        refused: 0,
        rtt_us: None,
    };
    let talk = |port: u16, service: Option<Service>| ServiceObservation {
        endpoint: Endpoint::tcp(ip, port),
        name: None,
        at: NOW,
        service,
        tls: None,
        connections: 1,
        learnt: false,
        heard: None,
    };
    let spoken = speaking.iter().map(|&port| talk(port, Some(Service { name: "ssh".into(), ..Service::default() })));
    HostSlice {
        vantage: "scan1".into(),
        ip,
        pass: PassRef {
            id: PassId(model::derive_id(NOW, "pass", &1)),
            profile: "dmz".into(),
            lane: Lane::Hot,
            kind: PassKind::Sweep,
        },
        at: NOW,
        covered: Coverage::default(),
        ports: ports.iter().map(open).collect(),
        services: spoken.chain(mute.iter().map(|&port| talk(port, None))).collect(),
        audits: Vec::new(),
        names: Vec::new(),
        mac: None,
        presence: None,
    }
}

#[test]
fn what_speaks_stays_and_what_is_mute_goes() {
    let ip: IpAddr = [192, 0, 2, 7].into();
    let mirages = Mirages::default();
    let sift = |mut slice: HostSlice, spoke: &[u16]| {
        let talked = !slice.services.is_empty();
        let left = mirages.sift(&mut slice, talked, |endpoint| spoke.contains(&endpoint.port));
        let ports: Vec<_> = slice.ports.iter().map(|seen| (seen.endpoint.port, seen.outcome.is_open())).collect();
        (left, ports)
    };
    assert_eq!(sift(slice(ip, &[443], &[], &[]), &[]), (true, vec![(443, true)]), "nothing is known");
    let prefix = Mirage::Prefix(Prefix::of([192, 0, 2, 0].into(), 8), Some(443));
    mirages.see(prefix, NOW);
    mirages.see(prefix, NOW);
    assert_eq!(news(&mirages), [prefix], "once");
    for (ports, speaking, mute, spoke, expect) in [
        (&[443_u16][..], &[][..], &[][..], &[][..], (false, vec![])),
        (&[443], &[], &[443], &[], (false, vec![])),
        (&[443], &[443], &[], &[], (true, vec![(443, true)])),
        (&[22, 443], &[], &[], &[], (true, vec![(22, true)])),
        (&[443], &[], &[443], &[443], (true, vec![(443, false)])),
        (&[443], &[], &[], &[443], (false, vec![])),
    ] {
        assert_eq!(sift(slice(ip, ports, speaking, mute), spoke), expect, "{ports:?} {speaking:?} {mute:?} {spoke:?}");
    }
    let elsewhere: IpAddr = [192, 0, 3, 7].into();
    assert_eq!(sift(slice(elsewhere, &[443], &[], &[443]), &[]), (true, vec![(443, true)]));
    mirages.see(Mirage::Host(elsewhere), NOW);
    assert_eq!(sift(slice(elsewhere, &[443, 1, 2], &[2], &[443]), &[]), (true, vec![(2, true)]));
    mirages.forget(Mirage::Host(elsewhere));
    assert_eq!(sift(slice(elsewhere, &[1], &[], &[]), &[]), (true, vec![(1, true)]));
    mirages.see(Mirage::Prefix(Prefix::of(elsewhere, 8), None), NOW);
    mirages.see(Mirage::Host(elsewhere), NOW);
    assert_eq!(news(&mirages).len(), 2, "the host is part of the prefix");
    assert!(mirages.hold(&Endpoint::tcp(elsewhere, 9)) && !mirages.hold(&Endpoint::udp(elsewhere, 9)));
}

#[test]
fn most_behind_a_mirage_are_nobody_and_are_seldom_asked() {
    let mirages = Mirages::default();
    let endpoint = Endpoint::tcp([192, 0, 2, 7].into(), 443);
    let at = |minute: i64| Timestamp::from_second(minute * 60).expect("in range");
    for (minute, speaks, may) in [
        (0, false, true),
        (10, false, false),
        (10, true, true),
        (14, true, false),
        (69, false, false),
        (70, false, true),
    ] {
        assert_eq!(mirages.may_talk(endpoint, speaks, TALK_EVERY, at(minute)), may, "{minute}");
    }
}

#[test]
fn names_read_back() {
    for text in [
        "192.0.2.7",
        "2001:db8::7",
        "192.0.2.0/24",
        "192.0.2.0/24 port 443",
        "192.0.2.192/26 port 443",
        "192.0.2.0/24 knocks",
        "192.0.2.6/31",
        "2001:db8::/120 port 22",
        "2001:db8::40/122",
    ] {
        assert_eq!(text.parse::<Mirage>().map(|mirage| mirage.to_string()).as_deref(), Ok(text));
    }
    for text in ["192.0.2.0 port 24", "192.0.2.0/23", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/x", "2001:db8::/64"] {
        assert_eq!(text.parse::<Mirage>(), Err(NoMirage), "{text}");
    }
}

#[test]
fn a_part_of_a_prefix_holds_its_own_and_is_known_with_the_whole() {
    let mirages = Mirages::default();
    let mirage = |text: &str| text.parse::<Mirage>().expect("a mirage");
    mirages.see(mirage("192.0.2.64/26 port 443"), NOW);
    for (last, port, held) in [(63, 443, false), (64, 443, true), (127, 443, true), (128, 443, false), (64, 22, false)]
    {
        assert_eq!(mirages.hold(&Endpoint::tcp([192, 0, 2, last].into(), port)), held, "{last}:{port}");
    }
    assert!(!mirages.has_others(mirage("192.0.2.0/28 port 9")), "nobody was told of the other yet");
    news(&mirages);
    // What is seen, and whether that is news.
    for (text, is_news) in [
        ("192.0.2.64/28 port 443", false),
        ("192.0.2.64/28 port 22", true),
        ("192.0.2.0/25 port 443", true),
        ("192.0.2.0/26 port 443", false),
        ("192.0.2.7", true),
        ("192.0.2.0/24", true),
        ("192.0.2.8", false),
        ("192.0.2.0/24 port 25", false),
        ("192.0.3.8", true),
    ] {
        mirages.see(mirage(text), NOW);
        assert_eq!(news(&mirages).len(), usize::from(is_news), "{text}");
    }
    assert!(mirages.has_others(mirage("192.0.2.0/28 port 9")) && !mirages.has_others(mirage("192.0.3.0/24")));
}

#[test]
fn a_clock_that_is_set_back_leaves_none_unlooked_at() {
    let at = |hour: i64| Timestamp::from_second(hour * 3_600).expect("in range");
    let mirages = Mirages::default();
    let mirage = Mirage::Host(Ipv4Addr::new(192, 0, 2, 1).into());
    mirages.restore(mirage, Known { since: at(10), seen: at(10) });
    let is_due = |now: i64| !mirages.not_seen_for(Duration::from_hours(1), at(now)).is_empty();
    assert_eq!([10, 11, 5].map(is_due), [false, true, true]);
}
