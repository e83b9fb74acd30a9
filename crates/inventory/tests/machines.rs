//! Stories about machines: which one answers, since when, under which keys.

mod world;

use inventory::Question;
use jiff::Timestamp;
use model::{EventType, Severity, Transport};
use std::{net::IpAddr, time::Duration};
use world::*;

const IP: &str = "192.0.2.7";
const OTHER: &str = "192.0.2.8";
const NOTHING: [&str; 0] = [];
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const KEY: &str = "ssh-ed25519";
const SERVER: &str = "ssh OpenSSH 9.2";

fn address(ip: &str) -> IpAddr {
    ip.parse().expect("an address")
}

/// An SSH server with that key.
fn server(number: u8) -> [Seen; 2] {
    [open(22), ssh(22, SERVER, KEY, number)]
}

fn lose(world: &mut World, second: i64, ip: &str) {
    let told: Vec<_> = (0..3).flat_map(|n| world.sees(second + n * 600, ip, &[silent(22)])).collect();
    assert_eq!(told, ["HOST_LOST"]);
}

/// One host, learnt, that has shown the same key for so many days.
fn old_friend(days: i64) -> World {
    let mut world = World::new();
    for day in 0..=days {
        assert_eq!(world.sees(day * DAY + 1, IP, &[open(22), open(80), ssh(22, SERVER, KEY, 1)]), NOTHING);
    }
    world.cover("192.0.2.0/24", "1-1024");
    world
}

#[test]
fn another_operating_system_is_told_when_three_passes_agree() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), runs(22, SERVER, "linux Debian 12", 0.9)]);
    let newer = |world: &mut World, second| world.sees(second, IP, &[runs(22, SERVER, "linux Debian 13", 0.95)]);
    assert_eq!(newer(&mut world, 10), NOTHING);
    assert_eq!(world.asked(), [(11, Question::Service { transport: Transport::Tcp, port: 22, name: None })]);
    assert_eq!(newer(&mut world, 11), NOTHING);
    let known = |world: &World| world.inventory.host(address(IP)).and_then(|host| host.os.clone());
    assert_eq!(known(&world).expect("known").version.as_deref(), Some("12"), "only the event changes it");
    assert_eq!(newer(&mut world, 12), ["HOST_UPDATED"]);
    let told = world.last();
    assert_eq!((told.old.as_deref(), told.new.as_deref()), (Some("Debian 12"), Some("Debian 13")));
    assert!(told.reason.as_deref().is_some_and(|reason| reason.contains("0.95 (was 0.90)")));
    assert_eq!(known(&world).expect("known").version.as_deref(), Some("13"));
    assert_eq!(newer(&mut world, 13), NOTHING);
}

#[test]
fn a_guess_about_the_operating_system_is_no_change() {
    let mut world = World::covered();
    let says =
        |world: &mut World, second, os: &str, sure| world.sees(second, IP, &[open(22), runs(22, SERVER, os, sure)]);
    says(&mut world, 1, "linux", 0.5);
    // What was a guess is replaced in silence, and what is known is not replaced by a guess.
    assert_eq!(says(&mut world, 2, "freebsd", 0.9), NOTHING);
    for second in 3..10 {
        assert_eq!(says(&mut world, second, "linux Debian 12", 0.7), NOTHING);
    }
    let os = world.inventory.host(address(IP)).and_then(|host| host.os.clone()).expect("known");
    assert_eq!(os.family, "freebsd");
    // Less said is no change, and two passes and back are none either.
    for (second, os) in
        [(20, "linux"), (21, "linux"), (22, "freebsd"), (23, "linux"), (24, "linux"), (25, "freebsd 14")]
    {
        assert_eq!(says(&mut world, second, os, 0.9), NOTHING);
    }
}

