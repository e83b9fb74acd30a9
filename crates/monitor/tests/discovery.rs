//! Hosts that show themselves by no port: found once, kept, lost; and what only looks like some.

mod world;

use model::{Event, EventType};
use world::{Ban, Daemon, Disk, World, clock, pass};

const CONFIG: &str = r#"
[sensor]
name = "scan1"
rate = "10k/s"
rate_per_host = "10k/s"
[asset.dmz]
targets = ["10.0.0.0/26"]
authorization = { by = "the test" }
[profile.dmz]
assets = ["dmz"]
scan = { hot = "1m", known = "1m", likely = "5m", full = "never", hot_ports = "22,80", tcp = "22,80,443", udp = "none", identify = "5m" }
confirm = { port_closed = { passes = 2, at_least = "2m" }, host_lost = { passes = 3, at_least = "3m" } }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;

fn addresses(last: impl IntoIterator<Item = u8>) -> Vec<String> {
    last.into_iter().map(|last| format!("10.0.0.{last}")).collect()
}

fn of(disk: &Disk, kind: EventType) -> Vec<Event> {
    disk.events().into_iter().filter(|event| event.kind == kind).collect()
}

fn hosts(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(|event| event.host.as_ref()).map(|host| host.ip.to_string()).collect()
}

/// Three with ports, and three without any.
fn small() -> (World, Disk) {
    let world = World::new(clock());
    for last in [5, 9, 20] {
        world.open(&format!("10.0.0.{last}"), 22, "ssh OpenSSH/9.2p1");
        world.open(&format!("10.0.0.{last}"), 443, "http nginx/1.22.1");
    }
    (world, Disk::default())
}

#[tokio::test(start_paused = true)]
async fn hosts_without_ports_are_learnt_found_lost_and_called_back() {
    let (world, disk) = small();
    world.echo(addresses([30, 31, 32]));
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(900).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    assert_eq!(daemon.handle.snapshot().hosts, 6);
    // One appears, and is told once.
    world.echo(addresses([30, 31, 32, 40]));
    pass(3_600).await;
    assert_eq!(disk.kinds_since(1), ["HOST_FOUND"]);
    let found = of(&disk, EventType::HostFound);
    assert_eq!(hosts(&found), ["10.0.0.40"]);
    assert!(found[0].reason.as_deref().is_some_and(|reason| reason.starts_with("icmp-echo in 2 passes")));
    // It goes.
    world.echo(addresses([30, 31, 32]));
    pass(1_800).await;
    assert_eq!(disk.kinds_since(2), ["HOST_LOST"]);
    assert_eq!(hosts(&of(&disk, EventType::HostLost)), ["10.0.0.40"]);
    // A restart tells nothing of it, and its return is told.
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(1_800).await;
    assert_eq!(disk.kinds_since(3), [""; 0]);
    world.echo(addresses([30, 31, 32, 40]));
    pass(1_800).await;
    assert_eq!(disk.kinds_since(3), ["HOST_UP"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn an_installation_that_begins_to_knock_learns_who_is_there() {
    let (world, disk) = small();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(1_800).await;
    assert_eq!((disk.kinds_since(0).len(), world.knocks()), (1, 0));
    daemon.stop().await.expect("it ends cleanly");
    world.echo(addresses([30, 31, 32]));
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(3_600).await;
    assert_eq!(disk.kinds_since(1), [""; 0]);
    assert_eq!(daemon.handle.snapshot().hosts, 6);
    world.echo(addresses([30, 31, 32, 33]));
    pass(1_200).await;
    assert_eq!(disk.kinds_since(1), ["HOST_FOUND"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_ports_fall_silent_is_not_lost_while_it_shows_itself() {
    let (world, disk) = small();
    world.echo(addresses([9]));
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(900).await;
    world.shut_out("10.0.0.9", Ban::Silent);
    pass(2_400).await;
    let kinds = disk.kinds_since(1);
    assert!(!kinds.contains(&"HOST_LOST".to_owned()) && !kinds.contains(&"PORT_CLOSED".to_owned()), "{kinds:?}");
    // What is silent of it all is gone.
    world.echo(addresses([]));
    pass(2_400).await;
    assert_eq!(hosts(&of(&disk, EventType::HostLost)), ["10.0.0.9"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn what_answers_for_everybody_is_one_finding_and_no_host() {
    let (world, disk) = small();
    world.echo(addresses([30]));
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(900).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    world.echo(addresses(0..64));
    pass(3_600).await;
    assert_eq!(disk.kinds_since(1), ["ANSWERS_EVERYTHING"]);
    let finding = of(&disk, EventType::AnswersEverything).remove(0);
    assert_eq!(finding.finding.map(|finding| finding.id).as_deref(), Some("answers-every-knock"));
    // Its signs keep nobody alive.
    world.power("10.0.0.9", false);
    pass(2_400).await;
    assert_eq!(hosts(&of(&disk, EventType::HostLost)), ["10.0.0.9"]);
    // Over, who is there is learnt.
    let so_far = disk.events().len();
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(2_400).await;
    assert_eq!(disk.kinds_since(so_far), [""; 0]);
    world.echo(addresses([30, 50]));
    pass(7_200).await;
    assert_eq!(disk.kinds_since(so_far), ["FINDING_CLOSED"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn what_answers_for_everybody_from_the_beginning_is_one_finding_too() {
    let (world, disk) = small();
    world.echo(addresses(0..64));
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(3_600).await;
    let kinds = disk.kinds_since(0);
    let findings = kinds.iter().filter(|kind| *kind == "ANSWERS_EVERYTHING").count();
    assert_eq!((findings, kinds.len()), (1, 2), "{kinds:?}");
    assert_eq!(daemon.handle.snapshot().hosts, 3);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn an_outage_loses_no_host_without_ports_and_finds_none_after_it() {
    let (world, disk) = small();
    world.echo(addresses([30, 31, 32]));
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(900).await;
    for round in 0..3 {
        world.unplug(true);
        pass(1_500 + round * 700).await;
        world.unplug(false);
        pass(2_000).await;
    }
    let kinds = disk.kinds_since(1);
    assert!(kinds.iter().all(|kind| kind.starts_with("SENSOR_")), "{kinds:?}");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_lossy_line_neither_finds_nor_loses_anybody() {
    let (world, disk) = small();
    world.echo(addresses(25..45));
    world.lose(60);
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(3 * 3_600).await;
    let kinds = disk.kinds_since(0);
    let wrong = ["HOST_FOUND", "HOST_LOST", "HOST_UP", "ANSWERS_EVERYTHING"];
    assert!(kinds.iter().all(|kind| !wrong.contains(&kind.as_str())), "{kinds:?}");
    assert_eq!(daemon.handle.snapshot().hosts, 23);
    daemon.stop().await.expect("it ends cleanly");
}
