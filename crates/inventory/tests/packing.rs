//! What is packed comes back as it was, whatever it was.

use inventory::{
    Approval, Change, EndpointState, Flap, FlapSubject, HostFinding, HostState, Identity, IdentityKey, Inventory,
    NameTurn, NameTurns, Pending, PendingCertificate, PendingKey, PendingNames, PendingOs, PendingService,
    PendingTrust, PortStatus, ServiceState, Suspicion, TlsState, Turn, Turnover,
};
use jiff::Timestamp;
use model::{
    ClientAuth, EventId, EventType, HostKey, Mac, NameSource, Os, PartOf, PassId, Service, ServiceName, Sha256,
    Software, SshKey, Staple, StapleStatus, TlsPosture, TlsVersion, Transport, Vantage, Verdict, Weakness,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use uuid::Uuid;

/// Mostly ordinary ones to the nanosecond, and those at and beyond the ends of what eight bytes hold.
fn time() -> impl Strategy<Value = Timestamp> {
    let edge = vec![
        Timestamp::MIN,
        Timestamp::MAX,
        Timestamp::UNIX_EPOCH,
        Timestamp::from_nanosecond(i128::from(i64::MIN)).expect("in range"),
        Timestamp::from_nanosecond(i128::from(i64::MAX)).expect("in range"),
        Timestamp::from_nanosecond(i128::from(i64::MAX) + 1).expect("in range"),
    ];
    prop_oneof![
        30 => (1_795_000_000_i64..1_800_000_000, 0_i32..1_000_000_000)
            .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).expect("in range")),
        1 => select(edge),
    ]
}

fn text() -> impl Strategy<Value = String> {
    select(vec!["connected", "syn-ack", "refused", "", "ssh", "OpenSSH", "9.2p1", "\u{fffd} é"]).prop_map(str::to_owned)
}

fn digest() -> impl Strategy<Value = Sha256> {
    (0_u8..6).prop_map(|number| Sha256([number; 32]))
}

fn key() -> impl Strategy<Value = SshKey> {
    (text(), digest()).prop_map(|(algorithm, sha256)| SshKey { algorithm, sha256 })
}

fn os() -> impl Strategy<Value = Os> {
    (text(), option::of(text()), option::of(text()), 0_u8..3).prop_map(|(family, product, version, sure)| Os {
        family,
        product,
        version,
        confidence: f32::from(sure) / 2.0,
    })
}

fn service() -> impl Strategy<Value = Arc<Service>> {
    let facts = prop::collection::btree_map(text(), text(), 0..2);
    let words = (text(), option::of(text()), option::of(text()), vec(text(), 0..2), option::of(text()));
    let behind = vec((text(), option::of(text())), 0..2);
    (words, facts, option::of(os()), option::of(key()), behind, 0_u8..3).prop_map(
        |(words, facts, os, ssh_key, behind, sure)| {
            let software = |(product, version)| Software { vendor: None, product, version, cpe: None };
            let behind = behind.into_iter().map(software).collect();
            let (name, product, version, cpe, banner) = words;
            Arc::new(Service {
                vendor: product.clone(),
                confidence: f32::from(sure) / 2.0,
                name,
                product,
                version,
                cpe,
                banner,
                facts,
                os,
                behind,
                ssh_key,
            })
        },
    )
}

fn pending() -> impl Strategy<Value = Pending> {
    (any::<u16>(), time(), time(), any::<u64>(), text(), time()).prop_map(|(count, since, last, pass, reason, due)| {
        let last_pass = PassId(Uuid::from_u128(pass.into()));
        Pending { count, since, last, last_pass, reason, profile: "dmz".into(), due }
    })
}

fn posture() -> impl Strategy<Value = Box<TlsPosture>> {
    let versions = prop::collection::btree_set(select(TlsVersion::ALL.to_vec()), 0..3);
    let staple = (option::of(time()), option::of(time()));
    let times = (option::of(time()), option::of(time()), option::of(staple));
    (times, option::of(versions), option::of(any::<bool>()), vec(text(), 0..2), option::of(text())).prop_map(
        |((at, audited, staple), versions, flag, client_authorities, profile)| {
            let staple = staple.map(|(this_update, next_update)| Staple {
                status: StapleStatus::Good,
                this_update,
                next_update,
            });
            Box::new(TlsPosture {
                at,
                audited,
                versions,
                client_auth: flag.map(|flag| if flag { ClientAuth::Optional } else { ClientAuth::No }),
                client_authorities,
                heartbeat: flag,
                stapled: staple.as_ref().map(|_| true),
                staple,
                profile,
                ..TlsPosture::default()
            })
        },
    )
}

