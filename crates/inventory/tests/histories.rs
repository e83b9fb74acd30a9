//! Random histories against a simple model: what is true, what a look at it says, and what a recipient was told.

mod world;

use inventory::{HostState, Inventory, PortStatus, Question};
use model::{Event, EventType, HostSlice, Transport};
use proptest::prelude::*;
use std::{collections::BTreeMap, net::IpAddr};
use world::*;

const ADDRESSES: [&str; 3] = ["192.0.2.7", "192.0.2.8", "192.0.2.9"];
const PORTS: [u16; 3] = [22, 80, 443];
const LANE: i64 = 300;

/// A host as it is: up or down, and which of the three ports is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Truth {
    up: bool,
    open: [bool; 3],
}

/// What spoils a look at one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noise {
    None,
    Silence,
    Reset,
}

/// One round of the known lane: what changes before it, and what spoils each look.
#[derive(Debug, Clone)]
struct Round {
    change: Option<(usize, usize)>,
    noise: Vec<Noise>,
    order: Vec<usize>,
}

fn noise() -> impl Strategy<Value = Noise> {
    prop_oneof![7 => Just(Noise::None), 1 => Just(Noise::Silence), 2 => Just(Noise::Reset)]
}

fn round(changes: u32) -> impl Strategy<Value = Round> {
    let change = prop_oneof![
        10 => Just(None),
        changes => (0..ADDRESSES.len(), 0..=PORTS.len()).prop_map(Some),
    ];
    (change, prop::collection::vec(noise(), ADDRESSES.len() * PORTS.len()), Just(vec![0, 1, 2]).prop_shuffle())
        .prop_map(|(change, noise, order)| Round { change, noise, order })
}

/// What the recipient believes of each subject: none until told.
type Told = BTreeMap<(IpAddr, Option<u16>), bool>;

#[derive(Debug, Clone)]
struct Story {
    inventory: Inventory,
    policy: model::HostPolicy,
    truth: [Truth; 3],
    told: Told,
    events: Vec<Event>,
    passes: u64,
    now: i64,
    restarts: bool,
    twice: bool,
}

impl Story {
    /// All three hosts are learnt with all three ports open.
    fn begin(restarts: bool, twice: bool) -> Self {
        let mut world = World::new();
        let mut told = Told::new();
        for ip in ADDRESSES {
            world.sees(1, ip, &PORTS.map(open));
            let ip: IpAddr = ip.parse().expect("an address");
            told.insert((ip, None), true);
            told.extend(PORTS.map(|port| ((ip, Some(port)), true)));
        }
        world.cover("192.0.2.0/24", "1-1024");
        let World { inventory, policy, passes, .. } = world;
        let truth = [Truth { up: true, open: [true; 3] }; 3];
        Self { inventory, policy, truth, told, events: Vec::new(), passes, now: 1, restarts, twice }
    }

    fn look(&mut self, host: usize, ports: &[u16], second: i64, noise: impl Fn(usize) -> Noise) {
        self.passes += 1;
        let truth = self.truth[host];
        let seen: Vec<Seen> = ports
            .iter()
            .map(|&port| {
                let index = PORTS.iter().position(|&known| known == port).expect("known");
                match (truth.up, noise(index), truth.open[index]) {
                    (false, ..) | (_, Noise::Silence, _) => silent(port),
                    (_, Noise::Reset, _) | (_, _, false) => rst(port),
                    (_, Noise::None, true) => open(port),
                }
            })
            .collect();
        self.apply(&slice(second, ADDRESSES[host], self.passes, &seen));
    }

    fn apply(&mut self, slice: &HostSlice) {
        if self.restarts {
            let world = World { inventory: self.inventory.clone(), ..World::new() };
            self.inventory = world.restarted();
        }
        let change = self.inventory.apply(slice, &self.policy, slice.at);
        self.take(&change);
        if self.twice {
            let again = self.inventory.apply(slice, &self.policy, slice.at);
            assert!(again.is_empty(), "twice is not once: {again:?}");
        }
    }

    fn tick(&mut self, second: i64) {
        let change = self.inventory.tick(time(second));
        self.take(&change);
    }

    fn take(&mut self, change: &inventory::Change) {
        for event in &change.events {
            self.hear(event);
        }
        self.events.extend(change.events.iter().cloned());
        self.inventory.install(change);
    }

    /// Strict turns for whoever is told; what is part of another event is not told, and the end of flapping is, whatever
    /// was told before.
    fn hear(&mut self, event: &Event) {
        if event.part_of.is_some() {
            return;
        }
        let Some(host) = &event.host else { return };
        let subject = (host.ip, event.endpoint.map(|endpoint| endpoint.port));
        let (says, in_turn) = match event.kind {
            EventType::PortOpen | EventType::HostUp | EventType::HostFound => (true, true),
            EventType::PortClosed | EventType::HostLost => (false, true),
            EventType::FlapStop => (matches!(event.new.as_deref(), Some("open" | "up")), false),
            _ => return,
        };
        let before = self.told.insert(subject, says);
        assert!(!in_turn || before != Some(says), "{} twice in a row for {subject:?}", event.kind);
    }

