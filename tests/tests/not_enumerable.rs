//! An IPv6 prefix too large to sweep, from end to end: whoever has spoken to this machine is asked, and every command says that
//! nobody else is.

use serde_json::{Value, json};
use std::{fs, time::Duration};
use testkit::{Daemon, Host, Lab, binary, eventually, lacks_root, server::Nginx};

const PATIENCE: Duration = Duration::from_mins(1);

fn configuration(dir: &std::path::Path) -> String {
    format!(
        r#"
[sensor]
exclude = ["fd77::bad"]

[store]
path = "{dir}/state/perimeter.db"

[asset.lab]
targets = ["fd77::/64"]

[profile.lab]
assets = ["lab"]
scan = {{ hot = "2s", known = "2s", likely = "never", full = "never", hot_ports = "80" }}
"#,
        dir = dir.display(),
    )
}

/// Says something to the watcher, who then knows where it lives.
fn speaks(host: &Host, to: &str) {
    let meet = format!("exec 3<>/dev/tcp/{to}/9");
    let met = host.command("timeout").args(["5", "bash", "-c", &meet]).output().expect("bash runs");
    assert!(String::from_utf8_lossy(&met.stderr).contains("refused"), "{met:?}");
}

/// What the binary prints on the host, stdout and stderr, whatever its exit code.
fn prints(host: &Host, arguments: &[&str]) -> (String, String) {
    let output = host.command(&binary().to_string_lossy()).args(arguments).env("NO_COLOR", "1").output();
    let output = output.expect("the binary runs");
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn whoever_was_met_is_asked() {
    if lacks_root("whoever_was_met_is_asked") {
        return;
    }
    binary();
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["fd77::1"]);
    let [met, excluded, shy] = [("met", "fd77::7"), ("excluded", "fd77::bad"), ("shy", "fd77::9")]
        .map(|(name, address)| lab.host(name, &[address]));
    let _servers = [&met, &excluded, &shy].map(|host| Nginx::start(host, "nginx", &[80], None));
    fs::create_dir(watcher.dir().join("state")).expect("a state directory");
    let config = watcher.write("perimeterd.toml", &configuration(watcher.dir()));
    let config = config.to_string_lossy();
    let scan = ["scan", "fd77::/64", "--tcp", "80", "--no-identify", "--json", "--config", &config];

    let (stdout, stderr) = prints(&watcher, &scan);
    assert!(stdout.is_empty() && stderr.contains("has met nobody in it"), "{stdout}{stderr}");
    speaks(&met, "fd77::1");
    speaks(&excluded, "fd77::1");

    let (stdout, stderr) = prints(&watcher, &scan);
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let open: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "endpoint").map(|line| &line["ip"]).collect();
    assert_eq!(open, ["fd77::7"], "{stdout}{stderr}");
    let summary = lines.iter().find(|line| line["kind"] == "summary").expect("a summary");
    assert_eq!(summary["not_enumerable"], json!([{ "target": "fd77::/64", "candidates": 1 }]), "{summary}");
    assert_eq!(summary["targets"], 1, "{summary}");
    assert!(stderr.contains("not enumerable: fd77::/64, 1 candidate"), "{stderr}");

    let (stdout, stderr) = prints(&watcher, &["check", "--config", &config]);
    assert!(stdout.contains("not enumerable: fd77::/64, 1 candidate so far"), "{stdout}{stderr}");

    let daemon = Daemon::start(&watcher, std::path::Path::new(&*config));
    let known = |daemon: &Daemon| -> Vec<String> {
        daemon.list(&["hosts"]).iter().filter_map(|host| host["ip"].as_str().map(ToOwned::to_owned)).collect()
    };
    eventually("the one who was met", PATIENCE, || (known(&daemon) == ["fd77::7"]).then_some(()));
    assert_eq!(daemon.status()["not_enumerable"], json!([{ "target": "fd77::/64", "candidates": 1 }]));
    assert!(
        daemon.say(&["status"]).contains("not enumerable: fd77::/64, 1 candidate\n"),
        "{}",
        daemon.say(&["status"])
    );
    // Another speaks up while it watches.
    speaks(&shy, "fd77::1");
    eventually("another", PATIENCE, || (known(&daemon) == ["fd77::7", "fd77::9"]).then_some(()));
}
