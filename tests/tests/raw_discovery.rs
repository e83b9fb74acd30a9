//! The real daemon across a router: a host that answers to echoes and by no port is learnt, another that appears is found once, and lost when
//! it is gone.

use std::{fs, path::Path, time::Duration};
use testkit::{Daemon, Host, Lab, binary, eventually, lacks_root, router::Scenario, server::Nginx};

const PATIENCE: Duration = Duration::from_mins(4);
/// What a host lets through: echoes, or nothing.
const ONLY_ECHOES: &str =
    "table inet wall { chain in { type filter hook prerouting priority raw; icmp type echo-request accept; drop; }; }";
const NOTHING: &str = "table inet wall { chain in { type filter hook prerouting priority raw; drop; }; }";

fn configuration(dir: &Path) -> String {
    format!(
        r#"
[sensor]
name = "lab-sensor"

[store]
path = "{dir}/state/perimeter.db"

[asset.far]
targets = ["10.77.0.0/28"]

[profile.lab]
assets = ["far"]
rulesets = ["builtin:perimeter"]
scan = {{ hot = "never", known = "5s", likely = "5s", full = "never", tcp = "80,443,8080-8083", udp = "none" }}
confirm = {{ host_lost = {{ passes = 2, at_least = "10s" }} }}
"#,
        dir = dir.display(),
    )
}

fn wall(host: &Host, rules: &str) {
    // One that is not there cannot be taken away.
    let rules = format!("table inet wall {{ }}; delete table inet wall; {rules}");
    host.run("nft", &[&rules]);
}

fn told(daemon: &Daemon, kind: &str) -> Vec<String> {
    let events = daemon.list(&["events", "--limit", "100000"]);
    let of = events.iter().filter(|event| event["type"] == kind);
    of.map(|event| event["host"]["ip"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn hosts_that_hide_all_ports_are_learnt_found_and_lost() {
    if lacks_root("hosts_that_hide_all_ports_are_learnt_found_and_lost") {
        return;
    }
    binary();
    let (mut lab, watcher) = Lab::across_router(&Scenario::read("seed = 1").expect("a scenario"));
    let hosts: Vec<Host> = (2..7).map(|last| lab.host(&format!("far{last}"), &[&format!("10.77.0.{last}")])).collect();
    let _servers: Vec<Nginx> = hosts[..3].iter().map(|host| Nginx::start(host, "nginx", &[80], None)).collect();
    let [hidden, gone] = [&hosts[3], &hosts[4]];
    wall(hidden, ONLY_ECHOES);
    wall(gone, NOTHING);
    fs::create_dir(watcher.dir().join("state")).expect("a state directory");
    let config = watcher.write("perimeterd.toml", &configuration(watcher.dir()));
    let daemon = Daemon::start(&watcher, &config);
    eventually("10.77.0.5 is learnt", PATIENCE, || {
        let known = daemon.list(&["hosts"]);
        let is_up = |host: &serde_json::Value| host["ip"] == "10.77.0.5" && host["up"] == true;
        known.iter().any(is_up).then_some(())
    });
    assert!(told(&daemon, "HOST_FOUND").is_empty() && told(&daemon, "HOST_LOST").is_empty());
    // One appears.
    wall(gone, ONLY_ECHOES);
    eventually("10.77.0.6 is found", PATIENCE, || (!told(&daemon, "HOST_FOUND").is_empty()).then_some(()));
    assert_eq!(told(&daemon, "HOST_FOUND"), ["10.77.0.6"]);
    // And goes.
    wall(gone, NOTHING);
    eventually("10.77.0.6 is lost", PATIENCE, || (!told(&daemon, "HOST_LOST").is_empty()).then_some(()));
    assert_eq!(told(&daemon, "HOST_LOST"), ["10.77.0.6"]);
    assert_eq!(told(&daemon, "HOST_FOUND"), ["10.77.0.6"]);
    assert!(told(&daemon, "PORT_OPEN").is_empty() && told(&daemon, "ANSWERS_EVERYTHING").is_empty());
}
