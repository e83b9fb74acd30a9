//! Debian's real servers, each on a host of its own and on a port that says nothing: who they are, what it costs to know, and how
//! long it takes. The truth is what their packages say.

#![expect(clippy::print_stdout, reason = "what was told, at what cost, is there to be read")]

mod asking;
mod datagrams;
mod running;
mod servers;
mod strangers;
mod truth;

use asking::Row;
use running::{Ports, SEED};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};
use testkit::{Authority, Lab, lacks_root};

fn table(rows: &[Row]) -> String {
    let mut table = String::new();
    for row in rows {
        let _ = writeln!(
            table,
            "{:<44} {:<44} {:>2} {:>6.2} s  {}",
            format!("{}:{}", row.label, row.port),
            row.told,
            row.connections,
            row.took.as_secs_f64(),
            row.wrong.join(", ")
        );
    }
    table
}

#[test]
fn real_servers_are_named() {
    if lacks_root("real_servers_are_named") {
        return;
    }
    let mut per_protocol: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for server in servers::all() {
        per_protocol.entry(server.protocol).or_default().insert(server.package);
    }
    assert!(per_protocol.len() >= 20 && servers::all().count() >= 30, "too few to prove anything: {per_protocol:?}");
    assert!(per_protocol.values().all(|packages| packages.len() <= 3), "{per_protocol:?}");

    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let mut ports = Ports::new();
    println!("{SEED}={}", ports.seed());
    let running = running::start(&mut lab, &Authority::new("Lab Example CA"), &mut ports, servers::all());
    let rows: Vec<Row> = running.iter().map(|one| asking::row(&watcher, &one.host, one.port, one.server)).collect();
    let table = table(&rows);
    println!("{table}");

    let mut times: Vec<Duration> = rows.iter().map(|row| row.took).collect();
    times.sort();
    let half = times[times.len() / 2];
    let connections: u64 = rows.iter().map(|row| row.connections).sum();
    let count = u64::try_from(rows.len()).expect("few");
    println!(
        "connections: {connections} for {count}; half within {:.2} s, all within {:.2} s",
        half.as_secs_f64(),
        times[times.len() - 1].as_secs_f64()
    );
    let wrong = rows.iter().filter(|row| !row.wrong.is_empty()).count();
    assert_eq!(wrong, 0, "\n{table}");
    assert!(connections * 10 <= count * 22, "{connections} connections for {count} servers\n{table}");
    assert!(half <= Duration::from_secs(2), "half of them took more than {half:?}\n{table}");
}
