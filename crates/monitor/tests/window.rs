//! Profiles that may ask at certain hours only.

mod world;

use model::EventType;
use world::{Daemon, Disk, World, clock, configured, pass};

/// The world begins at noon.
const CONFIG: &str = r#"
[sensor]
name = "scan1"
rate = "10k/s"
rate_per_host = "10k/s"
[asset.dmz]
targets = ["10.0.0.0/28"]
authorization = { by = "the test" }
[profile.dmz]
assets = ["dmz"]
scan = { hot = "5m", known = "5m", likely = "30m", full = "never", hot_ports = "22,80", tcp = "1-100", udp = "none", identify = "10m", window = "22:00-06:00", zone = "UTC" }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;
const HOUR: u64 = 3_600;
/// Conversations that were begun in time come to their end.
const LAST_WORDS: u64 = 60;

fn hosts() -> (World, Disk) {
    let world = World::new(clock());
    for last in 1..=5 {
        world.open(&format!("10.0.0.{last}"), 22, "ssh OpenSSH/9.2p1");
        world.open(&format!("10.0.0.{last}"), 80, "http nginx/1.22.1");
    }
    (world, Disk::default())
}

/// From six until ten at night, after which half an hour passes.
async fn day(world: &World) {
    pass(LAST_WORDS).await;
    let before = world.asked();
    pass(16 * HOUR - 2 * LAST_WORDS).await;
    assert_eq!(world.asked(), before, "asked while the window was closed");
    pass(LAST_WORDS + HOUR / 2).await;
    assert!(world.asked() > before, "not asked while it was open");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_while_the_window_is_closed_and_nothing_is_missed() {
    let (world, disk) = hosts();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(10 * HOUR - 30).await;
    assert_eq!(world.asked(), 0, "it began while the window was closed");
    let lane = daemon.handle.snapshot().lanes.into_iter().find(|lane| lane.lane == model::Lane::Hot).expect("a lane");
    assert_eq!(lane.opens, Some("2026-11-21T22:00:00Z".parse().expect("a time")));
    pass(30 + 3 * HOUR).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    let lane = daemon.handle.snapshot().lanes.into_iter().find(|lane| lane.lane == model::Lane::Hot).expect("a lane");
    assert_eq!(lane.opens, None);
    // It closes a port so late that it cannot be confirmed any more.
    pass(5 * HOUR - 90).await;
    world.close("10.0.0.3", 80);
    pass(90).await;
    // And at noon somebody comes.
    world.open("10.0.0.9", 22, "ssh OpenSSH/9.2p1");
    day(&world).await;
    let kinds = disk.kinds_since(1);
    for kind in ["HOST_FOUND", "PORT_CLOSED"] {
        assert_eq!(kinds.iter().filter(|told| **told == kind).count(), 1, "{kind} in {kinds:?}");
    }
    let told = kinds.len() + 1;
    // Then nothing else is told: no lane is stale, nobody is lost.
    pass(7 * HOUR + HOUR / 2).await;
    day(&world).await;
    assert_eq!(disk.kinds_since(told), [""; 0]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn scan_now_waits_for_the_window_also_over_a_restart() {
    let (world, disk) = hosts();
    let slow =
        CONFIG.replace(r#"hot = "5m", known = "5m", likely = "30m""#, r#"hot = "1d", known = "1d", likely = "1d""#);
    assert_ne!(slow, CONFIG);
    let daemon = Daemon::start(&slow, &world, &disk).await;
    pass(23 * HOUR).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    let before = world.asked();
    let said = daemon.handle.scan_now("dmz").await.expect("it listens").expect("such a profile");
    assert!(said.contains("at 2026-11-22T22:00:00Z"), "{said}");
    pass(HOUR).await;
    assert_eq!(world.asked(), before);
    daemon.stop().await.expect("it ends cleanly");
    let daemon = Daemon::start(&slow, &world, &disk).await;
    daemon.handle.reload(configured(&slow)).await.expect("it listens");
    assert_eq!(world.asked(), before);
    // It would come round then in any case; a lane of a month would not.
    daemon.stop().await.expect("it ends cleanly");
    let monthly = slow.replace(r#""1d""#, r#""30d""#);
    let daemon = Daemon::start(&monthly, &world, &disk).await;
    pass(9 * HOUR).await;
    assert_eq!(world.asked(), before);
    pass(2 * HOUR).await;
    // The known endpoints are asked throughout the month, and it is told of them when all were.
    let begun = || {
        let since = |pass: &monitor::PassRecord| pass.started >= "2026-11-22T22:00:00Z".parse().expect("a time");
        disk.passes().into_iter().filter(since).filter(|pass| pass.lane != model::Lane::Known).count()
    };
    assert_eq!(begun(), 2, "hot and likely");
    daemon.stop().await.expect("it ends cleanly");
    let daemon = Daemon::start(&monthly, &world, &disk).await;
    pass(2 * HOUR).await;
    assert_eq!(begun(), 2, "once");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_late_by_the_hours_in_which_it_may_ask() {
    let (world, disk) = hosts();
    let config = CONFIG.replace(r#"likely = "30m""#, r#"likely = "1d""#);
    assert_ne!(config, CONFIG);
    let daemon = Daemon::start(&config, &world, &disk).await;
    pass(24 * HOUR).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    world.hold_up(true);
    let of = |kind: EventType| disk.events().into_iter().filter(|event| event.kind == kind).collect::<Vec<_>>();
    let late = |lane: &str| {
        of(EventType::ScanStale).iter().any(|event| event.reason.as_ref().is_some_and(|reason| reason.contains(lane)))
    };
    // The hot lane a quarter of an hour after the window opens, the likely one when it had ten hours of open windows.
    pass(10 * HOUR + 30 * 60).await;
    assert!(late("the hot lane") && !late("the likely lane"), "{:?}", of(EventType::ScanStale));
    pass(26 * HOUR).await;
    assert!(late("the likely lane"), "{:?}", of(EventType::ScanStale));
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn who_is_killed_again_and_again_says_that_it_does_not_come_round() {
    let (world, disk) = hosts();
    let config = CONFIG
        .replace(r#"likely = "30m""#, r#"likely = "2h""#)
        .replace(r#", window = "22:00-06:00", zone = "UTC""#, "");
    let daemon = Daemon::start(&config, &world, &disk).await;
    pass(3 * HOUR).await;
    daemon.stop().await.expect("it ends cleanly");
    world.hold_up(true);
    for lifes in 0.. {
        assert!(lifes < 8, "{:?}", disk.events());
        let daemon = Daemon::start(&config, &world, &disk).await;
        pass(HOUR).await;
        daemon.kill().await;
        let told = disk.events().into_iter().filter(|event| event.kind == EventType::ScanStale);
        if told.filter_map(|event| event.reason).any(|reason| reason.contains("the likely lane")) {
            assert!(lifes >= 2, "too soon");
            break;
        }
    }
    let daemon = Daemon::start(&config, &world, &disk).await;
    world.hold_up(false);
    pass(6 * HOUR).await;
    let recovered = disk.events().into_iter().filter(|event| event.kind == EventType::ScanRecovered);
    assert_eq!(recovered.count(), 2, "hot and likely");
    daemon.stop().await.expect("it ends cleanly");
}