#[test]
fn another_host_key_is_told_after_two_handshakes() {
    let mut world = World::covered();
    world.sees(1, IP, &server(1));
    assert_eq!(world.sees(10, IP, &server(2)), NOTHING);
    assert_eq!(world.asked(), [(11, Question::Service { transport: Transport::Tcp, port: 22, name: None })]);
    // An answer that shows no key takes none away.
    assert_eq!(world.sees(11, IP, &[speaks(22, SERVER)]), NOTHING);
    assert_eq!(world.sees(12, IP, &server(2)), ["HOSTKEY_CHANGED"]);
    let told = world.last().clone();
    assert_eq!(told.severity, Severity::HIGH);
    assert_eq!(told.old.as_deref(), Some("SHA256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE (ED25519)"));
    assert_eq!(told.new.as_deref(), Some("SHA256:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI (ED25519)"));
    assert_eq!((told.first_seen, told.last_seen.map(Timestamp::as_second)), (Some(plus(time(1))), Some(START + 12)));
    assert_eq!(world.sees(13, IP, &server(2)), NOTHING);
}

fn plus(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond() + 10).expect("in range")
}

#[test]
fn a_key_of_another_algorithm_is_none() {
    let mut world = World::covered();
    world.sees(1, IP, &server(1));
    for second in 2..8 {
        assert_eq!(world.sees(second, IP, &[ssh(22, SERVER, "ssh-rsa", 9)]), NOTHING);
        assert_eq!(world.sees(second * 100, IP, &server(1)), NOTHING);
    }
    world.sees(2000, IP, &[ssh(22, SERVER, "ssh-rsa", 8)]);
    assert_eq!(world.sees(2001, IP, &[ssh(22, SERVER, "ssh-rsa", 8)]), ["HOSTKEY_CHANGED"]);
    assert!(world.last().old.as_deref().is_some_and(|old| old.ends_with("(RSA)")));
}

#[test]
fn a_key_further_behind_means_that_the_first_has_gone() {
    let rsa = |number| [open(22), ssh(22, SERVER, "ssh-rsa", number)];
    let mut world = World::covered();
    world.sees(1, IP, &server(1));
    world.sees(30 * DAY, IP, &rsa(9));
    assert_eq!(world.settles(IP, &rsa(9)).0, ["HOSTKEY_CHANGED"]);
    let reason = world.last().reason.as_deref().unwrap_or_default();
    assert!(reason.starts_with("a key of another algorithm"), "{reason}");
    for day in 31..40 {
        assert_eq!(world.sees(day * DAY, IP, &rsa(9)), NOTHING);
    }
    // One before it is one more.
    let mut world = World::covered();
    world.sees(1, IP, &rsa(9));
    for day in 30..40 {
        assert_eq!(world.sees(day * DAY, IP, &server(1)), NOTHING);
    }
    assert!(world.inventory.pending().is_empty());
}

#[test]
fn keys_that_take_turns_are_told_once() {
    // Those of its first day are learnt; one that shows up later beside the known one is told.
    for (from, expect) in [(1, vec![]), (30, vec!["HOSTKEY_CHANGED"])] {
        let mut world = World::covered();
        world.policy.confirm = model::Confirm::default();
        world.sees(1, IP, &server(1));
        let number = |hour| u8::from(hour >= from && hour % 3 == 0) + 1;
        let told: Vec<_> = (1..200).flat_map(|hour| world.sees(hour * HOUR, IP, &server(number(hour)))).collect();
        assert_eq!(told, expect);
    }
    let mut world = World::covered();
    world.sees(1, IP, &server(1));
    let told: Vec<_> =
        (1..200).flat_map(|hour| world.sees(hour * HOUR, IP, &server(u8::from(hour % 3 == 0) + 1))).collect();
    assert_eq!(told, NOTHING);
    // The one in force leaves the balancer, and later comes back.
    let told: Vec<_> = (200..400).flat_map(|hour| world.sees(hour * HOUR, IP, &server(1))).collect();
    assert_eq!(told, NOTHING);
    assert_eq!(world.inventory.host(address(IP)).expect("known").identities.len(), 1);
    assert_eq!(world.sees(400 * HOUR, IP, &server(2)), NOTHING);
    assert_eq!(world.sees(401 * HOUR, IP, &server(2)), ["HOSTKEY_CHANGED"]);
}

