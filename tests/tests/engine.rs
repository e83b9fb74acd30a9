//! The engine from end to end: the whole binary scans and watches over a line, through a tun device, over both families,
//! without privileges, and while its own machine fails it.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    process::{Command, Output},
    time::Duration,
};
use testkit::{
    Daemon, Host, Lab, Line, Listeners, Passage, binary, eventually, lacks_root, router::Scenario, server::Banner,
};

const GREETING: &str = "SSH-2.0-OpenSSH_9.2p1\r\n";
const PATIENCE: Duration = Duration::from_secs(90);

/// Open endpoints a scan printed, as `ADDRESS PORT`.
fn open(output: &Output) -> BTreeSet<String> {
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the scan failed ({}):\n{said}{complained}", output.status);
    let objects =
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    objects
        .filter(|object| object["kind"] == "endpoint" && object["state"] == "open")
        .map(|object| format!("{} {}", object["ip"].as_str().unwrap_or_default(), object["port"]))
        .collect()
}

/// The last line of a scan.
fn summary(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    last.filter(|last| last["kind"] == "summary").unwrap_or_else(|| panic!("no summary: {said}"))
}

/// One scan from a host, as root, or as nobody with no capability left.
fn scan(host: &Host, as_root: bool, arguments: &[&str]) -> Output {
    let binary = binary().to_string_lossy();
    let mut command = if as_root { host.command(&binary) } else { unprivileged(host, &binary) };
    command.arg("scan").args(arguments).args(["--no-identify", "--json"]);
    command.env("NO_COLOR", "1").env_remove("PERIMETERD_LOG").env("HOME", "/nonexistent");
    command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}

fn unprivileged(host: &Host, program: &str) -> Command {
    let mut command = host.command("setpriv");
    let drop = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    command.args(drop).args(["--no-new-privs", program]);
    command
}

/// Eight addresses of each family, of which the path lets two be there.
const TARGETS: [&str; 2] = ["10.0.0.0/29", "fd10::/125"];
const LIVE: [&str; 4] = ["10.0.0.1", "10.0.0.6", "fd10::1", "fd10::7"];

fn line() -> (Line, Listeners, BTreeSet<String>) {
    let line = Line::new();
    let listeners = Listeners::start(line.far(), &[22, 8_080], GREETING);
    let live = LIVE.map(|ip| ip.parse().expect("an address")).to_vec();
    line.become_like(&Passage { live: Some(live), ..Passage::default() });
    let open = LIVE.iter().flat_map(|ip| [22, 8_080].map(|port| format!("{ip} {port}"))).collect();
    (line, listeners, open)
}

#[test]
fn what_is_open_is_found_over_both_families_with_and_without_privileges() {
    if lacks_root("what_is_open_is_found_over_both_families_with_and_without_privileges") {
        return;
    }
    let (line, _listeners, truth) = line();
    let arguments = [TARGETS[0], TARGETS[1], "--tcp", "21-23,8080", "--rate", "1k/s"];
    for (as_root, mode, why) in [(true, "raw", "are answered"), (false, "connect", "CAP_NET_RAW")] {
        let output = scan(line.near(), as_root, &arguments);
        assert_eq!(open(&output), truth, "as root: {as_root}");
        let summary = summary(&output);
        assert_eq!(summary["mode"], mode, "{summary}");
        assert!(summary["mode_why"].as_str().is_some_and(|said| said.contains(why)), "{summary}");
    }
    // Nothing but what was asked for: each endpoint at least once, and no address beside them.
    let asked = line.count("asked");
    assert!(asked >= 2 * 16 * 4, "{asked} SYNs for 64 endpoints, twice");
}

#[test]
fn what_is_open_is_found_through_a_device_without_link_layer_addresses() {
    if lacks_root("what_is_open_is_found_through_a_device_without_link_layer_addresses") {
        return;
    }
    let (mut lab, watcher) = Lab::across_router(&Scenario::default());
    let (four, six) = (lab.host("four", &["10.77.0.2"]), lab.host("six", &["fd77::2"]));
    let _banners = [&four, &six].map(|host| Banner::start(host, 22, "SSH-2.0-OpenSSH_9.2p1"));
    let arguments = ["10.77.0.0/30", "fd77::/126", "--tcp", "21-23", "--rate", "1k/s"];
    let truth = ["10.77.0.2 22", "fd77::2 22"].map(str::to_owned).into();
    assert_eq!(open(&scan(&watcher, true, &arguments)), truth);
}

