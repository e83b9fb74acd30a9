//! Stories: what is seen, and what is told.

mod world;

use inventory::{PortStatus, Question};
use model::{AllowList, ConfirmRule, EventType, LocalErrorKind, NotProbed, Outcome, Severity, Transport};
use std::{sync::Arc, time::Duration};
use world::*;

const IP: &str = "192.0.2.7";
const NOTHING: [&str; 0] = [];

fn port(port: u16) -> Question {
    Question::Port { transport: Transport::Tcp, port }
}

#[test]
fn a_baseline_is_silent_and_told_once() {
    let mut world = World::new();
    let ours = certificate(1, "O=Example CA Inc", 800);
    assert_eq!(
        world.sees(1, IP, &[open(22), open(443), speaks(22, "ssh OpenSSH 9.2"), tls(443, "http nginx", &ours)]),
        NOTHING
    );
    assert_eq!(world.sees(2, "192.0.2.9", &[refused(22)]), NOTHING);
    assert!(world.requests.is_empty());
    world.cover("192.0.2.0/24", "1-1024");
    let change = world.inventory.baseline_done(&"dmz".into(), time(3));
    world.take(&change);
    assert_eq!(world.last().new.as_deref(), Some("2 hosts, 2 open endpoints"));
    assert_eq!((world.last().metric, world.last().profile.as_deref()), (Some(2), Some("dmz")));
    assert!(world.inventory.baseline_done(&"dmz".into(), time(4)).is_empty());
    assert!(world.inventory.has_baseline("dmz") && world.restarted().has_baseline("dmz"));
    // A first identification after the baseline is learnt as well.
    assert_eq!(world.sees(5, IP, &[speaks(22, "ssh OpenSSH 9.2")]), NOTHING);
    let counts = world.inventory.counts();
    assert_eq!(
        (counts.hosts, counts.hosts_up, counts.endpoints, counts.services, counts.certificates),
        (2, 2, 2, 2, 1)
    );
}

#[test]
fn a_host_is_found_with_what_it_has_open() {
    let mut world = World::covered();
    assert_eq!(
        world.sees(1, IP, &[open(22), open(80), speaks(22, "ssh OpenSSH 9.2"), names(&["a.example.org"])]),
        ["HOST_FOUND", "PORT_OPEN", "SOFTWARE_ADDED"]
    );
    let found = world.event(EventType::HostFound);
    assert_eq!(found.endpoints, ["192.0.2.7:22/tcp"]);
    assert_eq!(found.assets, ["dmz"]);
    assert_eq!(found.host.as_ref().expect("a host").names, ["a.example.org"]);
    let opened = world.event(EventType::PortOpen);
    assert_eq!(opened.service.as_ref().expect("a service").product.as_deref(), Some("OpenSSH"));
    assert_eq!(opened.reason.as_deref(), Some("connected twice"));
    assert_eq!(world.asked(), [(2, port(80))]);
    assert_eq!(world.sees(2, IP, &[open(80)]), ["PORT_OPEN"]);
    // A later identification fills in; only the product is news.
    assert_eq!(world.sees(3, IP, &[speaks(80, "http nginx 1.22.1")]), ["SOFTWARE_ADDED"]);
    assert_eq!(world.sees(4, IP, &[open(80), speaks(80, "http nginx 1.22.1")]), NOTHING);
}

#[test]
fn an_opening_that_does_not_repeat_is_nothing() {
    for second in [silent(22), refused(22)] {
        let mut world = World::covered();
        assert_eq!(world.sees(1, IP, &[open(22)]), NOTHING);
        assert_eq!(world.asked(), [(2, port(22))]);
        assert!(world.inventory.host(IP.parse().expect("an address")).expect("kept").is_provisional());
        assert_eq!(world.sees(2, IP, &[second]), NOTHING);
        assert_eq!(world.sees(3, IP, &[silent(22)]), NOTHING);
        assert_eq!(world.inventory.hosts().count(), 0);
    }
}

