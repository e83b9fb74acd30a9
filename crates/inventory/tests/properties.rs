//! What holds for every history.

mod world;

use inventory::{CertificateState, Change, HostState, Inventory};
use model::{Certificate, Event, EventType, HostSlice, Sha256, Weakness};
use proptest::prelude::*;
use std::collections::BTreeMap;
use world::*;

const ADDRESSES: [&str; 3] = ["192.0.2.7", "192.0.2.8", "198.51.100.9"];

fn seen() -> impl Strategy<Value = Seen> {
    let port = prop::sample::select(vec![22_u16, 80, 443, 8080]);
    let texts = vec!["ssh OpenSSH 9.2", "ssh OpenSSH 9.3", "http nginx 1.22", "http nginx", "http", "tls"];
    let leaf = || (1_u8..4, prop::sample::select(vec!["O=Example CA Inc", "O=Other CA"]));
    prop_oneof![
        3 => port.clone().prop_map(open),
        2 => port.clone().prop_map(refused),
        1 => port.clone().prop_map(rst),
        2 => port.clone().prop_map(silent),
        1 => Just(reply(53)),
        1 => Just(unreachable(53)),
        2 => (port.clone(), prop::sample::select(texts)).prop_map(|(port, text)| speaks(port, text)),
        2 => (port.clone(), leaf()).prop_map(|(port, (number, issuer))| tls(port, "http nginx", &leaf_of(number, issuer))),
        1 => (port.clone(), prop::sample::subsequence(vec![Weakness::Ssl3, Weakness::Rc4], 0..3))
            .prop_map(|(port, found)| audited(port, &[Weakness::Ssl3, Weakness::Rc4], &found)),
        1 => port.prop_map(mute),
        1 => prop::sample::select(vec!["a.example.org", "b.example.org"]).prop_map(|name| names(&[name])),
        3 => (prop::sample::select(vec!["ssh-ed25519", "ssh-rsa"]), 1_u8..4)
            .prop_map(|(algorithm, number)| ssh(22, "ssh OpenSSH 9.2", algorithm, number | u8::from(algorithm == "ssh-rsa") << 4)),
        1 => prop::sample::select(vec!["linux Debian 12", "linux Debian 13", "freebsd"])
            .prop_map(|os| runs(80, "http nginx 1.22", os, 0.9)),
        1 => (1_u8..4).prop_map(mac),
    ]
}

fn leaf_of(number: u8, issuer: &str) -> Certificate {
    // One digest, one certificate.
    let mark = if issuer.contains("Other") { 0x40 } else { 0 };
    certificate(number | mark, issuer, 400)
}

/// At most one thing of a kind about a port: what one pass over one host can say.
fn look() -> impl Strategy<Value = Vec<Seen>> {
    prop::collection::vec(seen(), 0..6).prop_map(|list| {
        let mut kept: BTreeMap<(u8, u16), Seen> = BTreeMap::new();
        for seen in list {
            let key = match &seen {
                Seen::Port(_, port, _) => (0, *port),
                Seen::Service(service) => (1, service.endpoint.port),
                Seen::Names(_) => (2, 0),
                Seen::Mac(_) => (3, 0),
                Seen::Audit(audit) => (4, audit.endpoint.port),
                Seen::Presence(_) => (5, 0),
            };
            kept.insert(key, seen);
        }
        kept.into_values().collect()
    })
}

#[derive(Debug, Clone)]
enum Step {
    /// Seconds since the last step, and what is seen where; the same pass goes on where the flag is not set.
    Look(i64, usize, bool, Vec<Seen>),
    Cover,
    Allow(bool),
    Tick(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1_i64..900, 0..ADDRESSES.len(), any::<bool>(), look()).prop_map(|(s, a, new, seen)| Step::Look(s, a, new, seen)),
        1 => Just(Step::Cover),
        1 => any::<bool>().prop_map(Step::Allow),
        1 => (1_i64..100 * 86_400).prop_map(Step::Tick),
    ]
}

fn policy_of(world: &mut World, allow: bool) {
    let list = model::AllowList { issuers: vec!["O=Example CA Inc".to_owned()], spki: Vec::new() };
    world.policy.certificates = allow.then(|| list.into());
}

