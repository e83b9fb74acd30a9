//! The sensor's own trouble is never taken for the targets': what is told when lines are cut, routes move, packets are
//! dropped here, and somebody shuts the sensor out.

mod world;

use model::EventType;
use world::{Ban, Daemon, Disk, World, Wound, clock, pass};

fn config(sensor: &str) -> String {
    format!(
        r#"
[sensor]
name = "scan1"
rate = "10k/s"
rate_per_host = "10k/s"
{sensor}
[asset.dmz]
targets = ["10.0.0.0/27"]
authorization = {{ by = "the test" }}
[profile.dmz]
assets = ["dmz"]
scan = {{ hot = "30s", known = "30s", likely = "5m", full = "never", hot_ports = "22,80,443", tcp = "1-100", udp = "none", identify = "10m" }}
confirm = {{ port_closed = {{ passes = 2, at_least = "1m" }}, host_lost = {{ passes = 3, at_least = "2m" }} }}
[recipient.soc]
jsonl = "-"
every = "immediate"
"#
    )
}

fn address(last: usize) -> String {
    format!("10.0.0.{last}")
}

/// A world of so many hosts with two services each, learnt.
async fn learnt(hosts: usize, sensor: &str) -> (World, Disk, Daemon) {
    learnt_as(hosts, &config(sensor), 900).await
}

async fn learnt_as(hosts: usize, config: &str, seconds: u64) -> (World, Disk, Daemon) {
    let world = World::new(clock());
    for last in 1..=hosts {
        world.open(&address(last), 22, "ssh OpenSSH/9.2p1");
        world.open(&address(last), 80, "http nginx/1.22.1");
    }
    let disk = Disk::default();
    let daemon = Daemon::start(config, &world, &disk).await;
    pass(seconds).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    (world, disk, daemon)
}

fn told(disk: &Disk, kind: EventType) -> usize {
    disk.events().iter().filter(|event| event.kind == kind).count()
}