#[test]
fn a_host_that_only_refuses_is_found_when_it_repeats() {
    let mut world = World::covered();
    assert_eq!(world.sees(1, IP, &[refused(22)]), NOTHING);
    assert_eq!(world.asked(), [(5, port(22))]);
    let (told, last) = world.settles(IP, &[refused(22)]);
    assert_eq!((told, world.passes), (vec!["HOST_FOUND"], 32));
    assert!((120..170).contains(&last), "{last}");
    assert_eq!(world.sees(300, IP, &[refused(22)]), NOTHING);
}

#[test]
fn one_silence_between_refusals_begins_anew() {
    let mut world = World::covered();
    for n in 0..31 {
        assert_eq!(world.sees(1 + n * 5, IP, &[rst(22), rst(80)]), NOTHING);
    }
    // Another port goes on refusing: it is doubted from here on.
    assert_eq!(world.sees(200, IP, &[silent(22), rst(80)]), NOTHING);
    assert_eq!(world.asked(), [(204, port(80))]);
    assert_eq!(world.sees(205, IP, &[silent(80)]), NOTHING);
    assert_eq!(world.inventory.hosts().count(), 0);
    // An open port needs no such patience.
    assert_eq!(world.sees(300, IP, &[rst(22)]), NOTHING);
    assert_eq!(world.sees(301, IP, &[open(80), mute(80)]), ["HOST_FOUND", "PORT_OPEN"]);
}

#[test]
fn a_lost_host_is_not_called_back_by_a_stray_refusal() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22)]);
    for second in [100, 550] {
        world.sees(second, IP, &[silent(22)]);
    }
    assert_eq!(world.sees(1000, IP, &[silent(22)]), ["HOST_LOST"]);
    for n in 0..50 {
        let seen = if n % 3 == 0 { silent(22) } else { rst(22) };
        assert_eq!(world.sees(1_100 + n * 10, IP, &[seen]), NOTHING);
    }
    assert_eq!(world.sees(2_000, IP, &[rst(22)]), NOTHING);
    let told: Vec<_> = (0..2).flat_map(|_| world.settles(IP, &[rst(22)]).0).collect();
    assert_eq!(told, ["HOST_UP", "PORT_CLOSED"]);
}

#[test]
fn a_host_whose_only_port_closed_is_lost_when_all_is_silent() {
    // It refused until it was called closed; or twice only, and silence said that it was not the host that did.
    for with_silence in [false, true] {
        let mut world = World::covered();
        world.sees(1, IP, &[open(22), mute(22)]);
        let mut told = Vec::new();
        for n in 0..16 {
            let seen = if with_silence && n > 1 { silent(22) } else { rst(22) };
            told.extend(world.sees(100 + n * 60, IP, &[seen]));
        }
        let closed: &[&str] = if with_silence { &[] } else { &["PORT_CLOSED"] };
        assert_eq!(told, closed);
        world.sees(1_100, IP, &[silent(22)]);
        assert_eq!(world.settles(IP, &[silent(22)]).0, ["HOST_LOST"], "{with_silence}");
        let back: &[&str] = if with_silence { &["HOST_UP"] } else { &["HOST_UP", "PORT_OPEN"] };
        assert_eq!(world.sees(40_000, IP, &[open(22), mute(22)]), back);
    }
}

#[test]
fn newly_covered_ports_are_learnt_and_old_ones_stay_watched() {
    let mut world = World::new();
    world.sees(1, IP, &[open(22)]);
    world.cover("192.0.2.0/24", "1-1024");
    assert_eq!(world.sees(2, IP, &[open(8080), speaks(8080, "http nginx")]), NOTHING);
    // Half the addresses under the new list: the rest is still watched under the old one.
    world.cover("192.0.2.128/25", "1-1000,8000-9000");
    assert_eq!(world.sees(3, IP, &[open(80), mute(80)]), ["PORT_OPEN"]);
    assert_eq!(world.sees(4, IP, &[open(8081), mute(8081)]), NOTHING);
    world.cover("192.0.2.0/25", "1-1000,8000-9000");
    assert_eq!(world.sees(5, IP, &[open(8082), mute(8082)]), ["PORT_OPEN"]);
    assert_eq!(world.inventory.regions().count(), 1);
}