#[test]
fn a_key_for_every_handshake_fills_no_memory() {
    let mut world = World::covered();
    world.sees(1, IP, &server(0));
    for number in 1..=200_u8 {
        world.sees(i64::from(number) * 10, IP, &server(number));
        world.sees(i64::from(number) * 10 + 1, IP, &server(number));
    }
    assert!(world.inventory.host(address(IP)).expect("known").identities.len() <= 16);
}

#[test]
fn another_machine_at_the_address_is_told_and_must_be_reviewed_again() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), ssh(22, SERVER, KEY, 1), mac(1)]);
    let approved = world.inventory.approve(None, "operator", time(2)).change;
    world.take(&approved);
    assert_eq!(world.sees(10, IP, &[open(22), ssh(22, SERVER, KEY, 2), mac(2)]), NOTHING);
    assert_eq!(world.sees(11, IP, &[open(22), ssh(22, SERVER, KEY, 2), mac(2)]), ["HOST_REPLACED", "HOSTKEY_CHANGED"]);
    let replaced = world.event(EventType::HostReplaced).clone();
    assert_eq!(replaced.reason.as_deref(), Some("another machine: the MAC address and the SSH host key changed"));
    assert!(
        replaced.old.as_deref().is_some_and(|old| old.contains("02:00:5e:10:00:01") && old.contains("SHA256:AQEB"))
    );
    assert!(
        replaced.new.as_deref().is_some_and(|new| new.contains("02:00:5e:10:00:02") && new.contains("SHA256:AgIC"))
    );
    let part_of = world.event(EventType::HostkeyChanged).part_of.expect("folded");
    assert_eq!((part_of.id, part_of.kind), (replaced.id, EventType::HostReplaced));
    assert!(world.inventory.host(address(IP)).expect("known").approved.is_none());
    assert_eq!(world.sees(12, IP, &[open(22), ssh(22, SERVER, KEY, 2), mac(2)]), NOTHING);
}

#[test]
fn a_new_key_with_other_software_is_another_machine() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), ssh(22, SERVER, KEY, 1), speaks(80, "http nginx 1.22")]);
    // The questions are asked one by one.
    world.sees(10, IP, &[speaks(80, "http Apache 2.4")]);
    assert_eq!(
        world.sees(11, IP, &[speaks(80, "http Apache 2.4")]),
        ["PORT_CHANGED", "SOFTWARE_REMOVED", "SOFTWARE_ADDED"]
    );
    world.sees(12, IP, &server(2));
    assert_eq!(world.sees(13, IP, &server(2)), ["HOST_REPLACED", "HOSTKEY_CHANGED"]);
    assert_eq!(world.sees(14, IP, &server(2)), NOTHING);
}

#[test]
fn a_key_of_another_algorithm_counts_beside_another_address() {
    let rsa = |number| ssh(22, SERVER, "ssh-rsa", number);
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), rsa(9), mac(1)]);
    assert_eq!(world.sees(3 * DAY, IP, &[open(22), ssh(22, SERVER, KEY, 2), mac(2)]), NOTHING);
    assert_eq!(world.sees(3 * DAY + 60, IP, &[open(22), ssh(22, SERVER, KEY, 2), mac(2)]), ["HOST_REPLACED"]);
    let reason = world.event(EventType::HostReplaced).reason.clone().unwrap_or_default();
    assert_eq!(reason, "another machine: the MAC address and the algorithm of the SSH host key changed");
    for hour in 1..50 {
        let again = [open(22), ssh(22, SERVER, KEY, 2), mac(2)];
        assert_eq!(world.sees(3 * DAY + hour * HOUR, IP, &again), NOTHING);
    }
    // With other software alone it is an upgrade, which made one more key.
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), rsa(9), speaks(80, "http nginx 1.22")]);
    for minutes in 1..20 {
        let now = [ssh(22, SERVER, KEY, 2), speaks(80, "http Apache 2.4")];
        let told = world.sees(3 * DAY + minutes * 60, IP, &now);
        assert!(!told.contains(&"HOST_REPLACED"), "{told:?}");
    }
    // Nor where the old one is still shown in between.
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), rsa(9), mac(1)]);
    for minutes in 1..20 {
        let shown = if minutes % 2 == 0 { rsa(9) } else { ssh(22, SERVER, KEY, 2) };
        assert_eq!(world.sees(3 * DAY + minutes * 60, IP, &[open(22), shown, mac(2)]), NOTHING);
    }
}

