//! The daemon is killed over and over while everything around it changes: nothing it stored or told is lost, and nothing is
//! told under two names.
//!
//! `PERIMETERD_KILLS=100` for more kills than the usual.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use testkit::{Process, binary, eventually};

const KILLS: u64 = 20;
const HOSTS: u8 = 6;
const FIRST_PORT: u16 = 2_001;
const PORTS: u16 = 8;
const PATIENCE: Duration = Duration::from_mins(1);

/// Numbers by chance that are the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}

/// Ports that open and close until it is dropped.
struct Bustle {
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Bustle {
    fn begin() -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut chance = Chance(0x0dd0_5eed);
            let mut open: BTreeMap<SocketAddr, TcpListener> = BTreeMap::new();
            while !until.load(Ordering::Relaxed) {
                let host = u8::try_from(chance.below(HOSTS.into())).expect("small") + 1;
                let port = FIRST_PORT + u16::try_from(chance.below(PORTS.into())).expect("small");
                let address = SocketAddr::from((Ipv4Addr::new(127, 88, 0, host), port));
                if open.remove(&address).is_none() {
                    open.insert(address, TcpListener::bind(address).expect("the port is free"));
                }
                thread::sleep(Duration::from_millis(60));
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Bustle {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || thread::panicking(), "a port could not be opened");
        }
    }
}

fn configuration(folder: &Path) -> String {
    let dir = folder.display();
    format!(
        r#"
[store]
path = "{dir}/perimeter.db"

[console]
listen = "127.0.0.1:0"

[profile.bustle]
targets = ["127.88.0.1-127.88.0.{HOSTS}"]
rulesets = ["builtin:perimeter"]
scan = {{ hot = "1s", known = "1s", likely = "never", full = "never", hot_ports = "{FIRST_PORT}-{last}" }}
confirm = {{ port_closed = {{ passes = 2, at_least = "1s" }}, host_lost = {{ passes = 2, at_least = "1s" }} }}

[recipient.file]
jsonl = "{dir}/alerts.jsonl"
every = "immediate"
"#,
        last = FIRST_PORT + PORTS - 1,
    )
}

/// What the daemon is asked, as JSON Lines; none while it does not answer.
fn ask(config: &Path, arguments: &[&str]) -> Option<Vec<Value>> {
    let output = Command::new(binary()).args(arguments).arg("--config").arg(config).output().expect("runs");
    let text = String::from_utf8(output.stdout).expect("text");
    output.status.success().then(|| text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Lines that were written whole: the last may have been cut short by the kill.
fn told(folder: &Path) -> Vec<Value> {
    let written = fs::read_to_string(folder.join("alerts.jsonl")).unwrap_or_default();
    written.split_inclusive('\n').filter_map(|line| serde_json::from_str(line.strip_suffix('\n')?).ok()).collect()
}

/// What an event says happened, without the names it goes by.
fn fact(event: &Value) -> String {
    ["/type", "/host/ip", "/endpoint/transport", "/endpoint/port", "/time", "/profile"]
        .iter()
        .map(|part| event.pointer(part).unwrap_or(&Value::Null).to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn killed_over_and_over_it_loses_nothing() {
    let kills = std::env::var("PERIMETERD_KILLS").map_or(KILLS, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("perimeterd.toml");
    fs::write(&config, configuration(folder.path())).expect("writes");
    let log = folder.path().join("log");
    let mut chance = Chance(0x5eed);
    let mut bustle = Some(Bustle::begin());
    // Every event ever heard of, by its place: its id, and what it says.
    let mut known: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let mut heard: BTreeSet<String> = BTreeSet::new();
    for round in 0..=kills {
        let mut command = Command::new(binary());
        command.args(["run", "--config"]).arg(&config).env("NO_COLOR", "1");
        let mut daemon = Process::start("perimeterd", &mut command, &log);
        let events = eventually(format_args!("the daemon of round {round}"), PATIENCE, || {
            daemon.must_run();
            ask(&config, &["events", "--json", "--after", "0", "--limit", "1000000"])
        });
        let mut now: BTreeMap<u64, (String, String)> = BTreeMap::new();
        for event in &events {
            let seq = event["seq"].as_u64().expect("a sequence number");
            assert_eq!(now.insert(seq, (text(&event["id"]), fact(event))), None, "round {round}: {seq} twice");
        }
        for (seq, before) in &known {
            assert_eq!(now.get(seq), Some(before), "round {round}: an event was lost or changed");
        }
        let ids: BTreeSet<_> = now.values().map(|(id, _)| id.clone()).collect();
        let facts: BTreeSet<_> = now.values().map(|(_, fact)| fact).collect();
        assert_eq!((ids.len(), facts.len()), (now.len(), now.len()), "round {round}: told under two ids");
        // Whatever was told had been stored.
        assert!(heard.is_subset(&ids), "round {round}: told but not stored: {:?}", heard.difference(&ids));
        known = now;
        if round == kills {
            drop(bustle.take());
            let owed = alerts(&config);
            eventually("everything that is owed to be told", PATIENCE, || {
                daemon.must_run();
                let told: BTreeSet<_> = told(folder.path()).iter().flat_map(alert_ids).collect();
                owed.is_subset(&told).then_some(())
            });
            assert!(daemon.stop(Duration::from_secs(10)).success(), "{}", daemon.log());
            break;
        }
        // Sometimes in the middle of its start, sometimes long after it. This is the moment of the cut, not a wait for luck.
        thread::sleep(Duration::from_millis(chance.below(6_000)));
        daemon.must_run();
        daemon.kill();
        heard = told(folder.path()).iter().map(|event| text(&event["id"])).collect();
    }
    assert!(known.len() as u64 > 2 * kills, "only {} events: not busy", known.len());
    assert!(!heard.is_empty(), "nothing was told");
}

/// The ids of all alerts there are.
fn alerts(config: &Path) -> BTreeSet<String> {
    let rows =
        eventually("the alerts", PATIENCE, || ask(config, &["events", "--json", "--after", "0", "--limit", "1000000"]));
    rows.iter().flat_map(alert_ids).collect()
}

fn alert_ids(event: &Value) -> Vec<String> {
    let alerts = event["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
    alerts.iter().map(|alert| text(&alert["id"])).collect()
}
