//! The real daemon chooses between packets of its own and connections, across a router: packets where they are answered, connections
//! while somebody on the way drops packets, and connections where it may not send any. Each time it says so.

use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};
use testkit::{Daemon, Host, Lab, Privileges, binary, eventually, lacks_root, router::Scenario, server::Nginx};

const PATIENCE: Duration = Duration::from_mins(2);
/// For every lane to go round several times.
const SOME_PASSES: Duration = Duration::from_secs(8);

fn configuration(dir: &Path) -> String {
    format!(
        r#"
[sensor]
name = "lab-sensor"

[store]
path = "{dir}/state/perimeter.db"

[asset.far]
targets = ["10.77.0.0/28", "fd77::2"]

[profile.lab]
assets = ["far"]
rulesets = ["builtin:perimeter"]
scan = {{ hot = "2s", known = "2s", likely = "never", full = "never", hot_ports = "80,443,8080-8083" }}
confirm = {{ port_closed = {{ passes = 2, at_least = "2s" }}, host_lost = {{ passes = 2, at_least = "2s" }} }}
"#,
        dir = dir.display(),
    )
}

/// Three servers behind a router, and the daemon in front of it, which has learnt them.
struct Stage {
    daemon: Daemon,
    hosts: Vec<Host>,
    _servers: Vec<Nginx>,
    // Last: what runs in it ends before it does.
    _lab: Lab,
}

impl Stage {
    fn begin(privileges: Privileges) -> Self {
        binary();
        let (mut lab, watcher) = Lab::across_router(&Scenario::read("seed = 1").expect("a scenario"));
        let addresses: [&[&str]; 3] = [&["10.77.0.2", "fd77::2"], &["10.77.0.3"], &["10.77.0.4"]];
        let hosts: Vec<Host> = addresses.iter().enumerate().map(|(n, own)| lab.host(&format!("far{n}"), own)).collect();
        let servers = hosts.iter().map(|host| Nginx::start(host, "nginx", &[80], None)).collect();
        fs::create_dir(watcher.dir().join("state")).expect("a state directory");
        let config = watcher.write("perimeterd.toml", &configuration(watcher.dir()));
        let daemon = Daemon::start_with(&watcher, &config, privileges);
        let stage = Self { daemon, hosts, _servers: servers, _lab: lab };
        stage.wait_for("BASELINE_DONE", 1);
        stage
    }

    /// Nobody answers what comes from where packets of our own come from, and nobody says so.
    fn drop_packets(&self) {
        let drop =
            "table inet cloud { chain in { type filter hook prerouting priority raw; tcp sport 61000-65095 drop; }; }";
        self.hosts.iter().for_each(|host| nft(host, drop));
    }

    fn let_packets_pass(&self) {
        self.hosts.iter().for_each(|host| nft(host, "delete table inet cloud"));
    }

    fn events(&self) -> BTreeMap<String, usize> {
        let mut types = BTreeMap::new();
        for event in self.daemon.list(&["events", "--limit", "100000"]) {
            *types.entry(event["type"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        types
    }

    fn wait_for(&self, kind: &str, count: usize) {
        eventually(format_args!("{kind}, {count} times"), PATIENCE, || {
            (self.events().get(kind) == Some(&count)).then_some(())
        });
    }

    /// The mode, and why.
    fn mode(&self) -> (String, String) {
        let status = self.daemon.status();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&status["mode"]), text(&status["mode_why"]))
    }

    fn wait_for_mode(&self, mode: &str, why: &str) {
        let last = std::cell::RefCell::default();
        eventually(format_args!("mode {mode}: {why}"), PATIENCE, || {
            let now = self.mode();
            let is_so = now.0 == mode && now.1.contains(why);
            *last.borrow_mut() = now;
            is_so.then_some(())
        });
    }

    /// Exactly these, beside the servers that were started and what they say they are.
    fn told(&self, expect: &[(&str, usize)]) {
        let mut events = self.events();
        events.remove("SOFTWARE_ADDED");
        let expect: BTreeMap<String, usize> = expect.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
        assert_eq!(events, expect, "{:#?}", self.daemon.list(&["events", "--limit", "100000"]));
    }

    /// A server that was not there is found.
    fn serve(&self, port: u16, opened: usize) -> Nginx {
        let server = Nginx::start(&self.hosts[1], &format!("new{port}"), &[port], None);
        self.wait_for("PORT_OPEN", opened);
        server
    }
}

fn nft(host: &Host, rules: &str) {
    host.run("nft", &[rules]);
}

#[test]
fn packets_are_used_while_they_are_answered() {
    if lacks_root("packets_are_used_while_they_are_answered") {
        return;
    }
    let stage = Stage::begin(Privileges::Root);
    stage.wait_for_mode("raw", "are answered");
    let _first = stage.serve(8080, 1);
    stage.told(&[("BASELINE_DONE", 1), ("PORT_OPEN", 1)]);

    stage.drop_packets();
    stage.wait_for("SENSOR_DEGRADED", 1);
    let reasons: Vec<Value> = stage.daemon.list(&["events", "--limit", "100000"]);
    let degraded = reasons.iter().find(|event| event["type"] == "SENSOR_DEGRADED").expect("it was there");
    assert!(degraded["reason"].as_str().is_some_and(|said| said.contains("get no answer")), "{degraded:#}");
    stage.wait_for_mode("connect", "something on the way drops them");
    // The status is put together a moment after what it shows has happened.
    eventually("a degraded state", PATIENCE, || (stage.daemon.status()["state"] == "degraded").then_some(()));
    let _second = stage.serve(8081, 2);
    thread::sleep(SOME_PASSES);
    stage.told(&[("BASELINE_DONE", 1), ("PORT_OPEN", 2), ("SENSOR_DEGRADED", 1)]);

    stage.let_packets_pass();
    stage.wait_for("SENSOR_OK", 1);
    stage.wait_for_mode("raw", "are answered");
    let _third = stage.serve(8082, 3);
    thread::sleep(SOME_PASSES);
    stage.told(&[("BASELINE_DONE", 1), ("PORT_OPEN", 3), ("SENSOR_DEGRADED", 1), ("SENSOR_OK", 1)]);
    eventually("a sound state", PATIENCE, || (stage.daemon.status()["state"] == "ok").then_some(()));
}

#[test]
fn without_the_privilege_connections_do_and_nothing_is_missed() {
    if lacks_root("without_the_privilege_connections_do_and_nothing_is_missed") {
        return;
    }
    let stage = Stage::begin(Privileges::None);
    let (mode, why) = stage.mode();
    assert!(mode == "connect, without CAP_NET_RAW" && why.contains("take CAP_NET_RAW"), "{mode}: {why}");
    let log = stage.daemon.log();
    assert!(log.contains("TCP is asked by connections: raw sockets take CAP_NET_RAW"), "{log}");
    // Whoever drops packets drops none of its.
    stage.drop_packets();
    let _first = stage.serve(8080, 1);
    thread::sleep(SOME_PASSES);
    stage.told(&[("BASELINE_DONE", 1), ("PORT_OPEN", 1)]);
    assert_eq!(stage.daemon.status()["state"], "ok");
}
