//! What it takes to remember much.

mod world;

use world::*;

#[test]
fn a_slice_costs_what_it_holds() {
    let mut world = World::new();
    for number in 0..2_000_u32 {
        let ip = format!("10.1.{}.{}", number / 250, number % 250 + 1);
        let slice =
            slice(1, &ip, 1, &[open(22), open(80), speaks(22, "ssh OpenSSH 9.2"), speaks(80, "http nginx 1.22")]);
        let change = world.inventory.apply(&slice, &world.policy, slice.at);
        assert_eq!((change.hosts.len(), change.events.len()), (1, 0));
        world.take(&change);
    }
    assert_eq!(world.inventory.counts().endpoints, 4_000);
    assert_eq!(world.inventory.known_endpoints().count(), 4_000);
    // Another look at one host touches that host alone.
    let slice = slice(2, "10.1.0.1", 2, &[open(22)]);
    let change = world.inventory.apply(&slice, &world.policy, slice.at);
    assert_eq!((change.hosts.len(), change.certificates.len(), change.regions.len()), (1, 0, 0));
}

#[test]
fn a_host_that_answers_on_every_port_is_bearable() {
    let mut world = World::new();
    let seen: Vec<_> = (1..=u16::MAX).map(open).collect();
    let slice = slice(1, "192.0.2.7", 1, &seen);
    let change = world.inventory.apply(&slice, &world.policy, slice.at);
    world.take(&change);
    assert_eq!(world.inventory.counts().endpoints, 65_535);
    let nothing: Vec<_> = (1..=u16::MAX).map(silent).collect();
    let slice = world::slice(2, "192.0.2.7", 2, &nothing);
    let change = world.inventory.apply(&slice, &world.policy, slice.at);
    assert_eq!(change.requests.len(), 1);
}
