//! The second look at TLS and the audit of it in the daemon: when, how often, and what is told of it.

mod world;

use model::{EventType, Verdict, Weakness};
use std::sync::Arc;
use world::{Ban, Daemon, Disk, World, Wound, clock, pass};

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: i64 = 24 * 3_600;
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
rulesets = ["builtin:certificates"]
scan = { hot = "5m", known = "5m", likely = "never", full = "never", hot_ports = "443,3306,9100", tcp = "443", udp = "none", identify = "1h" }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;

fn told(disk: &Disk, kind: EventType) -> Vec<String> {
    let of_kind = disk.events().into_iter().filter(|event| event.kind == kind);
    of_kind.map(|event| event.new.unwrap_or_default()).collect()
}

/// A world whose days can be skipped, while no daemon looks.
fn world() -> (World, Arc<Wound>) {
    let wound = Wound::new();
    (World::new(wound.clone()), wound)
}

/// Ended, and started again after so many seconds.
async fn later(daemon: Daemon, wound: &Wound, second: i64, world: &World, disk: &Disk) -> Daemon {
    daemon.stop().await.expect("it ends cleanly");
    wound.set(second);
    Daemon::start(CONFIG, world, disk).await
}

#[tokio::test(start_paused = true)]
async fn a_weakness_two_audits_agree_on_is_told_once_and_a_sound_server_never() {
    let (world, wound) = world();
    for (ip, number) in [("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3)] {
        world.open(ip, 443, "http nginx/1.22.1");
        world.tls.serve(ip, 443, number, &[]);
    }
    world.tls.weaken("10.0.0.1", 443, &[Weakness::Tls10, Weakness::Rc4]);
    // Somebody on the way, or one of several servers: the next audit does not find it.
    world.tls.weaken("10.0.0.3", 443, &[Weakness::Ssl3]);
    let disk = Disk::default();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(10 * 60).await;
    world.tls.weaken("10.0.0.3", 443, &[]);
    assert_eq!(told(&disk, EventType::SslWeak), Vec::<String>::new());
    assert_eq!(world.tls.audits().len(), 3, "each at first sight");
    pass(65 * MINUTE).await;
    assert_eq!(told(&disk, EventType::SslWeak), ["tls1.0, rc4"]);
    assert_eq!(world.tls.audits().len(), 5, "those with something to agree on once more");
    let daemon = later(daemon, &wound, 5 * DAY, &world, &disk).await;
    pass(20 * MINUTE).await;
    assert_eq!(world.tls.audits().len(), 5, "a week is long");
    let daemon = later(daemon, &wound, 7 * DAY, &world, &disk).await;
    pass(20 * MINUTE).await;
    let audits = world.tls.audits();
    assert_eq!(audits.len(), 8, "each once a week: {audits:?}");
    assert_eq!(told(&disk, EventType::SslWeak), ["tls1.0, rc4"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn what_was_looked_at_is_not_looked_at_again_after_a_restart() {
    let (world, wound) = world();
    let hosts: Vec<String> = (1..=20).map(|last| format!("10.0.0.{last}")).collect();
    for (number, ip) in (1..).zip(&hosts) {
        world.open(ip, 443, "http nginx/1.22.1");
        world.tls.serve(ip, 443, number, &[]);
    }
    let disk = Disk::default();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(70 * MINUTE).await;
    assert_eq!((world.tls.looks(), world.tls.audits().len()), (20, 20));
    assert!(world.tls.most_at_once() <= 4, "{} at once", world.tls.most_at_once());
    daemon.kill().await;
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(70 * MINUTE).await;
    assert_eq!((world.tls.looks(), world.tls.audits().len()), (20, 20));
    let daemon = later(daemon, &wound, DAY, &world, &disk).await;
    pass(20 * MINUTE).await;
    assert_eq!((world.tls.looks(), world.tls.audits().len()), (40, 20), "the second look is daily");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn the_fragile_and_those_that_refuse_are_left_alone_and_a_halt_stops_it() {
    let (world, wound) = world();
    for (ip, port) in [("10.0.0.1", 9100), ("10.0.0.2", 443), ("10.0.0.3", 443)] {
        world.open(ip, port, "http nginx/1.22.1");
        world.open(ip, 22, "ssh OpenSSH/9.2p1");
        world.tls.serve(ip, port, 1, &[]);
    }
    let disk = Disk::default();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(20 * MINUTE).await;
    let audited =
        |world: &World| world.tls.audits().iter().map(|(endpoint, _)| endpoint.ip.to_string()).collect::<Vec<_>>();
    let mut first = audited(&world);
    first.sort();
    assert_eq!(first, ["10.0.0.2", "10.0.0.3"]);
    // A week later one has banned the sensor, and the other is not to be asked anything.
    world.shut_out("10.0.0.2", Ban::Refusing);
    daemon.handle.halt(true).await.expect("halted");
    let daemon = later(daemon, &wound, 7 * DAY, &world, &disk).await;
    pass(20 * MINUTE).await;
    assert_eq!(world.tls.audits().len(), 2);
    daemon.handle.halt(false).await.expect("resumed");
    pass(20 * MINUTE).await;
    assert_eq!(audited(&world)[2..], ["10.0.0.3"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn names_of_the_certificate_that_lead_here_are_asked_for_and_widen_nothing() {
    let world = World::new(clock());
    world.open("10.0.0.1", 443, "http nginx/1.22.1");
    let many: Vec<String> = (0..40).map(|number| format!("n{number:02}.example.org")).collect();
    let mut names: Vec<&str> = many.iter().map(String::as_str).collect();
    names.push("elsewhere.example.org");
    for name in &many {
        // They lead here, and to one that is nobody's business.
        world.name(name, &["10.0.0.1", "203.0.113.9"]);
    }
    world.name("elsewhere.example.org", &["203.0.113.9"]);
    world.tls.serve("10.0.0.1", 443, 1, &names);
    let disk = Disk::default();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(70 * MINUTE).await;
    let learnt = world.tls.learnt();
    assert_eq!(learnt.len(), 8, "{learnt:?}");
    assert!(!learnt.contains("elsewhere.example.org"));
    let outside: std::net::IpAddr = "10.0.0.32".parse().expect("an address");
    assert!(world.asked_addresses().iter().all(|ip| *ip < outside), "{:?}", world.asked_addresses());
    let services = |disk: &Disk| {
        let host = disk.hosts().into_iter().find(|host| host.key.ip.to_string() == "10.0.0.1").expect("known");
        host.endpoints[0].services.iter().filter(|service| service.learnt).count()
    };
    assert_eq!(services(&disk), 8);
    let quiet = |disk: &Disk| disk.events().iter().filter(|event| event.kind != EventType::BaselineDone).count();
    assert_eq!(quiet(&disk), 0, "{:?}", disk.kinds_since(0));
    // Another certificate, with none of them.
    world.tls.serve("10.0.0.1", 443, 2, &["www.example.org"]);
    pass(3 * HOUR).await;
    assert_eq!(services(&disk), 0);
    assert_eq!(told(&disk, EventType::SslChanged).len(), 1, "{:?}", disk.kinds_since(0));
    assert_eq!(quiet(&disk), 1, "{:?}", disk.kinds_since(0));
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_breaks_is_told_and_one_that_other_roots_do_not_lead_to_is_not() {
    let (world, wound) = world();
    world.open("10.0.0.1", 443, "http nginx/1.22.1");
    world.tls.serve("10.0.0.1", 443, 1, &[]);
    world.tls.judge(1, &[], "of last year");
    let disk = Disk::default();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(2 * HOUR).await;
    // An update of ours has other roots.
    world.tls.judge(1, &[Verdict::UntrustedRoot], "of this year");
    let daemon = later(daemon, &wound, 2 * DAY, &world, &disk).await;
    pass(3 * HOUR).await;
    assert_eq!(told(&disk, EventType::SslChanged), Vec::<String>::new());
    // The operator adds his own; a restart later the server's chain breaks.
    world.tls.judge(1, &[], "of this year, and one more");
    let daemon = later(daemon, &wound, 4 * DAY, &world, &disk).await;
    pass(3 * HOUR).await;
    let daemon = later(daemon, &wound, 6 * DAY, &world, &disk).await;
    world.tls.judge(1, &[Verdict::IncompleteChain], "of this year, and one more");
    pass(3 * HOUR).await;
    assert_eq!(told(&disk, EventType::SslChanged).len(), 1, "{:?}", disk.kinds_since(0));
    daemon.stop().await.expect("it ends cleanly");
}
