//! Certificates run out while the daemon is up, down, and restarted: one alert for each threshold that is crossed, and of those crossed
//! while it was down the tightest only.

mod world;

use jiff::Timestamp;
use model::EventType;
use std::{collections::BTreeSet, sync::Arc};
use world::{Daemon, Disk, World, Wound, pass};

const HOUR: u64 = 3_600;
const CONFIG: &str = r#"
[sensor]
name = "scan1"
rate = "10k/s"
rate_per_host = "10k/s"
[asset.dmz]
targets = ["10.0.0.0/29"]
authorization = { by = "the test" }
[profile.dmz]
assets = ["dmz"]
rulesets = ["builtin:certificates"]
scan = { hot = "6h", known = "6h", likely = "never", full = "never", hot_ports = "443", tcp = "443", udp = "none", identify = "1d" }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;

/// The world's clock begins at noon of 21 November 2026. This is 61 days later, to the minute.
const END: &str = "2027-01-21T12:00:00Z";
const LONG_AGO: &str = "2026-03-01T00:00:00Z";

/// Two hosts serve one certificate that ends then.
fn world(from: &str, to: &str) -> (World, Arc<Wound>) {
    let wound = Wound::new();
    let world = World::new(wound.clone());
    world.tls.live(1, from, to);
    for ip in ["10.0.0.1", "10.0.0.2"] {
        world.open(ip, 443, "http nginx/1.22.1");
        world.tls.serve(ip, 443, 1, &["www.example.org"]);
    }
    (world, wound)
}

/// What was told of its end, in order: the days left (none: it has ended) and when.
fn told(disk: &Disk) -> Vec<(Option<i64>, Timestamp)> {
    let events = disk.events();
    let about: Vec<_> =
        events.iter().filter(|event| matches!(event.kind, EventType::SslExpiry | EventType::SslExpired)).collect();
    // Each is an alert, once.
    let alerts = disk.alerts();
    for event in &about {
        let count = alerts.iter().filter(|alert| alert.event == event.id).count();
        assert_eq!(count, 1, "{event:?}");
    }
    let ids: BTreeSet<_> = alerts.iter().map(|alert| alert.id).collect();
    assert_eq!(ids.len(), alerts.len(), "an alert is committed twice");
    about.iter().map(|event| (event.metric.filter(|_| event.kind == EventType::SslExpiry), event.time)).collect()
}

fn days(disk: &Disk) -> Vec<Option<i64>> {
    told(disk).into_iter().map(|(days, _)| days).collect()
}

/// The same, by the threshold that it was told for; 0 is the end.
fn crossed(disk: &Disk) -> Vec<i64> {
    let tightest = |days: i64| THRESHOLDS.into_iter().filter(|threshold| *threshold >= days).min();
    days(disk).into_iter().map(|days| days.map_or(0, |days| tightest(days.max(1)).unwrap_or(i64::MAX))).collect()
}

/// In days before the end.
const THRESHOLDS: [i64; 7] = [60, 30, 14, 7, 3, 1, 0];
/// From the beginning of the world to the end of the certificate, in days.
const WHOLE: i64 = 61;

/// Skips the days until so many minutes before the threshold, less the minutes that have passed so far.
fn skip_to(wound: &Wound, threshold: i64, minutes: i64, passed: u64) {
    let passed = i64::try_from(passed).expect("a few hours");
    wound.set((WHOLE - threshold) * 86_400 - minutes * 60 - passed);
}