#[test]
fn what_a_partial_group_left_out_stays_covered() {
    let mut world = World::new();
    world.sees(1, IP, &[open(22)]);
    world.cover("192.0.2.0/24", "1-1024");
    world.cover("192.0.2.0/28", "1-79,81-1024");
    world.cover("192.0.2.16/28", "1-1024");
    assert_eq!(world.inventory.regions().next().expect("one").earlier, []);
    assert_eq!(world.sees(2, IP, &[open(80), mute(80)]), ["PORT_OPEN"]);
}

#[test]
fn a_refused_port_is_closed_after_spaced_repetition() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), speaks(80, "http nginx 1.22"), mute(22)]);
    assert_eq!(world.sees(10, IP, &[refused(80), open(22)]), NOTHING);
    // As often as it fits into the ten minutes, 14 times at most.
    assert_eq!(world.asked(), [(56, port(80))]);
    let (told, last) = world.settles(IP, &[refused(80)]);
    assert_eq!((told, last), (vec!["PORT_CLOSED", "SOFTWARE_REMOVED"], 611));
    let closed = world.event(EventType::PortClosed);
    assert_eq!(closed.reason.as_deref(), Some("refused in 14 passes over 10m1s"));
    // The product went with its port.
    let closed_id = closed.id;
    assert_eq!(world.last().part_of.map(|part_of| part_of.id), Some(closed_id));
    assert_eq!((closed.old.as_deref(), closed.new.as_deref()), (Some("open"), Some("closed")));
    assert_eq!(world.sees(700, IP, &[refused(80), open(22)]), NOTHING);
    assert_eq!(world.sees(30_000, IP, &[open(80), open(22)]), NOTHING);
    assert_eq!(world.sees(30_001, IP, &[open(80)]), ["PORT_OPEN"]);
    assert_eq!(world.last().old.as_deref(), Some("closed"));
}

#[test]
fn a_rst_and_an_unreachable_port_are_believed_after_a_minute() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), mute(22), mute(80), reply(53)]);
    assert_eq!(world.sees(2, IP, &[reply(53)]), ["PORT_OPEN"]);
    let gone = [rst(22), unreachable(53)];
    assert_eq!(world.sees(10, IP, &gone), NOTHING);
    assert_eq!(world.asked().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [14, 14]);
    let (told, last) = world.settles(IP, &gone);
    assert_eq!((told, last), (vec!["PORT_CLOSED", "PORT_CLOSED"], 71));
    assert_eq!(world.last().reason.as_deref(), Some("port-unreachable in 14 passes over 1m1s"));
    // The last one that a host has may refuse the sensor alone: its neighbours are asked meanwhile.
    assert_eq!(world.sees(1_000, IP, &[rst(80)]), NOTHING);
    let (told, last) = world.settles(IP, &[rst(80)]);
    assert_eq!((told, last), (vec!["PORT_CLOSED"], 1_601));
}

#[test]
fn silence_counts_only_beside_an_answer() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), mute(22), mute(80)]);
    // A host that loses half of everything: acceptance 4.
    for second in [100_i64, 400, 700, 1000, 1300] {
        let seen = if second % 200 == 0 { [open(22), silent(80)] } else { [silent(22), open(80)] };
        assert_eq!(world.sees(second, IP, &seen), NOTHING);
    }
    assert_eq!(world.sees(1600, IP, &[open(22), open(80)]), NOTHING);
    assert_eq!(world.sees(2000, IP, &[open(22), silent(80)]), NOTHING);
    let beside = Question::Host { endpoints: vec![(Transport::Tcp, 80), (Transport::Tcp, 22)] };
    assert!(world.asked().iter().all(|(_, question)| *question == beside));
    assert_eq!(world.settles(IP, &[open(22), silent(80)]).0, ["PORT_CLOSED"]);
}

