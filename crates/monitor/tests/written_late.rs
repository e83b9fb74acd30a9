//! Hosts that only show what they showed before: what reaches the disk of it, when, and what an end at any moment costs.

mod world;

use jiff::SignedDuration;
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
scan = { hot = "10s", known = "10s", likely = "1m", full = "never", hot_ports = "22,80,443", tcp = "1-100", udp = "none", identify = "1d" }
confirm = { port_closed = { passes = 2, at_least = "10s" }, host_lost = { passes = 3, at_least = "15s" } }
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

fn small_world() -> (World, Disk) {
    let world = World::new(clock());
    world.open("10.0.0.1", 22, "ssh OpenSSH/9.2p1");
    world.open("10.0.0.1", 80, "http nginx/1.22.1");
    world.open("10.0.0.2", 25, "smtp Postfix");
    (world, Disk::default())
}

/// How long ago, as the disk knows it, the host seen least lately was seen.
fn age(world: &World, disk: &Disk) -> SignedDuration {
    let oldest = disk.hosts().iter().map(|host| host.last_seen).min().expect("hosts");
    world.clock.now().duration_since(oldest)
}

#[tokio::test(start_paused = true)]
async fn what_is_only_seen_again_is_written_within_a_quarter_of_an_hour_and_at_the_end() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    let before = disk.hosts_written();
    for _ in 0..25 {
        pass(120).await;
        assert!(age(&world, &disk) <= SignedDuration::from_mins(15), "{:?}", age(&world, &disk));
    }
    // Fifty minutes, seen every ten seconds: each written once in fourteen minutes.
    let written = disk.hosts_written() - before;
    assert!((4..=10).contains(&written), "{written}");
    assert_eq!(disk.kinds_since(1), [""; 0]);
    daemon.stop().await.expect("it ends cleanly");
    assert!(age(&world, &disk) <= SignedDuration::from_secs(30), "{:?}", age(&world, &disk));
}

#[tokio::test(start_paused = true)]
async fn a_kill_costs_no_more_than_how_lately_hosts_were_seen() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    pass(600).await;
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(120).await;
    assert_eq!(disk.kinds_since(1), [""; 0], "nothing has changed");
    daemon.kill().await;
    // What changes while nobody looks is told by the next run.
    world.close("10.0.0.1", 80);
    world.power("10.0.0.2", false);
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(120).await;
    let mut told = disk.kinds_since(1);
    told.retain(|kind| !kind.starts_with("SOFTWARE"));
    told.sort();
    assert_eq!(told, ["HOST_LOST", "PORT_CLOSED"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn rules_that_change_are_asked_about_hosts_that_do_not() {
    let (world, disk) = small_world();
    let daemon = learnt(&world, &disk).await;
    pass(120).await;
    let rules = r#"
[[ruleset.strict.rule]]
id = "only-ssh"
require = { open_tcp = { subset_of = [22] } }
severity = 4
"#;
    let strict = CONFIG.replace("assets = [\"dmz\"]", "assets = [\"dmz\"]\nrulesets = [\"strict\"]");
    daemon.handle.reload(configured(&format!("{strict}{rules}"))).await.expect("it listens");
    pass(60).await;
    assert_eq!(disk.kinds_since(1), ["CONFIG_RELOADED", "POLICY_VIOLATION", "POLICY_VIOLATION"]);
    daemon.stop().await.expect("it ends cleanly");
}
