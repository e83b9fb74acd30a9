//! Pools: members come and go without a word, and what the pool offers is watched.

mod world;

use model::EventType;
use std::sync::Arc;
use world::*;

const NOTHING: [&str; 0] = [];

fn member(n: u8) -> String {
    format!("192.0.2.{n}")
}

/// Two members, learnt, with SSH and a web server.
fn pool() -> World {
    let mut world = World::new();
    world.policy.assets = Arc::from([Arc::from("web")]);
    world.policy.pool = Some("web".into());
    for n in [1, 2] {
        world.sees(1, &member(n), &web());
    }
    world.cover("192.0.2.0/24", "1-1024");
    world
}

fn web() -> [Seen; 4] {
    [open(22), speaks(22, "ssh OpenSSH 9.2"), open(443), speaks(443, "http nginx 1.22")]
}

fn lose(world: &mut World, n: u8, second: i64) {
    let nothing = [silent(22), silent(443), silent(80)];
    world.sees(second, &member(n), &nothing);
    assert_eq!(world.settles(&member(n), &nothing).0, NOTHING);
    assert!(!world.inventory.host(member(n).parse().expect("an address")).expect("kept").up);
}

#[test]
fn members_come_go_and_are_updated_without_a_word() {
    let mut world = pool();
    assert_eq!(world.sees(100, &member(3), &web()), NOTHING);
    assert_eq!(world.inventory.counts().hosts_up, 3);
    lose(&mut world, 1, 300);
    assert_eq!(world.tick(3_000), NOTHING);
    assert_eq!(world.sees(4_000, &member(1), &web()), NOTHING);
    // A rolling upgrade, and names of their own.
    for n in 1..=3 {
        for second in [5_000, 5_001] {
            assert_eq!(
                world.sees(second, &member(n), &[speaks(443, "http nginx 1.24"), names(&["a.example.org"])]),
                NOTHING
            );
        }
    }
    assert!(world.inventory.are_of_one_pool((1..=3).map(|n| member(n).parse().expect("an address"))));
    let stranger = "198.51.100.9".parse().expect("an address");
    assert!(!world.inventory.are_of_one_pool([member(1).parse().expect("an address"), stranger]));
    assert!(!world.inventory.are_of_one_pool([]));
}

#[test]
fn a_port_the_pool_never_had_is_told_once() {
    let mut world = pool();
    assert_eq!(world.sees(100, &member(1), &[open(80)]), NOTHING);
    assert_eq!(world.sees(101, &member(1), &[open(80)]), ["PORT_OPEN"]);
    assert_eq!(world.last().host.as_ref().expect("the member").ip.to_string(), member(1));
    assert_eq!(world.last().reason.as_deref(), Some("connected twice; no member of pool web had it open"));
    assert_eq!(world.sees(200, &member(2), &[open(80), mute(80)]), NOTHING);
    // It is found out what it is, and that is no change.
    assert_eq!(world.sees(300, &member(1), &[open(80), speaks(80, "http nginx")]), NOTHING);
    assert_eq!(world.sees(400, &member(2), &[open(80), speaks(80, "http nginx")]), NOTHING);
    assert_eq!(world.sees(401, &member(2), &[open(80), speaks(80, "http nginx")]), NOTHING);
}

#[test]
fn another_product_is_told_once_and_only_when_it_is_sure() {
    // On a member that is known, and on one that comes with it.
    let mut world = pool();
    assert_eq!(world.sees(100, &member(1), &[speaks(443, "http Apache 2.4")]), NOTHING);
    assert_eq!(world.sees(101, &member(1), &[speaks(443, "http Apache 2.4")]), ["PORT_CHANGED"]);
    let event = world.last().clone();
    assert_eq!((event.old.as_deref(), event.new.as_deref()), (Some("http (nginx)"), Some("http (apache)")));
    for second in [200, 201] {
        assert_eq!(world.sees(second, &member(2), &[speaks(443, "http Apache 2.4")]), NOTHING);
    }
    let new = [open(22), speaks(22, "telnet"), open(443), speaks(443, "http")];
    assert_eq!(world.sees(300, &member(3), &new), NOTHING);
    assert_eq!(world.sees(400, &member(3), &new), ["PORT_CHANGED"]);
    assert_eq!(world.last().new.as_deref(), Some("telnet"));
    assert_eq!(world.sees(500, &member(3), &new), NOTHING);
}

