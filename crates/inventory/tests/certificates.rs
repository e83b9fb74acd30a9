//! Stories about certificates: who is told what of those that change, are not ours, are weak or go.

mod world;

use model::{AllowList, Certificate, Event, EventType, Severity, Sha256, Verdict, Weakness};
use std::sync::Arc;
use world::*;

const IP: &str = "192.0.2.7";
const NOTHING: [&str; 0] = [];
const OURS: &str = "CN=Sub 1, O=Example CA Inc";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn served(certificate: &Certificate) -> [Seen; 2] {
    [open(443), tls(443, "http", certificate)]
}

fn judged(certificate: &Certificate, verdicts: &[Verdict]) -> [Seen; 2] {
    let [port, mut service] = served(certificate);
    if let Seen::Service(seen) = &mut service
        && let Some(tls) = &mut seen.tls
    {
        tls.verdicts = verdicts.to_vec();
    }
    [port, service]
}

/// A world in which only the example authority's certificates are allowed.
fn guarded() -> World {
    let mut world = World::covered();
    let issuers = vec!["O=Example CA Inc".to_owned()];
    world.policy.certificates = Some(Arc::new(AllowList { issuers, spki: Vec::new() }));
    world
}

/// Two certificates of ours take turns behind one address, and have for two days.
fn balanced() -> World {
    let mut world = guarded();
    let (a, b) = (certificate(1, OURS, 800), certificate(2, OURS, 790));
    for hour in 0..48 {
        world.sees(hour * HOUR, IP, &served(if hour % 2 == 0 { &a } else { &b }));
    }
    assert!(!kinds(&world.events).contains(&"SSL_CHANGED"), "{:?}", kinds(&world.events));
    world.events.clear();
    for hour in 48..96 {
        assert_eq!(world.sees(hour * HOUR, IP, &served(if hour % 3 == 0 { &a } else { &b })), NOTHING, "hour {hour}");
    }
    world
}

fn alone(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| event.part_of.is_none()).collect()
}

/// A third certificate comes to a balancer: instead of the two, or beside them. What is told by itself.
fn a_third(certificate: &Certificate, beside: bool) -> Vec<Event> {
    let mut world = balanced();
    let (a, b) = (world::certificate(1, OURS, 800), world::certificate(2, OURS, 790));
    for look in 0..240 {
        let shown = match look % 3 {
            1 if beside => &a,
            2 if beside => &b,
            _ => certificate,
        };
        world.sees(96 * HOUR + look * 600, IP, &served(shown));
    }
    alone(&world.events).into_iter().cloned().collect()
}

#[test]
fn a_third_from_another_issuer_is_a_change_and_a_rogue() {
    for beside in [false, true] {
        let told = a_third(&certificate(3, "CN=Sub 1, O=Other CA", 800), beside);
        assert_eq!(kinds(&told), ["SSL_CHANGED", "SSL_ROGUE"], "beside: {beside}");
        let reason = told[0].reason.as_deref().unwrap_or_default();
        assert!(reason.contains("another issuer"), "{reason}");
        assert_eq!(told[0].severity, Severity::MEDIUM);
    }
}

#[test]
fn a_third_from_the_same_issuer_with_a_new_key_outside_the_window_says_so() {
    for beside in [false, true] {
        // Another of the authority's own certificates signed it.
        let told = a_third(&certificate(3, "CN=Sub 2, O=Example CA Inc", 900), beside);
        assert_eq!(kinds(&told), ["SSL_CHANGED"], "beside: {beside}");
        let reason = told[0].reason.as_deref().unwrap_or_default();
        assert!(reason.contains("new key outside the renewal window") && !reason.contains("issuer"), "{reason}");
        assert_eq!(told[0].severity, Severity::MEDIUM);
    }
}

