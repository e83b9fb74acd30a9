//! "Was it you?": the whole binary on loopback says of an address and port whether, when and why it was asked.

use jiff::Timestamp;
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};
use testkit::{Process, binary, eventually};

const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon that watches addresses of this test's own.
struct Watch {
    folder: tempfile::TempDir,
    config: PathBuf,
    daemon: Process,
}

fn start(config: &Path, out: &Path) -> Process {
    let mut command = Command::new(binary());
    command.args(["run", "--config"]).arg(config).env("NO_COLOR", "1").env_remove("RUNTIME_DIRECTORY");
    Process::start("perimeterd", &mut command, out)
}

impl Watch {
    fn begin(port: u16, never: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("perimeterd.toml");
        let text = format!(
            r#"
[sensor]
exclude = ["127.0.91.3"]
rate = "200/s"

[store]
path = "{}/perimeter.db"

[console]
listen = "127.0.0.1:0"

[asset.own]
targets = ["127.0.91.0/29"]

[profile.own]
assets = ["own"]
scan = {{ hot = "2s", known = "2s", likely = "never", full = "never", hot_ports = "{port},{}" }}
"#,
            folder.path().display(),
            // Never the neighbour that is asked after and should not have been asked.
            if never == port + 1 { port - 1 } else { port + 1 },
        );
        fs::write(&config, text).expect("written");
        let daemon = start(&config, &folder.path().join("out"));
        Self { folder, config, daemon }
    }

    fn ask(&self, subject: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("probes").arg(subject).args(arguments).arg("--config").arg(&self.config).env("NO_COLOR", "1");
        command.output().expect("runs")
    }

    /// What the ledger says, the newest first.
    fn rows(&self, subject: &str, arguments: &[&str]) -> Vec<Value> {
        let output = self.ask(subject, &[arguments, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("every line is an object")).collect()
    }
}

fn time(row: &Value, name: &str) -> Timestamp {
    row[name].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no time `{name}` in {row}"))
}

fn now() -> Timestamp {
    model::Clock::now(&model::SystemClock)
}

#[test]
fn it_knows_whom_it_asked_when_and_why() {
    let listener = TcpListener::bind("127.0.91.2:0").expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    let never = port ^ 1;
    let begun = now();
    let mut watch = Watch::begin(port, never);
    let open = format!("127.0.91.2:{port}");
    // The hot lane, the known lane, and the conversation with what opened.
    let rows = eventually("rows of both lanes and a conversation", PATIENCE, || {
        watch.daemon.must_run();
        let rows = watch.rows(&open, &[]);
        let has = |why: &str, lane: Option<&str>| {
            let fits = |row: &&Value| row["why"] == why && lane.is_none_or(|lane| row["lane"] == lane);
            rows.iter().filter(fits).any(|row| row["sure"] == true)
        };
        (has("lane", Some("hot")) && has("lane", Some("known")) && has("conversation", None)).then_some(rows)
    });
    let until = now();
    for row in &rows {
        assert_eq!((row["tcp"].as_str(), row.get("udp")), (Some(port.to_string().as_str()), None), "{row}");
        assert_eq!((&row["profile"], &row["mode"]), (&Value::from("own"), &Value::from("connect")), "{row}");
        let (from, at) = (time(row, "not_before"), time(row, "first"));
        assert!(row["pass"].is_string() && begun <= from && from <= at && at <= until, "{row}");
        if row["sure"] == true {
            assert!(at <= time(row, "not_after"), "{row}");
        }
    }
    // One where nothing listens was asked as well, whatever it said.
    eventually("the silent neighbour", PATIENCE, || {
        let rows = watch.rows(&format!("127.0.91.5:{port}"), &[]);
        rows.iter().any(|row| row["lane"] == "hot" && row["sure"] == true).then_some(())
    });
    // A port nobody was to ask, an excluded address, one outside.
    for never in [format!("127.0.91.2:{never}"), "127.0.91.3".to_owned(), "127.0.91.9".to_owned()] {
        let output = watch.ask(&never, &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{never}: {text}");
        assert!(text.contains("was not asked; the ledger has everything that was asked since"), "{never}: {text}");
    }
    assert!(watch.rows(&open, &["--until", &begun.to_string()]).is_empty());
    let table = String::from_utf8(watch.ask(&open, &["--limit", "3"]).stdout).expect("text");
    assert!(
        table.starts_with("TIME") && table.lines().count() == 4 && table.contains(&format!("{port}/tcp")),
        "{table}"
    );

    // What was committed survives a kill, and what is asked then comes on top.
    let kept: Vec<Value> = rows.into_iter().filter(|row| row["sure"] == true).map(|row| row["id"].clone()).collect();
    watch.daemon.kill();
    watch.daemon = start(&watch.config, &watch.folder.path().join("again"));
    eventually("the ledger after a kill", PATIENCE, || {
        watch.daemon.must_run();
        let ids: Vec<Value> =
            watch.rows(&open, &["--limit", "10000"]).into_iter().map(|row| row["id"].clone()).collect();
        (ids.len() > kept.len() && kept.iter().all(|id| ids.contains(id))).then_some(())
    });
    // That something may be missing is said where it may, and only there.
    let said = |arguments: &[&str]| String::from_utf8(watch.ask(&open, arguments).stdout).expect("text");
    assert_eq!(said(&[]).matches("the daemon was killed between ").count(), 1, "{}", said(&[]));
    assert!(!said(&["--until", &begun.to_string()]).contains("killed"));
    assert!(watch.daemon.stop(Duration::from_secs(10)).success(), "{}", watch.daemon.log());
    watch.daemon = start(&watch.config, &watch.folder.path().join("in peace"));
    eventually("the ledger after an end in peace", PATIENCE, || watch.ask(&open, &[]).status.success().then_some(()));
    let said = String::from_utf8(watch.ask(&open, &[]).stdout).expect("text");
    assert_eq!(said.matches("the daemon was killed between ").count(), 1, "{said}");
    assert!(watch.daemon.stop(Duration::from_secs(10)).success(), "{}", watch.daemon.log());
}
