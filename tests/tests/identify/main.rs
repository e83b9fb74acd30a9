//! Debian's real servers, each on a host of its own and on a port that says nothing: who they are, what it costs to know, and how
//! long it takes. The truth is what their packages say.

#![expect(clippy::print_stdout, reason = "what was told, at what cost, is there to be read")]

mod asking;
mod datagrams;
mod running;
#[path = "../sensor/mod.rs"]
mod sensor;
mod servers;
mod strangers;
mod truth;

use asking::Row;
use model::Endpoint;
use running::{Ports, Running, SEED};
use sensor::{Sensor, TIMES};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};
use testkit::{Authority, Host, Lab, lacks_root};

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
    let slow = rows.iter().filter(|row| row.took > Duration::from_secs(2)).map(|row| row.port).collect();
    verified_again_and_again(&watcher, &running, &slow);
}

/// Each of them [`TIMES`], an hour apart by the sensor's clock: nobody seems to have changed, and one connection is enough. Who takes
/// seconds to greet would take all day; he is asked as often, and sooner, in `reverify`.
fn verified_again_and_again(watcher: &Host, running: &[Running], slow: &BTreeSet<u16>) {
    let asked: Vec<&Running> = running.iter().filter(|one| !slow.contains(&one.port)).collect();
    let endpoints: Vec<Endpoint> = asked.iter().map(|one| Endpoint::tcp(one.host.address(), one.port)).collect();
    let rounds = watcher.namespace().enter({
        let endpoints = endpoints.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            // Each at its own pace.
            let sensors = endpoints.into_iter().map(|endpoint| async move {
                let (mut sensor, begun) = (Sensor::new(), tokio::time::Instant::now());
                let mut used = sensor.watch(&[endpoint], || ()).await;
                (sensor, used.remove(&endpoint).unwrap_or_default(), begun.elapsed())
            });
            runtime.block_on(futures_util::future::join_all(sensors))
        }
    });
    let sensors = rounds.join().expect("the rounds went through");
    let mut wrong = Vec::new();
    for ((one, endpoint), (sensor, connections, took)) in asked.iter().zip(&endpoints).zip(sensors) {
        let label = one.server.label();
        let known = sensor.inventory.remembered(endpoint).and_then(|known| known.prior);
        let name = known.as_ref().map(|service| service.name.as_str());
        let sum: usize = connections.iter().sum();
        println!("{label:<36} {TIMES} verifications, {sum} connections, {:.2} s", took.as_secs_f64());
        if name != Some(one.server.protocol) {
            wrong.push(format!("{label} is {name:?} in the end"));
        }
        if connections.iter().filter(|count| **count == 1).count() * 10 < connections.len() * 9 {
            wrong.push(format!("{label}: {sum} connections for {TIMES} verifications"));
        }
        wrong
            .extend(sensor.told.iter().map(|event| format!("{label}: {} {:?} {:?}", event.kind, event.old, event.new)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
