//! The sensor's own links and routes fail while the real daemon watches: each time that is told once, so is its end, and nobody
//! is called closed or lost.

use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write, fs, time::Duration};
use testkit::{Daemon, Host, Lab, Privileges, binary, eventually, lacks_root, server::Nginx};

const PATIENCE: Duration = Duration::from_mins(1);
/// Long enough for every lane to go round several times, and for whoever is silent to be called lost if that were believed.
const BROKEN_FOR: Duration = Duration::from_secs(12);
const HOSTS: u8 = 4;

/// Watched: hosts on the link, and two addresses behind a route of their own.
fn configuration(dir: &std::path::Path) -> String {
    format!(
        r#"
[sensor]
name = "lab-sensor"

[store]
path = "{dir}/state/perimeter.db"

[asset.near]
targets = ["10.77.0.2-10.77.0.15", "fd77::2"]

[asset.far]
targets = ["10.88.0.0/29"]

[profile.lab]
assets = ["near", "far"]
rulesets = ["builtin:perimeter"]
scan = {{ hot = "2s", known = "2s", likely = "never", full = "never", hot_ports = "80" }}
confirm = {{ port_closed = {{ passes = 2, at_least = "2s" }}, host_lost = {{ passes = 2, at_least = "2s" }} }}

[recipient.file]
jsonl = "{dir}/alerts.jsonl"
every = "immediate"
"#,
        dir = dir.display(),
    )
}

fn ip(host: &Host, arguments: &str) {
    host.run("ip", &arguments.split(' ').collect::<Vec<_>>());
}

/// How often each type of event was recorded, and what sensor events gave as their reasons.
fn told(daemon: &Daemon) -> (BTreeMap<String, usize>, String) {
    let (mut types, mut reasons) = (BTreeMap::new(), String::new());
    for event in daemon.list(&["events", "--limit", "100000"]) {
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        if kind.starts_with("SENSOR") {
            let _ = writeln!(reasons, "{kind}: {}", event["reason"].as_str().unwrap_or_default());
        }
        *types.entry(kind).or_default() += 1;
    }
    (types, reasons)
}

fn expect(degraded: usize, ok: usize) -> BTreeMap<String, usize> {
    let all = [("BASELINE_DONE", 1), ("SENSOR_DEGRADED", degraded), ("SENSOR_OK", ok)];
    all.into_iter().filter(|(_, count)| *count > 0).map(|(kind, count)| (kind.to_owned(), count)).collect()
}

/// Breaks something, keeps it broken, puts it right, and waits until both are told.
fn break_and_mend(daemon: &Daemon, which: usize, says: &str, fails: impl FnOnce(), mends: impl FnOnce()) {
    fails();
    eventually(format_args!("SENSOR_DEGRADED: {says}"), PATIENCE, || {
        (told(daemon).0.get("SENSOR_DEGRADED") == Some(&which)).then_some(())
    });
    std::thread::sleep(BROKEN_FOR);
    let (types, reasons) = told(daemon);
    assert_eq!(types, expect(which, which - 1), "{reasons}");
    assert!(reasons.contains(says), "{reasons}");
    let status = daemon.status();
    assert_eq!(status["state"], "degraded", "{status}");
    mends();
    eventually("SENSOR_OK", PATIENCE, || (told(daemon).0.get("SENSOR_OK") == Some(&which)).then_some(()));
    // Whatever was in doubt is looked at once more, and then all is as it was.
    eventually("a sound state", PATIENCE, || (daemon.status()["state"] == "ok").then_some(()));
    std::thread::sleep(Duration::from_secs(6));
    let (types, reasons) = told(daemon);
    assert_eq!(types, expect(which, which), "{reasons}");
    assert!(hosts(daemon).iter().all(|host| host["up"] == true), "{:#?}", hosts(daemon));
}

fn hosts(daemon: &Daemon) -> Vec<Value> {
    daemon.list(&["hosts"])
}

#[test]
fn what_fails_here_is_told_once_and_so_is_its_end() {
    if lacks_root("what_fails_here_is_told_once_and_so_is_its_end") {
        return;
    }
    fail(Privileges::Root, "raw");
}

#[test]
fn without_privileges_it_is_the_same() {
    if lacks_root("without_privileges_it_is_the_same") {
        return;
    }
    fail(Privileges::None, "connect, without CAP_NET_RAW");
}

fn fail(privileges: Privileges, expected_mode: &str) {
    binary();
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let mut near = vec![lab.host("near2", &["10.77.0.2", "fd77::2"])];
    near.extend((3..=HOSTS).map(|last| lab.host(&format!("near{last}"), &[&format!("10.77.0.{last}")])));
    let far = lab.host("far", &["10.77.0.20", "10.88.0.1", "10.88.0.2"]);
    let route = |what: &str| ip(&watcher, &format!("route {what} 10.88.0.0/24 via 10.77.0.20"));
    route("add");
    let _servers: Vec<Nginx> = near.iter().chain([&far]).map(|host| Nginx::start(host, "nginx", &[80], None)).collect();

    fs::create_dir(watcher.dir().join("state")).expect("a state directory");
    let config = watcher.write("perimeterd.toml", &configuration(watcher.dir()));
    let mut daemon = Daemon::start_with(&watcher, &config, privileges);
    eventually("the baseline", PATIENCE, || told(&daemon).0.contains_key("BASELINE_DONE").then_some(()));
    assert_eq!(hosts(&daemon).len(), usize::from(HOSTS - 1) + 1 + 2, "{:#?}", hosts(&daemon));
    // Those behind the route are asked by packets of its own, where it may, and those on the link by connections.
    let mode = || (daemon.status()["mode"].as_str() == Some(expected_mode)).then_some(());
    eventually(format_args!("mode {expected_mode}"), PATIENCE, mode);

    let replug = || {
        watcher.plug_in();
        route("replace");
    };
    break_and_mend(&daemon, 1, "eth0 is down", || watcher.unplug(), replug);
    break_and_mend(&daemon, 2, "there is no route to 10.88.0.0", || route("del"), || route("add"));

    let status = daemon.stop(Duration::from_secs(5));
    assert!(status.success(), "SIGTERM ends it cleanly: {status}\n{}", daemon.log());
}