#[test]
fn no_question_and_no_answer_of_our_own_change_nothing() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22)]);
    let before = world.inventory.host(IP.parse().expect("an address"));
    for (second, nothing) in [
        Outcome::NotProbed(NotProbed::Halted),
        Outcome::LocalError(LocalErrorKind::Descriptors),
        Outcome::LocalError(LocalErrorKind::NoRoute),
    ]
    .into_iter()
    .enumerate()
    {
        let second = i64::try_from(second).expect("small") * 1000 + 1000;
        assert_eq!(world.sees(second, IP, &[outcome(22, nothing)]), NOTHING);
    }
    assert_eq!(world.inventory.host(IP.parse().expect("an address")), before);
}

#[test]
fn a_host_is_lost_once_and_back_once() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), mute(22), mute(80)]);
    let nothing = [silent(22), silent(80)];
    assert_eq!(world.sees(100, IP, &nothing), NOTHING);
    let both = Question::Host { endpoints: vec![(Transport::Tcp, 22), (Transport::Tcp, 80)] };
    assert_eq!(world.asked(), [(550, both.clone())]);
    assert_eq!(world.sees(550, IP, &nothing), NOTHING);
    assert_eq!(world.asked(), [(1000, both)]);
    assert_eq!(world.sees(1000, IP, &nothing), ["HOST_LOST"]);
    assert_eq!(world.last().reason.as_deref(), Some("silent in 3 passes over 15m"));
    for second in [2000, 3000, 4000] {
        assert_eq!(world.sees(second, IP, &nothing), NOTHING);
    }
    assert_eq!(world.inventory.host(IP.parse().expect("an address")).expect("kept").open().count(), 2);
    assert_eq!(world.sees(5000, IP, &[open(22), silent(80)]), ["HOST_UP"]);
    // From the first silence, at 100.010 s.
    assert_eq!(world.last().metric, Some(4899));
    assert_eq!(world.sees(5300, IP, &[open(22), open(80)]), NOTHING);
}

#[test]
fn a_miss_counts_once_a_pass() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22)]);
    for second in [100, 600, 1100, 1600] {
        assert_eq!(world.apply(&slice(second, IP, 77, &[silent(22)])), NOTHING);
    }
    assert_eq!(world.apply(&slice(2000, IP, 78, &[silent(22)])), NOTHING);
    assert_eq!(world.apply(&slice(2001, IP, 79, &[silent(22)])), ["HOST_LOST"]);
}

#[test]
fn another_product_is_a_changed_port_and_a_version_alone_is_not() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(80), speaks(80, "http nginx 1.22.1")]);
    assert_eq!(world.sees(10, IP, &[speaks(80, "http nginx 1.24.0")]), NOTHING);
    assert_eq!(world.asked(), [(11, Question::Service { transport: Transport::Tcp, port: 80, name: None })]);
    assert_eq!(world.sees(11, IP, &[speaks(80, "http nginx 1.24.0")]), ["SOFTWARE_UPDATED"]);
    let updated = world.last();
    assert_eq!((updated.old.as_deref(), updated.new.as_deref()), (Some("nginx 1.22.1"), Some("nginx 1.24.0")));
    assert_eq!(updated.reason.as_deref(), Some("upgrade, seen twice"));
    world.sees(30_000, IP, &[speaks(80, "http nginx 1.18")]);
    assert_eq!(world.sees(30_001, IP, &[speaks(80, "http nginx 1.18")]), ["SOFTWARE_UPDATED"]);
    assert_eq!(world.last().severity, Severity::MEDIUM);
    world.sees(60_000, IP, &[speaks(80, "http Apache 2.4")]);
    assert_eq!(
        world.sees(60_001, IP, &[speaks(80, "http Apache 2.4")]),
        ["PORT_CHANGED", "SOFTWARE_REMOVED", "SOFTWARE_ADDED"]
    );
    let changed = world.event(EventType::PortChanged);
    assert_eq!(
        (changed.old.as_deref(), changed.new.as_deref()),
        (Some("http (nginx 1.18)"), Some("http (Apache 2.4)"))
    );
}