#[test]
fn one_sign_alone_is_no_other_machine() {
    // A failover of the link-layer address, and back.
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22), mac(1)]);
    for second in 2..20 {
        assert_eq!(world.sees(second, IP, &[open(22), mute(22), mac(if second < 10 { 2 } else { 1 })]), NOTHING);
    }
    // A key roll a week after other software.
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), ssh(22, SERVER, KEY, 1), speaks(80, "http nginx 1.22")]);
    world.sees(10, IP, &[speaks(80, "http Apache 2.4")]);
    world.sees(11, IP, &[speaks(80, "http Apache 2.4")]);
    world.sees(7 * DAY, IP, &server(2));
    assert_eq!(world.sees(7 * DAY + 1, IP, &server(2)), ["HOSTKEY_CHANGED"]);
    assert!(world.last().part_of.is_none());
    // A virtual router's address names no machine.
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22), Seen::Mac(model::Mac([0, 0, 0x5e, 0, 1, 7]))]);
    assert!(world.inventory.host(address(IP)).expect("known").identities.is_empty());
}

#[test]
fn a_machine_that_moved_is_one_event_and_keeps_what_it_was() {
    let mut world = old_friend(43);
    let approved = world.inventory.approve(Some(&[address(IP)]), "operator", time(43 * DAY + 2)).change;
    world.take(&approved);
    lose(&mut world, 43 * DAY + 1000, IP);
    let told = world.sees(43 * DAY + 4000, OTHER, &[open(22), open(443), ssh(22, SERVER, KEY, 1)]);
    assert_eq!(told, ["HOST_UPDATED"]);
    let moved = world.last();
    assert_eq!((moved.old.as_deref(), moved.new.as_deref()), (Some(IP), Some(OTHER)));
    assert_eq!(moved.reason.as_deref(), Some("moved: the same SSH host key, held alone for 43 days"));
    assert_eq!(moved.endpoints, ["192.0.2.7:22/tcp", "192.0.2.7:80/tcp"]);
    assert_eq!(moved.first_seen, Some(time(1)));
    assert!(world.inventory.host(address(IP)).is_none());
    let host = world.inventory.host(address(OTHER)).expect("moved here");
    assert!(host.up && host.approved.is_some() && host.first_seen == time(1));
    assert_eq!(host.open().map(|endpoint| endpoint.port).collect::<Vec<_>>(), [22, 80]);
    // What it had open is no news here, what is new on it is.
    let told = world.sees(43 * DAY + 4001, OTHER, &[open(22), open(80), open(443), speaks(80, "http nginx 1.22")]);
    assert_eq!(told, ["PORT_OPEN"]);
    assert_eq!(world.last().endpoint.expect("of a port").port, 443);
    // Whoever gets the old address is a new machine; and the one that moved may move on.
    assert_eq!(world.sees(43 * DAY + 5000, IP, &[open(22), mute(22)]), ["HOST_FOUND", "PORT_OPEN"]);
    lose(&mut world, 43 * DAY + 6000, OTHER);
    assert_eq!(world.sees(44 * DAY, "192.0.2.9", &server(1)), ["HOST_UPDATED"]);
}

