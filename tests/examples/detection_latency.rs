//! How long from opening a port to its CEF line: 50 openings, one after the other, against the real daemon on loopback.
//!
//! `cargo run --release -p tests --example detection_latency`

use jiff::Timestamp;
use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use testkit::Process;

const OPENINGS: u16 = 50;
const FIRST_PORT: u16 = 20_100;
/// The hot lane's period in seconds.
const PERIOD: u64 = 5;
const LIMIT: Duration = Duration::from_mins(1);

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a benchmark measures real time and prints it")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let siem = TcpListener::bind("127.0.0.1:0")?;
    let config = folder.path().join("perimeterd.toml");
    let last = FIRST_PORT + OPENINGS - 1;
    fs::write(
        &config,
        format!(
            r#"
[sensor]
name = "bench"
rate = "20k/s"
rate_per_host = "20k/s"
[store]
path = "{database}"
[console]
listen = "none"
[asset.loopback]
targets = ["127.0.0.1"]
[profile.loopback]
assets = ["loopback"]
scan = {{ hot = "{PERIOD}s", known = "{PERIOD}s", likely = "never", full = "never", hot_ports = "{FIRST_PORT}-{last}" }}
[recipient.siem]
syslog = {{ address = "tcp://{siem}", format = "cef", framing = "lf" }}
every = "immediate"
"#,
            database = folder.path().join("perimeter.db").display(),
            siem = siem.local_addr()?,
        ),
    )?;
    let _daemon = Process::start(
        "perimeterd",
        Command::new(testkit::binary()).args(["run", "--config"]).arg(&config),
        &folder.path().join("log"),
    );
    let lines = cef_lines(siem);
    wait_for(&lines, "BASELINE_DONE")?;

    let mut latencies = Vec::new();
    let mut open = Vec::new();
    for n in 0..OPENINGS {
        // Openings fall at all phases of the period.
        thread::sleep(Duration::from_millis(u64::from(n) * 137 % 1_000));
        let port = FIRST_PORT + n;
        let begun = Instant::now();
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        thread::spawn(move || listener.incoming().for_each(drop));
        open.push(port);
        let seen = wait_for(&lines, &format!(" dpt={port} "))?;
        latencies.push(seen.duration_since(begun));
    }
    latencies.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = ((latencies.len() - 1) as f64 * share).round() as usize;
        latencies[index].as_secs_f64()
    };
    println!(
        "{{\"benchmark\":\"detection_latency\",\"date\":\"{}\",\"openings\":{},\"lane_period_s\":{PERIOD},\"p50_s\":{:.2},\"p99_s\":{:.2},\"max_s\":{:.2}}}",
        Timestamp::now(),
        latencies.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// Every line that reaches the listener, with when it came.
fn cef_lines(siem: TcpListener) -> mpsc::Receiver<(Instant, String)> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for stream in siem.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            thread::spawn(move || read_lines(stream, &sender));
        }
    });
    lines
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn read_lines(stream: TcpStream, sender: &mpsc::Sender<(Instant, String)>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if sender.send((Instant::now(), line)).is_err() {
            return;
        }
    }
}

fn wait_for(lines: &mpsc::Receiver<(Instant, String)>, text: &str) -> Result<Instant, Box<dyn Error>> {
    loop {
        let (at, line) = lines.recv_timeout(LIMIT).map_err(|_| format!("no line with `{text}` within {LIMIT:?}"))?;
        if line.contains(text) {
            return Ok(at);
        }
    }
}