#[test]
fn less_said_is_no_change_and_nothing_said_needs_repetition() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(80), speaks(80, "http nginx 1.22.1")]);
    for second in [10, 20, 30] {
        assert_eq!(world.sees(second, IP, &[speaks(80, "http")]), NOTHING);
        assert_eq!(world.sees(second + 1, IP, &[speaks(80, "http nginx")]), NOTHING);
        assert_eq!(world.sees(second + 2, IP, &[mute(80)]), NOTHING);
    }
    assert_eq!(world.sees(40, IP, &[speaks(80, "http nginx 1.22.1")]), NOTHING);
    // It was silent before and spoke again, so it is silent now and then; but not for a day and 32 conversations on end.
    let told: Vec<_> = (0..33).flat_map(|n| world.sees(50 + n * 3_600, IP, &[mute(80)])).collect();
    assert_eq!(told, ["PORT_CHANGED", "SOFTWARE_REMOVED"]);
    let mut world = World::covered();
    world.sees(1, IP, &[open(80), speaks(80, "http nginx 1.22.1")]);
    assert_eq!(world.sees(50, IP, &[mute(80)]), NOTHING);
    assert_eq!(world.sees(51, IP, &[mute(80)]), ["PORT_CHANGED", "SOFTWARE_REMOVED"]);
}

#[test]
fn a_product_that_moves_is_not_new() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), open(80), mute(22), speaks(80, "http nginx 1.22")]);
    assert_eq!(world.sees(2, IP, &[open(443), speaks(443, "http nginx 1.22")]), ["PORT_OPEN"]);
    world.sees(10, IP, &[rst(80)]);
    assert_eq!(world.settles(IP, &[rst(80)]).0, ["PORT_CLOSED"]);
}

#[test]
fn a_replaced_certificate_is_told_after_three_handshakes() {
    let (old, new) = (certificate(1, "O=Example CA Inc", 800), certificate(2, "O=Other CA", 700));
    let mut world = World::covered();
    world.policy.certificates =
        Some(Arc::new(AllowList { issuers: vec!["O=Example CA Inc".to_owned()], spki: Vec::new() }));
    assert_eq!(world.sees(1, IP, &[open(443), tls(443, "http", &old)]), ["HOST_FOUND", "PORT_OPEN", "SSL_NEW"]);
    for second in [10, 11] {
        assert_eq!(world.sees(second, IP, &[tls(443, "http", &new)]), NOTHING);
        let question = Question::Service { transport: Transport::Tcp, port: 443, name: None };
        assert_eq!(world.asked(), [(second + 1, question)]);
    }
    assert_eq!(world.sees(12, IP, &[tls(443, "http", &new)]), ["SSL_CHANGED", "SSL_ROGUE"]);
    let changed = world.event(EventType::SslChanged);
    assert_eq!(changed.severity, Severity::MEDIUM);
    assert_eq!(
        changed.reason.as_deref(),
        Some(
            "another issuer (O=Other CA instead of O=Example CA Inc); new key outside the renewal window (769 days were left); \
             expires earlier"
        )
    );
    assert_eq!(world.sees(20, IP, &[tls(443, "http", &new)]), NOTHING);
    assert_eq!(world.inventory.counts().certificates, 1);
}

#[test]
fn a_renewal_is_a_small_matter() {
    let (old, new) = (certificate(1, "O=Example CA Inc", 40), certificate(2, "O=Example CA Inc", 130));
    let mut world = World::covered();
    world.sees(1, IP, &[open(443), tls(443, "http", &old)]);
    world.sees(10, IP, &[tls(443, "http", &new)]);
    world.sees(11, IP, &[tls(443, "http", &new)]);
    assert_eq!(world.sees(12, IP, &[tls(443, "http", &new)]), ["SSL_CHANGED"]);
    assert_eq!(world.last().severity, Severity::INFO);
    assert!(world.last().reason.as_deref().is_some_and(|reason| reason.starts_with("renewal by the same issuer")));
}

