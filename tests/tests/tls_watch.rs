//! The daemon audits what it watches: a server with weak TLS is told of once, a sound one never, and what was learnt of both is shown
//! and kept.

use serde_json::Value;
use std::{path::Path, time::Duration};
use testkit::{
    Daemon, Lab, eventually, lacks_root,
    server::tls::{Asks, Certificates, Key, Sni, s_server},
};

const SERVERS: &str = "10.77.0.2";

fn configuration(dir: &Path) -> String {
    format!(
        r#"
[store]
path = "{}/perimeter.db"

[asset.lab]
targets = ["{SERVERS}"]

[profile.lab]
assets = ["lab"]
rulesets = ["builtin:certificates"]
scan = {{ hot = "2s", known = "2s", likely = "never", full = "never", identify = "2s", hot_ports = "8001,8002" }}
confirm = {{ port_closed = {{ passes = 10, at_least = "1m" }}, service_changed = {{ passes = 2, at_least = "5s" }} }}
"#,
        dir.display()
    )
}

#[test]
fn a_weak_server_is_told_of_once_and_a_sound_one_never() {
    if lacks_root("a_weak_server_is_told_of_once_and_a_sound_one_never") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let host = lab.host("servers", &[SERVERS]);
    let certificates = Certificates::new(host.dir());
    let rsa = certificates.issue(Key::Rsa(2048), &["www.lab.example"], 90);
    let _weak = s_server(&host, 8001, &rsa, Asks::No, Sni::Ignored, &["-tls1"]);
    let sound = ["-cipher", "ECDHE+AESGCM", "-no_tls1", "-no_tls1_1"];
    let _sound = s_server(&host, 8002, &rsa, Asks::Optional, Sni::Ignored, &sound);
    let config = watcher.write("perimeterd.toml", &configuration(watcher.dir()));
    let mut daemon = Daemon::start(&watcher, &config);

    let patience = Duration::from_mins(2);
    let told = eventually("the weakness", patience, || weak_events(&daemon).pop());
    assert_eq!(told["endpoint"]["port"], 8001, "{told:#}");
    assert!(told["new"].as_str().is_some_and(|weak| weak.contains("tls1.0")), "{told:#}");
    let audited = eventually("the sound one is audited", patience, || {
        Some(tls_of(&daemon, 8002)).filter(|tls| tls["posture"]["audited"].is_string())
    });
    assert_eq!(audited["posture"]["versions"], serde_json::json!(["TLSv1.2", "TLSv1.3"]), "{audited:#}");
    assert!(matches!(audited["posture"]["client_auth"].as_str(), Some("asked" | "optional")), "{audited:#}");
    assert_eq!((&audited["weaknesses"], &audited["suspected"]), (&Value::Null, &Value::Null), "{audited:#}");
    let weak = tls_of(&daemon, 8001);
    assert_eq!(weak["posture"]["versions"], serde_json::json!(["TLSv1.0"]), "{weak:#}");
    assert_eq!(weak["version"], "TLSv1.0");

    // After a restart what is known is there at once, and nothing is audited or told a second time.
    let shown = daemon.say(&["host", SERVERS]);
    assert!(shown.lines().any(|line| line.contains("8001/tcp") && line.contains("tls1.0")), "{shown}");
    daemon.kill();
    daemon.restart();
    let kept = eventually("the database", patience, || Some(tls_of(&daemon, 8001)).filter(Value::is_object));
    assert_eq!(kept["weaknesses"], weak["weaknesses"]);
    assert_eq!(kept["posture"]["audited"], weak["posture"]["audited"]);
    assert_eq!(weak_events(&daemon).len(), 1);
}

fn tls_of(daemon: &Daemon, port: u16) -> Value {
    let services = daemon.list(&["services"]);
    services.iter().find(|row| row["port"] == port).map(|row| row["tls"].clone()).unwrap_or_default()
}

fn weak_events(daemon: &Daemon) -> Vec<Value> {
    daemon.list(&["events"]).into_iter().filter(|event| event["type"] == "SSL_WEAK").collect()
}