#[test]
fn a_machine_found_by_its_ports_first_is_followed_as_soon_as_it_shows_its_key() {
    let mut world = old_friend(40);
    lose(&mut world, 41 * DAY, IP);
    assert_eq!(world.sees(42 * DAY, OTHER, &[open(80), speaks(80, "http nginx 1.22")])[0], "HOST_FOUND");
    assert_eq!(world.sees(42 * DAY + 60, OTHER, &[open(22)]), NOTHING);
    assert_eq!(world.sees(42 * DAY + 61, OTHER, &server(1)), ["HOST_UPDATED"]);
    assert_eq!(world.inventory.hosts().count(), 1);
}

#[test]
fn nobody_is_followed_by_a_weak_sign() {
    let found = ["HOST_FOUND", "PORT_OPEN", "SOFTWARE_ADDED"];
    // Held for 20 days only.
    let mut world = old_friend(20);
    lose(&mut world, 20 * DAY + 1000, IP);
    assert_eq!(world.sees(20 * DAY + 4000, OTHER, &server(1)), found);
    // Silent, and not yet lost.
    let mut world = old_friend(40);
    world.sees(40 * DAY + 1000, IP, &[silent(22)]);
    assert_eq!(world.sees(40 * DAY + 2000, OTHER, &server(1)), found);
    // Held by two hosts, though both are gone.
    let mut world = old_friend(40);
    world.sees(40 * DAY + 10, OTHER, &server(1));
    lose(&mut world, 40 * DAY + 1000, IP);
    lose(&mut world, 40 * DAY + 4000, OTHER);
    assert_eq!(world.sees(41 * DAY, "192.0.2.9", &server(1)), found);
    // Another key.
    let mut world = old_friend(40);
    lose(&mut world, 40 * DAY + 1000, IP);
    assert_eq!(world.sees(40 * DAY + 4000, OTHER, &server(2)), found);
    // A certificate's key.
    let leaf = certificate(1, "O=Example CA Inc", 800);
    let mut world = World::new();
    for day in 0..40 {
        world.sees(day * DAY + 1, IP, &[open(22), open(443), tls(443, "http", &leaf)]);
    }
    world.cover("192.0.2.0/24", "1-1024");
    lose(&mut world, 40 * DAY, IP);
    assert_eq!(world.sees(41 * DAY, OTHER, &[open(443), tls(443, "http", &leaf)]), ["HOST_FOUND", "PORT_OPEN"]);
}

#[test]
fn a_machine_is_followed_by_its_link_layer_address_too() {
    let mut world = World::new();
    for day in 0..40 {
        world.sees(day * DAY + 1, IP, &[open(22), mute(22), mac(1)]);
    }
    world.cover("192.0.2.0/24", "1-1024");
    lose(&mut world, 40 * DAY, IP);
    assert_eq!(world.sees(41 * DAY, OTHER, &[open(22), mute(22), mac(1)]), ["HOST_UPDATED"]);
    assert!(world.last().reason.as_deref().is_some_and(|reason| reason.starts_with("moved: the same MAC address")));
}