#[test]
fn certificates_that_take_turns_are_no_change() {
    let (a, b) = (certificate(1, "O=Example CA Inc", 800), certificate(2, "O=Example CA Inc", 800));
    let mut world = World::covered();
    world.sees(1, IP, &[open(443), tls(443, "http", &a)]);
    assert_eq!(world.sees(10, IP, &[tls(443, "http", &b)]), NOTHING);
    assert_eq!(world.sees(11, IP, &[tls(443, "http", &a)]), ["SSL_NEW"]);
    for second in 12..60 {
        let shown = if second % 7 < 4 { &b } else { &a };
        assert_eq!(world.sees(second, IP, &[tls(443, "http", shown)]), NOTHING);
    }
    assert_eq!(world.inventory.counts().certificates, 2);
    // The one in force leaves the balancer for good.
    let told: Vec<_> = (1..=40).flat_map(|hour| world.sees(hour * 3600, IP, &[tls(443, "http", &b)])).collect();
    assert_eq!(told, ["SSL_CHANGED"]);
    assert_eq!(world.inventory.counts().certificates, 1);
}

#[test]
fn one_certificate_on_many_endpoints_is_new_once() {
    let shared = certificate(1, "O=Example CA Inc", 800);
    let mut world = World::covered();
    let seen = [open(443), tls(443, "http", &shared)];
    assert_eq!(world.sees(1, IP, &seen), ["HOST_FOUND", "PORT_OPEN", "SSL_NEW"]);
    assert_eq!(world.sees(1, "192.0.2.8", &seen), ["HOST_FOUND", "PORT_OPEN"]);
}

#[test]
fn a_rogue_certificate_alerts_in_the_baseline_and_again_after_a_change_of_mind() {
    let theirs = certificate(1, "O=Other CA", 800);
    let list = |issuer: &str| Some(Arc::new(AllowList { issuers: vec![issuer.to_owned()], spki: Vec::new() }));
    let mut world = World::new();
    let seen = [open(443), tls(443, "http", &theirs)];
    assert_eq!(world.sees(1, IP, &seen), NOTHING);
    world.policy.certificates = list("O=Example CA Inc");
    assert_eq!(world.sees(2, IP, &seen), ["SSL_ROGUE"]);
    assert_eq!(world.sees(3, IP, &seen), NOTHING);
    world.policy.certificates = list("o=other ca");
    assert_eq!(world.sees(4, IP, &seen), NOTHING);
    world.policy.certificates = list("O=Example CA Inc");
    assert_eq!(world.sees(5, IP, &seen), ["SSL_ROGUE"]);
}

#[test]
fn expiry_follows_the_clock_and_folds() {
    let day = 86_400;
    let mut world = World::new();
    let long = certificate(1, "O=Example CA Inc", 430);
    world.sees(1, IP, &[open(443), tls(443, "http", &long)]);
    world.sees(1, "192.0.2.8", &[open(443), tls(443, "http", &long)]);
    assert_eq!(world.tick(300 * day), NOTHING);
    assert_eq!(world.tick(340 * day), ["SSL_EXPIRY"]);
    assert_eq!((world.last().metric, world.last().severity), (Some(60), Severity::LOW));
    assert_eq!(world.last().endpoints, ["192.0.2.7:443/tcp", "192.0.2.8:443/tcp"]);
    // Stopped while 30, 14, 7 and 3 went by: acceptance 8.
    assert_eq!(world.tick(397 * day + 1), ["SSL_EXPIRY"]);
    assert_eq!((world.last().metric, world.last().severity), (Some(2), Severity::HIGH));
    assert_eq!(world.tick(399 * day), ["SSL_EXPIRY"]);
    assert_eq!(world.tick(400 * day), ["SSL_EXPIRED"]);
    assert_eq!(world.tick(500 * day), NOTHING);
}

#[test]
fn a_short_life_tells_from_its_last_third() {
    let day = 86_400;
    let mut world = World::new();
    world.sees(1, IP, &[open(443), tls(443, "http", &certificate(1, "O=Example CA Inc", 90))]);
    let told: Vec<_> = (0..70).filter_map(|n| world.tick(n * day).first().map(|kind| (60 - n, *kind))).collect();
    let expiry = |days| (days, "SSL_EXPIRY");
    assert_eq!(told, [expiry(30), expiry(14), expiry(7), expiry(3), expiry(1), (0, "SSL_EXPIRED")]);

    let mut world = World::new();
    world.sees(1, IP, &[open(443), tls(443, "http", &certificate(1, "O=Example CA Inc", 36))]);
    let told: Vec<_> = (0..8).flat_map(|n| world.tick(n * day)).collect();
    // Six of its 36 days are left: 12, its last third, and 7 have gone by already, and fold.
    assert_eq!(told, ["SSL_EXPIRY", "SSL_EXPIRY", "SSL_EXPIRY", "SSL_EXPIRED"]);
}

