//! The shortcut for what is known: when it is taken, and what it leaves behind. That it leads where the long way leads is
//! checked by `World` at every step of every story.

mod world;

use model::{HostPolicy, HostSlice};
use world::*;

const IP: &str = "192.0.2.7";

/// A host with two open ports and a closed one, one of them with a service, and with a link-layer address; met once more
/// when all doubts and changes were over. Gives when to look next.
fn settled() -> (World, i64) {
    let mut world = World::new();
    world.sees(1, IP, &[open(22), open(80), open(443), speaks(22, "ssh OpenSSH 9.2"), mac(7)]);
    let seen = [open(22), open(80), refused(443)];
    world.sees(300, IP, &seen);
    let (told, last) = world.settles(IP, &seen);
    assert_eq!(told, ["PORT_CLOSED"]);
    // The change is remembered for six hours: it might flap.
    let last = last + 6 * 3_600;
    for look in 0..2 {
        let unchanged = world.unchanged;
        world.sees(last + 300 * look, IP, &seen);
        assert_eq!(world.unchanged, unchanged);
    }
    assert_eq!(world.inventory.counts().endpoints, 2);
    (world, last + 600)
}

fn is_taken(world: &World, slice: &HostSlice, policy: &HostPolicy) -> bool {
    world.inventory.clone().note_unchanged(slice, policy, slice.at)
}

#[test]
fn what_is_known_takes_the_shortcut_and_nothing_else_does() {
    let (world, at) = settled();
    let check = |seen: &[Seen], expect: bool| {
        let slice = slice(at, IP, 900, seen);
        assert_eq!(is_taken(&world, &slice, &world.policy), expect, "{seen:?}");
    };
    check(&[open(22), open(80)], true);
    check(&[open(80)], true);
    check(&[open(22), open(80), refused(443)], true);
    // The one that showed that the host lives falls silent: another may take its place.
    check(&[open(22), silent(443)], false);
    check(&[open(22), open(443)], false);
    check(&[open(22), open(8080)], false);
    check(&[open(22), refused(80)], false);
    check(&[open(22), silent(80)], false);
    check(&[open(22), refused(8080)], false);
    check(&[silent(443)], false);
    check(&[], false);
    check(&[open(22), speaks(22, "ssh OpenSSH 9.2")], false);
    check(&[open(22), names(&["www.example.org"])], false);
    check(&[open(22), mac(7)], true);
    check(&[open(22), mac(8)], false);

    let slice = slice(at, IP, 900, &[open(22)]);
    let policies: [fn(&mut HostPolicy); 4] = [
        |policy| policy.tags = [].into(),
        |policy| policy.assets = ["lan".into()].into(),
        |policy| policy.value = 5,
        |policy| policy.pool = Some("dmz".into()),
    ];
    for change in policies {
        let mut policy = world.policy.clone();
        change(&mut policy);
        assert!(!is_taken(&world, &slice, &policy), "{policy:?}");
    }
    let elsewhere = HostSlice { vantage: "scan2".into(), ..slice.clone() };
    assert!(!is_taken(&world, &elsewhere, &world.policy));
    let unknown = world::slice(at, "192.0.2.99", 900, &[open(22)]);
    assert!(!is_taken(&world, &unknown, &world.policy));
    // A clock that was set back: what lies in the future has to be corrected.
    let early = world::slice(-600, IP, 900, &[open(22)]);
    assert!(!is_taken(&world, &early, &world.policy));
    // Another host has the same link-layer address.
    let mut twins = world.clone();
    twins.sees(at, "192.0.2.8", &[open(22), mac(7)]);
    let with_mac = world::slice(at, IP, 900, &[open(22), mac(7)]);
    assert!(is_taken(&world, &with_mac, &world.policy) && !is_taken(&twins, &with_mac, &world.policy));
}

#[test]
fn the_first_look_after_a_restart_or_a_change_of_rules_takes_the_long_way() {
    let (mut world, at) = settled();
    let slice = slice(at, IP, 900, &[open(22), open(80)]);
    assert!(is_taken(&world, &slice, &world.policy));
    world.inventory = world.restarted();
    assert!(!is_taken(&world, &slice, &world.policy));
    world.apply(&slice);
    let next = world::slice(at + 300, IP, 901, &[open(22), open(80)]);
    assert!(is_taken(&world, &next, &world.policy));
    world.inventory.meet_anew();
    assert!(!is_taken(&world, &next, &world.policy));
}

#[test]
fn doubts_are_no_matter_for_the_shortcut() {
    let (mut world, at) = settled();
    world.sees(at, IP, &[open(22), silent(80)]);
    assert!(!is_taken(&world, &slice(at + 1, IP, 900, &[open(22)]), &world.policy));
    let before = world.unchanged;
    world.sees(at + 2, IP, &[open(22), open(80)]);
    assert_eq!(world.unchanged, before);
}

#[test]
fn a_host_that_only_refuses_is_known_by_its_refusal() {
    let mut world = World::new();
    world.sees(1, IP, &[refused(22)]);
    world.sees(300, IP, &[refused(22)]);
    let before = world.unchanged;
    world.sees(600, IP, &[refused(22)]);
    assert_eq!(world.unchanged, before + 1);
    assert!(!is_taken(&world, &slice(900, IP, 900, &[silent(22)]), &world.policy));
}

#[test]
fn what_was_touched_is_handed_out_once_and_as_it_is() {
    let (mut world, at) = settled();
    let slice = slice(at, IP, 900, &[open(22), open(80)]);
    assert!(world.inventory.note_unchanged(&slice, &world.policy, slice.at));
    assert_eq!(world.inventory.touched(), 1);
    let taken = world.inventory.take_touched(8);
    assert_eq!(taken, world.inventory.hosts().collect::<Vec<_>>());
    assert_eq!(taken[0].last_seen, time(at));
    assert_eq!(world.inventory.take_touched(8), []);
    // Touched, and then changed: the change is written anyway.
    let again = world::slice(at + 300, IP, 901, &[open(22), open(80)]);
    assert!(world.inventory.note_unchanged(&again, &world.policy, again.at));
    world.sees(at + 600, IP, &[open(22), silent(80)]);
    assert_eq!(world.inventory.touched(), 0);
}