fn weaknesses<T: std::fmt::Debug>(what: impl Strategy<Value = T>) -> impl Strategy<Value = BTreeMap<Weakness, T>> {
    prop::collection::btree_map(select(Weakness::ALL.to_vec()), what, 0..2)
}

fn suspicion() -> impl Strategy<Value = Suspicion> {
    (any::<u8>(), time(), time()).prop_map(|(count, since, due)| Suspicion { count, since, due })
}

fn tls() -> impl Strategy<Value = Box<TlsState>> {
    let verdict = select(vec![Verdict::Expired, Verdict::SelfSigned, Verdict::WrongUse, Verdict::Malformed]);
    let alternates = prop_oneof![3 => Just(BTreeMap::new()), 1 => prop::collection::btree_map(digest(), time(), 0..3)];
    let shown = (text(), text(), option::of(text()), option::of(digest()), alternates, vec(verdict, 0..18));
    (shown, option::of(posture()), weaknesses(0_u8..3), weaknesses(suspicion())).prop_map(
        |((version, cipher, alpn, certificate, alternates, verdicts), posture, weaknesses, suspected)| {
            Box::new(TlsState {
                version,
                cipher,
                alpn,
                certificate,
                alternates,
                verdicts,
                chain: certificate.into_iter().collect(),
                path: None,
                posture,
                weaknesses,
                suspected,
            })
        },
    )
}

/// Most of the time not there.
fn seldom<T: std::fmt::Debug>(what: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    option::weighted(0.1, what)
}

/// Boxed, as are its doubts: their trees of values are large, and a test's thread has a small stack.
fn service_state() -> BoxedStrategy<ServiceState> {
    let name = seldom(Just("www.example.org".parse::<ServiceName>().expect("a name")));
    let doubts = (
        seldom((pending(), option::of(service()), any::<bool>())),
        seldom((pending(), digest())),
        seldom((pending(), key())),
        seldom((pending(), any::<bool>())),
    )
        .boxed();
    let times = (time(), time(), time(), option::weighted(0.1, time()));
    (name, option::of(service()), option::of(tls()), times, doubts)
        .prop_map(|(name, service, tls, times, doubts)| {
            let boxed = |(evidence, service, tls): (Pending, Option<Arc<Service>>, bool)| {
                let turns = vec![Turn { service: service.clone(), tls: !tls, last: evidence.since, missed: 3 }];
                Box::new(PendingService { evidence, service, tls, turns })
            };
            ServiceState {
                learnt: name.is_some() && doubts.2.is_some(),
                name,
                service,
                tls,
                first_seen: times.0,
                last_seen: times.1,
                changed_at: times.2,
                last_observed: times.3.unwrap_or(times.1),
                pending_service: doubts.0.map(boxed),
                pending_certificate: doubts.1.map(|(evidence, certificate)| {
                    let missed = BTreeMap::from([(certificate, evidence.count)]);
                    Box::new(PendingCertificate {
                        census: evidence.count % 40,
                        evidence,
                        certificate,
                        verdicts: Vec::new(),
                        missed,
                    })
                }),
                pending_trust: doubts.3.map(|(evidence, wavers)| Box::new(PendingTrust { evidence, wavers })),
                pending_key: doubts.2.map(|(evidence, key)| Box::new(PendingKey { evidence, key })),
            }
        })
        .boxed()
}

fn transport() -> impl Strategy<Value = Transport> {
    select(vec![Transport::Tcp, Transport::Udp])
}