/// A daemon that watches the line's addresses every two seconds, and has learnt them.
fn watch(line: &Line) -> Daemon {
    let dir = line.near().dir();
    std::fs::create_dir(dir.join("state")).expect("a state directory");
    let text = format!(
        r#"
[sensor]
name = "lab-sensor"
[store]
path = "{dir}/state/perimeter.db"
[console]
listen = "none"
[asset.line]
targets = ["{}", "{}"]
[profile.line]
assets = ["line"]
rulesets = ["builtin:perimeter"]
scan = {{ hot = "2s", known = "2s", likely = "never", full = "never", hot_ports = "22,8080" }}
confirm = {{ port_closed = {{ passes = 2, at_least = "4s" }}, host_lost = {{ passes = 3, at_least = "6s" }} }}
[recipient.file]
jsonl = "{dir}/alerts.jsonl"
every = "immediate"
"#,
        TARGETS[0],
        TARGETS[1],
        dir = dir.display(),
    );
    let config = line.near().write("perimeterd.toml", &text);
    let daemon = Daemon::start(line.near(), &config);
    eventually("the baseline", PATIENCE, || {
        (daemon.status()["endpoints"] == 8 && count(&daemon, "BASELINE_DONE") > 0).then_some(())
    });
    daemon
}

fn count(daemon: &Daemon, kind: &str) -> usize {
    daemon.list(&["events", "--limit", "1000"]).iter().filter(|event| event["type"] == kind).count()
}

/// The machine fails, the sensor says so once; it is well again, the sensor says so once; and nothing else is said of anything.
fn the_sensor_says_so_once(fail: impl Fn(&Line), mend: impl Fn(&Line)) {
    let (line, _listeners, _) = line();
    let daemon = watch(&line);
    let status = eventually("packets of its own", PATIENCE, || {
        let status = daemon.status();
        (status["mode"] == "raw" && status["engine"]["limited_by"] == "deadline").then_some(status)
    });
    assert!(status["mode_why"].as_str().is_some_and(|why| !why.is_empty()), "{status}");
    fail(&line);
    eventually("SENSOR_DEGRADED", PATIENCE, || (count(&daemon, "SENSOR_DEGRADED") > 0).then_some(()));
    mend(&line);
    eventually("SENSOR_OK", PATIENCE, || (count(&daemon, "SENSOR_OK") > 0).then_some(()));
    // Two more passes of every lane, in which whatever is false would show itself.
    for _ in 0..2 {
        let finished = || -> Vec<Value> {
            let lanes = daemon.status()["lanes"].as_array().cloned().unwrap_or_default();
            lanes.iter().filter(|lane| lane["period_s"] == 2.0).map(|lane| lane["last_finished"].clone()).collect()
        };
        let before = finished();
        eventually("a pass of each lane", PATIENCE, || {
            before.iter().zip(finished()).all(|(before, now)| *before != now).then_some(())
        });
    }
    let said = ["SENSOR_DEGRADED", "SENSOR_OK", "PORT_CLOSED", "HOST_LOST"].map(|kind| count(&daemon, kind));
    assert_eq!(said, [1, 1, 0, 0], "{:#?}", daemon.list(&["events", "--limit", "1000"]));
    assert_eq!(daemon.status()["endpoints"], 8);
}

#[test]
fn a_link_that_is_down_is_said_once() {
    if lacks_root("a_link_that_is_down_is_said_once") {
        return;
    }
    the_sensor_says_so_once(Line::unplug, Line::plug_in);
}

#[test]
fn a_route_that_is_removed_is_said_once() {
    if lacks_root("a_route_that_is_removed_is_said_once") {
        return;
    }
    let route = |line: &Line, what: &str| {
        for (target, far) in Line::TARGETS.iter().zip(Line::FAR_ADDRESSES) {
            line.near().namespace().ip(&["route", what, target, "via", far]);
        }
    };
    the_sensor_says_so_once(|line| route(line, "del"), |line| route(line, "add"));
}
