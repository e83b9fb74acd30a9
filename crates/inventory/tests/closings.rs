//! What is called closed, after how much, and what is taken for a ban.

mod world;

use inventory::Question;
use model::{FilteredReason, Outcome, PortSet, Transport};
use std::sync::Arc;
use world::*;

const IP: &str = "192.0.2.7";
const NOTHING: [&str; 0] = [];
const LANE: i64 = 300;

/// Chance with a seed: `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// True in so many of a thousand cases.
    fn of(&mut self, thousandths: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1_000 < thousandths
    }
}

fn address() -> std::net::IpAddr {
    IP.parse().expect("an address")
}

fn filtered(port: u16) -> Seen {
    outcome(port, Outcome::Filtered(FilteredReason::Other))
}

fn blocked(world: &World) -> Vec<i64> {
    world.inventory.blocked().map(|(_, since)| since.as_second() - START).collect()
}

fn two_ports() -> World {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), mute(22), mute(80)]);
    world
}

#[test]
fn an_answer_ends_a_doubt_and_the_next_one_needs_more() {
    let mut world = two_ports();
    let steady = [refused(80), open(22)];
    for n in 0..3 {
        let second = 1_000 + 100 * n;
        assert_eq!(world.sees(second, IP, &steady), NOTHING);
        assert_eq!(world.sees(second + 50, IP, &[open(80), open(22)]), NOTHING);
        assert!(world.inventory.pending().is_empty());
    }
    assert_eq!(world.inventory.host(address()).expect("kept").endpoint(Transport::Tcp, 80).expect("kept").recovered, 3);
    assert_eq!(world.sees(2_000, IP, &[refused(80), open(22)]), NOTHING);
    let (told, last) = world.settles(IP, &steady);
    // 17 looks, a minute apart.
    assert_eq!((told, last), (vec!["PORT_CLOSED"], 2_961));
    assert_eq!(world.last().reason.as_deref(), Some("refused in 17 passes over 16m1s"));
    // It is forgotten in a day.
    let mut world = two_ports();
    world.sees(1_000, IP, &steady);
    world.sees(1_050, IP, &[open(80), open(22)]);
    world.sees(90_000, IP, &[open(80), open(22)]);
    assert_eq!(world.inventory.host(address()).expect("kept").endpoint(Transport::Tcp, 80).expect("kept").recovered, 0);
}

#[test]
fn a_true_closing_on_a_steady_path_is_told_within_twenty_minutes() {
    for (gone, most) in [(refused(80), 1_200), (silent(80), 1_200), (rst(80), 600)] {
        // The worst moment: right after a look.
        let mut world = two_ports();
        let closed_at = 10_001;
        assert_eq!(world.sees(10_000, IP, &[open(22), open(80)]), NOTHING);
        assert_eq!(world.sees(10_000 + LANE, IP, &[open(22), gone.clone()]), NOTHING);
        let (told, last) = world.settles(IP, &[open(22), gone]);
        assert_eq!(told, ["PORT_CLOSED"]);
        assert!(last - closed_at <= most, "{}", last - closed_at);
    }
}

