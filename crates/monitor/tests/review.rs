//! Hosts are unreviewed until an operator approves them, before or after they are seen.

mod world;

use model::{AddressRange, AddressSet, EventType};
use world::{Daemon, Disk, World, clock, pass};

const CONFIG: &str = r#"
[sensor]
name = "scan1"
rate = "10k/s"
rate_per_host = "10k/s"
[asset.dmz]
targets = ["10.0.0.0/28"]
authorization = { by = "the test" }
[[ruleset.approved.rule]]
id = "approved-only"
require = { approved = true }
severity = 4
[profile.dmz]
assets = ["dmz"]
rulesets = ["approved"]
scan = { hot = "10s", known = "10s", likely = "never", full = "never", hot_ports = "22,80", identify = "30s" }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;

fn of(first: &str, last: &str) -> AddressSet {
    let range = AddressRange::new(first.parse().expect("an address"), last.parse().expect("an address"));
    [range.expect("a range")].into_iter().collect()
}

fn about(disk: &Disk, kind: EventType) -> Vec<String> {
    let events = disk.events();
    let of = events.iter().filter(|event| event.kind == kind);
    of.filter_map(|event| event.host.as_ref().map(|host| host.ip.to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn an_unapproved_host_breaks_the_rule_also_while_learning() {
    let world = World::new(clock());
    world.open("10.0.0.1", 22, "ssh OpenSSH/9.2p1");
    world.open("10.0.0.2", 22, "ssh OpenSSH/9.2p1");
    let disk = Disk::default();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    // On the list before anything was seen there.
    let ahead =
        daemon.handle.review(Some(of("10.0.0.2", "10.0.0.3")), false, "list.csv".to_owned()).await.expect("at work");
    assert_eq!((ahead.changed, ahead.ahead), (0, 2));
    pass(60).await;
    assert_eq!(about(&disk, EventType::PolicyViolation), ["10.0.0.1"]);
    let approved =
        daemon.handle.review(Some(of("10.0.0.1", "10.0.0.2")), false, "operator".to_owned()).await.expect("at work");
    assert_eq!((approved.changed, approved.already, approved.ahead), (1, 1, 0));
    assert_eq!(about(&disk, EventType::PolicyCleared), ["10.0.0.1"]);
    // What was approved ahead outlives a restart.
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    world.open("10.0.0.3", 22, "ssh OpenSSH/9.2p1");
    world.open("10.0.0.4", 22, "ssh OpenSSH/9.2p1");
    pass(60).await;
    assert_eq!(about(&disk, EventType::PolicyViolation), ["10.0.0.1", "10.0.0.4"]);
    let all = daemon.handle.review(None, true, "operator".to_owned()).await.expect("at work");
    assert_eq!((all.withdrawn, all.changed, all.already), (true, 3, 1));
    assert_eq!(about(&disk, EventType::PolicyViolation).len(), 5);
    daemon.stop().await.expect("it ends cleanly");
}