fn endpoint() -> impl Strategy<Value = EndpointState> {
    let status = select(vec![PortStatus::Open, PortStatus::Closed, PortStatus::Opening]);
    let rest = (seldom(pending()), prop_oneof![3 => Just(0), 1 => any::<u8>()], any::<bool>());
    let services = prop_oneof![4 => vec(service_state(), 0..2), 1 => vec(service_state(), 0..4)];
    (transport(), any::<u16>(), status, text(), (time(), time(), time(), time()), rest, services).prop_map(
        |(transport, port, status, reason, times, (pending, recovered, learnt), services)| EndpointState {
            transport,
            port,
            status,
            reason,
            first_seen: times.0,
            last_seen: times.1,
            changed_at: times.2,
            last_observed: times.3,
            pending,
            recovered,
            learnt,
            services,
        },
    )
}

fn part_of() -> impl Strategy<Value = PartOf> {
    any::<u64>().prop_map(|id| PartOf { id: EventId(Uuid::from_u128(id.into())), kind: EventType::HostFound })
}

fn identity() -> impl Strategy<Value = Identity> {
    let key =
        prop_oneof![any::<[u8; 6]>().prop_map(|bytes| IdentityKey::Mac(Mac(bytes))), key().prop_map(IdentityKey::Ssh)];
    (key, time(), time()).prop_map(|(key, since, last)| Identity { key, since, last })
}

fn rare_parts() -> impl Strategy<Value = HostState> {
    let flap = (transport(), any::<u16>(), vec(time(), 0..4), option::of(part_of()), any::<u32>()).prop_map(
        |(transport, port, changes, flapping, damped)| {
            let looks = port;
            let subject = if port < 99 { FlapSubject::Host } else { FlapSubject::Endpoint(transport, port) };
            Flap { subject, changes, flapping, damped, looks }
        },
    );
    let finding = (text(), time(), time()).prop_map(|(id, since, last_seen)| HostFinding { id, since, last_seen });
    let source = || select(vec![NameSource::Configured, NameSource::Ptr]);
    let names = prop::collection::btree_map(source(), prop::collection::btree_set(text(), 0..3), 0..3);
    let named_at = prop::collection::btree_map(source(), time(), 0..3);
    let first = (seldom(pending()), seldom((pending(), os())), seldom(part_of()), vec(flap, 0..2), vec(finding, 0..2));
    let turn = (prop::collection::btree_map(text(), time(), 0..3), option::of((pending(), text()))).prop_map(
        |(recent, pending)| NameTurn {
            recent,
            pending: pending.map(|(evidence, name)| PendingNames { evidence, names: [name].into() }),
        },
    );
    let turns = prop::collection::btree_map(source(), turn, 1..3).prop_map(|by_source| NameTurns { by_source });
    let sign = || option::of(time());
    let signs = (sign(), sign(), sign(), sign(), sign(), sign())
        .prop_map(|(mac, key, other_key, os, products, told)| Turnover { mac, key, other_key, os, products, told });
    let rest = (seldom(time()), seldom(turns), seldom(signs));
    (first, names, named_at, rest).prop_map(|(first, names, named_at, (blocked_since, turns, signs))| HostState {
        name_turns: turns.map(Box::new),
        turnover: signs.map(Box::new),
        misses: first.0,
        pending_os: first.1.map(|(evidence, os)| Box::new(PendingOs { evidence, os })),
        found: first.2,
        flaps: first.3,
        findings: first.4,
        names,
        named_at,
        blocked_since,
        ..bare(0)
    })
}

fn bare(address: u8) -> HostState {
    let ip = if address.is_multiple_of(2) {
        [192, 0, 2, address].into()
    } else {
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(address)].into()
    };
    HostState::new(HostKey { vantage: Vantage::from("scan1"), ip }, Timestamp::UNIX_EPOCH)
}

fn words() -> impl Strategy<Value = Arc<[Arc<str>]>> {
    vec(text(), 0..3).prop_map(|words| words.into_iter().map(Arc::from).collect())
}

fn host() -> impl Strategy<Value = HostState> {
    let times = (time(), time(), option::of(time()));
    let words = (words(), words(), any::<u8>());
    let own = (option::of(os()), option::of((transport(), any::<u16>())), option::of((time(), text())));
    let lists = (vec(endpoint(), 0..4), vec(identity(), 0..3));
    (any::<u8>(), any::<bool>(), times, words, own, lists, prop_oneof![3 => Just(bare(0)), 1 => rare_parts()]).prop_map(
        |(address, up, times, words, own, (endpoints, identities), rare)| HostState {
            key: bare(address).key,
            up,
            first_seen: times.0,
            last_seen: times.1,
            lost_since: times.2,
            assets: words.0,
            tags: words.1,
            value: words.2,
            os: own.0,
            answered_by: own.1,
            approved: own.2.map(|(at, by)| Approval { at, by }),
            endpoints,
            identities,
            ..rare
        },
    )
}

