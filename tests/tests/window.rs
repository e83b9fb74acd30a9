//! A window, by the whole binary on loopback: who is ruled out at this hour gets no packet, and is asked once he may be.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output},
    thread,
    time::Duration,
};
use testkit::{Process, binary, eventually};

const PATIENCE: Duration = Duration::from_mins(1);
/// Several periods of every lane.
const WATCHED: Duration = Duration::from_secs(8);

struct Watch {
    folder: tempfile::TempDir,
    config: PathBuf,
    port: u16,
}

impl Watch {
    /// With a window that lasts from so many hours from now on to so many.
    fn write(&self, from: i64, to: i64) {
        let now: Timestamp = model::Clock::now(&model::SystemClock);
        let hour =
            |hours| (now + SignedDuration::from_hours(hours)).to_zoned(TimeZone::UTC).strftime("%H:%M").to_string();
        let text = format!(
            r#"
[store]
path = "{}/perimeter.db"

[console]
listen = "127.0.0.1:0"

[profile.night]
targets = ["127.0.93.2"]
scan = {{ hot = "1s", known = "1s", likely = "2s", full = "never", tcp = "{port}", udp = "none", hot_ports = "{port}", window = "{}-{}", zone = "UTC" }}

[profile.always]
targets = ["127.0.93.3"]
scan = {{ hot = "1s", known = "1s", likely = "never", full = "never", hot_ports = "{port}" }}
"#,
            self.folder.path().display(),
            hour(from),
            hour(to),
            port = self.port,
        );
        fs::write(&self.config, text).expect("written");
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--config").arg(&self.config).env("NO_COLOR", "1").env_remove("RUNTIME_DIRECTORY");
        command.output().expect("runs")
    }

    fn said(&self, arguments: &[&str]) -> String {
        let Output { stdout, stderr, .. } = self.command(arguments);
        String::from_utf8([stdout, stderr].concat()).expect("text")
    }
}

/// Connections that wait to be accepted.
fn met(listener: &TcpListener) -> usize {
    listener.set_nonblocking(true).expect("a socket");
    std::iter::from_fn(|| listener.accept().ok()).count()
}

#[test]
fn who_is_ruled_out_at_this_hour_gets_no_packet() {
    let ruled_out = TcpListener::bind("127.0.93.2:0").expect("a port is free");
    let port = ruled_out.local_addr().expect("bound").port();
    let always = TcpListener::bind(("127.0.93.3", port)).expect("a port is free");
    let folder = tempfile::tempdir().expect("a folder");
    let watch = Watch { config: folder.path().join("perimeterd.toml"), folder, port };
    watch.write(3, 5);
    let checked = watch.said(&["check"]);
    assert!(checked.contains("asks in its window only: "), "{checked}");
    let mut command = Command::new(binary());
    command.args(["run", "--config"]).arg(&watch.config).env("NO_COLOR", "1").env_remove("RUNTIME_DIRECTORY");
    let mut daemon = Process::start("perimeterd", &mut command, &watch.folder.path().join("out"));
    eventually("it watches what it may", PATIENCE, || {
        daemon.must_run();
        (met(&always) > 0).then_some(())
    });
    let said = watch.said(&["scan-now", "night"]);
    assert!(said.contains("begin when its window opens, at "), "{said}");
    thread::sleep(WATCHED);
    assert!(met(&always) > 2, "{}", daemon.log());
    assert_eq!(met(&ruled_out), 0, "{}", daemon.log());
    let status = watch.said(&["status"]);
    assert!(status.contains("never, its window opens in 2h"), "{status}");
    let asked = watch.command(&["probes", "127.0.93.2"]);
    assert_eq!(asked.status.code(), Some(1), "{}", String::from_utf8_lossy(&asked.stdout));
    // The window is another one, and open.
    watch.write(-1, 1);
    let said = watch.said(&["reload"]);
    eventually("it is asked once it may be", PATIENCE, || {
        daemon.must_run();
        (met(&ruled_out) > 0).then_some(())
    });
    let status = watch.said(&["status"]);
    assert!(!status.contains("its window opens"), "{said} {status}");
    let said = watch.said(&["scan-now", "night"]);
    assert!(said.contains("3 lanes of `night` come round now"), "{said}");
    assert!(daemon.stop(Duration::from_secs(10)).success(), "{}", daemon.log());
}
