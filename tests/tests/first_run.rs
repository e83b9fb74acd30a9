//! The first minutes of a new user: no configuration, no privilege, and one scan on demand.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write,
    net::TcpListener,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use testkit::{Process, binary, eventually, run_binary as run};

/// Speaks like an SSH server to everybody.
fn ssh_like() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Whoever hung up already is not interested.
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
        }
    });
    port
}

#[test]
fn without_a_configuration_it_lists_and_then_tells() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let port = ssh_like();
    let mut command = Command::new(binary());
    command.env("HOME", home.path()).env("NO_COLOR", "1").env_remove("XDG_STATE_HOME").env_remove("RUNTIME_DIRECTORY");
    let mut daemon = Process::start("perimeterd", &mut command, &home.path().join("out"));
    eventually("the inventory", Duration::from_secs(90), || {
        daemon.must_run();
        daemon.log().lines().any(|line| line.contains(&port.to_string()) && line.contains("OpenSSH")).then_some(())
    });
    eventually("the baseline", Duration::from_secs(90), || daemon.log().contains("Watching for changes").then_some(()));
    let opened = ssh_like();
    eventually("the opening", Duration::from_mins(1), || {
        daemon.must_run();
        let log = daemon.log();
        log.lines().any(|line| line.contains("PORT_OPEN") && line.contains(&opened.to_string())).then_some(())
    });
    assert!(daemon.stop(Duration::from_secs(5)).success(), "{}", daemon.log());
}

#[test]
fn a_scan_finds_exactly_what_listens() {
    let ssh = u64::from(ssh_like());
    // Other programs open ports meanwhile, some for a moment: what listened before and after must be found, and nothing that was never
    // seen to listen.
    let before = listening();
    let over = AtomicBool::new(false);
    let (output, mut ever) = thread::scope(|scope| {
        let seen = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                seen.extend(listening());
                thread::sleep(Duration::from_millis(10));
            }
            seen
        });
        let output = run(&["scan", "127.0.0.1", "--tcp", "1-65535", "--rate", "100k/s", "--no-identify", "--json"]);
        over.store(true, Ordering::Relaxed);
        (output, seen.join().expect("no bug"))
    });
    let after = listening();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is an object"))
        .collect();
    let found: BTreeSet<u64> =
        lines.iter().filter(|line| line["kind"] == "endpoint").filter_map(|line| line["port"].as_u64()).collect();
    let all_along: BTreeSet<u64> = before.intersection(&after).copied().collect();
    assert!(all_along.contains(&ssh), "the kernel's table is read wrongly");
    assert!(found.is_superset(&all_along), "missed {:?}", all_along.difference(&found));
    ever.extend(before.union(&after));
    assert!(found.is_subset(&ever), "made up {:?}", found.difference(&ever));
    let summary = lines.last().expect("there is a summary");
    assert_eq!(summary["kind"], "summary");
    assert_eq!(summary["probes"].as_u64(), Some(65_535), "{summary}");
}

#[test]
fn a_scan_names_what_answers() {
    let port = ssh_like().to_string();
    let output = run(&["scan", "127.0.0.1", "--tcp", &port, "--json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let endpoint: Value = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("every line is an object"))
        .find(|line| line["kind"] == "endpoint")
        .unwrap_or_else(|| panic!("no endpoint in\n{text}"));
    assert_eq!(endpoint["state"], "open");
    assert_eq!(endpoint["service"]["name"], "ssh");
    assert_eq!(endpoint["service"]["product"], "OpenSSH");
    assert_eq!(endpoint["service"]["version"], "9.2p1");
}

/// The ports of 127.0.0.1 something listens on: there, on all addresses, or on all of both families.
fn listening() -> BTreeSet<u64> {
    let mut ports = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(table) = std::fs::read_to_string(table) else { continue };
        ports.extend(table.lines().skip(1).filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (address, port) = fields.next()?.split_once(':')?;
            let reached = address == "0100007F" || address.bytes().all(|digit| digit == b'0');
            let listens = fields.nth(1)? == "0A";
            if reached && listens { u64::from_str_radix(port, 16).ok() } else { None }
        }));
    }
    ports
}