#[test]
fn renewals_and_what_is_none() {
    // Valid from 30 days ago for 90 days: the last third begins after 30 days.
    let old = certificate(1, OURS, 90);
    let check = |what: &str, day: i64, new: &Certificate, severity: Severity, word: &str| {
        let mut world = World::covered();
        for hour in 0..day * 24 {
            world.sees(hour * HOUR, IP, &served(&old));
        }
        world.events.clear();
        for look in 0..20 {
            world.sees(day * DAY + look * 600, IP, &served(new));
        }
        assert_eq!(kinds(&world.events), ["SSL_CHANGED"], "{what}");
        let reason = world.last().reason.clone().unwrap_or_default();
        assert!(reason.contains(word), "{what}: {reason}");
        assert_eq!(world.last().severity, severity, "{what}: {reason}");
    };
    let new = certificate(2, "CN=Sub 2, O=Example CA Inc", 180);
    check("in its window", 31, &new, Severity::INFO, "renewal by the same issuer; new key; expires later");
    check("too early", 20, &new, Severity::MEDIUM, "new key outside the renewal window (39 days were left)");
    let same_key = Certificate { spki_sha256: old.spki_sha256, ..new.clone() };
    check("early, with the same key", 20, &same_key, Severity::LOW, "same key");
    let fewer = Certificate { sans: vec!["other.example.org".to_owned()], ..new.clone() };
    check(
        "for another name",
        31,
        &fewer,
        Severity::MEDIUM,
        "names lost: www.example.org; names gained: other.example.org",
    );
    let earlier = certificate(2, OURS, 70);
    check("for less long", 31, &earlier, Severity::MEDIUM, "expires earlier");
    let other = certificate(2, "CN=Sub 1, O=Other CA", 180);
    check("from somebody else", 31, &other, Severity::MEDIUM, "another issuer");
    let own = Certificate { self_signed: true, ..certificate(2, OURS, 180) };
    check("self-signed", 31, &own, Severity::MEDIUM, "self-signed instead of issued by an authority");
}

/// What a certificate says of its issuer anybody can write.
#[test]
fn what_only_says_that_the_same_issuer_renewed_it_is_no_renewal() {
    let (old, new) = (certificate(1, OURS, 90), certificate(2, OURS, 180));
    for (before, after, severity) in [
        (&[][..], &[][..], Severity::INFO),
        (&[], &[Verdict::UntrustedRoot], Severity::MEDIUM),
        (&[], &[Verdict::Revoked], Severity::MEDIUM),
        (&[Verdict::Expired], &[Verdict::IncompleteChain], Severity::MEDIUM),
        // Of somebody whose root was never trusted here.
        (&[Verdict::UntrustedRoot], &[Verdict::UntrustedRoot], Severity::INFO),
    ] {
        let mut world = World::covered();
        for hour in 0..31 * 24 {
            world.sees(hour * HOUR, IP, &judged(&old, before));
        }
        world.events.clear();
        for look in 0..20 {
            world.sees(31 * DAY + look * 600, IP, &judged(&new, after));
        }
        let changed = world.events.iter().find(|event| event.kind == EventType::SslChanged).expect("it was replaced");
        assert_eq!(changed.severity, severity, "{before:?} {after:?}: {:?}", changed.reason);
        let says_why = changed.reason.as_deref().is_some_and(|reason| reason.contains("nobody vouches for it"));
        assert_eq!(says_why, severity == Severity::MEDIUM, "{:?}", changed.reason);
    }
}