#[test]
fn a_closed_port_takes_its_certificate_along() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22), open(443), tls(443, "http", &certificate(1, "O=Example CA Inc", 31))]);
    world.sees(10, IP, &[rst(443)]);
    world.settles(IP, &[rst(443)]);
    assert_eq!(world.inventory.counts().certificates, 0);
    assert_eq!(world.tick(86_400 * 10), NOTHING);
    assert_eq!(world.tick(86_400 * 200), NOTHING);
    assert_eq!(world.inventory.certificates().count(), 0);
}

#[test]
fn names_are_compared_as_sets() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22), names(&["a.example.org", "b.example.org"])]);
    assert_eq!(world.sees(2, IP, &[names(&["b.example.org", "a.example.org"])]), NOTHING);
    assert_eq!(world.sees(3, IP, &[names(&["c.example.org"])]), NOTHING);
    assert_eq!(world.sees(4, IP, &[names(&["c.example.org"])]), ["HOST_NAME_CHANGED"]);
    assert_eq!(world.last().old.as_deref(), Some("a.example.org, b.example.org"));
    assert_eq!(world.last().new.as_deref(), Some("c.example.org"));
}

#[test]
fn a_moved_name_is_one_event_and_what_retires_comes_back_silently() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22)]);
    let ip = IP.parse().expect("an address");
    let new = "192.0.2.77".parse().expect("an address");
    let name = "www.example.org".parse().expect("a name");
    let change = world.inventory.lease_moved(&name, &[ip], &[new], &world.policy, time(2));
    assert_eq!(kinds(&change.events), ["HOST_NAME_CHANGED"]);
    world.take(&change);
    assert!(world.inventory.lease_moved(&name, &[new], &[new], &world.policy, time(3)).is_empty());
    assert!(world.inventory.lease_moved(&name, &[], &[new], &world.policy, time(3)).is_empty());
    let change = world.inventory.retire(&[ip], time(4));
    assert!(change.events.is_empty());
    world.take(&change);
    assert_eq!(world.inventory.hosts().count(), 0);
    assert_eq!(world.sees(5, IP, &[open(22), mute(22)]), NOTHING);
}

#[test]
fn the_confirm_settings_are_in_force() {
    let mut world = World::covered();
    world.policy.confirm.port_closed = ConfirmRule { passes: 1, at_least: Duration::ZERO };
    world.policy.confirm.host_lost = ConfirmRule { passes: 2, at_least: Duration::from_secs(30) };
    world.sees(1, IP, &[open(22), mute(22), open(80), mute(80)]);
    assert_eq!(world.sees(10, IP, &[refused(80), open(22)]), ["PORT_CLOSED"]);
    assert_eq!(world.sees(20, IP, &[silent(22)]), NOTHING);
    assert_eq!(world.asked().first().map(|(at, _)| *at), Some(50));
    assert_eq!(world.sees(51, IP, &[silent(22)]), ["HOST_LOST"]);
    let host = world.inventory.host(IP.parse().expect("an address")).expect("kept");
    assert_eq!(
        host.endpoints.iter().map(|endpoint| endpoint.status).collect::<Vec<_>>(),
        [PortStatus::Open, PortStatus::Closed]
    );
}

#[test]
fn another_vantage_and_another_address_change_nothing() {
    let mut world = World::covered();
    let mut foreign = slice(1, IP, 1, &[open(22), mute(22)]);
    foreign.vantage = "scan2".into();
    assert!(world.inventory.apply(&foreign, &world.policy, time(1)).is_empty());
    let mut mixed = slice(1, IP, 1, &[open(22), mute(22)]);
    mixed.ip = "192.0.2.8".parse().expect("an address");
    assert_eq!(world.apply(&mixed), NOTHING);
    assert_eq!(world.inventory.hosts().count(), 0);
}

