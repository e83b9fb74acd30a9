//! The matrix of TLS: servers of every make that can be had, each in every setting that it knows and that makes sense (version, kind of
//! key, client certificates, names, protocols inside), scanned by the whole binary in one go under the name of each. Of every one the
//! certificate is had, within the connections that may be made, and it says what OpenSSL reads in the file that the server serves.

mod cell;
mod daemons;
mod front;
mod pairs;
mod truth;

use cell::Cell;
use serde_json::Value;
use std::{collections::BTreeMap, net::IpAddr, thread};
use testkit::{Host, Lab, binary, lacks_root, output_of, server::Bind, skip};

/// Of the scan: the knock, two connections for a port, and one for its name.
const KNOCKS: u64 = 1;

#[test]
fn every_server_shows_its_certificate_within_the_connections_that_may_be_made() {
    const TEST: &str = "every_server_shows_its_certificate_within_the_connections_that_may_be_made";
    if lacks_root(TEST) {
        return;
    }
    if testkit::rig("python/bin/python").is_none() {
        skip(TEST, "tests/rig has not been run");
        return;
    }
    let mut lab = Lab::new();
    let (watcher, dns) = (lab.watcher("watcher", &["10.77.0.1"]), lab.host("dns", &["10.77.0.53"]));
    let prepared = daemons::prepare(&mut lab);
    // These wait for their disks while those compute.
    let (front, daemons) = thread::scope(|scope| {
        let daemons = scope.spawn(move || prepared.start());
        (front::start(&mut lab, &watcher), daemons.join().expect("the daemons start"))
    });
    let cells: Vec<&Cell> = front.cells.iter().chain(&daemons.cells).collect();
    let names: Vec<(&str, IpAddr)> = cells.iter().map(|cell| (&*cell.name, cell.address)).collect();
    let _bind = Bind::start_with(&dns, &names);

    let found = scan(&watcher, &cells);
    let begun = front.connections();
    let connections =
        |cell: &Cell| begun.get(&cell.address).copied().or_else(|| daemons.connections(cell)).unwrap_or(0);
    let mut wrong = Vec::new();
    for cell in &cells {
        wrong.extend(judge(cell, &found));
        let asked = connections(cell).saturating_sub(KNOCKS);
        if !(1..=cell.most).contains(&asked) {
            wrong.push(format!("{}: {asked} connections, {} may be made", cell.label, cell.most));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
    // What the matrix stands for is in it.
    for (make, at_least) in [("openssl", 45), ("nginx", 100), ("gnutls", 30), ("tlslite", 6), ("node", 2)] {
        let count = cells.iter().filter(|cell| cell.label.starts_with(make)).count();
        assert!(count >= at_least, "{count} cells of {make}");
    }
    for make in ["postfix", "dovecot", "vsftpd", "slapd", "postgresql", "mariadb"] {
        assert!(cells.iter().filter(|cell| cell.label.starts_with(make)).count() >= 2, "{make}");
    }
}

/// Every endpoint that the scan shows, by place and name.
type Found = BTreeMap<(String, u64, Option<String>), Value>;

fn scan(watcher: &Host, cells: &[&Cell]) -> Found {
    let config = "[sensor]\nresolvers = [\"10.77.0.53\"]\n[asset.lab]\ntargets = [\"10.77.0.0/16\"]\n\
                  [profile.lab]\nassets = [\"lab\"]\n[store]\npath = \"none.db\"\n";
    let config = watcher.write("scan.toml", config);
    let mut ports: Vec<String> = cells.iter().map(|cell| cell.port.to_string()).collect();
    ports.sort();
    ports.dedup();
    let mut command = watcher.command(&binary().to_string_lossy());
    command.arg("scan").args(cells.iter().map(|cell| cell.host_name()));
    command.args(["--tcp", &ports.join(","), "--mode", "connect", "--json", "--config"]).arg(config);
    command.env("NO_COLOR", "1").env_remove("PERIMETERD_LOG").env("HOME", "/nonexistent");
    let mut found = Found::new();
    for line in output_of(&mut command).lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        if line["kind"] == "endpoint" {
            let ip = line["ip"].as_str().unwrap_or_default().to_owned();
            let name = line["name"].as_str().map(str::to_owned);
            found.insert((ip, line["port"].as_u64().unwrap_or_default(), name), line);
        }
    }
    found
}

/// What is not as it should be with what was found of a cell.
fn judge(cell: &Cell, found: &Found) -> Vec<String> {
    let truth = truth::of(&cell.pair);
    let place = |name: Option<String>| (cell.address.to_string(), u64::from(cell.port), name);
    let mut wrong = Vec::new();
    let mut names = vec![Some(cell.host_name())];
    if !cell.wants_name {
        names.push(None);
    }
    for name in names {
        let whom = name.clone().unwrap_or_else(|| "nobody by name".to_owned());
        let Some(line) = found.get(&place(name)) else {
            wrong.push(format!("{}: nothing is found of {whom}", cell.label));
            continue;
        };
        if line["tls"]["certificate"].is_null() {
            wrong.push(format!("{}: no certificate for {whom}: {line}", cell.label));
            continue;
        }
        for (field, expect) in &truth {
            let said = truth::said(&line["tls"]["certificate"], field);
            if said != *expect {
                wrong.push(format!("{}: its {field} is {said:?} for {whom}, and OpenSSL says {expect:?}", cell.label));
            }
        }
    }
    if cell.wants_name {
        let required = &found.get(&place(None)).map(|line| line["tls"]["posture"]["name_required"].clone());
        if *required != Some(Value::Bool(true)) {
            wrong.push(format!("{}: a name is required, and what is said is {required:?}", cell.label));
        }
    }
    wrong
}