/// One endpoint in every hundred of the figure in `closing.rs`, looked at as the daemon does, with the same path: every look
/// meets an injected reset in 30 % of cases, else 5 % loss in each of its two attempts.
#[test]
fn resets_injected_at_random_close_nothing() {
    let mut chance = Chance(7);
    let mut look = |port: u16| match (chance.of(300), chance.of(50), chance.of(50)) {
        (true, ..) => rst(port),
        (false, true, true) => silent(port),
        _ => open(port),
    };
    for _ in 0..25 {
        let mut inventory = World::covered();
        inventory.sees(1, IP, &[open(22), mute(22), open(80), mute(80)]);
        let World { mut inventory, policy, mut passes, .. } = inventory;
        let mut told = Vec::new();
        let (mut now, mut lane_at) = (1, LANE);
        while lane_at < 86_400 {
            let asked = inventory.pending_about(address()).into_iter().next();
            // One that said nothing is asked again in a while.
            let asked = asked.map(|request| ((request.at.as_second() - START + 1).max(now + 10), request.question));
            let (second, ports) = match asked {
                Some((at, question)) if at < lane_at => (
                    at,
                    match question {
                        Question::Port { port, .. } | Question::Service { port, .. } => vec![port],
                        Question::Host { endpoints } => endpoints.into_iter().map(|(_, port)| port).collect(),
                    },
                ),
                _ => {
                    lane_at += LANE;
                    (lane_at - LANE, vec![22, 80])
                }
            };
            now = second;
            passes += 1;
            let seen: Vec<Seen> = ports.into_iter().map(&mut look).collect();
            let slice = slice(second, IP, passes, &seen);
            let change = inventory.apply(&slice, &policy, slice.at);
            inventory.install(&change);
            told.extend(kinds(&change.events));
            assert_eq!(inventory.blocked().count(), 0);
        }
        assert_eq!(told, NOTHING);
        assert!(passes > 300);
    }
}

#[test]
fn a_ban_is_no_closing_and_ends_in_silence() {
    for denied in [[refused(22), refused(80)], [rst(22), rst(80)], [filtered(22), filtered(80)]] {
        let mut world = two_ports();
        assert_eq!(world.sees(1_000, IP, &denied), NOTHING);
        // Little is asked: two endpoints, soon at first and every five minutes later.
        let both = Question::Host { endpoints: vec![(Transport::Tcp, 22), (Transport::Tcp, 80)] };
        assert_eq!(world.asked(), [(1_030, both.clone())]);
        assert!(blocked(&world).is_empty());
        let mut second = 1_000;
        while second < 4_200 {
            let (at, _) = world.asked().first().cloned().expect("asked");
            assert!(at - second >= 30);
            second = at;
            assert_eq!(world.sees(second, IP, &denied), NOTHING);
            assert_eq!(world.asked().len(), 1);
            assert_eq!(blocked(&world).len(), usize::from(second >= 1_300));
        }
        assert_eq!(world.asked(), [(second + 300, both)]);
        assert_eq!(world.sees(4_550, IP, &[open(22), denied[1].clone()]), NOTHING);
        assert!(blocked(&world).is_empty());
        let host = world.inventory.host(address()).expect("kept");
        assert!(host.misses.is_none() && host.endpoint(Transport::Tcp, 22).expect("kept").pending.is_none());
        assert_eq!(world.sees(4_560, IP, &[open(22), open(80)]), NOTHING);
        assert!(world.inventory.pending().is_empty());
    }
}

#[test]
fn a_refusal_that_holds_for_an_hour_is_believed() {
    let mut world = two_ports();
    let denied = [refused(22), refused(80)];
    assert_eq!(world.sees(1_000, IP, &denied), NOTHING);
    let (told, last) = world.settles(IP, &denied);
    assert_eq!(told, ["PORT_CLOSED", "PORT_CLOSED"]);
    assert!((4_600..5_000).contains(&last), "{last}");
    let reason = world.last().reason.clone().expect("a reason");
    assert!(
        reason.starts_with("refused in ")
            && reason.ends_with("every port of the host, so it was first taken for a ban")
    );
    assert!(blocked(&world).is_empty());
    assert!(world.inventory.pending().is_empty());
    assert_eq!(world.sees(6_000, IP, &denied), NOTHING);
}

#[test]
fn a_ban_that_limits_its_own_answers_is_one() {
    let mut world = World::covered();
    let all = |of: fn(u16) -> Seen| (1..=10).map(of).collect::<Vec<_>>();
    world.sees(1, IP, &all(open));
    world.sees(2, IP, &all(open));
    for n in 0..14_u16 {
        let seen: Vec<_> =
            (1..=10).map(|port| if (port + n) % 10 < 6 { filtered(port) } else { silent(port) }).collect();
        assert_eq!(world.sees(1_000 + 100 * i64::from(n), IP, &seen), NOTHING);
    }
    assert_eq!(blocked(&world), [1_000]);
    assert!(world.inventory.host(address()).expect("kept").misses.is_none());
}