    /// Asks what the detector wants asked, until the next round of the lane.
    fn confirm(&mut self, until: i64, noise: &[Noise]) {
        for _ in 0..200 {
            let Some(request) = self.inventory.pending().into_iter().next() else { return };
            let due = request.at.as_second() - START + 1;
            // One that said nothing is asked again in a while.
            let second = due.max(self.now + 5);
            if second >= until {
                return;
            }
            self.now = second;
            let host = ADDRESSES.iter().position(|ip| *ip == request.ip.to_string()).expect("known");
            let ports: Vec<u16> = match request.question {
                Question::Port { port, .. } | Question::Service { port, .. } => vec![port],
                Question::Host { endpoints } => endpoints.into_iter().map(|(_, port)| port).collect(),
            };
            let shift = usize::try_from(second).expect("positive");
            self.look(host, &ports, second, |index| noise[(host * 3 + index + shift) % noise.len()]);
        }
    }

    fn round(&mut self, round: &Round) {
        let at = (self.now / LANE + 1) * LANE;
        if let Some((host, what)) = round.change {
            let truth = &mut self.truth[host];
            match truth.open.get_mut(what) {
                Some(open) => *open = !*open,
                None => truth.up = !truth.up,
            }
        }
        self.now = at;
        for &host in &round.order {
            self.look(host, &PORTS, at, |index| round.noise[host * 3 + index]);
        }
        self.tick(at + 1);
        self.confirm(at + LANE, &round.noise);
        self.now = at + LANE - 1;
    }

    fn rest(&mut self, rounds: usize) {
        let calm = Round { change: None, noise: vec![Noise::None; 9], order: vec![0, 1, 2] };
        for _ in 0..rounds {
            self.round(&calm);
        }
    }

    /// Nothing is in doubt, and what was told is what is.
    fn assert_told_the_truth(&self) {
        assert_eq!(self.inventory.pending(), []);
        assert_eq!(self.inventory.blocked().count(), 0);
        for (ip, truth) in ADDRESSES.iter().zip(self.truth) {
            let ip: IpAddr = ip.parse().expect("an address");
            let host = self.inventory.host(ip).expect("kept");
            assert_eq!(host.up, truth.up, "{ip}");
            assert_eq!(self.told.get(&(ip, None)), Some(&truth.up), "told of {ip}");
            assert!(!truth.up || host.flaps.iter().all(|flap| flap.flapping.is_none()));
            for (&port, open) in PORTS.iter().zip(truth.open).filter(|_| truth.up) {
                let status = host.endpoint(Transport::Tcp, port).expect("kept").status;
                assert_eq!(status == PortStatus::Open, open, "{ip}:{port}");
                assert_eq!(self.told.get(&(ip, Some(port))), Some(&open), "told of {ip}:{port}");
            }
        }
    }
}

/// Rounds of rest after which nothing flaps any more: the window of six hours, and one.
const WINDOW_ROUNDS: usize = 7 * 12;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens and whatever spoils the looks: turns are strict for who is told, and once it is quiet the last word
    /// on everything is the truth.
    #[test]
    fn what_is_told_takes_turns_and_ends_with_the_truth(
        rounds in prop::collection::vec(round(4), 1..40),
        restarts in any::<bool>(),
    ) {
        let mut story = Story::begin(restarts, true);
        for round in &rounds {
            story.round(round);
        }
        story.rest(WINDOW_ROUNDS);
        story.assert_told_the_truth();
    }

    /// Nothing changes, so nothing is told, however many looks are spoilt.
    #[test]
    fn nothing_is_told_where_nothing_changes(rounds in prop::collection::vec(round(1), 1..60)) {
        let mut story = Story::begin(false, false);
        for round in rounds {
            story.round(&Round { change: None, ..round });
        }
        prop_assert_eq!(kinds(&story.events), Vec::<&str>::new());
    }

    /// The same looks with and without a restart before each of them, in either order of hosts: the same events, and the same
    /// end.
    #[test]
    fn restarts_and_the_order_of_hosts_change_nothing(rounds in prop::collection::vec(round(4), 1..30)) {
        let mut straight = Story::begin(false, false);
        let mut other = Story::begin(true, false);
        for round in &rounds {
            straight.round(&Round { order: vec![0, 1, 2], ..round.clone() });
            other.round(&Round { order: vec![2, 1, 0], ..round.clone() });
        }
        let ids = |story: &Story| {
            let mut ids: Vec<_> = story.events.iter().map(|event| event.id).collect();
            ids.sort_unstable();
            ids
        };
        prop_assert_eq!(ids(&straight), ids(&other));
        let ends = |story: &Story| -> Vec<_> {
            let hosts = story.inventory.hosts();
            let ports = |host: &HostState| -> Vec<_> {
                host.endpoints.iter().map(|known| (known.port, known.status, known.changed_at)).collect()
            };
            hosts.map(|host| (host.key.ip, host.up, ports(&host), host.flaps.clone())).collect()
        };
        prop_assert_eq!(ends(&straight), ends(&other));
        prop_assert_eq!(straight.inventory.pending(), other.inventory.pending());
    }
}
