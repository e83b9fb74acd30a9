//! The daemon is killed over and over while everything around it changes: nothing it stored or told is lost, and nothing is
//! told under two names.
//!
//! `PERIMETERD_KILLS=100` for more kills than the usual.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use testkit::{Process, binary, eventually};
use tokio::time::Instant;

const KILLS: u64 = 20;
const HOSTS: u8 = 16;
const PORTS: u16 = 48;
/// So many a second open or close. A port's turn comes again after minutes, so that hardly one of them flaps.
const CHANGES: u32 = 5;
/// So many are open at a time.
const OPEN: usize = 100;
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

/// Where it happens: a network of our own, and ports on it that nobody else has.
#[derive(Debug, Clone, Copy)]
struct Place {
    net: u8,
    first_port: u16,
}

impl Place {
    fn find() -> Self {
        // Another run beside this one has another.
        let net = 64 + u8::try_from(std::process::id() % 128).expect("small");
        let is_free = |port: u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        let mut blocks = (12_001..30_000).step_by(PORTS.into());
        let first_port = blocks.find(|first| (*first..first + PORTS).all(is_free)).expect("some ports are free");
        Self { net, first_port }
    }

    fn address(self, host: u8, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, self.net, 0, host), port))
    }
}

/// Ports that open and close, one after the other, until it is dropped. Whoever connects is hung up on.
#[derive(Default)]
struct Bustle {
    open: Arc<Mutex<BTreeMap<SocketAddr, TcpListener>>>,
    still: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Bustle {
    fn begin(place: Place) -> Self {
        let mut bustle = Self::default();
        let (open, still, ended) = (bustle.open.clone(), bustle.still.clone(), bustle.ended.clone());
        let thread = thread::spawn(move || {
            let mut order = VecDeque::new();
            // Each has its turn before the first comes again, and every host has something open at any time: one that refuses
            // everything would be taken for one that has banned the sensor.
            let mut turns = 0_u32..;
            for step in 0_u32.. {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                {
                    let mut open = open.lock().expect("nobody panicked");
                    if !still.load(Ordering::SeqCst) {
                        if step % 2 == 1 && order.len() > OPEN {
                            open.remove(&order.pop_front().expect("some are open"));
                        } else {
                            let turn = turns.next().expect("there are enough");
                            open_next(&mut open, &mut order, place, turn);
                        }
                    }
                    for listener in open.values() {
                        // A full queue of connections would look like a port that falls silent.
                        while listener.accept().is_ok() {}
                    }
                }
                thread::sleep(Duration::from_secs(1) / CHANGES);
            }
        });
        bustle.thread = Some(thread);
        bustle
    }

    /// Nothing changes any more; gives what is open.
    fn still(&self) -> BTreeSet<SocketAddr> {
        self.still.store(true, Ordering::SeqCst);
        self.open.lock().expect("every port could be opened").keys().copied().collect()
    }
}

impl Drop for Bustle {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || thread::panicking(), "a port could not be opened");
        }
    }
}

fn open_next(open: &mut BTreeMap<SocketAddr, TcpListener>, order: &mut VecDeque<SocketAddr>, place: Place, turn: u32) {
    // Coprime to how many there are, and to how many hosts.
    let number = turn.wrapping_mul(331) % (u32::from(HOSTS) * u32::from(PORTS));
    let host = u8::try_from(number % u32::from(HOSTS)).expect("small") + 1;
    let port = place.first_port + u16::try_from(number / u32::from(HOSTS)).expect("small");
    let address = place.address(host, port);
    let listener = TcpListener::bind(address).expect("the port is free");
    listener.set_nonblocking(true).expect("sets");
    open.insert(address, listener);
    order.push_back(address);
}