/// One certificate on 400 endpoints is one alert, whatever is told of it.
#[test]
fn one_certificate_on_400_endpoints() {
    let mut world = guarded();
    let ip = |number: i64| format!("192.0.2.{}", number % 200 + 1);
    let everywhere = |world: &mut World, second: i64, certificate: &Certificate, verdicts: &[Verdict]| {
        for number in 0..200 {
            let [port, service] = judged(certificate, verdicts);
            let mut other = service.clone();
            if let Seen::Service(other) = &mut other {
                other.endpoint.port = 8443;
            }
            let seen = [port, open(8443), service, other];
            let slice = slice(second, &ip(number), u64::try_from(second).expect("positive"), &seen);
            let change = world.inventory.apply(&slice, &world.policy, slice.at);
            world.take(&change);
        }
    };
    let told = |world: &mut World, kind: EventType| {
        let count = alone(&world.events).iter().filter(|event| event.kind == kind).count();
        (count, world.events.iter().filter(|event| event.kind == kind).count())
    };
    for second in [1, 60] {
        for number in 0..200 {
            let slice = slice(second, &ip(number), u64::try_from(second).expect("positive"), &[open(22)]);
            let change = world.inventory.apply(&slice, &world.policy, slice.at);
            world.take(&change);
        }
    }
    world.events.clear();
    let old = certificate(1, OURS, 60);
    everywhere(&mut world, 2 * HOUR, &old, &[Verdict::WeakSignature]);
    assert_eq!(told(&mut world, EventType::SslNew), (1, 1));
    assert_eq!(told(&mut world, EventType::SslWeak), (1, 1));
    world.events.clear();
    // Thirty days are left; the last third begins with the twenty that follow.
    assert_eq!(world.tick(11 * DAY), ["SSL_EXPIRY"]);
    assert_eq!(world.last().endpoints.len(), 100);
    assert!(
        world.last().reason.as_deref().is_some_and(|reason| reason.contains("300 more")),
        "{:?}",
        world.last().reason
    );
    world.events.clear();
    let new = certificate(2, "CN=Sub 1, O=Other CA", 400);
    for look in 0..16 {
        everywhere(&mut world, 12 * DAY + look * 600, &new, &[]);
    }
    assert_eq!(told(&mut world, EventType::SslChanged), (1, 400));
    assert_eq!(told(&mut world, EventType::SslRogue), (1, 400));
    assert_eq!(told(&mut world, EventType::SslRemoved), (0, 0));
    assert_eq!(world.inventory.counts().certificates, 1);
}

#[test]
fn an_allowed_name_counts_where_it_is_proved() {
    for (verdicts, expect, word) in [
        (&[][..], &NOTHING[..], ""),
        (&[Verdict::Expired], &NOTHING, ""),
        (&[Verdict::SelfSigned], &["SSL_ROGUE"], "self-signed"),
        (&[Verdict::UntrustedRoot], &["SSL_ROGUE"], "chain does not verify (untrusted-root)"),
        (&[Verdict::Revoked], &["SSL_ROGUE"], "revoked"),
    ] {
        let mut world = guarded();
        world.sees(1, IP, &[open(22)]);
        let kinds = world.sees(2, IP, &judged(&certificate(1, OURS, 400), verdicts));
        let told: Vec<_> = kinds.into_iter().filter(|kind| *kind == "SSL_ROGUE").collect();
        assert_eq!(told, expect, "{verdicts:?}");
        if !expect.is_empty() {
            let reason = world.event(EventType::SslRogue).reason.as_deref().unwrap_or_default();
            assert!(reason.contains(word), "{reason}");
        }
    }
}

#[test]
fn who_joins_the_others_by_a_false_name_is_rogue_although_it_was_shown_once() {
    let mut world = guarded();
    let genuine = certificate(1, OURS, 800);
    for hour in 0..48 {
        world.sees(hour * HOUR, IP, &served(&genuine));
    }
    world.events.clear();
    world.sees(48 * HOUR, IP, &judged(&certificate(2, OURS, 800), &[Verdict::SelfSigned]));
    world.sees(49 * HOUR, IP, &served(&genuine));
    let told = kinds(&world.events);
    assert!(told.contains(&"SSL_ROGUE"), "{told:?}");
    let reason = world.event(EventType::SslRogue).reason.as_deref().unwrap_or_default();
    assert!(reason.contains("self-signed"), "{reason}");
}

