//! What changes again and again is told as that, and where it ended.

mod world;

use inventory::FlapSubject;
use model::{Event, EventType, Transport};
use world::*;

const IP: &str = "192.0.2.7";
const NOTHING: [&str; 0] = [];

/// What a recipient hears of: the events that are not part of another.
fn told(world: &World) -> Vec<&Event> {
    world.events.iter().filter(|event| event.part_of.is_none()).collect()
}

fn told_kinds(world: &World) -> Vec<&'static str> {
    told(world).iter().map(|event| event.kind.as_str()).collect()
}

fn toggling() -> World {
    let mut world = World::new();
    world.sees(1, IP, &[open(22), open(80), mute(22), speaks(80, "http nginx 1.22")]);
    world.cover("192.0.2.0/24", "1-1024");
    world
}

fn close(world: &mut World, second: i64) {
    world.sees(second, IP, &[open(22), rst(80)]);
    world.settles(IP, &[open(22), rst(80)]);
}

fn reopen(world: &mut World, second: i64) {
    world.sees(second, IP, &[open(22), open(80), speaks(80, "http nginx 1.22")]);
}

fn quiet(world: &mut World, from: i64, to: i64, seen: &[Seen]) {
    let mut second = from;
    while second < to {
        assert_eq!(world.sees(second, IP, seen), NOTHING);
        world.tick(second + 1);
        second += 300;
    }
}

#[test]
fn a_port_that_toggles_each_pass_is_four_notices() {
    let mut world = toggling();
    for n in 0..10 {
        close(&mut world, 1_000 + n * 600);
        world.tick(1_200 + n * 600);
        reopen(&mut world, 1_300 + n * 600);
        world.tick(1_301 + n * 600);
    }
    close(&mut world, 7_000);
    assert_eq!(told_kinds(&world), ["PORT_CLOSED", "PORT_OPEN", "FLAP_START"]);
    let start = world.event(EventType::FlapStart).clone();
    assert_eq!((start.new.as_deref(), start.metric), (Some("closed"), Some(3)));
    assert_eq!(start.endpoint.map(|endpoint| endpoint.port), Some(80));
    assert_eq!(start.reason.as_deref(), Some("changed 3 times in 10m"));
    assert!(start.host.is_some() && start.assets == ["dmz"]);
    // Everything after it, and what made it so, is part of it; and every change is still on record.
    let parts = world.events.iter().filter(|event| event.part_of.is_some_and(|part_of| part_of.id == start.id));
    assert!(parts.clone().all(|event| event.kind != EventType::FlapStart));
    assert_eq!(parts.filter(|event| event.kind == EventType::PortClosed).count(), 10);
    assert_eq!(world.events.iter().filter(|event| event.kind == EventType::PortOpen).count(), 10);
    let host = world.inventory.hosts().next().expect("kept");
    assert!(host.flaps.iter().all(|flap| flap.changes.len() <= 32));

    quiet(&mut world, 7_300, 7_070 + 3_600 - 300, &[open(22), rst(80)]);
    assert_eq!(told_kinds(&world).len(), 3, "not before an hour");
    quiet(&mut world, 10_700, 12_000, &[open(22), rst(80)]);
    assert_eq!(told_kinds(&world), ["PORT_CLOSED", "PORT_OPEN", "FLAP_START", "FLAP_STOP"]);
    let stop = world.event(EventType::FlapStop);
    assert_eq!((stop.old.as_deref(), stop.new.as_deref()), (Some("21"), Some("closed")));
    assert!(stop.reason.as_deref().is_some_and(|reason| reason.starts_with("closed for 1h")), "{:?}", stop.reason);
    assert!(world.inventory.hosts().all(|host| host.flaps.is_empty()));
    // The next change is news again.
    reopen(&mut world, 20_000);
    assert_eq!(told_kinds(&world).last(), Some(&"PORT_OPEN"));
}

#[test]
fn two_changes_are_told_each_and_the_third_only_within_six_hours() {
    let mut world = toggling();
    for n in 0..6_i64 {
        let second = 1_000 + n * 4 * 3_600;
        if n % 2 == 0 { close(&mut world, second) } else { reopen(&mut world, second) }
    }
    assert!(world.events.iter().all(|event| event.kind != EventType::FlapStart));
    assert_eq!(told_kinds(&world), ["PORT_CLOSED", "PORT_OPEN"].repeat(3));
}

