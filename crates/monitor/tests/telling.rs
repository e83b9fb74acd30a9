//! Who is told what, once: storms, a new host's own ports, lanes that do not come round.

mod world;

use model::{Event, EventType};
use world::{Daemon, Disk, World, clock, configured, pass};

const CONFIG: &str = r#"
[sensor]
name = "scan1"
rate = "10k/s"
rate_per_host = "10k/s"
[asset.dmz]
targets = ["10.0.0.0/27"]
authorization = { by = "the test" }
[profile.dmz]
assets = ["dmz"]
storm = 6
scan = { hot = "10s", known = "10s", likely = "1m", full = "never", hot_ports = "22,80,443,3389", tcp = "1-100", udp = "none", identify = "30s" }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;

async fn learnt(world: &World, disk: &Disk) -> Daemon {
    let daemon = Daemon::start(CONFIG, world, disk).await;
    pass(180).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    daemon
}

fn hosts(count: u8) -> (World, Disk, Vec<String>) {
    let world = World::new(clock());
    let hosts: Vec<String> = (1..=count).map(|last| format!("10.0.0.{last}")).collect();
    for host in &hosts {
        world.open(host, 22, "ssh OpenSSH/9.2p1");
    }
    (world, Disk::default(), hosts)
}

fn of(events: &[Event], kind: EventType) -> Vec<&Event> {
    events.iter().filter(|event| event.kind == kind).collect()
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_one_piece_of_news_and_loses_nothing() {
    let (world, disk, hosts) = hosts(20);
    let daemon = learnt(&world, &disk).await;
    for host in &hosts {
        world.open(host, 80, "http nginx/1.22.1");
    }
    pass(60).await;
    let events = disk.events();
    let opened = of(&events, EventType::PortOpen);
    assert_eq!(opened.len(), 20, "each is recorded");
    let told: Vec<_> = events.iter().filter(|event| !event.alerts.is_empty()).map(|event| event.kind).collect();
    let storms = of(&events, EventType::EventStorm);
    assert_eq!(storms.len(), 1);
    assert_eq!(storms[0].profile.as_deref(), Some("dmz"));
    let is_part = |event: &&&Event| event.part_of.is_some_and(|part| part.id == storms[0].id);
    let held = opened.iter().filter(is_part).count();
    assert!(held >= 14, "{held} held back");
    assert!(told.len() <= 8, "{told:?}");
    assert!(opened.iter().filter(is_part).all(|event| event.alerts.is_empty()));
    // A crash in the middle of it changes nothing.
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(1_800).await;
    let events = disk.events();
    let storms = of(&events, EventType::EventStorm);
    assert_eq!(storms.len(), 2, "it begins and it is over");
    assert_eq!(storms[1].new.as_deref(), Some("over"));
    assert!(storms[1].reason.as_deref().is_some_and(|reason| reason.contains("PORT_OPEN")), "{:?}", storms[1].reason);
    world.close(&hosts[0], 80);
    pass(1_200).await;
    let events = disk.events();
    let closed = of(&events, EventType::PortClosed);
    assert!(closed.iter().all(|event| !event.alerts.is_empty()) && closed.len() == 1, "fair weather: {closed:?}");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_does_not_come_round_is_told_once() {
    let (world, disk, _) = hosts(3);
    let daemon = learnt(&world, &disk).await;
    world.hold_up(true);
    pass(3_600).await;
    let kinds = disk.kinds_since(1);
    assert_eq!(kinds, ["SCAN_STALE", "SCAN_STALE"], "hot and likely");
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(3_600).await;
    assert_eq!(disk.kinds_since(3), [""; 0], "a restart tells nothing again");
    world.hold_up(false);
    pass(300).await;
    assert_eq!(disk.kinds_since(3), ["SCAN_RECOVERED", "SCAN_RECOVERED"]);
    let events = disk.events();
    let reason = events.iter().find(|event| event.kind == EventType::ScanStale).and_then(|event| event.reason.clone());
    assert!(reason.is_some_and(|reason| reason.starts_with("the hot lane has had no complete pass for ")));
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn reloads_hide_no_lane_that_does_not_come_round() {
    let (world, disk, _) = hosts(3);
    let daemon = learnt(&world, &disk).await;
    world.hold_up(true);
    for _ in 0..6 {
        pass(600).await;
        daemon.handle.reload(configured(CONFIG)).await.expect("it listens");
    }
    let stale = of(&disk.events(), EventType::ScanStale).len();
    assert_eq!(stale, 2, "hot and likely");
    // A lane that is to come round more often than before has the time for that.
    daemon.stop().await.expect("it ends cleanly");
    let (world, disk, _) = hosts(3);
    let slow =
        CONFIG.replace(r#"hot = "10s", known = "10s", likely = "1m""#, r#"hot = "1d", known = "1d", likely = "1d""#);
    assert_ne!(slow, CONFIG);
    let daemon = Daemon::start(&slow, &world, &disk).await;
    pass(20 * 3_600).await;
    daemon.handle.reload(configured(CONFIG)).await.expect("it listens");
    pass(3_600).await;
    let kinds: Vec<_> = disk.events().iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::BaselineDone, EventType::ConfigReloaded]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_reload_takes_back_no_scan_now() {
    let (world, disk, _) = hosts(3);
    let slow =
        CONFIG.replace(r#"hot = "10s", known = "10s", likely = "1m""#, r#"hot = "1d", known = "1d", likely = "1d""#);
    let daemon = Daemon::start(&slow, &world, &disk).await;
    pass(600).await;
    // One that begins at once and one that waits for it to end.
    world.hold_up(true);
    daemon.handle.scan_now("dmz").await.expect("it listens").expect("such a profile");
    pass(10).await;
    daemon.handle.scan_now("dmz").await.expect("it listens").expect("such a profile");
    daemon.handle.reload(configured(&slow)).await.expect("it listens");
    let before = world.asked();
    world.hold_up(false);
    pass(600).await;
    assert!(world.asked() >= before + 2 * 32 * 100, "{} asked", world.asked() - before);
    daemon.stop().await.expect("it ends cleanly");
}