#[test]
fn a_weakness_is_told_once_and_gone_only_when_it_stays_away() {
    const BOTH: [Weakness; 2] = [Weakness::Tls10, Weakness::Ssl3];
    let leaf = certificate(1, OURS, 800);
    let mut world = World::covered();
    world.sees(1, IP, &served(&leaf));
    let look = |world: &mut World, day: i64, asked: &[Weakness], found: &[Weakness]| {
        let told = world.sees(day * DAY, IP, &[audited(443, asked, found)]);
        (told, world.events.last().and_then(|event| event.new.clone()).unwrap_or_default())
    };
    assert_eq!(look(&mut world, 1, &BOTH, &[]).0, NOTHING);
    assert_eq!(look(&mut world, 2, &BOTH, &[Weakness::Tls10]).0, NOTHING, "one audit alone is not believed");
    assert_eq!(look(&mut world, 3, &BOTH, &[Weakness::Tls10]), (vec!["SSL_WEAK"], "tls1.0".to_owned()));
    assert_eq!(world.last().reason.as_deref(), Some("accepts TLS 1.0"));
    assert_eq!(look(&mut world, 4, &BOTH, &BOTH).0, NOTHING);
    assert_eq!(look(&mut world, 5, &BOTH, &BOTH), (vec!["SSL_WEAK"], "ssl3, tls1.0".to_owned()));
    assert_eq!(world.last().old.as_deref(), Some("tls1.0"));
    // An audit that did not get to ask, one that met another server, and the first again.
    assert_eq!(look(&mut world, 6, &[], &[]).0, NOTHING);
    assert_eq!(look(&mut world, 7, &BOTH, &[]).0, NOTHING);
    assert_eq!(look(&mut world, 8, &BOTH, &BOTH).0, NOTHING);
    for day in 9..12 {
        assert_eq!(look(&mut world, day, &BOTH, &[]).0, NOTHING);
    }
    assert!(state(&world).weaknesses.is_empty());
    assert_eq!(look(&mut world, 12, &BOTH, &[Weakness::Ssl3]).0, NOTHING);
    assert_eq!(look(&mut world, 13, &BOTH, &[Weakness::Ssl3]).0, ["SSL_WEAK"]);
}

/// Of the service at the first endpoint of the host these stories are about, under no name.
fn state(world: &World) -> inventory::TlsState {
    let host = world.inventory.host(IP.parse().expect("an address")).expect("known");
    *host.endpoints[0].services[0].tls.clone().expect("TLS")
}

#[test]
fn what_one_audit_saw_is_nothing_until_another_agrees_after_a_while() {
    const ASKED: [Weakness; 1] = [Weakness::Rc4];
    let leaf = certificate(1, OURS, 800);
    let mut world = World::covered();
    world.policy.confirm = model::Confirm::default();
    world.sees(1, IP, &served(&leaf));
    let mut look = |second: i64, found: &[Weakness]| {
        let told = world.sees(second, IP, &[audited(443, &ASKED, found)]);
        let state = state(&world);
        let posture = state.posture.expect("looked at");
        assert_eq!(
            (posture.audited, posture.heartbeat),
            (Some(time(second) + jiff::SignedDuration::from_millis(10)), Some(false))
        );
        (told, state.suspected.len())
    };
    assert_eq!(look(100, &ASKED), (vec![], 1));
    assert_eq!(look(699, &ASKED), (vec![], 1), "too soon to be another look");
    assert_eq!(look(800, &[]), (vec![], 0), "it was nothing");
    assert_eq!(look(2_000, &ASKED), (vec![], 1));
    assert_eq!(look(2_600, &ASKED), (vec!["SSL_WEAK"], 0));
    // An audit of what is not known, or does not speak TLS, says nothing.
    let mut nobody = World::covered();
    nobody.sees(1, IP, &[open(443), speaks(443, "http nginx 1.22")]);
    for second in [2, 2_000] {
        assert_eq!(nobody.sees(second, IP, &[audited(443, &ASKED, &ASKED), audited(444, &ASKED, &ASKED)]), NOTHING);
    }
}

/// Until nothing more is asked about it.
fn goes_on(world: &mut World, seen: &[Seen]) -> Vec<&'static str> {
    let from = world.events.len();
    world.settles(IP, seen);
    kinds(&world.events[from..])
}