#[test]
fn a_shared_key_is_one_finding_while_learning_and_closes() {
    let mut world = World::new();
    let ips = [IP, OTHER, "192.0.2.9"];
    let pass = |world: &mut World, second: i64, keys: [u8; 3]| -> Vec<&'static str> {
        ips.iter().zip(keys).flat_map(|(ip, key)| world.sees(second, ip, &server(key))).collect()
    };
    assert_eq!(pass(&mut world, 1, [1, 1, 1]), NOTHING);
    assert_eq!(pass(&mut world, HOUR, [1, 1, 1]), ["SHARED_KEY"]);
    let told = world.last().clone();
    assert_eq!(told.endpoints, ["192.0.2.7:22/tcp", "192.0.2.8:22/tcp", "192.0.2.9:22/tcp"]);
    let finding = told.finding.expect("a finding");
    assert_eq!((finding.id.as_str(), finding.verdict.as_str()), ("shared-key", "confirmed"));
    assert!(finding.evidence.is_some_and(|evidence| evidence.starts_with("SHA256:AQEB")));
    assert_eq!(pass(&mut world, 2 * HOUR, [1, 1, 1]), NOTHING);
    assert_eq!(world.sees(2 * HOUR, "192.0.2.10", &server(1)), NOTHING, "another one joins in silence");
    // Every one but the first gets its own key; the one that joined is purged.
    pass(&mut world, 3 * HOUR, [1, 2, 3]);
    assert_eq!(pass(&mut world, 4 * HOUR, [1, 2, 3]), ["HOSTKEY_CHANGED", "HOSTKEY_CHANGED"]);
    assert_eq!(pass(&mut world, 30 * HOUR, [1, 2, 3]), NOTHING);
    let change = world.inventory.purge_hosts(&[address("192.0.2.10")], "operator", time(31 * HOUR));
    assert_eq!(kinds(&change.events), ["HOST_PURGED", "FINDING_CLOSED"]);
    assert_eq!(change.events[1].finding.as_ref().map(|finding| finding.verdict.as_str()), Some("closed"));
    world.take(&change);
    assert!(world.inventory.hosts().all(|host| host.findings.is_empty()));
    assert_eq!(pass(&mut world, 32 * HOUR, [1, 2, 3]), NOTHING);
    assert_eq!(pass(&mut world, 33 * HOUR, [1, 1, 3]), NOTHING);
    assert_eq!(pass(&mut world, 34 * HOUR, [1, 1, 3]), ["SHARED_KEY"], "shared again is told again");
}

#[test]
fn a_shared_key_closes_when_the_second_last_holder_has_another() {
    let mut world = World::new();
    for hour in 0..2 {
        world.sees(hour * HOUR + 1, IP, &server(1));
        world.sees(hour * HOUR + 1, OTHER, &server(1));
    }
    assert_eq!(world.last().kind, EventType::SharedKey);
    let told: Vec<_> = (2..40).flat_map(|hour| world.sees(hour * HOUR, OTHER, &server(2))).collect();
    assert_eq!(told, ["HOSTKEY_CHANGED", "FINDING_CLOSED"]);
    assert!(world.inventory.hosts().all(|host| host.findings.is_empty()));
}

#[test]
fn two_addresses_of_one_machine_and_one_machine_at_two_addresses_in_turn_share_nothing() {
    let mut world = World::new();
    for hour in 0..5 {
        for ip in [IP, OTHER] {
            assert_eq!(world.sees(hour * HOUR + 1, ip, &[open(22), ssh(22, SERVER, KEY, 1), mac(1)]), NOTHING);
        }
    }
    let mut world = World::new();
    for (day, ip) in [IP, OTHER, IP, OTHER].iter().enumerate() {
        let start = i64::try_from(day).expect("few") * DAY;
        world.sees(start + 1, ip, &server(1));
        world.sees(start + HOUR, ip, &server(1));
        lose(&mut world, start + 2 * HOUR, ip);
    }
    assert!(world.events.iter().all(|event| event.kind != EventType::SharedKey));
}

#[test]
fn a_key_that_was_shared_is_not_followed_for_a_month() {
    let mut world = World::new();
    for day in 0..40 {
        world.sees(day * DAY + 1, IP, &server(1));
        world.sees(day * DAY + 1, OTHER, &server(1));
    }
    world.cover("192.0.2.0/24", "1-1024");
    let change = world.inventory.purge_hosts(&[address(OTHER)], "operator", time(40 * DAY));
    world.take(&change);
    lose(&mut world, 40 * DAY + 1000, IP);
    assert_eq!(world.sees(41 * DAY, "192.0.2.9", &server(1))[0], "HOST_FOUND");
}