fn change(hosts: Vec<HostState>) -> Change {
    Change { hosts, ..Change::default() }
}

proptest! {
    /// Also after others came and went: what they shared is still there, and nothing of what only they had. A walk from
    /// anywhere gives the rest, and the counts are what a walk would count.
    #[test]
    fn every_host_comes_back_as_it_was(steps in vec((host(), 0_u8..4), 1..20), from in any::<u8>()) {
        let mut inventory = Inventory::new(Vantage::from("scan1"));
        let mut expect: BTreeMap<_, HostState> = BTreeMap::new();
        for (host, chance) in steps {
            let key = host.key.clone();
            if chance == 0 {
                inventory.install(&Change { removed_hosts: vec![key.clone()], ..Change::default() });
                expect.remove(&key.ip);
            } else {
                inventory.install(&change(vec![host.clone()]));
                expect.insert(key.ip, host);
            }
            prop_assert_eq!(inventory.host(key.ip), expect.get(&key.ip).cloned());
        }
        let all: Vec<HostState> = expect.values().cloned().collect();
        prop_assert_eq!(&inventory.hosts().collect::<Vec<_>>(), &all);
        let from = bare(from).key.ip;
        let rest: Vec<_> = inventory.rows(std::ops::Bound::Excluded(from)).map(inventory::Row::ip).collect();
        let expect: Vec<_> = all.iter().map(|host| host.key.ip).filter(|ip| *ip > from).collect();
        prop_assert_eq!(rest, expect);
        let told = || all.iter().filter(|host| !host.is_provisional());
        let services = told().flat_map(HostState::open).filter(|open| open.services.iter().any(|s| s.service.is_some()));
        let counts = inventory::Counts {
            hosts: told().count(),
            hosts_up: told().filter(|host| host.up).count(),
            endpoints: told().flat_map(HostState::open).count(),
            services: services.count(),
            certificates: 0,
        };
        prop_assert_eq!(inventory.counts(), counts);
        inventory.install(&Change { removed_hosts: all.iter().map(|host| host.key.clone()).collect(), ..Change::default() });
        prop_assert_eq!(inventory.counts(), inventory::Counts::default());
        prop_assert_eq!(inventory.hosts().count(), 0);
    }
}

#[test]
fn another_vantage_is_told_apart() {
    let mut host = bare(7);
    host.key.vantage = Vantage::from("scan2");
    let mut inventory = Inventory::new(Vantage::from("scan1"));
    inventory.install(&change(vec![host.clone()]));
    assert_eq!(inventory.host(host.key.ip), Some(host));
}

#[test]
fn a_thousand_hosts_in_any_order_are_ascending_and_can_be_walked_in_pieces() {
    let number = |n: u32| bare_at(n.wrapping_mul(2_654_435_761) % 10_007);
    let mut inventory = Inventory::new(Vantage::from("scan1"));
    let mut expect = BTreeSet::new();
    for n in 0..5_000 {
        let host = number(n);
        expect.insert(host.key.ip);
        inventory.install(&change(vec![host]));
    }
    for n in (0..5_000).step_by(3) {
        let gone = number(n).key;
        expect.remove(&gone.ip);
        inventory.install(&Change { removed_hosts: vec![gone], ..Change::default() });
    }
    let mut walked = Vec::new();
    let mut from = std::ops::Bound::Unbounded;
    loop {
        let piece: Vec<_> = inventory.rows(from).take(97).map(inventory::Row::ip).collect();
        let Some(last) = piece.last() else { break };
        from = std::ops::Bound::Excluded(*last);
        walked.extend(piece);
    }
    assert_eq!(walked, expect.into_iter().collect::<Vec<_>>());
}

fn bare_at(number: u32) -> HostState {
    let mut host = bare(0);
    host.key.ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 | number).into();
    host
}