#[test]
fn a_chain_that_breaks_under_the_same_certificate_is_told_once_it_is_sure() {
    for verdict in [Verdict::IncompleteChain, Verdict::Revoked] {
        let leaf = certificate(1, OURS, 800);
        let (whole, broken) = (served(&leaf), judged(&leaf, &[verdict]));
        let mut world = World::covered();
        world.policy.confirm = model::Confirm::default();
        world.sees(1, IP, &whole);
        for hour in 1..30 {
            world.sees(hour * HOUR, IP, &whole);
        }
        world.events.clear();
        // Once is nothing: it may have been another machine, or a mistake of a moment.
        assert_eq!(world.sees(30 * HOUR, IP, &broken), NOTHING);
        assert_eq!(state(&world).verdicts, [], "nor is it shown");
        assert_eq!(goes_on(&mut world, &whole), NOTHING);
        assert_eq!(world.sees(80 * HOUR, IP, &broken), NOTHING);
        assert_eq!(goes_on(&mut world, &broken), ["SSL_CHANGED"]);
        let event = world.last();
        assert_eq!((&event.old, event.severity), (&event.new, EventType::SslChanged.default_severity()));
        let reason = event.reason.as_deref().unwrap_or_default();
        let expect = format!("nobody vouches for it any more: {}", verdict.as_str());
        assert!(reason.contains(&expect), "{reason}");
        assert_eq!(state(&world).verdicts, [verdict]);
        assert_eq!(world.sees(82 * HOUR, IP, &broken), NOTHING);
        // Mended in silence, and news when it breaks again.
        assert_eq!(world.sees(110 * HOUR, IP, &whole), NOTHING);
        assert_eq!(goes_on(&mut world, &whole), NOTHING);
        assert_eq!(state(&world).verdicts, []);
        world.sees(140 * HOUR, IP, &broken);
        assert_eq!(goes_on(&mut world, &broken), ["SSL_CHANGED"]);
        assert_eq!(world.last().part_of, None);
    }
}

#[test]
fn machines_with_one_certificate_and_two_chains_are_no_stream_of_alarms() {
    let leaf = certificate(1, OURS, 800);
    let (whole, broken) = (served(&leaf), judged(&leaf, &[Verdict::IncompleteChain]));
    let mut world = guarded();
    world.policy.confirm = model::Confirm::default();
    world.policy.identify = std::time::Duration::from_hours(1);
    world.sees(1, IP, &whole);
    world.events.clear();
    for hour in 1..400 {
        let shown = if hour % 2 == 0 || hour % 7 == 0 { &broken } else { &whole };
        assert_eq!(world.sees(hour * HOUR, IP, shown), NOTHING, "{hour}");
        let soonest = world.inventory.pending().iter().map(|request| request.at).min();
        assert!(hour < 4 || soonest.is_none_or(|at| at >= time((hour + 1) * HOUR)), "asked at {soonest:?}");
    }
    // And where one that takes turns with another is sent with and without.
    let other = certificate(2, OURS, 800);
    let (other_whole, other_broken) = (served(&other), judged(&other, &[Verdict::IncompleteChain]));
    for hour in 400..800 {
        let shown = match hour % 4 {
            0 => &other_whole,
            1 => &other_broken,
            _ => &whole,
        };
        world.sees(hour * HOUR, IP, shown);
    }
    let rogue = kinds(&world.events).iter().filter(|kind| **kind == "SSL_ROGUE").count();
    assert!(rogue <= 1, "{:?}", kinds(&world.events));
}

#[test]
fn other_roots_are_no_news_of_a_server() {
    let leaf = certificate(1, OURS, 800);
    let mut world = World::covered();
    world.sees(1, IP, &served(&leaf));
    world.events.clear();
    let untrusted = judged(&leaf, &[Verdict::UntrustedRoot]);
    world.policy.roots_since = Some(time(HOUR));
    assert_eq!(world.sees(2 * HOUR, IP, &untrusted), NOTHING);
    assert_eq!(goes_on(&mut world, &untrusted), NOTHING);
    assert_eq!(state(&world).verdicts, [Verdict::UntrustedRoot]);
    // What becomes of the server itself is told as before.
    world.sees(3 * HOUR, IP, &served(&leaf));
    assert_eq!(goes_on(&mut world, &served(&leaf)), NOTHING);
    world.sees(4 * HOUR, IP, &untrusted);
    assert_eq!(goes_on(&mut world, &untrusted), ["SSL_CHANGED"]);
}