#[test]
fn hosts_are_purged_with_a_word_and_their_return_is_news() {
    let leaf = certificate(1, "O=Example CA Inc", 800);
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(443), tls(443, "http", &leaf), mute(22)]);
    world.sees(1, OTHER, &[open(22), mute(22)]);
    lose(&mut world, 1000, IP);
    let year = Duration::from_hours(400 * 24);
    assert!(world.inventory.purge(time(400 * DAY), year).is_empty());
    let change = world.inventory.purge(time(401 * DAY), year);
    assert_eq!(kinds(&change.events), ["HOST_PURGED"]);
    assert_eq!(change.events[0].reason.as_deref(), Some("not seen for 400d"));
    assert_eq!(change.events[0].severity, Severity::INFO);
    world.take(&change);
    assert!(world.inventory.purge(time(401 * DAY), year).is_empty());
    assert_eq!((world.inventory.hosts().count(), world.inventory.counts().certificates), (1, 0));
    assert_eq!(world.sees(402 * DAY, IP, &[open(22), mute(22)]), ["HOST_FOUND", "PORT_OPEN"]);

    let change = world.inventory.purge_hosts(&[address(IP), address("192.0.2.99")], "operator", time(403 * DAY));
    assert_eq!(kinds(&change.events), ["HOST_PURGED"]);
    assert_eq!(change.events[0].reason.as_deref(), Some("by operator"));
    world.take(&change);
    let change = world.inventory.purge_targets(&[address(OTHER)], time(404 * DAY));
    assert_eq!(change.events[0].reason.as_deref(), Some("no longer a target"));
    world.take(&change);
    assert_eq!(world.sees(405 * DAY, IP, &[open(22), mute(22)]), ["HOST_FOUND", "PORT_OPEN"]);
    assert_eq!(world.sees(405 * DAY, OTHER, &[open(22), mute(22)]), NOTHING, "what becomes a target again is learnt");
}

#[test]
fn a_review_is_idempotent_and_knows_whom_it_does_not_know() {
    let mut world = World::new();
    world.sees(1, IP, &server(1));
    world.sees(1, OTHER, &[open(22), mute(22)]);
    let facts = |world: &World, ip| world.inventory.host(address(ip)).expect("known").facts().approved;
    assert!(!facts(&world, IP), "learnt is not approved");
    let list = [address(IP), address("192.0.2.99")];
    let reviewed = world.inventory.approve(Some(&list), "approved.csv", time(2));
    assert_eq!(reviewed.unknown, [address("192.0.2.99")]);
    world.take(&reviewed.change);
    assert!(facts(&world, IP) && !facts(&world, OTHER));
    assert!(world.inventory.approve(Some(&list), "operator", time(3)).change.is_empty());
    let all = world.inventory.approve(None, "operator", time(4));
    assert_eq!((all.change.hosts.len(), all.unknown.len()), (1, 0));
    world.take(&all.change);
    let by = |ip| world.inventory.host(address(ip)).and_then(|host| host.approved.clone()).expect("approved").by;
    assert_eq!((by(IP).as_str(), by(OTHER).as_str()), ("approved.csv", "operator"));
    let back = world.inventory.unapprove(Some(&[address(IP)]));
    world.take(&back.change);
    assert!(!facts(&world, IP) && world.inventory.unapprove(Some(&[address(IP)])).change.is_empty());
}

#[test]
fn names_that_take_turns_are_no_change() {
    let mut world = World::covered();
    let (a, b, c) = ("a.example.org", "b.example.org", "c.example.org");
    world.sees(1, IP, &[open(22), mute(22), names(&[a, b])]);
    let told: Vec<_> = (1..100)
        .zip([[b, c], [a, b], [c, a]].iter().cycle())
        .flat_map(|(n, set)| world.sees(n * 600, IP, &[names(set)]))
        .collect();
    assert_eq!(told, NOTHING);
    // One of them goes for good: told a day later, once.
    let told: Vec<_> = (100..400).flat_map(|n| world.sees(n * 600, IP, &[names(&[b, c])])).collect();
    assert_eq!(told, ["HOST_NAME_CHANGED"]);
    assert_eq!(
        (world.last().old.as_deref(), world.last().new.as_deref()),
        (Some("a.example.org, b.example.org"), Some("b.example.org, c.example.org"))
    );
    // And all names go.
    let told: Vec<_> = (400..700).flat_map(|n| world.sees(n * 600, IP, &[names(&[])])).collect();
    assert_eq!(told, ["HOST_NAME_CHANGED"]);
    assert_eq!(world.last().new, None);
}