/// Everything that is kept, comparable.
fn state(inventory: &Inventory) -> (Vec<HostState>, Vec<CertificateState>) {
    (inventory.hosts().collect(), inventory.certificates().cloned().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Twice is once, and a restart between any two steps is no restart: `World` asserts both at every step. Types that come
    /// in turns do so strictly, and no event ever lacks its evidence or repeats an id.
    #[test]
    fn any_history_is_idempotent_and_survives_restarts(steps in prop::collection::vec(step(), 1..30)) {
        let mut world = World::new();
        let mut second = 1;
        let mut pass = 1;
        for step in steps {
            match step {
                Step::Look(gap, address, new_pass, seen) => {
                    second += gap;
                    pass += u64::from(new_pass);
                    world.apply(&slice(second, ADDRESSES[address], pass, &seen));
                }
                Step::Cover => world.cover("192.0.2.0/24", "1-1024"),
                Step::Allow(allow) => policy_of(&mut world, allow),
                Step::Tick(gap) => {
                    second += gap;
                    world.tick(second);
                }
            }
            // The certificates' places are those the hosts' services tell.
            let mut places: BTreeMap<Sha256, usize> = BTreeMap::new();
            for host in world.inventory.hosts() {
                for service in host.endpoints.iter().flat_map(|endpoint| &endpoint.services) {
                    let Some(tls) = &service.tls else { continue };
                    let members: std::collections::BTreeSet<_> =
                        tls.certificate.iter().chain(tls.alternates.keys()).collect();
                    for member in members {
                        *places.entry(*member).or_default() += 1;
                    }
                }
            }
            for known in world.inventory.certificates() {
                let expect = places.get(&known.certificate.sha256).copied().unwrap_or(0);
                prop_assert_eq!(known.endpoints.len(), expect);
            }
        }
        for ip in ADDRESSES {
            let mine = || world.events.iter().filter(|event| event.host.as_ref().is_some_and(|host| host.ip.to_string() == ip));
            let turns = |first: EventType, second: EventType| {
                let list: Vec<_> = mine().map(|event| event.kind).filter(|kind| *kind == first || *kind == second).collect();
                list.windows(2).all(|pair| pair[0] != pair[1]) && list.first().is_none_or(|kind| *kind == first)
            };
            prop_assert!(turns(EventType::HostLost, EventType::HostUp));
            for port in [22, 80, 443, 8080, 53] {
                let list: Vec<_> = mine()
                    .filter(|event| event.endpoint.is_some_and(|endpoint| endpoint.port == port))
                    .map(|event| event.kind)
                    .filter(|kind| matches!(kind, EventType::PortOpen | EventType::PortClosed))
                    .collect();
                prop_assert!(list.windows(2).all(|pair| pair[0] != pair[1]));
            }
        }
    }

    /// The order of hosts inside a pass changes nothing: not the state, not what is told. No two hosts show the same SSH key here: in which
    /// pass it is noticed that a key is shared does depend on the order where keys are in doubt, or take turns, at the same time.
    #[test]
    fn the_order_of_hosts_inside_a_pass_changes_nothing(
        passes in prop::collection::vec(prop::collection::vec(look(), ADDRESSES.len()), 1..8),
        orders in prop::collection::vec(Just(vec![0_usize, 1, 2]).prop_shuffle(), 8),
        covered in any::<bool>(),
        allow in any::<bool>(),
    ) {
        let mut straight = if covered { World::covered() } else { World::new() };
        policy_of(&mut straight, allow);
        let mut shuffled = straight.clone();
        for ((number, looks), order) in (1_i64..).zip(&passes).zip(&orders) {
            let slices: Vec<HostSlice> = ADDRESSES
                .iter()
                .zip(looks)
                .zip(1..)
                .map(|((ip, seen), host)| {
                    let mut slice = slice(number * 300, ip, number.unsigned_abs(), seen);
                    let services = slice.services.iter_mut().filter_map(|seen| seen.service.as_mut());
                    services.filter_map(|service| service.ssh_key.as_mut()).for_each(|key| key.sha256.0[0] = host);
                    slice
                })
                .collect();
            for slice in &slices {
                straight.apply(slice);
            }
            for &index in order {
                shuffled.apply(&slices[index]);
            }
            prop_assert_eq!(state(&straight.inventory), state(&shuffled.inventory));
            prop_assert_eq!(straight.inventory.pending(), shuffled.inventory.pending());
        }
        // Which of several is the one the others are part of is left to chance, and so is whether a certificate that goes from
        // one host to another within a pass is gone for a moment.
        let is_served = |world: &World, event: &Event| {
            let sha256 = event.certificate.as_ref().map(|certificate| certificate.sha256);
            world.inventory.certificates().any(|known| {
                Some(known.certificate.sha256) == sha256 && !known.endpoints.is_empty()
            })
        };
        let ids = |world: &World| {
            let told = world.events.iter().filter(|event| event.part_of.is_none_or(|whole| whole.kind != event.kind));
            let told = told.filter(|event| event.kind != EventType::SslRemoved || !is_served(world, event));
            let mut ids: Vec<_> = told.map(|event| event.id).collect();
            ids.sort_unstable();
            ids
        };
        prop_assert_eq!(ids(&straight), ids(&shuffled));
    }

    /// Nothing that says nothing changes anything.
    #[test]
    fn an_empty_slice_is_no_change(seen in look()) {
        let mut world = World::covered();
        world.sees(1, ADDRESSES[0], &seen);
        let empty = slice(500, ADDRESSES[0], 900, &[]);
        prop_assert_eq!(world.inventory.apply(&empty, &world.policy, empty.at), Change::default());
    }
}
