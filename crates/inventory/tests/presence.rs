//! Hosts that show themselves by ICMP or on a link, and by no port.

mod world;

use inventory::{PortStatus, Question};
use model::{EventType, Sign, Transport};
use world::*;

const IP: &str = "192.0.2.7";
const NOTHING: [&str; 0] = [];
const WHOLE: &str = "192.0.2.0/24";

fn whether_it_is_there() -> Question {
    Question::Host { endpoints: Vec::new() }
}

fn is_up(world: &World) -> Option<bool> {
    world.inventory.host(IP.parse().expect("an address")).map(|host| host.up)
}

#[test]
fn who_shows_himself_where_nobody_was_is_found_once_after_two_signs() {
    let mut world = World::covered();
    world.nobody_at(WHOLE);
    assert_eq!(world.sees(10, IP, &[shows(Sign::Echo)]), NOTHING);
    assert_eq!(world.asked(), [(70, whether_it_is_there())]);
    // Another look before its time is no second sign.
    assert_eq!(world.sees(40, IP, &[shows(Sign::Echo)]), NOTHING);
    assert_eq!(world.sees(71, IP, &[shows(Sign::Timestamp)]), ["HOST_FOUND"]);
    let found = world.event(EventType::HostFound);
    assert_eq!(found.reason.as_deref(), Some("icmp-timestamp in 2 passes over 1m1s"));
    assert!(found.endpoints.is_empty());
    assert_eq!((found.first_seen, found.last_seen), (Some(time(10)), Some(time(71))));
    for second in [4_000, 8_000, 12_000, 16_000] {
        assert_eq!(world.sees(second, IP, &[shows(Sign::Echo)]), NOTHING);
    }
    assert!(world.unchanged >= 2, "what is seen again as it is known costs nothing");
}

#[test]
fn the_first_look_is_learnt_also_where_ports_are_known_long_since() {
    let mut world = World::covered();
    assert_eq!(world.sees(10, IP, &[shows(Sign::Neighbour)]), NOTHING);
    // Everybody else of the prefix was silent in that look.
    world.nobody_at("192.0.2.0/30");
    assert_eq!(world.sees(71, IP, &[shows(Sign::Neighbour)]), NOTHING);
    assert_eq!(is_up(&world), Some(true));
}

#[test]
fn one_sign_alone_is_nobody() {
    let mut world = World::covered();
    world.nobody_at(WHOLE);
    for round in 0..10 {
        assert_eq!(world.sees(round * 4_000, IP, &[shows(Sign::Echo)]), NOTHING);
        assert_eq!(world.sees(round * 4_000 + 61, IP, &[NO_SIGN]), NOTHING);
        assert_eq!(is_up(&world), None);
    }
}

#[test]
fn what_firewalls_send_for_others_finds_nobody() {
    let mut world = World::covered();
    world.nobody_at(WHOLE);
    for round in 0..100 {
        assert_eq!(world.sees(round * 300, IP, &[shows(Sign::Acknowledgement)]), NOTHING);
        assert_eq!(is_up(&world), None);
    }
}

#[test]
fn a_host_without_ports_is_lost_and_called_back_by_its_signs() {
    let mut world = World::covered();
    world.sees(10, IP, &[shows(Sign::Echo)]);
    world.sees(71, IP, &[shows(Sign::Echo)]);
    assert_eq!(world.sees(4_000, IP, &[NO_SIGN]), NOTHING);
    assert_eq!(world.asked().last().map(|(_, question)| question.clone()), Some(whether_it_is_there()));
    // A look that did not ask says nothing.
    assert_eq!(world.sees(4_100, IP, &[]), NOTHING);
    let (told, last) = world.settles(IP, &[NO_SIGN]);
    assert_eq!(told, ["HOST_LOST"]);
    assert!(last >= 4_000 + 15 * 60);
    assert_eq!(world.sees(8_000, IP, &[shows(Sign::Echo)]), NOTHING);
    assert_eq!(world.sees(8_010, IP, &[NO_SIGN]), NOTHING);
    assert_eq!(world.sees(8_070, IP, &[shows(Sign::Echo)]), NOTHING, "it begins anew");
    assert_eq!(world.sees(8_131, IP, &[shows(Sign::Echo)]), ["HOST_UP"]);
}

#[test]
fn a_sign_takes_back_the_silence_of_a_host_without_ports() {
    let mut world = World::covered();
    world.sees(10, IP, &[shows(Sign::Echo)]);
    world.sees(71, IP, &[shows(Sign::Echo)]);
    for round in 1..50 {
        assert_eq!(world.sees(round * 4_000, IP, &[NO_SIGN]), NOTHING);
        assert_eq!(world.sees(round * 4_000 + 400, IP, &[NO_SIGN]), NOTHING);
        assert_eq!(world.sees(round * 4_000 + 800, IP, &[shows(Sign::Acknowledgement)]), NOTHING);
    }
}

#[test]
fn a_host_whose_only_port_fell_silent_is_not_lost_while_it_shows_itself() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), speaks(22, "ssh OpenSSH 9.2")]);
    world.sees(2, IP, &[open(22)]);
    let silence = [silent(22), shows(Sign::Echo)];
    let mut told = world.sees(1_000, IP, &silence);
    told.extend(world.settles(IP, &silence).0);
    assert_eq!(told, ["PORT_CLOSED", "SOFTWARE_REMOVED"], "by the rule for the last port of a host");
    assert_eq!(is_up(&world), Some(true));
    // Then it is gone altogether.
    let mut told = world.sees(10_000, IP, &[silent(22), NO_SIGN]);
    told.extend(world.settles(IP, &[silent(22), NO_SIGN]).0);
    assert_eq!(told, ["HOST_LOST"]);
}

#[test]
fn all_ports_of_a_host_that_fall_silent_at_once_are_a_ban_as_long_as_it_shows_itself() {
    let mut world = World::new();
    world.sees(1, IP, &[open(22), open(80), open(443)]);
    let silence = [silent(22), silent(80), silent(443), shows(Sign::Echo)];
    let mut second = 1_000;
    while second < 1_000 + 50 * 60 {
        assert_eq!(world.sees(second, IP, &silence), NOTHING);
        second += 300;
    }
    let blocked: Vec<_> = world.inventory.blocked().collect();
    assert_eq!(blocked.len(), 1);
    assert_eq!(world.sees(second, IP, &[open(22), open(80), open(443)]), NOTHING);
    assert_eq!(world.inventory.blocked().count(), 0);
    let host = world.inventory.host(IP.parse().expect("an address")).expect("known");
    let status = |port| host.endpoint(Transport::Tcp, port).map(|endpoint| endpoint.status);
    assert!([22, 80, 443].into_iter().all(|port| status(port) == Some(PortStatus::Open)));
}

#[test]
fn hosts_nobody_saw_are_forgotten_where_somebody_answers_for_everybody() {
    let mut world = World::covered();
    world.nobody_at(WHOLE);
    world.sees(1, "192.0.2.9", &[open(22)]);
    world.sees(10, IP, &[shows(Sign::Echo)]);
    let change = world.inventory.disown_unseen(address_set(WHOLE).ranges()[0]);
    world.take(&change);
    assert_eq!(is_up(&world), None);
    assert!(world.inventory.host("192.0.2.9".parse().expect("an address")).is_some());
    // Who is really there once it ends is learnt.
    world.sees(1_000, IP, &[shows(Sign::Echo)]);
    assert_eq!(world.sees(1_061, IP, &[shows(Sign::Echo)]), NOTHING);
    assert_eq!(is_up(&world), Some(true));
}
