//! What answers where nothing is becomes one finding, and behind it the real services are found by what they say.

mod world;

use model::{Event, EventType};
use std::collections::BTreeSet;
use world::{Daemon, Disk, Manner, World, clock, pass};

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
scan = { hot = "1m", known = "1m", likely = "never", full = "never", hot_ports = "22,80,443", identify = "5m" }
confirm = { port_closed = { passes = 2, at_least = "2m" }, host_lost = { passes = 3, at_least = "3m" } }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;

fn everybody() -> Vec<String> {
    (0..64).map(|last| format!("10.0.0.{last}")).collect()
}

fn of(disk: &Disk, kind: EventType) -> Vec<Event> {
    disk.events().into_iter().filter(|event| event.kind == kind).collect()
}

fn small() -> (World, Disk) {
    let world = World::new(clock());
    for last in [5, 9, 20] {
        world.open(&format!("10.0.0.{last}"), 22, "ssh OpenSSH/9.2p1");
        world.open(&format!("10.0.0.{last}"), 443, "http nginx/1.22.1");
    }
    (world, Disk::default())
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_appears_is_one_finding_and_hides_nothing() {
    let (world, disk) = small();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(300).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    world.put_a_proxy_before(&everybody(), Some(443));
    pass(1_200).await;
    assert_eq!(disk.kinds_since(1), ["ANSWERS_EVERYTHING"], "nobody else appeared");
    let finding = of(&disk, EventType::AnswersEverything).remove(0);
    assert_eq!(finding.finding.map(|finding| finding.id).as_deref(), Some("answers-every-address"));
    assert!(
        !finding.alerts.is_empty() && finding.name.as_deref() == Some("10.0.0.0/26 port 443"),
        "{:?}",
        finding.name
    );
    // A real service behind it, and one that ends: only its voice is missing.
    world.open("10.0.0.33", 443, "http Apache/2.4.57");
    pass(4_200).await;
    let opened = of(&disk, EventType::HostFound);
    assert_eq!(
        opened.iter().filter_map(|event| event.host.as_ref()).map(|host| host.ip.to_string()).collect::<Vec<_>>(),
        ["10.0.0.33"]
    );
    world.close("10.0.0.9", 443);
    pass(3_600).await;
    let closed = of(&disk, EventType::PortClosed);
    assert_eq!(
        closed.iter().filter_map(|event| event.host.as_ref()).map(|host| host.ip.to_string()).collect::<Vec<_>>(),
        ["10.0.0.9"]
    );
    // A restart tells nothing again, and its end is told.
    daemon.kill().await;
    let so_far = disk.events().len();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(1_200).await;
    assert_eq!(disk.kinds_since(so_far), [""; 0]);
    world.take_the_proxy_away();
    pass(3_600).await;
    assert_eq!(disk.kinds_since(so_far), ["FINDING_CLOSED"]);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_before_everything_is_one_finding_in_the_baseline_too() {
    let (world, disk) = small();
    world.put_a_proxy_before(&everybody(), None);
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(2_400).await;
    let kinds = disk.kinds_since(0);
    let findings = kinds.iter().filter(|kind| *kind == "ANSWERS_EVERYTHING").count();
    assert_eq!((findings, kinds.len()), (1, 2), "{kinds:?}");
    let hosts = daemon.handle.snapshot().hosts;
    assert_eq!(hosts, 3, "those who say something");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_opens_everything_is_one_finding() {
    let (world, disk) = small();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(300).await;
    world.put_a_proxy_before(&["10.0.0.9".to_owned()], None);
    pass(1_800).await;
    assert_eq!(disk.kinds_since(1), ["ANSWERS_EVERYTHING"]);
    let finding = of(&disk, EventType::AnswersEverything).remove(0);
    assert_eq!(finding.finding.map(|finding| finding.id).as_deref(), Some("answers-every-port"));
    assert_eq!(finding.host.map(|host| host.ip.to_string()).as_deref(), Some("10.0.0.9"));
    // Everybody behind it has been heard by now: who speaks there later is new, and told.
    world.open("10.0.0.9", 80, "http Apache/2.4.57");
    pass(900).await;
    let opened = of(&disk, EventType::PortOpen);
    let told: Vec<_> =
        opened.iter().filter_map(|event| event.endpoint.as_ref()).map(|endpoint| endpoint.port).collect();
    assert_eq!(told, [80], "{:?}", disk.kinds_since(0));
    daemon.stop().await.expect("it ends cleanly");
}

/// Many ports, and then very many.
const MANY: &str = r#"
[sensor]
name = "scan1"
rate = "10k/s"
rate_per_host = "10k/s"
[asset.dmz]
targets = ["10.0.0.0/28"]
authorization = { by = "the test" }
[profile.dmz]
assets = ["dmz"]
scan = { hot = "1m", known = "1m", likely = "5m", full = "never", hot_ports = "1-40", tcp = "1-600", udp = "none", identify = "5m" }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;

/// Whenever it opens after the baseline was told, it is news.
#[tokio::test(start_paused = true)]
async fn who_begins_to_speak_behind_such_a_host_after_the_baseline_is_told() {
    const QUICK: &str = r#"hot = "5s", known = "5s", likely = "never", full = "never", hot_ports = "21,22,25,80,110,143,443", identify = "10s""#;
    let usual =
        r#"hot = "1m", known = "1m", likely = "never", full = "never", hot_ports = "22,80,443", identify = "5m""#;
    assert!(CONFIG.contains(usual));
    for tenths in 0..20 {
        let (world, disk) = (World::new(clock()), Disk::default());
        for (port, said) in [(21, "ftp vsftpd/3.0.3"), (22, "ssh OpenSSH/9.2p1"), (25, "smtp Postfix/3.7")] {
            world.open("10.0.0.9", port, said);
        }
        world.put_a_proxy_before(&["10.0.0.9".to_owned()], None);
        let daemon = Daemon::start(&CONFIG.replace(usual, QUICK), &world, &disk).await;
        let is_done = || disk.events().iter().any(|event| event.kind == EventType::BaselineDone);
        for _ in 0..1_200 {
            if is_done() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        }
        assert!(is_done(), "within five minutes");
        tokio::time::sleep(std::time::Duration::from_millis(tenths * 100)).await;
        world.open("10.0.0.9", 110, "pop3 Dovecot/2.3");
        pass(120).await;
        let opened: Vec<_> =
            of(&disk, EventType::PortOpen).iter().map(|event| event.endpoint.map(|at| at.port)).collect();
        assert_eq!(opened, [Some(110)], "{tenths} tenths of a second after the baseline");
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn few_answers_are_looked_at_before_it_is_known_and_then_very_many_ports_are_asked_no_more() {
    let (world, disk) = (World::new(clock()), Disk::default());
    for last in [5, 9] {
        world.open(&format!("10.0.0.{last}"), 22, "ssh OpenSSH/9.2p1");
    }
    let daemon = Daemon::start(MANY, &world, &disk).await;
    pass(900).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    let before = world.met("10.0.0.9").len();
    let since = before;
    world.open("10.0.0.9", 25, "smtp Postfix");
    world.put_a_proxy_before(&["10.0.0.9".to_owned()], None);
    pass(600).await;
    assert!(disk.kinds_since(1).contains(&"ANSWERS_EVERYTHING".to_owned()), "{:?}", disk.kinds_since(1));
    let met = world.met("10.0.0.9").split_off(before);
    let drawn_by_lot = |(manner, port): &(Manner, u16)| *manner == Manner::Asked && *port >= 20_000;
    let last = met.iter().position(drawn_by_lot).expect("asked what nobody should be behind") + 3;
    let known_anyway = |(_, port): &&(Manner, u16)| *port == 22;
    let examined = met.iter().take(last).filter(|met| !known_anyway(met)).count();
    assert!((4..=16).contains(&examined), "{examined} of {met:?}");
    // Behind it somebody speaks.
    let told = of(&disk, EventType::PortOpen);
    assert!(told.iter().any(|event| event.endpoint.is_some_and(|endpoint| endpoint.port == 25)), "{told:?}");
    // The 600 ports are asked of everybody else.
    let asked = |last: u8| world.asked_of(&[format!("10.0.0.{last}")]);
    let before = (asked(9), asked(5));
    pass(900).await;
    let (behind, another) = (asked(9) - before.0, asked(5) - before.1);
    assert!(another >= 3 * 600 && behind < another - 3 * 400, "{behind} {another}");
    // Somebody listens on a few others of them each time, but not on too many: in the end on all.
    let listened = || {
        let met = world.met("10.0.0.9").split_off(since);
        met.into_iter().filter(|(manner, _)| *manner == Manner::Talked).map(|(_, port)| port).collect::<BTreeSet<_>>()
    };
    let first = listened().len();
    assert!((120..=300).contains(&first), "{first} ports within the hour");
    pass(4 * 3_600).await;
    assert!(listened().len() >= 600, "{} ports", listened().len());
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_before_a_part_of_a_range_is_one_finding_about_that_part() {
    // The addresses it answers for, on which port, and what the finding is about.
    for (addresses, port, name) in
        [(48..64, None, "10.0.0.48/28"), (56..64, None, "10.0.0.56/29"), (32..64, Some(443), "10.0.0.32/27 port 443")]
    {
        let (world, disk) = small();
        let daemon = Daemon::start(CONFIG, &world, &disk).await;
        pass(300).await;
        let before: Vec<String> = addresses.map(|last| format!("10.0.0.{last}")).collect();
        world.put_a_proxy_before(&before, port);
        pass(1_200).await;
        assert_eq!(disk.kinds_since(1), ["ANSWERS_EVERYTHING"], "{name}");
        assert_eq!(of(&disk, EventType::AnswersEverything).remove(0).name.as_deref(), Some(name));
        // Beside it, everything is as before.
        world.open("10.0.0.30", 443, "http nginx/1.22.1");
        pass(300).await;
        assert_eq!(disk.kinds_since(2).first().map(String::as_str), Some("HOST_FOUND"), "{name}");
        world.take_the_proxy_away();
        pass(3_600).await;
        assert_eq!(of(&disk, EventType::FindingClosed).len(), 1, "{name}");
        daemon.stop().await.expect("it ends cleanly");
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_neighbours_that_say_nothing_are_hosts() {
    let (world, disk) = small();
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(300).await;
    // A cluster of four, whose protocol nobody knows.
    let cluster: Vec<String> = (40..44).map(|last| format!("10.0.0.{last}")).collect();
    world.put_a_proxy_before(&cluster, Some(443));
    pass(600).await;
    let found: Vec<String> = of(&disk, EventType::HostFound)
        .iter()
        .filter_map(|event| event.host.as_ref())
        .map(|host| host.ip.to_string())
        .collect();
    assert_eq!((found.len(), of(&disk, EventType::AnswersEverything).len()), (4, 0), "{found:?}");
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn the_whole_of_a_small_range_that_says_nothing_is_hosts() {
    let config = CONFIG.replace("10.0.0.0/26", "10.0.0.8/31\", \"10.0.0.20");
    let (world, disk) = (World::new(clock()), Disk::default());
    let daemon = Daemon::start(&config, &world, &disk).await;
    pass(300).await;
    let cluster = ["10.0.0.8", "10.0.0.9", "10.0.0.20"].map(str::to_owned);
    world.put_a_proxy_before(&cluster, Some(443));
    pass(600).await;
    let told = [of(&disk, EventType::HostFound).len(), of(&disk, EventType::AnswersEverything).len()];
    assert_eq!(told, [3, 0], "{:?}", disk.kinds_since(1));
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn control_questions_stay_in_scope() {
    // A range so small that hardly any neighbour may be asked.
    let config = CONFIG.replace("10.0.0.0/26", "10.0.0.8/31\", \"10.0.0.20");
    let (world, disk) = small();
    let daemon = Daemon::start(&config, &world, &disk).await;
    pass(300).await;
    world.put_a_proxy_before(&everybody(), None);
    pass(1_200).await;
    let kinds = disk.kinds_since(1);
    assert!(kinds.iter().all(|kind| kind == "ANSWERS_EVERYTHING"), "{kinds:?}");
    let asked = world.asked_addresses();
    let may: std::collections::BTreeSet<std::net::IpAddr> =
        ["10.0.0.8", "10.0.0.9", "10.0.0.20"].iter().map(|ip| ip.parse().expect("an address")).collect();
    assert_eq!(asked, may);
    daemon.stop().await.expect("it ends cleanly");
}