#[tokio::test(start_paused = true)]
async fn an_uplink_cut_for_an_hour_loses_nobody_and_hides_nothing() {
    for hosts in [2, 3, 20] {
        let (world, disk, daemon) = learnt(hosts, "").await;
        world.unplug(true);
        pass(1_800).await;
        // Meanwhile one closes a port, and another goes for good.
        world.close(&address(1), 80);
        world.power(&address(2), false);
        pass(1_800).await;
        assert_eq!(disk.kinds_since(1), ["SENSOR_DEGRADED"], "{hosts} hosts");
        assert!(daemon.handle.snapshot().reasons.contains_key("canaries"), "status says so too");
        world.unplug(false);
        pass(60).await;
        assert_eq!(disk.kinds_since(2), ["SENSOR_OK"], "{hosts} hosts");
        assert!(daemon.handle.snapshot().reasons.is_empty());
        pass(600).await;
        let mut after = disk.kinds_since(3);
        after.retain(|kind| !kind.starts_with("SOFTWARE"));
        after.sort();
        assert_eq!(after, ["HOST_LOST", "PORT_CLOSED"], "{hosts} hosts");
        pass(3_600).await;
        assert_eq!(told(&disk, EventType::SensorDegraded), 1, "{hosts} hosts");
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_really_gone_is_lost_in_time() {
    // Of so many hosts, so many die.
    for (hosts, dying) in [(1, 1), (2, 1), (5, 2), (20, 3)] {
        let (world, disk, daemon) = learnt(hosts, "").await;
        for last in 1..=dying {
            world.power(&address(last), false);
        }
        pass(300).await;
        assert_eq!(told(&disk, EventType::HostLost), dying, "{dying} of {hosts}: {:?}", disk.kinds_since(1));
        assert_eq!(disk.events().len(), 1 + dying);
        pass(3_600).await;
        assert_eq!(disk.events().len(), 1 + dying, "and nothing more: {:?}", disk.kinds_since(1));
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_that_go_together_are_taken_for_a_ban_for_an_hour() {
    for (hosts, dying) in [(3, 2), (7, 5), (20, 10)] {
        let (world, disk, daemon) = learnt(hosts, "").await;
        for last in 1..=dying {
            world.power(&address(last), false);
        }
        pass(3_000).await;
        assert_eq!(disk.kinds_since(1), ["SENSOR_BLOCKED"], "{dying} of {hosts}");
        let reason = disk.events().pop().and_then(|event| event.reason).expect("a reason");
        assert!(reason.starts_with(&format!("{dying} hosts stopped answering together")), "{reason}");
        // A restart in the middle changes nothing.
        daemon.kill().await;
        let daemon = Daemon::start(&config(""), &world, &disk).await;
        pass(900).await;
        let mut after = disk.kinds_since(2);
        after.sort();
        assert_eq!(after.pop().as_deref(), Some("SENSOR_OK"), "{dying} of {hosts}");
        assert_eq!(after, vec!["HOST_LOST"; dying], "{dying} of {hosts}");
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn a_firewall_that_bans_the_sensor_from_some_hosts_closes_nothing_and_hides_nothing() {
    for silently in [false, true] {
        let (world, disk, daemon) = learnt(12, "").await;
        let behind: Vec<String> = (1..=5).map(address).collect();
        for ip in &behind {
            world.shut_out(ip, if silently { Ban::Silent } else { Ban::Refusing });
        }
        pass(300).await;
        // Meanwhile one closes a port, another goes for good, and so does one that is not behind it.
        world.close(&address(1), 80);
        world.power(&address(2), false);
        world.power(&address(9), false);
        pass(900).await;
        assert_eq!(disk.kinds_since(1), ["SENSOR_BLOCKED", "HOST_LOST"], "silently: {silently}");
        let before = world.asked_of(&behind);
        pass(600).await;
        let asked = world.asked_of(&behind) - before;
        assert!(asked <= 5 * 40, "{asked} questions in ten minutes keep a ban alive");
        for ip in &behind {
            world.let_in(ip);
        }
        pass(600).await;
        let mut after = disk.kinds_since(3);
        after.retain(|kind| !kind.starts_with("SOFTWARE") && !kind.starts_with("SCAN"));
        after.sort();
        assert_eq!(after, ["HOST_LOST", "PORT_CLOSED", "SENSOR_OK"], "silently: {silently}");
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_died_behind_a_ban_are_told_soon_after_it() {
    let (world, disk, daemon) = learnt(12, "").await;
    let behind: Vec<String> = (1..=6).map(address).collect();
    for ip in &behind {
        world.shut_out(ip, Ban::Silent);
    }
    pass(300).await;
    // So many that they would be a suspicion of their own.
    behind.iter().take(4).for_each(|ip| world.power(ip, false));
    pass(300).await;
    assert_eq!(disk.kinds_since(1), ["SENSOR_BLOCKED"]);
    for ip in &behind {
        world.let_in(ip);
    }
    pass(900).await;
    assert_eq!(told(&disk, EventType::HostLost), 4, "{:?}", disk.kinds_since(1));
    assert_eq!(told(&disk, EventType::SensorBlocked), 1);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn one_service_that_ends_on_many_hosts_is_told_as_what_it_is() {
    let world = World::new(clock());
    for last in 1..=6 {
        world.open(&address(last), 22, "ssh OpenSSH/9.2p1");
    }
    let disk = Disk::default();
    let daemon = Daemon::start(&config(""), &world, &disk).await;
    pass(900).await;
    for last in 1..=4 {
        world.close(&address(last), 22);
    }
    pass(600).await;
    let mut told = disk.kinds_since(1);
    told.retain(|kind| !kind.starts_with("SOFTWARE"));
    assert_eq!(told, vec!["PORT_CLOSED"; 4]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ends_everywhere_takes_the_canaries_along_and_is_told() {
    let (world, disk, daemon) = learnt(20, "").await;
    for last in 1..=20 {
        world.close(&address(last), 22);
    }
    pass(900).await;
    let mut told = disk.kinds_since(1);
    told.retain(|kind| !kind.starts_with("SOFTWARE"));
    assert_eq!(told, vec!["PORT_CLOSED"; 20]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn all_that_fall_silent_at_once_are_not_lost_however_few_they_are() {
    for hosts in [2, 5] {
        let (world, disk, daemon) = learnt(hosts, "").await;
        for last in 1..=hosts {
            world.power(&address(last), false);
        }
        pass(7_200).await;
        assert_eq!(disk.kinds_since(1), ["SENSOR_DEGRADED"]);
        // One of them returns: the sensor is well, so the others are what is not.
        world.power(&address(1), true);
        pass(600).await;
        assert_eq!(told(&disk, EventType::SensorOk), 1);
        assert_eq!(told(&disk, EventType::HostLost), hosts - 1);
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ban_by_refusing_everything_closes_nothing() {
    for hosts in [3, 20] {
        let (world, disk, daemon) = learnt(hosts, "").await;
        world.ban(true);
        pass(300).await;
        assert_eq!(disk.kinds_since(1), ["SENSOR_BLOCKED"], "{hosts} hosts");
        let before = world.asked();
        pass(1_800).await;
        let asked = world.asked() - before;
        assert!(asked <= 200, "{asked} questions in half an hour keep a ban alive");
        assert!(daemon.handle.snapshot().reasons.contains_key("blocked"));
        world.ban(false);
        world.close(&address(1), 80);
        pass(900).await;
        let mut after = disk.kinds_since(2);
        // That the lanes did not come round meanwhile is told too.
        after.retain(|kind| !kind.starts_with("SOFTWARE") && !kind.starts_with("SCAN"));
        assert_eq!(after, ["SENSOR_OK", "PORT_CLOSED"], "{hosts} hosts");
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_a_trouble_tells_it_once() {
    let (world, disk, daemon) = learnt(3, "").await;
    world.unplug(true);
    pass(600).await;
    daemon.kill().await;
    let daemon = Daemon::start(&config(""), &world, &disk).await;
    pass(600).await;
    daemon.stop().await.expect("it ends cleanly");
    let daemon = Daemon::start(&config(""), &world, &disk).await;
    pass(600).await;
    assert_eq!(disk.kinds_since(1), ["SENSOR_DEGRADED"]);
    world.unplug(false);
    pass(900).await;
    assert_eq!(disk.kinds_since(2), ["SENSOR_OK"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_loses_every_second_packet_closes_nothing() {
    let (world, disk, daemon) = learnt(12, "").await;
    world.lose(500);
    pass(7_200).await;
    assert_eq!(told(&disk, EventType::PortClosed), 0);
    assert_eq!(told(&disk, EventType::HostLost), 0);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn while_routes_move_or_packets_are_dropped_here_nobody_is_lost() {
    for dropping in [false, true] {
        let (world, disk, daemon) = learnt(4, "").await;
        world.power(&address(2), false);
        // Some of it in every question: more seldom, and those in between would count.
        world.disturb(move |around| {
            around.generation += u64::from(!dropping);
            around.dropped += u64::from(dropping);
        });
        pass(1_200).await;
        assert_eq!(disk.kinds_since(1), [""; 0], "dropping: {dropping}");
        world.disturb(|_| {});
        pass(600).await;
        assert_eq!(disk.kinds_since(1), ["HOST_LOST"], "dropping: {dropping}");
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_down_is_told_with_its_name() {
    let (world, disk, daemon) = learnt(1, "").await;
    world.unplug(true);
    world.place(|around| around.faults = vec!["eth0 is down".to_owned()]);
    pass(1_800).await;
    assert_eq!(disk.kinds_since(1), ["SENSOR_DEGRADED"]);
    let reason = disk.events().pop().and_then(|event| event.reason).expect("a reason");
    assert!(reason.contains("eth0 is down"), "{reason}");
    world.unplug(false);
    world.place(|around| around.faults.clear());
    pass(120).await;
    assert_eq!(disk.kinds_since(2), ["SENSOR_OK"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn the_operators_canaries_are_the_ones_that_count() {
    let sensor = r#"canaries = ["10.0.0.3:22"]"#;
    let (world, disk, daemon) = learnt(5, sensor).await;
    world.power(&address(1), false);
    world.power(&address(2), false);
    pass(300).await;
    assert_eq!(disk.kinds_since(1), ["HOST_LOST", "HOST_LOST"], "the canary lives");
    daemon.stop().await.expect("it ends cleanly");

    // Lanes as slow as usual: it takes more than a day.
    let slow = config(sensor).replace("\"5m\"", "\"1h\"").replace("\"30s\"", "\"5m\"").replace("\"10m\"", "\"1h\"");
    let (world, disk, daemon) = learnt_as(3, &slow, 3 * 3_600).await;
    world.power(&address(3), false);
    pass(900).await;
    assert_eq!(disk.kinds_since(1), ["HOST_LOST"], "the canary itself, the others live");
    world.power(&address(1), false);
    pass(3_600).await;
    assert_eq!(disk.kinds_since(2), ["SENSOR_DEGRADED"], "without its canary the sensor knows nothing");
    pass(24 * 3_600).await;
    pass(900).await;
    assert_eq!(disk.kinds_since(3), ["SENSOR_OK", "HOST_LOST"], "until others have taken its place");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_holds_nothing_against_anybody() {
    let clock = Wound::new();
    let world = World::new(clock.clone());
    for last in 1..=3 {
        world.open(&address(last), 22, "ssh OpenSSH/9.2p1");
    }
    let disk = Disk::default();
    let daemon = Daemon::start(&config(""), &world, &disk).await;
    pass(900).await;
    world.power(&address(1), false);
    // Two looks, then hours on the wall clock without any.
    pass(75).await;
    clock.set(7_200);
    world.power(&address(1), true);
    pass(600).await;
    assert_eq!(disk.kinds_since(1), [""; 0]);
    daemon.stop().await.expect("it ends cleanly");
}