#[tokio::test(start_paused = true)]
async fn while_it_is_up_every_threshold_is_told_once_and_in_time() {
    let (world, wound) = world(LONG_AGO, END);
    let disk = Disk::default();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    let mut passed = HOUR;
    for (number, threshold) in THRESHOLDS.into_iter().enumerate() {
        skip_to(&wound, threshold, 10, passed);
        pass(9 * 60).await;
        assert_eq!(crossed(&disk), THRESHOLDS[..number], "a minute before {threshold} days are left");
        pass(3 * 60).await;
        assert_eq!(crossed(&disk), THRESHOLDS[..=number], "two minutes after it");
        pass(30 * 60).await;
        passed += 42 * 60;
    }
    let told = told(&disk);
    assert_eq!(told.len(), THRESHOLDS.len());
    let end: Timestamp = END.parse().expect("a time");
    for ((_, at), threshold) in told.iter().zip(THRESHOLDS) {
        let late = at.duration_since(end).as_secs() + threshold * 86_400;
        assert!((0..=120).contains(&late), "{threshold} days: {late} s late");
    }
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn restarts_repeat_nothing_and_lose_nothing() {
    let (world, wound) = world(LONG_AGO, END);
    let disk = Disk::default();
    let mut daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    let mut passed = HOUR;
    for (number, threshold) in THRESHOLDS.into_iter().enumerate() {
        skip_to(&wound, threshold, 10, passed);
        // Before the threshold, in the minute in which it is told, and twice after it; every other time the hard way.
        for (turn, seconds) in [8 * 60, 150, 10, 60].into_iter().enumerate() {
            pass(seconds).await;
            passed += seconds;
            if turn % 2 == 0 {
                daemon.kill().await;
            } else {
                daemon.stop().await.expect("it ends cleanly");
            }
            daemon = Daemon::start(CONFIG, &world, &disk).await;
        }
        pass(180).await;
        passed += 180;
        assert_eq!(crossed(&disk), THRESHOLDS[..=number], "{threshold} days");
    }
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn what_was_crossed_while_it_was_down_is_told_by_the_tightest() {
    let (world, wound) = world(LONG_AGO, END);
    let disk = Disk::default();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    assert_eq!(days(&disk), []);
    // Down over the thresholds of 60, 30, 14 and 7 days: 5 days and some hours are left.
    daemon.stop().await.expect("it ends cleanly");
    wound.set(55 * 86_400);
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    assert_eq!(days(&disk), [Some(5)]);
    // Up over that of 3 days, killed and started again.
    wound.set(58 * 86_400);
    pass(HOUR).await;
    assert_eq!(days(&disk), [Some(5), Some(2)]);
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    assert_eq!(days(&disk), [Some(5), Some(2)]);
    // Down over the last one and the end.
    daemon.kill().await;
    wound.set(62 * 86_400);
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    assert_eq!(days(&disk), [Some(5), Some(2), None]);
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    assert_eq!(days(&disk), [Some(5), Some(2), None]);
    daemon.stop().await.expect("it ends cleanly");
}

/// The clock of the machine is months ahead for an hour, as after a dead battery: what that had told is told again in time.
#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_hides_no_threshold() {
    // Set back while the daemon is up, and while it is down.
    for down in [false, true] {
        let (world, wound) = world(LONG_AGO, END);
        let disk = Disk::default();
        let mut daemon = Daemon::start(CONFIG, &world, &disk).await;
        pass(HOUR).await;
        wound.set(2 * 86_400);
        pass(HOUR).await;
        assert_eq!(crossed(&disk), [60]);
        wound.set(100 * 86_400);
        pass(HOUR).await;
        assert_eq!(crossed(&disk), [60, 0]);
        if down {
            daemon.kill().await;
            wound.set(2 * 86_400);
            daemon = Daemon::start(CONFIG, &world, &disk).await;
        } else {
            wound.set(2 * 86_400);
        }
        pass(HOUR).await;
        assert_eq!(crossed(&disk), [60, 0], "60 days were told in time");
        for threshold in [30, 1, 0] {
            skip_to(&wound, threshold, 0, 4 * HOUR);
            pass(HOUR).await;
        }
        assert_eq!(crossed(&disk), [60, 0, 30, 1, 0], "down: {down}");
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_life_is_told_of_at_its_last_third() {
    // 45 days: the last third are 15, and of the thresholds those are left that lie within it.
    let (world, wound) = world("2026-11-20T12:00:00Z", "2027-01-04T12:00:00Z");
    let disk = Disk::default();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    assert_eq!(days(&disk), []);
    // 44 days are left at the beginning.
    for (ahead, expect) in [(29, &[Some(14)][..]), (30, &[Some(14), Some(13)]), (35, &[Some(14), Some(13)])] {
        wound.set(ahead * 86_400);
        pass(HOUR).await;
        assert_eq!(days(&disk), expect, "after {ahead} days");
    }
    daemon.stop().await.expect("it ends cleanly");
    wound.set(43 * 86_400);
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    assert_eq!(days(&disk), [Some(14), Some(13), Some(0)]);
    daemon.stop().await.expect("it ends cleanly");
}

/// Two leaves, each on a host of its own, that end long after the issuer on their way to a root.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_ends_before_its_leaves_is_told_once_a_threshold_over_restarts() {
    let wound = Wound::new();
    let world = World::new(wound.clone());
    for (ip, number) in [("10.0.0.1", 1), ("10.0.0.2", 2)] {
        world.open(ip, 443, "http nginx/1.22.1");
        world.tls.live(number, LONG_AGO, "2028-01-01T00:00:00Z");
        world.tls.vouch(number, 9);
        world.tls.serve(ip, 443, number, &["www.example.org"]);
    }
    world.tls.live(9, LONG_AGO, END);
    let disk = Disk::default();
    let mut daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(HOUR).await;
    let mut passed = HOUR;
    for (number, threshold) in THRESHOLDS.into_iter().enumerate() {
        skip_to(&wound, threshold, 10, passed);
        pass(9 * 60).await;
        assert_eq!(crossed(&disk), THRESHOLDS[..number], "a minute before {threshold} days are left");
        pass(3 * 60).await;
        assert_eq!(crossed(&disk), THRESHOLDS[..=number], "two minutes after it");
        daemon.kill().await;
        daemon = Daemon::start(CONFIG, &world, &disk).await;
        pass(180).await;
        assert_eq!(crossed(&disk), THRESHOLDS[..=number], "nothing twice");
        passed += 15 * 60;
    }
    for event in disk.events().iter().filter(|event| event.kind == EventType::SslExpiry) {
        let named = event.certificate.as_ref().expect("a certificate is named");
        assert_eq!(named.sha256.0, [9; 32], "{event:?}");
        assert_eq!(event.endpoints, ["10.0.0.1:443/tcp", "10.0.0.2:443/tcp"]);
    }
    daemon.stop().await.expect("it ends cleanly");
}