#[test]
fn what_is_no_ban() {
    // Others are still open, or it was one port alone.
    let mut world = two_ports();
    assert_eq!(world.sees(1_000, IP, &[refused(80), open(22)]), NOTHING);
    assert_eq!(world.settles(IP, &[refused(80), open(22)]).0, ["PORT_CLOSED"]);
    assert_eq!(world.sees(3_000, IP, &[refused(22)]), NOTHING);
    assert_eq!(world.settles(IP, &[refused(22)]).0, ["PORT_CLOSED"]);
    // A router says that the host is gone.
    let unreachable = |port| outcome(port, Outcome::Filtered(FilteredReason::HostUnreachable));
    let mut world = two_ports();
    world.sees(1_000, IP, &[unreachable(22), unreachable(80)]);
    assert_eq!(world.settles(IP, &[unreachable(22), unreachable(80)]).0, ["HOST_LOST"]);
    // It went down after its services did.
    let mut world = two_ports();
    world.sees(1_000, IP, &[refused(22), refused(80)]);
    assert_eq!(world.settles(IP, &[silent(22), silent(80)]).0, ["HOST_LOST"]);
    assert_eq!(world.inventory.host(address()).expect("kept").blocked_since, None);
}

#[test]
fn an_ill_sensor_does_not_unblock_a_host() {
    let mut world = two_ports();
    world.sees(1_000, IP, &[refused(22), refused(80)]);
    assert!(world.inventory.forget_doubts().is_empty());
}

#[test]
fn what_a_partial_slice_does_not_list_is_not_doubted() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), mute(22), mute(80)]);
    let before = world.inventory.host(address()).expect("kept");
    // Half of the ports was asked, completely; and nothing was asked completely.
    for (number, covered) in (2_u64..).zip(["1-50", "1-1024", ""]) {
        let mut partial = slice(1_000 * i64::try_from(number).expect("small"), IP, number, &[open(22)]);
        if !covered.is_empty() {
            partial.covered.tcp = Arc::new(PortSet::parse(covered, Transport::Tcp).expect("ports"));
        }
        assert_eq!(world.apply(&partial), NOTHING);
        let host = world.inventory.host(address()).expect("kept");
        assert_eq!(host.endpoint(Transport::Tcp, 80), before.endpoint(Transport::Tcp, 80));
        assert!(host.misses.is_none() && host.blocked_since.is_none());
    }
    assert!(world.inventory.pending().is_empty());
    // It may add.
    let mut partial = slice(9_000, IP, 9, &[open(443), mute(443)]);
    partial.covered = model::Coverage::default();
    assert_eq!(world.apply(&partial), ["PORT_OPEN"]);
    // And nothing at all says nothing at all.
    let empty = slice(9_300, IP, 10, &[]);
    assert_eq!(world.apply(&empty), NOTHING);
}

#[test]
fn a_range_added_to_an_asset_is_learnt() {
    let mut world = World::covered();
    assert_eq!(world.sees(1, "198.51.100.9", &[open(22), open(80), mute(22), mute(80)]), NOTHING);
    world.cover("198.51.100.0/24", "1-1024");
    assert_eq!(world.sees(2, "198.51.100.9", &[open(443), mute(443)]), ["PORT_OPEN"]);
    assert_eq!(world.sees(3, "198.51.100.10", &[open(443), mute(443)]), ["HOST_FOUND", "PORT_OPEN"]);
    assert_eq!(world.sees(4, "198.51.100.9", &[open(8080), mute(8080)]), NOTHING, "a port nobody covered");
}
