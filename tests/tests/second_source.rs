//! Hosts ban the address the real daemon asks from. It notices by asking them once from another of its addresses, says that it is a ban and
//! of which address, goes on from the other one, and notices when the ban is over.

use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};
use testkit::{Daemon, Host, Lab, Privileges, binary, eventually, lacks_root, server::Nginx};

/// The first address is asked from once a minute whether it is still banned.
const PATIENCE: Duration = Duration::from_mins(4);
/// Long enough for whoever is silent to be called lost if that were believed.
const SOME_PASSES: Duration = Duration::from_secs(8);

fn configuration(dir: &Path) -> String {
    format!(
        r#"
[sensor]
name = "lab-sensor"
source = "10.77.0.1"
second_source = "10.77.0.9"

[store]
path = "{dir}/state/perimeter.db"

[asset.near]
targets = ["10.77.0.2-10.77.0.5"]

[profile.lab]
assets = ["near"]
rulesets = ["builtin:perimeter"]
scan = {{ hot = "2s", known = "2s", likely = "never", full = "never", hot_ports = "80,8080" }}
confirm = {{ port_closed = {{ passes = 2, at_least = "4s" }}, host_lost = {{ passes = 3, at_least = "20s" }} }}
"#,
        dir = dir.display(),
    )
}

/// Types of events with how often, and the reasons of `SENSOR_BLOCKED`.
fn told(daemon: &Daemon) -> (BTreeMap<String, usize>, String) {
    let (mut types, mut why) = (BTreeMap::new(), String::new());
    for event in daemon.list(&["events", "--limit", "100000"]) {
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        if kind == "SENSOR_BLOCKED" {
            event["reason"].as_str().unwrap_or_default().clone_into(&mut why);
        }
        if kind != "SOFTWARE_ADDED" {
            *types.entry(kind).or_default() += 1;
        }
    }
    (types, why)
}

fn wait_for(daemon: &Daemon, kind: &str) {
    eventually(kind, PATIENCE, || told(daemon).0.get(kind).copied().filter(|count| *count == 1).map(drop));
}

/// The first so many of four hosts ban the first address.
fn ban(count: usize, rule: &str, privileges: Privileges) {
    binary();
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "10.77.0.9"]);
    let hosts: Vec<Host> = (2..6).map(|last| lab.host(&format!("near{last}"), &[&format!("10.77.0.{last}")])).collect();
    let _servers: Vec<Nginx> = hosts.iter().map(|host| Nginx::start(host, "nginx", &[80], None)).collect();
    fs::create_dir(watcher.dir().join("state")).expect("a state directory");
    let config = watcher.write("perimeterd.toml", &configuration(watcher.dir()));
    let daemon = Daemon::start_with(&watcher, &config, privileges);
    wait_for(&daemon, "BASELINE_DONE");

    let banned = &hosts[..count];
    let table = format!(
        "table inet ban {{ chain in {{ type filter hook input priority 0; ip saddr 10.77.0.1 tcp dport 1-65535 {rule}; }}; }}"
    );
    for host in banned {
        host.run("nft", &[&table]);
    }
    wait_for(&daemon, "SENSOR_BLOCKED");
    let (types, why) = told(&daemon);
    let expect =
        |list: &[(&str, usize)]| list.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect::<BTreeMap<_, _>>();
    assert_eq!(types, expect(&[("BASELINE_DONE", 1), ("SENSOR_BLOCKED", 1)]), "{why}");
    assert!(why.contains("10.77.0.1 is banned by") && why.contains("they answer 10.77.0.9"), "{why}");

    // What happens there meanwhile is seen, from the other address.
    let _new = Nginx::start(&hosts[0], "new", &[8080], None);
    wait_for(&daemon, "PORT_OPEN");
    thread::sleep(SOME_PASSES);
    let during = expect(&[("BASELINE_DONE", 1), ("SENSOR_BLOCKED", 1), ("PORT_OPEN", 1)]);
    assert_eq!(told(&daemon).0, during, "{}", daemon.log());
    assert_eq!(daemon.status()["state"], "degraded");

    for host in banned {
        host.run("nft", &["delete table inet ban"]);
    }
    wait_for(&daemon, "SENSOR_OK");
    eventually("a sound state", PATIENCE, || (daemon.status()["state"] == "ok").then_some(()));
    thread::sleep(SOME_PASSES);
    let mut after = during;
    after.insert("SENSOR_OK".to_owned(), 1);
    assert_eq!(told(&daemon).0, after, "{}", daemon.log());
    let up = daemon.list(&["hosts"]).iter().filter(|host: &&Value| host["up"] == true).count();
    assert_eq!(up, 4);
}

#[test]
fn some_drop_what_comes_from_the_first_address() {
    if lacks_root("some_drop_what_comes_from_the_first_address") {
        return;
    }
    ban(2, "drop", Privileges::Root);
}

#[test]
fn all_drop_what_comes_from_the_first_address() {
    if lacks_root("all_drop_what_comes_from_the_first_address") {
        return;
    }
    ban(4, "drop", Privileges::None);
}

#[test]
fn all_refuse_what_comes_from_the_first_address() {
    if lacks_root("all_refuse_what_comes_from_the_first_address") {
        return;
    }
    ban(4, "reject with tcp reset", Privileges::Root);
}