fn configuration(folder: &Path, place: Place) -> String {
    let (dir, Place { net, first_port }) = (folder.display(), place);
    format!(
        r#"
[store]
path = "{dir}/perimeter.db"

[console]
listen = "127.0.0.1:0"

[profile.bustle]
targets = ["127.{net}.0.1-127.{net}.0.{HOSTS}"]
rulesets = ["builtin:perimeter"]
storm = 1000000
scan = {{ hot = "1s", known = "1s", likely = "never", full = "never", hot_ports = "{first_port}-{last}" }}
confirm = {{ port_closed = {{ passes = 2, at_least = "1s" }}, host_lost = {{ passes = 2, at_least = "1s" }} }}

[recipient.file]
jsonl = "{dir}/alerts.jsonl"
every = "immediate"
"#,
        last = first_port + PORTS - 1,
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

/// The last that was said of each port, where it was open or closed by turns: nothing is told twice, and nothing left out.
fn ports(events: &BTreeMap<u64, Value>) -> BTreeMap<SocketAddr, bool> {
    let mut last = BTreeMap::new();
    for (seq, event) in events {
        let opened = match text(&event["type"]).as_str() {
            "PORT_OPEN" => true,
            "PORT_CLOSED" => false,
            _ => continue,
        };
        let ip = text(&event["host"]["ip"]).parse().expect("an address");
        let port = event["endpoint"]["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
        let before = last.insert(SocketAddr::new(ip, port), opened);
        assert_ne!(before, Some(opened), "{ip}:{port} did so twice, the second time in event {seq}");
    }
    last
}

/// The ports that are held to be open.
fn believed(config: &Path) -> Option<BTreeSet<SocketAddr>> {
    let rows = ask(config, &["services", "--json", "--limit", "1000000"])?;
    let open = rows.iter().filter(|row| row["state"] == "open");
    Some(
        open.map(|row| {
            let port = row["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
            SocketAddr::new(text(&row["ip"]).parse().expect("an address"), port)
        })
        .collect(),
    )
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
#[expect(clippy::print_stdout, reason = "the figures stand in docs/performance.md")]
fn killed_over_and_over_it_loses_nothing() {
    // Built before anything changes.
    binary();
    let began = Instant::now();
    let kills = std::env::var("PERIMETERD_KILLS").map_or(KILLS, |text| text.parse().expect("a number"));
    let place = Place::find();
    // It stays where something went wrong, for whoever looks into it.
    let folder =
        tempfile::Builder::new().prefix("perimeterd-killed-").disable_cleanup(true).tempdir().expect("a folder");
    let config = folder.path().join("perimeterd.toml");
    fs::write(&config, configuration(folder.path(), place)).expect("writes");
    let log = folder.path().join("log");
    let mut chance = Chance(0x5eed);
    let bustle = Bustle::begin(place);
    // Every event ever heard of, by its place.
    let mut known: BTreeMap<u64, Value> = BTreeMap::new();
    let mut heard: BTreeSet<String> = BTreeSet::new();
    for round in 0..=kills {
        let mut command = Command::new(binary());
        command.args(["run", "--config"]).arg(&config).env("NO_COLOR", "1");
        let mut daemon = Process::start("perimeterd", &mut command, &log);
        if round < kills && round % 5 == 4 {
            // In the middle of its start. This is the moment of the cut, not a wait for luck; so it is below.
            thread::sleep(Duration::from_millis(chance.below(300)));
            daemon.must_run();
            daemon.kill();
            continue;
        }
        let events = eventually(format_args!("the daemon of round {round}"), PATIENCE, || {
            daemon.must_run();
            ask(&config, &["events", "--json", "--after", "0", "--limit", "1000000"])
        });
        let mut now: BTreeMap<u64, Value> = BTreeMap::new();
        for event in events {
            let seq = event["seq"].as_u64().expect("a sequence number");
            assert!(now.insert(seq, event).is_none(), "round {round}: {seq} twice");
        }
        for (seq, before) in &known {
            let after = now.get(seq).map(|event| (text(&event["id"]), fact(event)));
            assert_eq!(after, Some((text(&before["id"]), fact(before))), "round {round}: an event was lost or changed");
        }
        let ids: BTreeSet<_> = now.values().map(|event| text(&event["id"])).collect();
        let facts: BTreeSet<_> = now.values().map(fact).collect();
        assert_eq!((ids.len(), facts.len()), (now.len(), now.len()), "round {round}: told under two ids");
        // Whatever was told had been stored.
        assert!(heard.is_subset(&ids), "round {round}: told but not stored: {:?}", heard.difference(&ids));
        ports(&now);
        known = now;
        if round == kills {
            let open = bustle.still();
            eventually("the truth to be known", PATIENCE, || {
                daemon.must_run();
                (believed(&config)? == open).then_some(())
            });
            drop(bustle);
            let owed = alerts(&config);
            eventually("everything that is owed to be told", PATIENCE, || {
                daemon.must_run();
                let told: BTreeSet<_> = told(folder.path()).iter().flat_map(alert_ids).collect();
                owed.is_subset(&told).then_some(())
            });
            assert!(daemon.stop(Duration::from_secs(10)).success(), "{}", daemon.log());
            break;
        }
        // As soon as it has told some more, and a moment later: it is at work then.
        let (before, more) = (told(folder.path()).len() as u64, chance.below(12));
        eventually(format_args!("news in round {round}"), PATIENCE, || {
            daemon.must_run();
            (told(folder.path()).len() as u64 >= before + more).then_some(())
        });
        thread::sleep(Duration::from_millis(chance.below(400)));
        daemon.must_run();
        daemon.kill();
        heard = told(folder.path()).iter().map(|event| text(&event["id"])).collect();
    }
    assert!(known.len() as u64 > 2 * kills, "only {} events: not busy", known.len());
    assert!(!heard.is_empty(), "nothing was told");
    fs::remove_dir_all(folder.path()).expect("removes");
    println!("killed {kills} times: {} events, {:.0} s", known.len(), began.elapsed().as_secs_f64());
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