#[test]
fn an_end_that_was_told_is_told_again_to_others_whom_it_concerns() {
    let leaf = certificate(1, OURS, 40);
    let mut world = World::new();
    world.sees(1, IP, &served(&leaf));
    assert_eq!(world.tick(HOUR), ["SSL_EXPIRY"]);
    // To another host of the same asset it is the same.
    assert_eq!(world.sees(2 * HOUR, "192.0.2.8", &served(&leaf)), NOTHING);
    let ours = std::mem::replace(&mut world.policy.assets, std::sync::Arc::from([std::sync::Arc::from("lab")]));
    assert_eq!(world.sees(3 * HOUR, "192.0.2.9", &served(&leaf)), ["SSL_EXPIRY"]);
    let event = world.last();
    assert_eq!((event.metric, event.assets.clone()), (Some(9), vec!["lab".to_owned()]));
    assert_eq!(world.sees(4 * HOUR, "192.0.2.9", &served(&leaf)), NOTHING);
    assert_eq!(world.tick(11 * DAY), ["SSL_EXPIRED"]);
    world.policy.assets = ours;
    assert_eq!(world.sees(11 * DAY + HOUR, "192.0.2.10", &served(&leaf)), NOTHING);
    world.policy.assets = std::sync::Arc::from([std::sync::Arc::from("office")]);
    assert_eq!(world.sees(11 * DAY + 2 * HOUR, "192.0.2.11", &served(&leaf)), ["SSL_EXPIRED"]);
}

/// The same server asked under a name that its certificate told.
fn under(name: &str, text: &str, certificate: &Certificate) -> Seen {
    let mut seen = tls(443, text, certificate);
    if let Seen::Service(seen) = &mut seen {
        seen.name = Some(name.parse().expect("a name"));
        seen.learnt = true;
    }
    seen
}

#[test]
fn names_a_certificate_told_come_and_go_without_a_word() {
    let named = |sha: u8, names: &[&str]| Certificate {
        sans: names.iter().map(|name| (*name).to_owned()).collect(),
        ..certificate(sha, OURS, 800)
    };
    let default = named(1, &["www.example.org", "Shop.example.org"]);
    let shop = named(2, &["shop.example.org"]);
    let mut world = World::covered();
    // What opens is news, and so is its certificate; what is served under a name learnt from that is not.
    assert!(world.sees(1, IP, &[open(443), tls(443, "http nginx 1.22", &default)]).contains(&"SSL_NEW"));
    let both = [open(443), tls(443, "http nginx 1.22", &default), under("shop.example.org", "http Shop 3", &shop)];
    assert_eq!(world.sees(2, IP, &both), NOTHING);
    let services = |world: &World| {
        let host = world.inventory.host(IP.parse().expect("an address")).expect("known");
        host.endpoints[0].services.iter().map(|service| (service.name.clone(), service.learnt)).collect::<Vec<_>>()
    };
    assert_eq!(services(&world), [(None, false), (Some("shop.example.org".parse().expect("a name")), true)]);
    // What happens under it is told like anything else.
    let other = named(3, &["shop.example.org"]);
    let mut told = Vec::new();
    for hour in 1..6 {
        told.extend(world.sees(
            hour * HOUR,
            IP,
            &[open(443), tls(443, "http nginx 1.22", &default), under("shop.example.org", "http Shop 3", &other)],
        ));
    }
    assert_eq!(told, ["SSL_CHANGED"]);
    // The certificate that told the name goes, and the name with it.
    let without = named(4, &["www.example.org"]);
    let mut told = Vec::new();
    for hour in 7..12 {
        told.extend(world.sees(hour * HOUR, IP, &[open(443), tls(443, "http nginx 1.22", &without)]));
    }
    assert_eq!(told, ["SSL_CHANGED"]);
    assert_eq!(services(&world), [(None, false)]);
}

