//! Stories about issuers that end before what they vouch for.

mod world;

use model::{Certificate, EventType, TrustPath};
use world::*;

const OURS: &str = "CN=Sub 1, O=Example CA Inc";
const NOTHING: [&str; 0] = [];
const DAY: i64 = 86_400;

/// A service that serves this, and the way from it to a root.
fn vouched(certificate: &Certificate, issuers: &[&Certificate]) -> [Seen; 2] {
    let mut service = tls(443, "http", certificate);
    if let Seen::Service(seen) = &mut service
        && let Some(tls) = &mut seen.tls
    {
        let issuers = issuers.iter().map(|issuer| (*issuer).clone()).collect();
        tls.path = Some(Box::new(TrustPath { issuers, root: "CN=Root".to_owned() }));
    }
    [open(443), service]
}

/// The one with that number, good for so many days.
fn issuer(number: u8, days: i64) -> Certificate {
    Certificate { subject: "CN=Sub 1, O=Example CA Inc".to_owned(), ..certificate(number, "CN=Root", days) }
}

/// What is told on each day up to that one.
fn told(world: &mut World, days: std::ops::Range<i64>) -> Vec<(i64, &'static str)> {
    days.flat_map(|day| world.tick(day * DAY + 10).into_iter().map(move |kind| (day, kind))).collect()
}

#[test]
fn one_that_ends_first_is_told_of_once_a_threshold_however_many_rest_on_it() {
    let mut world = World::covered();
    let sub = issuer(200, 500);
    let end = sub.not_after.duration_since(time(0)).as_secs() / DAY;
    for (last, number) in (1..=5).zip(1..) {
        // Leaves of their own, with one way.
        world.sees(i64::from(number), &format!("192.0.2.{last}"), &vouched(&certificate(number, OURS, 900), &[&sub]));
    }
    world.events.clear();
    let days: Vec<i64> = told(&mut world, end - 70..end - 1).iter().map(|(day, _)| end - day).collect();
    assert_eq!(days, [60, 30, 14, 7, 3], "days before its end, to the day");
    for event in &world.events {
        assert_eq!(event.kind, EventType::SslExpiry);
        let named = event.certificate.as_ref().expect("it names the issuer");
        assert_eq!((named.sha256, &named.subject), (sub.sha256, &sub.subject));
        let reason = event.reason.as_deref().unwrap_or_default();
        assert!(reason.starts_with("an issuer in the chain expires in"), "{reason}");
        assert_eq!(event.endpoints.len(), 5, "{:?}", event.endpoints);
    }
    world.events.clear();
    told(&mut world, end - 1..end + 30);
    assert_eq!(kinds(&world.events), ["SSL_EXPIRY", "SSL_EXPIRED"]);
}

#[test]
fn one_that_lives_as_long_is_nobodys_business() {
    let leaf = certificate(1, OURS, 90);
    for days in [90, 91, 1_000] {
        let mut world = World::covered();
        world.sees(1, "192.0.2.7", &vouched(&leaf, &[&issuer(200, days)]));
        assert_eq!(world.inventory.certificates().count(), 1, "it is not even remembered");
        world.events.clear();
        told(&mut world, 1..120);
        let about: Vec<_> = world.events.iter().filter_map(|event| event.certificate.as_ref()).collect();
        assert!(about.iter().all(|named| named.sha256 == leaf.sha256), "{about:?}");
    }
}

#[test]
fn one_that_is_no_longer_on_the_way_is_silent() {
    let (old, new) = (issuer(200, 500), issuer(201, 2_000));
    let leaf = certificate(1, OURS, 900);
    let end = old.not_after.duration_since(time(0)).as_secs() / DAY;
    let learnt = || {
        let mut world = World::covered();
        world.sees(1, "192.0.2.7", &vouched(&leaf, &[&old]));
        world.sees(2, "192.0.2.8", &vouched(&leaf, &[&old]));
        world.events.clear();
        world
    };
    // One of the two gets another chain: the other still rests on it.
    let mut world = learnt();
    world.sees(DAY, "192.0.2.7", &vouched(&leaf, &[&new]));
    assert_eq!(told(&mut world, end - 70..end - 59), [(end - 60, "SSL_EXPIRY")]);
    assert_eq!(world.last().endpoints, ["192.0.2.8:443/tcp"]);
    // Both do.
    let day = end - 50;
    world.sees(day * DAY, "192.0.2.8", &vouched(&leaf, &[&new]));
    assert_eq!(told(&mut world, day + 1..end + 10), []);

    // A way that does not verify any more has no issuers.
    let mut world = learnt();
    for ip in ["192.0.2.7", "192.0.2.8"] {
        world.sees(DAY, ip, &[open(443), tls(443, "http", &leaf)]);
    }
    assert_eq!(told(&mut world, 2..80), []);
    assert_eq!(world.inventory.certificates().count(), 2);
    // It is forgotten after three months.
    assert_eq!(told(&mut world, 80..100), []);
    assert_eq!(world.inventory.certificates().count(), 1);
    assert_eq!(told(&mut world, end - 70..end + 10), []);
}

#[test]
fn the_order_of_hosts_changes_nothing() {
    let (a, b) = (issuer(200, 100), issuer(201, 120));
    let leaf = certificate(1, OURS, 900);
    let seen = [("192.0.2.7", &a), ("192.0.2.8", &b)];
    let certificates = |seen: &[(&str, &Certificate)]| {
        let mut world = World::covered();
        for (ip, issuer) in seen {
            let told = world.sees(1, ip, &vouched(&leaf, &[issuer]));
            assert!(!told.contains(&"SSL_EXPIRY"), "{told:?}");
        }
        world.inventory.certificates().cloned().collect::<Vec<_>>()
    };
    let forward = certificates(&seen);
    assert_eq!(forward.len(), 3);
    assert_eq!(forward, certificates(&[seen[1], seen[0]]));
}

#[test]
fn what_was_met_too_late_for_a_threshold_is_told_for_the_tightest() {
    let mut world = World::covered();
    let sub = issuer(200, 500);
    world.sees(1, "192.0.2.7", &vouched(&certificate(1, OURS, 501), &[&sub]));
    let end = sub.not_after.duration_since(time(0)).as_secs() / DAY;
    // Ten days before its end the leaf is renewed; the chain is not.
    let renewed = certificate(2, OURS, 1_500);
    world.events.clear();
    told(&mut world, end - 70..end - 10);
    let days = |world: &World| {
        let about =
            world.events.iter().filter(|event| event.certificate.as_ref().is_some_and(|one| one.sha256 == sub.sha256));
        about.map(|event| event.metric.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(days(&world), [59, 29, 13]);
    for look in 0..20 {
        world.sees((end - 10) * DAY + look * 600, "192.0.2.7", &vouched(&renewed, &[&sub]));
    }
    told(&mut world, end - 9..end - 1);
    assert_eq!(days(&world), [59, 29, 13, 6, 2], "what was told of it under another leaf is not told again");
    assert_eq!(world.tick((end - 2) * DAY + 11), NOTHING);
}
