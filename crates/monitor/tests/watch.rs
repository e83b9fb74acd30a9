//! The loop in a simulated network and paused time: what is told, when, and what survives.

mod world;

use monitor::MonitorError;
use world::{Daemon, Disk, World, Wound, clock, configured, pass};

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
confirm = { port_closed = { passes = 2, at_least = "10s" }, host_lost = { passes = 3, at_least = "15s" }, service_changed = { passes = 2, at_least = "5s" } }
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
async fn a_link_that_fails_and_returns_by_halves_loses_nobody() {
    let world = World::new(clock());
    let hosts: Vec<String> = (1..=12).map(|last| format!("10.0.0.{last}")).collect();
    for host in &hosts {
        world.open(host, 22, "ssh OpenSSH/9.2p1");
    }
    let disk = Disk::default();
    let daemon = learnt(&world, &disk).await;
    let half = |on| hosts.iter().take(7).for_each(|host| world.power(host, on));
    half(false);
    pass(8).await;
    world.unplug(true);
    pass(60).await;
    world.unplug(false);
    pass(8).await;
    half(true);
    pass(300).await;
    assert_eq!(disk.kinds_since(1), ["SENSOR_DEGRADED", "SENSOR_OK"]);
    // Whoever is really gone afterwards is found out all the same.
    world.power(&hosts[0], false);
    pass(120).await;
    assert_eq!(disk.kinds_since(3), ["HOST_LOST"]);
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
    assert_eq!(disk.kinds_since(1), ["CONFIG_RELOADED", "BASELINE_DONE"]);
    world.close("10.0.0.1", 8080);
    pass(60).await;
    assert_eq!(disk.kinds_since(3)[0], "PORT_CLOSED", "from now on it is watched like the others");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn only_what_was_never_asked_before_is_not_taken_at_its_word() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    let (doubting, others) = world.sweeps();
    assert!(doubting >= 2 && others > 2, "each lane doubts its first pass: {doubting}, {others}");
    pass(300).await;
    assert_eq!(world.sweeps().0, doubting, "and no later one");
    daemon.handle.reload(configured(&CONFIG.replace("22,80,443", "22,80,443,8080"))).await.expect("it listens");
    pass(120).await;
    assert_eq!(world.sweeps().0, doubting + 1, "but the first one with another port");
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
async fn a_name_that_has_its_addresses_in_turns_is_told_until_that_is_known() {
    let (world, disk) = small_world();
    for ip in ["10.9.0.1", "10.9.0.2"] {
        world.open(ip, 80, "http nginx/1.22.1");
    }
    world.name("www.example.org", &["10.9.0.1"]);
    let named = CONFIG.replace("\"10.0.0.0/28\"", "\"10.0.0.0/28\", \"www.example.org\"");
    let mut daemon = Daemon::start(&named, &world, &disk).await;
    pass(240).await;
    for turn in 0..8 {
        world.name("www.example.org", &[["10.9.0.2", "10.9.0.1"][turn % 2]]);
        pass(240).await;
        if turn == 4 {
            daemon.stop().await.expect("it ends cleanly");
            daemon = Daemon::start(&named, &world, &disk).await;
        }
    }
    assert_eq!(disk.kinds_since(1), ["HOST_NAME_CHANGED"; 2]);
    // Whoever is not asked in its turn is not forgotten: what it opens meanwhile is news once it is asked again.
    let asked = world.asked_of(&["10.9.0.2".to_owned()]);
    world.open("10.9.0.2", 22, "ssh OpenSSH_9.2p1");
    pass(240).await;
    assert_eq!(world.asked_of(&["10.9.0.2".to_owned()]), asked, "its record is over");
    world.name("www.example.org", &["10.9.0.2"]);
    pass(240).await;
    assert_eq!(disk.kinds_since(3), ["PORT_OPEN", "SOFTWARE_ADDED"]);
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

#[tokio::test(start_paused = true)]
async fn every_pass_of_a_lane_asks_in_the_same_order() {
    // Otherwise an endpoint asked early in one pass and late in the next waits almost two periods.
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    daemon.stop().await.expect("it ends cleanly");
    let hot = disk.passes().into_iter().filter(|record| record.lane == model::Lane::Hot);
    let seeds: std::collections::BTreeSet<u64> = hot.map(|record| record.seed).collect();
    assert_eq!(seeds.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn halted_while_the_disk_is_full_is_no_fault_of_the_sensor() {
    for seconds in 1..=10 {
        let (world, disk) = small_world();
        let daemon = learnt(&world, &disk).await;
        disk.fill(true);
        pass(seconds).await;
        let handle = daemon.handle.clone();
        let halting = tokio::spawn(async move { handle.halt(true).await });
        pass(20).await;
        disk.fill(false);
        halting.await.expect("no bug").expect("it listens");
        daemon.handle.halt(false).await.expect("it listens");
        pass(60).await;
        assert_eq!(disk.kinds_since(1), ["AUDIT", "AUDIT"], "halted {seconds} s later");
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cable_pulled_half_way_through_a_pass_loses_nobody() {
    let world = World::new(clock());
    // The doubts that began before the sensor's trouble was noticed are not confirmed by it.
    let hosts: Vec<String> = (1..=12).map(|last| format!("10.0.0.{last}")).collect();
    for host in &hosts {
        world.open(host, 25, "smtp Postfix");
    }
    let disk = Disk::default();
    let daemon = Daemon::start(&CONFIG.replace("15s", "60s"), &world, &disk).await;
    pass(180).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    for host in hosts.iter().take(9) {
        world.power(host, false);
    }
    // One look in which the others still answer, and the next one in which nobody does.
    pass(9).await;
    world.unplug(true);
    pass(300).await;
    assert_eq!(disk.kinds_since(1), ["SENSOR_DEGRADED"]);
    for host in &hosts {
        world.power(host, true);
    }
    world.unplug(false);
    pass(120).await;
    assert_eq!(disk.kinds_since(2), ["SENSOR_OK"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn without_a_route_nobody_is_lost_however_few_they_are() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    world.lose_route(true);
    pass(300).await;
    assert_eq!(disk.kinds_since(1), ["SENSOR_DEGRADED"]);
    assert!(daemon.handle.snapshot().reasons.contains_key("local-errors"), "status says so too");
    world.lose_route(false);
    pass(120).await;
    assert_eq!(disk.kinds_since(2), ["SENSOR_OK"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_that_could_not_be_asked_is_asked_again() {
    let (world, disk) = small_world();
    let rare = CONFIG
        .replace("hot = \"10s\", known = \"10s\", likely = \"1m\"", "hot = \"6h\", known = \"6h\", likely = \"6h\"");
    let daemon = Daemon::start(&rare, &world, &disk).await;
    pass(180).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    world.tie_tongues(true);
    world.open("10.0.0.1", 443, "http nginx/1.22.1");
    daemon.handle.scan_now("dmz").await.expect("it listens").expect("it is there");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.lose_route(true);
    pass(5).await;
    world.lose_route(false);
    pass(60).await;
    assert!(disk.kinds_since(1).contains(&"PORT_OPEN".to_owned()), "{:?}", disk.kinds_since(1));
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn what_the_lanes_add_meanwhile_cancels_no_confirmation() {
    let (world, disk) = small_world();
    let rare = CONFIG
        .replace("hot = \"10s\", known = \"10s\", likely = \"1m\"", "hot = \"6h\", known = \"6h\", likely = \"6h\"")
        .replace("15s", "60s");
    let daemon = Daemon::start(&rare, &world, &disk).await;
    pass(180).await;
    world.power("10.0.0.2", false);
    for _ in 0..2 {
        daemon.handle.scan_now("dmz").await.expect("it listens").expect("it is there");
        pass(10).await;
    }
    pass(60).await;
    assert_eq!(disk.kinds_since(1), ["AUDIT", "AUDIT", "HOST_LOST"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_tarpit_holds_up_nobody_else() {
    let (world, disk) = small_world();
    for port in 1..=100 {
        world.open("10.0.0.3", port, "");
    }
    world.slow_down("10.0.0.3");
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(90).await;
    world.open("10.0.0.1", 443, "http nginx/1.22.1");
    pass(15).await;
    assert_eq!(disk.kinds_since(0), ["PORT_OPEN"]);
    pass(900).await;
    assert_eq!(disk.kinds_since(1), ["BASELINE_DONE"], "who was met has been asked before learning is over");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_will_not_talk_is_told_in_time() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    world.slow_down("10.0.0.1");
    world.open("10.0.0.1", 443, "http nginx/1.22.1");
    pass(60).await;
    assert_eq!(disk.kinds_since(1), ["PORT_OPEN"]);
    let event = disk.events().pop().expect("just seen");
    let waited = event.time.duration_since(event.first_seen.expect("when it was met"));
    assert!(waited.as_secs() < 5, "{waited}");
    daemon.stop().await.expect("it ends cleanly");
}

const NAMED: &str = "\"10.0.0.0/28\", \"www.example.org\"";

async fn learnt_with_a_name(world: &World, disk: &Disk) -> (String, Daemon) {
    world.open("10.9.0.1", 80, "http nginx/1.22.1");
    world.name("www.example.org", &["10.9.0.1"]);
    let named = CONFIG.replace("\"10.0.0.0/28\"", NAMED);
    let daemon = Daemon::start(&named, world, disk).await;
    pass(240).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    assert_eq!(daemon.handle.snapshot().hosts, 3);
    (named, daemon)
}

#[tokio::test(start_paused = true)]
async fn an_excluded_address_of_a_name_is_forgotten() {
    let (world, disk) = small_world();
    let (named, daemon) = learnt_with_a_name(&world, &disk).await;
    let excluding = named.replace("name = \"scan1\"", "name = \"scan1\"\nexclude = [\"10.9.0.1\"]");
    daemon.handle.reload(configured(&excluding)).await.expect("it listens");
    pass(60).await;
    assert_eq!(daemon.handle.snapshot().hosts, 2);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_name_taken_out_while_the_daemon_was_down_is_forgotten() {
    let (world, disk) = small_world();
    let (_, daemon) = learnt_with_a_name(&world, &disk).await;
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(60).await;
    assert_eq!(daemon.handle.snapshot().hosts, 2);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_ceases_to_exist_is_told_once_and_its_place_forgotten() {
    let (world, disk) = small_world();
    let (_, daemon) = learnt_with_a_name(&world, &disk).await;
    world.unname("www.example.org");
    pass(600).await;
    assert_eq!(disk.kinds_since(1), ["HOST_NAME_CHANGED"]);
    assert!(!disk.events().last().expect("just seen").assets.is_empty());
    assert_eq!(daemon.handle.snapshot().hosts, 2);
    world.name("www.example.org", &["10.9.0.1"]);
    pass(240).await;
    assert_eq!(disk.kinds_since(2), [""; 0], "its return is learnt");
    assert_eq!(daemon.handle.snapshot().hosts, 3);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_range_taken_out_and_put_back_is_learnt_anew() {
    let (world, disk) = small_world();
    let wide = CONFIG.replace("\"10.0.0.0/28\"", "\"10.0.0.0/28\", \"10.0.1.0/28\"");
    let daemon = Daemon::start(&wide, &world, &disk).await;
    pass(180).await;
    daemon.handle.reload(configured(CONFIG)).await.expect("it listens");
    pass(60).await;
    world.open("10.0.1.5", 22, "ssh OpenSSH/9.2p1");
    daemon.handle.reload(configured(&wide)).await.expect("it listens");
    pass(180).await;
    assert_eq!(disk.kinds_since(1), ["CONFIG_RELOADED", "CONFIG_RELOADED", "BASELINE_DONE"]);
    assert_eq!(daemon.handle.snapshot().hosts, 3);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_blinds_nobody() {
    let wound = Wound::new();
    let world = World::new(wound.clone());
    let disk = Disk::default();
    world.open("10.0.0.1", 22, "ssh OpenSSH/9.2p1");
    world.open("10.0.0.1", 80, "http nginx/1.22.1");
    world.open("10.0.0.2", 25, "smtp Postfix");
    wound.set(30 * 86_400);
    let daemon = learnt(&world, &disk).await;
    wound.set(0);
    world.close("10.0.0.1", 80);
    world.power("10.0.0.2", false);
    pass(120).await;
    let told = disk.kinds_since(1);
    assert!(told.contains(&"PORT_CLOSED".to_owned()) && told.contains(&"HOST_LOST".to_owned()), "{told:?}");
    world.open("10.0.0.1", 80, "http nginx/1.22.1");
    world.power("10.0.0.2", true);
    pass(60).await;
    let told = disk.kinds_since(1);
    assert!(told.contains(&"PORT_OPEN".to_owned()) && told.contains(&"HOST_UP".to_owned()), "{told:?}");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn an_authorization_that_ends_stops_the_probes_and_keeps_what_is_known() {
    let wound = Wound::new();
    let world = World::new(wound.clone());
    let disk = Disk::default();
    world.open("10.0.0.1", 22, "ssh OpenSSH/9.2p1");
    let limited = CONFIG.replace("by = \"the test\"", "by = \"the test\", until = 2026-11-21");
    let daemon = Daemon::start(&limited, &world, &disk).await;
    pass(180).await;
    wound.set(13 * 3_600);
    pass(15).await;
    let asked = world.asked();
    daemon.kill().await;
    let daemon = Daemon::start(&limited, &world, &disk).await;
    pass(60).await;
    assert_eq!(world.asked(), asked);
    assert_eq!(daemon.handle.snapshot().hosts, 1);
    assert!(daemon.handle.snapshot().reasons["authorization"].contains("dmz"));
    assert_eq!(disk.kinds_since(1), [""; 0]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_range_added_to_a_profile_is_learnt_with_one_word_and_taken_out_is_purged() {
    let (world, disk) = small_world();
    for n in 1..=20 {
        world.open(&format!("10.0.1.{n}"), 22, "ssh OpenSSH/9.2p1");
    }
    let daemon = learnt(&world, &disk).await;
    let wide = CONFIG.replace("\"10.0.0.0/28\"", "\"10.0.0.0/28\", \"10.0.1.0/24\"");
    daemon.handle.reload(configured(&wide)).await.expect("it listens");
    pass(900).await;
    assert_eq!(disk.kinds_since(1), ["CONFIG_RELOADED", "BASELINE_DONE"], "not a word for each host");
    daemon.kill().await;
    let daemon = Daemon::start(&wide, &world, &disk).await;
    pass(900).await;
    assert_eq!(disk.kinds_since(3), [""; 0], "a restart is no addition");
    daemon.handle.reload(configured(CONFIG)).await.expect("it listens");
    pass(900).await;
    let told = disk.kinds_since(3);
    assert_eq!(told.iter().filter(|kind| *kind == "HOST_PURGED").count(), 20, "{told:?}");
    assert_eq!(told.len(), 21, "{told:?}");
    assert_eq!(daemon.handle.snapshot().hosts, 2);
    daemon.stop().await.expect("it ends cleanly");
}