#[test]
fn what_no_member_has_any_more_is_told_once_and_its_return_too() {
    let mut world = pool();
    let close = |world: &mut World, n: u8, second: i64| {
        world.sees(second, &member(n), &[open(22), rst(443)]);
        assert_eq!(world.settles(&member(n), &[open(22), rst(443)]).0, NOTHING);
    };
    close(&mut world, 1, 1_000);
    assert_eq!(world.tick(3_000), NOTHING);
    assert_eq!(world.sees(5_000, &member(2), &web()), NOTHING);
    close(&mut world, 2, 5_100);
    assert_eq!(world.tick(5_300), NOTHING, "another member may take over");
    world.sees(7_000, &member(1), &[open(22), rst(443)]);
    assert_eq!(world.tick(7_001), ["PORT_CLOSED"]);
    let event = world.last().clone();
    assert_eq!((event.host, event.endpoints, event.assets), (None, vec![], vec!["web".to_owned()]));
    assert_eq!(event.endpoint.map(|endpoint| endpoint.port), Some(443));
    assert_eq!(world.tick(8_000), NOTHING);
    world.sees(9_000, &member(1), &[open(443)]);
    assert_eq!(world.sees(9_001, &member(1), &[open(443)]), ["PORT_OPEN"]);
}

#[test]
fn a_pool_without_members_is_lost_once_and_back_once() {
    let mut world = pool();
    lose(&mut world, 1, 300);
    assert_eq!(world.tick(2_000), NOTHING);
    lose(&mut world, 2, 2_000);
    assert_eq!(world.tick(4_000), ["HOST_LOST"]);
    assert_eq!(world.last().reason.as_deref(), Some("no member of pool web answers"));
    assert_eq!(world.last().host.as_ref().expect("the last").ip.to_string(), member(2));
    assert_eq!(world.tick(9_000), NOTHING);
    assert_eq!(world.sees(10_000, &member(1), &web()), ["HOST_UP"]);
    assert_eq!(world.sees(10_001, &member(2), &web()), NOTHING);
    assert_eq!(world.tick(10_002), NOTHING);
}

#[test]
fn hosts_that_become_a_pool_are_learnt_as_they_are() {
    let mut world = World::covered();
    world.policy.assets = Arc::from([Arc::from("web")]);
    world.sees(1, &member(1), &web());
    world.sees(1, &member(2), &[open(80), mute(80)]);
    world.policy.pool = Some("web".into());
    assert_eq!(world.sees(100, &member(3), &[open(80), mute(80), open(22), speaks(22, "ssh OpenSSH 9.6")]), NOTHING);
    assert_eq!(world.inventory.pools().count(), 1);
    assert_eq!(world.inventory.pools().next().expect("one").offers.len(), 3);
    assert!(world.inventory.remove_pool("web") && !world.inventory.remove_pool("web"));
}

#[test]
fn what_is_wrong_on_a_member_is_told() {
    let mut world = pool();
    let list = model::AllowList { issuers: vec!["O=Example CA Inc".to_owned()], spki: Vec::new() };
    world.policy.certificates = Some(Arc::new(list));
    let theirs = certificate(1, "O=Other CA", 430);
    let seen = [open(22), speaks(22, "ssh OpenSSH 9.2"), open(443), tls(443, "http nginx 1.22", &theirs)];
    assert_eq!(world.sees(100, &member(3), &seen), ["SSL_ROGUE"]);
    assert_eq!(world.tick(399 * 86_400), ["SSL_EXPIRY"]);
    assert!(world.events.iter().all(|event| event.kind != EventType::SslNew));
}