#[test]
fn a_key_in_other_certificates_on_other_hosts_is_told_once() {
    let key = Sha256([9; 32]);
    let one = Certificate { spki_sha256: key, ..certificate(1, OURS, 400) };
    let names = vec!["mail.example.org".to_owned()];
    let other = Certificate { spki_sha256: key, sans: names, ..certificate(2, OURS, 400) };
    let mut world = World::covered();
    world.sees(1, IP, &served(&one));
    // On the same host, and the same names elsewhere: by design.
    let [_, mut beside] = served(&other);
    if let Seen::Service(beside) = &mut beside {
        beside.endpoint.port = 993;
    }
    assert!(!world.sees(2, IP, &[open(993), beside]).contains(&"SSL_WEAK"));
    let twin = Certificate { spki_sha256: key, ..certificate(3, OURS, 410) };
    let mut twins = World::covered();
    twins.sees(1, IP, &served(&one));
    assert!(!twins.sees(3, "192.0.2.8", &served(&twin)).contains(&"SSL_WEAK"));
    // For other names on a host of its own.
    let foreign =
        Certificate { sans: vec!["shop.example.org".to_owned()], spki_sha256: key, ..certificate(4, OURS, 420) };
    assert!(world.sees(4, "192.0.2.9", &served(&foreign)).contains(&"SSL_WEAK"));
    let event = world.event(EventType::SslWeak);
    assert_eq!(event.reason.as_deref(), Some("shares its key with other hosts"));
    assert_eq!(event.endpoints, ["192.0.2.7:443/tcp", "192.0.2.7:993/tcp"]);
    assert_eq!(world.sees(5, "192.0.2.9", &served(&foreign)), NOTHING);
    // A machine may have two addresses of each family; a vendor's own certificate is on many.
    let own = Certificate { self_signed: true, ..certificate(5, "CN=device", 400) };
    for (last, expect) in [(20, false), (21, false), (22, true), (23, false)] {
        let told = world.sees(10 + last, &format!("192.0.2.{last}"), &judged(&own, &[Verdict::SelfSigned]));
        assert_eq!(told.contains(&"SSL_WEAK"), expect, "{last}: {told:?}");
    }
}

#[test]
fn one_that_nothing_serves_any_more_is_removed() {
    let leaf = certificate(1, OURS, 800);
    let mut world = World::covered();
    for second in 1..3 {
        world.sees(second, IP, &[open(22)]);
        world.sees(second, "192.0.2.8", &[open(22)]);
    }
    world.sees(3, "192.0.2.8", &served(&leaf));
    world.sees(3, IP, &served(&leaf));
    let gone = |world: &mut World, second: i64, ip: &str| {
        let mut told = Vec::new();
        for look in 0..20 {
            told.extend(world.sees(second + look * 60, ip, &[open(22), refused(443)]));
        }
        told
    };
    assert_eq!(gone(&mut world, 1_000, IP), ["PORT_CLOSED"], "it is served elsewhere");
    let told = gone(&mut world, 5_000, "192.0.2.8");
    assert!(told.ends_with(&["PORT_CLOSED", "SSL_REMOVED"]), "{told:?}");
    assert_eq!(world.last().part_of.map(|whole| whole.kind), Some(EventType::PortClosed));
    assert_eq!(world.inventory.counts().certificates, 0);
}

/// Every threshold, with the daemon up (asked every minute), down over some of them, and restarted at any time: `tick` of
/// this world compares with a restarted inventory each time.
#[test]
fn each_threshold_is_told_once_and_those_missed_fold_into_the_tightest() {
    let days_told = |asked: &dyn Fn(i64) -> bool| {
        let mut world = World::covered();
        world.sees(1, IP, &served(&certificate(1, OURS, 30 + 200)));
        world.events.clear();
        for hour in 0..201 * 24 {
            if asked(hour) {
                world.tick(hour * HOUR + 2);
            }
        }
        let days = |event: &Event| (event.kind.as_str(), event.metric.unwrap_or_default());
        world.events.iter().map(days).collect::<Vec<_>>()
    };
    let expiry = |days| ("SSL_EXPIRY", days);
    let expired = ("SSL_EXPIRED", -1);
    let all = [60, 30, 14, 7, 3, 1].map(|days| expiry(days - 1));
    assert_eq!(days_told(&|_| true), [&all[..], &[expired]].concat(), "up");
    // Down from 40 days before the end to 5 days before: 30, 14 and 7 were crossed.
    let down = |hour: i64| !((200 - 40) * 24..(200 - 5) * 24).contains(&hour);
    assert_eq!(days_told(&down), [expiry(59), expiry(4), expiry(2), expiry(0), expired], "down");
    // Down over the end itself.
    let over = |hour: i64| !((200 - 20) * 24..200 * 24 + 5).contains(&hour);
    assert_eq!(days_told(&over), [expiry(59), expiry(29), expired], "down over the end");
    // Only looked at twice.
    assert_eq!(days_told(&|hour| hour == 24 || hour == 199 * 24 + 12), [expiry(0)]);
}