#[test]
fn what_changes_slowly_has_to_hold_longer() {
    let mut world = toggling();
    // Every two hours, looked at every five minutes: an hour at rest proves nothing here.
    for n in 0..12_i64 {
        let second = 1_000 + n * 7_200;
        let now_closed = n % 2 == 0;
        if now_closed {
            close(&mut world, second);
        } else {
            reopen(&mut world, second);
        }
        let seen = if now_closed { [open(22), rst(80)] } else { [open(22), open(80)] };
        quiet(&mut world, second + 300, second + 7_000, &seen);
    }
    assert_eq!(told_kinds(&world), ["PORT_CLOSED", "PORT_OPEN", "FLAP_START"]);
    quiet(&mut world, 88_000, 88_000 + 6 * 3_600 + 600, &[open(22), open(80)]);
    assert_eq!(told_kinds(&world).last(), Some(&"FLAP_STOP"));
    assert_eq!(world.event(EventType::FlapStop).new.as_deref(), Some("open"));
}

#[test]
fn a_look_in_doubt_is_no_rest() {
    let mut world = toggling();
    close(&mut world, 1_000);
    reopen(&mut world, 1_300);
    close(&mut world, 1_600);
    assert_eq!(told_kinds(&world).last(), Some(&"FLAP_START"));
    // Nobody looks: however long, it has not held anything.
    assert_eq!(world.tick(100_000), NOTHING);
    assert_eq!(world.sees(100_000, IP, &[open(22), rst(80)]), NOTHING);
    assert_eq!(world.tick(100_001), ["FLAP_STOP"]);
    assert_eq!(world.tick(100_060), NOTHING);
}

#[test]
fn a_host_that_comes_and_goes_flaps_too() {
    let mut world = toggling();
    world.policy.confirm.host_lost = model::ConfirmRule { passes: 2, at_least: std::time::Duration::from_mins(1) };
    for n in 0..4 {
        world.sees(1_000 + n * 600, IP, &[silent(22), silent(80)]);
        world.settles(IP, &[silent(22), silent(80)]);
        world.sees(1_300 + n * 600, IP, &[open(22), open(80)]);
        world.tick(1_301 + n * 600);
    }
    assert_eq!(told_kinds(&world), ["HOST_LOST", "HOST_UP", "FLAP_START"]);
    assert_eq!(world.event(EventType::FlapStart).endpoint, None);
    let flaps = &world.inventory.hosts().next().expect("kept").flaps;
    assert_eq!(flaps.iter().map(|flap| flap.subject).collect::<Vec<_>>(), [FlapSubject::Host]);
    let mut gone = world.clone();
    quiet(&mut world, 3_400, 7_500, &[open(22), open(80)]);
    assert_eq!(told_kinds(&world), ["HOST_LOST", "HOST_UP", "FLAP_START", "FLAP_STOP"]);
    assert_eq!(world.last().new.as_deref(), Some("up"));
    // Or it is gone for good.
    gone.sees(4_000, IP, &[silent(22), silent(80)]);
    gone.settles(IP, &[silent(22), silent(80)]);
    assert_eq!(gone.tick(5_000), NOTHING);
    assert_eq!(gone.tick(8_000), ["FLAP_STOP"]);
    assert_eq!(gone.last().new.as_deref(), Some("lost"));
    assert_eq!(gone.sees(9_000, IP, &[open(22), open(80)]), ["HOST_UP"]);
    assert_eq!(gone.last().part_of, None);
}

#[test]
fn one_port_flaps_and_the_others_do_not() {
    let mut world = toggling();
    close(&mut world, 1_000);
    reopen(&mut world, 1_300);
    close(&mut world, 1_600);
    assert_eq!(world.sees(2_000, IP, &[open(22), open(443), mute(443)]), ["PORT_OPEN"]);
    assert_eq!(world.last().part_of, None);
    let host = world.inventory.hosts().next().expect("kept");
    let flapping: Vec<_> = host.flaps.iter().filter(|flap| flap.flapping.is_some()).map(|flap| flap.subject).collect();
    assert_eq!(flapping, [FlapSubject::Endpoint(Transport::Tcp, 80)]);
}

#[test]
fn tenants_that_take_turns_at_an_address_do_not_flap() {
    let ports = [open(22), open(80)];
    let story = |tenant: fn(u8) -> u8| {
        let mut world = toggling();
        world.policy.confirm.host_lost = model::ConfirmRule { passes: 2, at_least: std::time::Duration::from_mins(1) };
        for n in 0..6_u8 {
            let second = 1_000 + i64::from(n) * 2_000;
            for look in [0, 300, 600] {
                world.sees(second + look, IP, &[ports[0].clone(), ports[1].clone(), mac(tenant(n))]);
            }
            world.sees(second + 900, IP, &[silent(22), silent(80)]);
            world.settles(IP, &[silent(22), silent(80)]);
        }
        told_kinds(&world).join(" ")
    };
    let turns = ["HOST_LOST HOST_UP"; 5].join(" ");
    assert_eq!(story(|n| n + 1), format!("{turns} HOST_LOST"), "each its own machine");
    assert_eq!(story(|_| 1), "HOST_LOST HOST_UP FLAP_START", "one that comes and goes");
}
