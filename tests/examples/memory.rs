//! What the daemon's memory grows to with the endpoints it knows: loopback addresses of 127.16.0.0/12 that all answer on
//! ten ports, 100 of them and then 10,000.
//!
//! `cargo run --release -p tests --example memory`

use jiff::Timestamp;
use std::{
    error::Error,
    fs,
    io::Write,
    net::TcpListener,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use testkit::Process;

const FIRST_PORT: u16 = 20_300;
const PORTS: u16 = 10;
const LIMIT: Duration = Duration::from_mins(15);

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a benchmark prints what it measured, and when")]
fn main() -> Result<(), Box<dyn Error>> {
    for port in FIRST_PORT..FIRST_PORT + PORTS {
        let listener = TcpListener::bind(("0.0.0.0", port))?;
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                // Whoever hung up already is not interested.
                let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
            }
        });
    }
    // Built before anything is timed.
    testkit::binary();
    for addresses in [0_u32, 100, 10_000] {
        let (kib, seconds) = measure(addresses)?;
        println!(
            "{{\"benchmark\":\"memory\",\"date\":\"{}\",\"endpoints\":{},\"rss_mib\":{:.1},\"baseline_s\":{seconds:.1}}}",
            Timestamp::now(),
            addresses * u32::from(PORTS),
            f64::from(kib) / 1024.0
        );
    }
    Ok(())
}

/// The daemon's resident memory in KiB once it knows everything, and how long that took.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn measure(addresses: u32) -> Result<(u32, f64), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("perimeterd.toml");
    let last = u32::from(std::net::Ipv4Addr::new(127, 16, 0, 1)) + addresses.max(1) - 1;
    let ports = if addresses == 0 { "1".to_owned() } else { format!("{FIRST_PORT}-{}", FIRST_PORT + PORTS - 1) };
    fs::write(
        &config,
        format!(
            r#"
[sensor]
rate = "50k/s"
rate_per_host = "1k/s"
[store]
path = "{database}"
[console]
listen = "none"
[asset.loopback]
targets = ["127.16.0.1-{last}"]
[profile.loopback]
assets = ["loopback"]
scan = {{ hot = "30s", known = "1h", likely = "never", full = "never", hot_ports = "{ports}", identify = "1d" }}
"#,
            database = folder.path().join("perimeter.db").display(),
            last = std::net::Ipv4Addr::from(last),
        ),
    )?;
    let begun = Instant::now();
    let daemon = Process::start(
        "perimeterd",
        Command::new(testkit::binary()).args(["run", "--config"]).arg(&config),
        &folder.path().join("log"),
    );
    while !has_baseline(&config)? {
        if begun.elapsed() > LIMIT {
            return Err(format!("no baseline within {LIMIT:?}").into());
        }
        thread::sleep(Duration::from_millis(200));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id()))?;
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("the kernel shows no VmRSS")?;
    Ok((rss.parse()?, seconds))
}

fn has_baseline(config: &Path) -> Result<bool, Box<dyn Error>> {
    let events = Command::new(testkit::binary()).args(["events", "--json", "--config"]).arg(config).output()?;
    Ok(String::from_utf8_lossy(&events.stdout).contains("BASELINE_DONE"))
}