#[test]
fn a_slice_of_names_is_no_absence() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22), names(&["a.example.org"])]);
    for n in 1..20 {
        assert_eq!(world.sees(n * 600, IP, &[names(&["a.example.org"])]), NOTHING);
    }
    assert!(world.inventory.host(address(IP)).expect("known").misses.is_none());
    assert_eq!(world.sees(20_000, OTHER, &[names(&["b.example.org"])]), NOTHING);
    assert!(world.inventory.host(address(OTHER)).is_none(), "a name alone is no host");
}

#[test]
fn what_comes_to_light_soon_after_a_host_is_part_of_it() {
    let leaf = certificate(1, "O=Example CA Inc", 800);
    let mut world = World::covered();
    assert_eq!(world.sees(1, IP, &server(1)), ["HOST_FOUND", "PORT_OPEN", "SOFTWARE_ADDED"]);
    world.sees(100, IP, &[open(443)]);
    assert_eq!(
        world.sees(101, IP, &[open(443), tls(443, "http nginx", &leaf)]),
        ["PORT_OPEN", "SSL_NEW", "SOFTWARE_ADDED"]
    );
    let found = world.event(EventType::HostFound).id;
    for event in &world.events {
        let expect = (event.kind != EventType::HostFound).then_some(found);
        assert_eq!(event.part_of.map(|part| part.id), expect, "{}", event.kind);
    }
    world.sees(700, IP, &[open(80)]);
    assert_eq!(world.sees(701, IP, &[open(80)]), ["PORT_OPEN"]);
    assert!(world.last().part_of.is_none());
    assert!(world.inventory.host(address(IP)).expect("known").found.is_none());
    // Who is learnt was not found.
    let mut world = World::new();
    world.sees(1, IP, &server(1));
    assert!(world.inventory.host(address(IP)).expect("known").found.is_none());
}

#[test]
fn findings_alert_while_learning_and_additions_are_learnt() {
    let mut world = World::new();
    let expired = certificate(1, "O=Other CA", 10);
    world.policy.certificates =
        Some(std::sync::Arc::new(model::AllowList { issuers: vec!["O=Example CA Inc".to_owned()], spki: Vec::new() }));
    assert_eq!(world.sees(1, IP, &[open(443), tls(443, "http", &expired)]), ["SSL_ROGUE"]);
    assert_eq!(world.tick(2), ["SSL_EXPIRED"]);
    world.cover("192.0.2.0/24", "1-1024");
    let done = |world: &World| world.inventory.baseline_done(&"dmz".into(), time(3));
    let extended = |world: &World, second| world.inventory.baseline_extended(&"dmz".into(), time(second));
    assert!(extended(&world, 3).is_empty(), "nothing is extended before it is done");
    world.take(&done(&world));
    assert!(done(&world).is_empty());
    // A range added later: its hosts are learnt, and one word says when that is over.
    for n in 1..50 {
        assert_eq!(world.sees(10, &format!("198.51.100.{n}"), &[open(22), mute(22)]), NOTHING);
    }
    world.cover("198.51.100.0/24", "1-1024");
    let change = extended(&world, 20);
    assert_eq!(kinds(&change.events), ["BASELINE_DONE"]);
    assert_eq!(change.events[0].new.as_deref(), Some("50 hosts, 50 open endpoints"));
    world.take(&change);
    assert_eq!(world.sees(30, "198.51.100.77", &[open(22), mute(22)]), ["HOST_FOUND", "PORT_OPEN"]);
}