#[test]
fn tls_switched_off_is_a_changed_port() {
    let leaf = certificate(1, "O=Example CA Inc", 800);
    let mut world = World::covered();
    world.sees(1, IP, &[open(80), tls(80, "http nginx", &leaf)]);
    assert_eq!(world.sees(10, IP, &[speaks(80, "http nginx")]), NOTHING);
    assert_eq!(world.sees(11, IP, &[speaks(80, "http nginx")]), ["PORT_CHANGED", "SSL_REMOVED"]);
    assert_eq!(world.event(EventType::PortChanged).new.as_deref(), Some("http (nginx)"));
    assert_eq!(world.last().part_of.map(|whole| whole.kind), Some(EventType::PortChanged));
    assert_eq!(world.inventory.counts().certificates, 0);
    world.sees(30_000, IP, &[tls(80, "http nginx", &leaf)]);
    assert_eq!(world.sees(30_001, IP, &[tls(80, "http nginx", &leaf)]), ["PORT_CHANGED"]);
    assert_eq!(world.inventory.counts().certificates, 1);
}

#[test]
fn a_port_that_toggles_is_told_in_turns() {
    let mut world = World::covered();
    world.sees(1, IP, &[open(22), mute(22), open(80), mute(80)]);
    let told: Vec<_> = (1..40)
        .flat_map(|n| {
            let seen = if n % 2 == 0 { [open(22), open(80)] } else { [open(22), refused(80)] };
            world.sees(n * 300, IP, &seen)
        })
        .collect();
    assert_eq!(told, NOTHING);
}

#[test]
fn the_surest_operating_system_is_shown() {
    let mut world = World::covered();
    let os =
        |family: &str, confidence| model::Os { family: family.to_owned(), product: None, version: None, confidence };
    let mut seen = slice(1, IP, 1, &[open(22), speaks(22, "ssh OpenSSH 9.2"), open(80), speaks(80, "http nginx")]);
    for (observation, hint) in seen.services.iter_mut().zip([os("linux", 0.9), os("freebsd", 0.4)]) {
        observation.service.as_mut().expect("a service").os = Some(hint);
    }
    world.apply(&seen);
    assert!(
        world.events.iter().all(|event| event.host.as_ref().is_some_and(|host| host.os.as_deref() == Some("linux")))
    );
}

#[test]
fn a_clock_that_was_set_back_blinds_nobody() {
    const WRONG: i64 = 1_000_000;
    let mut world = World::new();
    world.sees(WRONG, IP, &[open(22), open(80), speaks(22, "ssh OpenSSH 9.2")]);
    world.cover("192.0.2.0/24", "1-1024");
    assert_eq!(world.sees(10, IP, &[open(22), rst(80)]), NOTHING);
    assert_eq!(world.sees(10, IP, &[open(22), rst(80)]), NOTHING, "the same again is still the same");
    assert_eq!(world.settles(IP, &[open(22), rst(80)]).0, ["PORT_CLOSED"]);
    world.sees(130, IP, &[speaks(22, "ssh OpenSSH 9.6")]);
    assert_eq!(world.sees(140, IP, &[speaks(22, "ssh OpenSSH 9.6")]), ["SOFTWARE_UPDATED"]);
}

#[test]
fn what_is_no_longer_watched_is_no_longer_covered() {
    let mut world = World::new();
    world.cover("192.0.2.0/24", "1-1024");
    let change = world.inventory.forget_outside(&address_set("192.0.2.0/29"));
    world.take(&change);
    for (ip, covered) in [("192.0.2.7", true), ("192.0.2.8", false)] {
        assert_eq!(world.inventory.is_covered(ip.parse().expect("an address"), Transport::Tcp, 22), covered, "{ip}");
    }
    assert!(world.inventory.forget_outside(&address_set("192.0.2.0/29")).is_empty());
}
