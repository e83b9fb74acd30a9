//! Rules come and go, and the names follow without a packet and without an event; a true change is told as ever.

use serde_json::Value;
use std::{path::Path, time::Duration};
use testkit::{Daemon, Lab, WireCount, eventually, lacks_root, server::Banner};

const SERVER: &str = "10.77.0.2";
const PATIENCE: Duration = Duration::from_mins(1);

fn configuration(dir: &Path, identify: &str) -> String {
    format!(
        r#"
[store]
path = "{}/perimeter.db"

{identify}

[asset.lab]
targets = ["{SERVER}"]

[profile.lab]
assets = ["lab"]
scan = {{ hot = "2s", known = "2s", likely = "never", full = "never", identify = "2s", hot_ports = "2222" }}
confirm = {{ port_closed = {{ passes = 10, at_least = "1m" }}, service_changed = {{ passes = 2, at_least = "4s" }} }}
"#,
        dir.display()
    )
}

fn rules(product: &str) -> String {
    format!(
        "<fingerprints matches=\"ssh.banner\" protocol=\"ssh\"><fingerprint pattern=\"^ZORB ([\\d.]+)$\">\
         <param pos=\"0\" name=\"service.product\" value=\"{product}\"/><param pos=\"1\" name=\"service.version\"/>\
         <param pos=\"0\" name=\"os.vendor\" value=\"Zorb\"/><param pos=\"0\" name=\"os.family\" value=\"ZorbOS\"/>\
         <param pos=\"0\" name=\"os.product\" value=\"ZorbOS\"/></fingerprint></fingerprints>"
    )
}

fn product(daemon: &Daemon) -> (Value, Value) {
    let services = daemon.list(&["services"]);
    let found = services.iter().find(|row| row["port"] == 2222);
    found.map(|row| (row["service"]["product"].clone(), row["service"]["version"].clone())).unwrap_or_default()
}

/// Events that say something of the server has changed.
fn changes(daemon: &Daemon) -> Vec<Value> {
    let kinds =
        ["PORT_CHANGED", "SOFTWARE_ADDED", "SOFTWARE_UPDATED", "SOFTWARE_REMOVED", "HOST_UPDATED", "HOST_REPLACED"];
    daemon.list(&["events"]).into_iter().filter(|event| kinds.iter().any(|kind| event["type"] == *kind)).collect()
}

/// Until it has been asked who it is once more.
fn verified(daemon: &Daemon) {
    let last = || daemon.list(&["services"]).first().map(|row| row["last_seen"].clone());
    let before = last();
    eventually("another verification", PATIENCE, || (last() != before).then_some(()));
}

#[test]
fn rules_that_change_name_what_is_kept_and_tell_nobody() {
    if lacks_root("rules_that_change_name_what_is_kept_and_tell_nobody") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let host = lab.host("server", &[SERVER]);
    let server = Banner::start(&host, 2222, "SSH-2.0-ZORB 7.1\r\n");
    let recog = watcher.dir().join("recog");
    std::fs::create_dir(&recog).expect("a folder");
    let write = |product: &str| std::fs::write(recog.join("ssh_banners.xml"), rules(product)).expect("rules");
    write("Zorb daemon");
    let without = watcher.write("perimeterd.toml", &configuration(watcher.dir(), ""));
    let mut daemon = Daemon::start(&watcher, &without);
    eventually("the service", PATIENCE, || {
        daemon.list(&["services"]).iter().any(|row| row["service"]["name"] == "ssh").then_some(())
    });
    verified(&daemon);
    let plain = product(&daemon);
    assert_ne!(plain.0, "Zorb daemon");

    // With the operator's rules from now on: named at once, before anything is asked again.
    daemon.stop(Duration::from_secs(10));
    watcher.write(
        "perimeterd.toml",
        &configuration(watcher.dir(), &format!("[identify]\nrecog = \"{}\"", recog.display())),
    );
    daemon.restart();
    let named =
        eventually("the new name", PATIENCE, || Some(product(&daemon)).filter(|named| named.0 == "Zorb daemon"));
    assert_eq!(named.1, "7.1");
    for _ in 0..4 {
        verified(&daemon);
    }
    assert_eq!(changes(&daemon), Vec::<Value>::new());

    // Other rules in the same folder, and no packet for them while all is halted.
    write("Zorb server");
    daemon.say(&["halt"]);
    let wire = WireCount::new(&watcher, &[host.address()]);
    let said = daemon.say(&["fingerprints", "relabel"]);
    assert!(said.contains("1 services are called otherwise") && said.contains("no packet sent"), "{said}");
    assert_eq!((product(&daemon).0, wire.count()), ("Zorb server".into(), 0));
    assert!(daemon.say(&["fingerprints", "relabel"]).contains(" 0 services are called otherwise"));
    daemon.say(&["resume"]);
    for _ in 0..4 {
        verified(&daemon);
    }
    assert_eq!(changes(&daemon), Vec::<Value>::new());

    // As an operator sees it.
    let shown = daemon.say(&["host", SERVER]);
    for part in ["Zorb server", "7.1", "ZorbOS", "said SSH-2.0-ZORB 7.1", "named by recog ssh_banners #1"] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }

    // What the server itself changes is told.
    server.say("SSH-2.0-ZORB 7.2\r\n");
    let told = eventually("the update", PATIENCE, || changes(&daemon).pop());
    assert_eq!((&told["type"], &told["new"]), (&"SOFTWARE_UPDATED".into(), &"Zorb server 7.2".into()));
    assert_eq!(changes(&daemon).len(), 1);
}
