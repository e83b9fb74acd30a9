//! The loop in a simulated network and paused time: what is told, when, and what survives.

mod world;

use monitor::MonitorError;
use world::{Daemon, Disk, World, clock, configured, pass};

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
scan = { hot = "10s", known = "10s", likely = "1m", full = "never", hot_ports = "22,80,443", tcp = "1-100", udp = "none", identify = "30s" }
confirm = { port_closed = { passes = 2, at_least = "10s" }, host_lost = { passes = 3, at_least = "15s" } }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;

async fn learnt(world: &World, disk: &Disk) -> Daemon {
    let daemon = Daemon::start(CONFIG, world, disk).await;
    pass(180).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"], "a first look tells nothing but that it is done");
    daemon
}

fn small_world() -> (World, Disk) {
    let world = World::new(clock());
    world.open("10.0.0.1", 22, "ssh OpenSSH/9.2p1");
    world.open("10.0.0.1", 80, "http nginx/1.22.1");
    world.open("10.0.0.2", 25, "smtp Postfix");
    (world, Disk::default())
}

#[tokio::test(start_paused = true)]
async fn an_opening_is_told_within_its_lane_period() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    world.open("10.0.0.1", 443, "http nginx/1.22.1");
    pass(15).await;
    assert_eq!(disk.kinds_since(1), ["PORT_OPEN"]);
    let event = disk.events().pop().expect("just seen");
    assert_eq!(event.endpoint.map(|endpoint| endpoint.port), Some(443));
    assert_eq!(event.service.and_then(|service| service.product).as_deref(), Some("nginx"));
    assert_eq!(event.assets, ["dmz"]);
    assert!(!event.alerts.is_empty(), "the built-in rules care");
    assert!(disk.owed() > 0, "and somebody is owed it");
    pass(600).await;
    assert_eq!(disk.kinds_since(2), [""; 0], "once");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_new_host_a_closing_and_a_new_version() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    world.open("10.0.0.9", 22, "ssh OpenSSH/9.2p1");
    pass(30).await;
    assert_eq!(disk.kinds_since(1)[..2], ["HOST_FOUND", "PORT_OPEN"]);
    let so_far = disk.events().len();
    world.open("10.0.0.1", 22, "ssh OpenSSH/9.6p1");
    pass(120).await;
    assert_eq!(disk.kinds_since(so_far), ["SOFTWARE_UPDATED"]);
    let so_far = disk.events().len();
    world.close("10.0.0.1", 80);
    pass(60).await;
    assert_eq!(disk.kinds_since(so_far)[0], "PORT_CLOSED");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_goes_is_lost_once_and_returns_once() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    world.power("10.0.0.2", false);
    pass(300).await;
    assert_eq!(disk.kinds_since(1), ["HOST_LOST"]);
    world.power("10.0.0.2", true);
    pass(300).await;
    assert_eq!(disk.kinds_since(2), ["HOST_UP"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn an_unplugged_sensor_loses_nobody() {
    let world = World::new(clock());
    for last in 1..=12 {
        world.open(&format!("10.0.0.{last}"), 22, "ssh OpenSSH/9.2p1");
    }
    let disk = Disk::default();
    let daemon = learnt(&world, &disk).await;
    world.unplug(true);
    pass(600).await;
    assert_eq!(disk.kinds_since(1), ["SENSOR_DEGRADED"]);
    assert!(!daemon.handle.snapshot().reasons.is_empty(), "status says so too");
    world.unplug(false);
    pass(120).await;
    assert_eq!(disk.kinds_since(2), ["SENSOR_OK"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_holds_everything_back_and_loses_nothing() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    disk.fill(true);
    world.open("10.0.0.1", 443, "http nginx/1.22.1");
    pass(120).await;
    assert_eq!(disk.events().len(), 1);
    assert!(daemon.handle.snapshot().reasons.contains_key("database"));
    disk.fill(false);
    pass(60).await;
    assert_eq!(disk.kinds_since(1), ["PORT_OPEN"]);
    assert!(!daemon.handle.snapshot().reasons.contains_key("database"));
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_broken_database_ends_the_daemon_with_its_sentence() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    disk.destroy();
    world.open("10.0.0.1", 443, "http nginx/1.22.1");
    let error = daemon.ends_by_itself().await.expect_err("it cannot go on");
    assert!(matches!(error, MonitorError::Journal(_)));
    assert_eq!(error.to_string(), "the database is damaged");
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_it_goes_on_where_it_was() {
    // The same story, cut short after ever more time and started again, ends in the same events.
    let whole = story(None).await;
    for cut in [1, 3, 7, 11, 16, 23, 31] {
        assert_eq!(story(Some(cut)).await, whole, "cut after {cut} s");
    }
}

/// An opening, a closing and a loss; killed and started again that long after they happened.
async fn story(cut: Option<u64>) -> Vec<String> {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    world.open("10.0.0.1", 443, "http nginx/1.22.1");
    world.close("10.0.0.1", 80);
    world.power("10.0.0.2", false);
    let daemon = match cut {
        None => daemon,
        Some(seconds) => {
            pass(seconds).await;
            daemon.kill().await;
            Daemon::start(CONFIG, &world, &disk).await
        }
    };
    pass(600).await;
    daemon.stop().await.expect("it ends cleanly");
    let mut told: Vec<String> = disk
        .events()
        .iter()
        .map(|event| {
            let ip = event.host.as_ref().map(|host| host.ip.to_string()).unwrap_or_default();
            format!("{} {ip} {:?}", event.kind, event.endpoint.map(|endpoint| endpoint.port))
        })
        .collect();
    told.sort();
    told
}

#[tokio::test(start_paused = true)]
async fn halted_it_asks_nothing_and_a_restart_does_not_change_that() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    daemon.handle.halt(true).await.expect("it listens");
    pass(1).await;
    let asked = world.asked();
    pass(600).await;
    assert_eq!(world.asked(), asked);
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(600).await;
    assert_eq!(world.asked(), asked, "it survives a restart");
    assert!(daemon.handle.snapshot().halted);
    daemon.handle.halt(false).await.expect("it listens");
    pass(60).await;
    assert!(world.asked() > asked);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_port_added_to_a_profile_is_learnt_and_not_told() {
    let (world, disk) = small_world();
    world.open("10.0.0.1", 8080, "http nginx/1.22.1");
    let daemon = learnt(&world, &disk).await;
    let wider = CONFIG.replace("22,80,443", "22,80,443,8080");
    daemon.handle.reload(configured(&wider)).await.expect("it listens");
    pass(120).await;
    assert_eq!(disk.kinds_since(1), ["CONFIG_RELOADED"]);
    world.close("10.0.0.1", 8080);
    pass(60).await;
    assert_eq!(disk.kinds_since(2)[0], "PORT_CLOSED", "from now on it is watched like the others");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_moves_is_told_once_and_its_new_place_is_learnt() {
    let (world, disk) = small_world();
    world.open("10.9.0.1", 80, "http nginx/1.22.1");
    world.open("10.9.0.2", 80, "http nginx/1.22.1");
    world.name("www.example.org", &["10.9.0.1"]);
    let named = CONFIG.replace("\"10.0.0.0/28\"", "\"10.0.0.0/28\", \"www.example.org\"");
    let daemon = Daemon::start(&named, &world, &disk).await;
    pass(240).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    world.name("www.example.org", &["10.9.0.2"]);
    pass(240).await;
    assert_eq!(disk.kinds_since(1), ["HOST_NAME_CHANGED"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn the_ledger_knows_every_pass() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    daemon.stop().await.expect("it ends cleanly");
    let finished = disk.passes().into_iter().filter(|record| record.complete).collect::<Vec<_>>();
    assert!(finished.len() > 20, "{}", finished.len());
    assert!(finished.iter().all(|record| record.finished.is_some() && record.groups_done == record.groups));
}
