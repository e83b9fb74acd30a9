//! The matrix of TLS: servers of every make that can be had, each in every setting that it knows and that makes sense (version, kind of
//! key, client certificates, names, protocols inside), scanned by the whole binary in one go under the name of each. Of every one the
//! certificate is had, within the connections that may be made, and it says what OpenSSL reads in the file that the server serves.

mod cell;
mod daemons;
mod front;
mod matrix;
mod pairs;
mod scanning;
mod truth;

use cell::Cell;
use matrix::Matrix;
use scanning::Found;
use serde_json::Value;
use testkit::{Lab, lacks_root, output_of, skip};

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
    let matrix = Matrix::start(&mut lab);
    let cells: Vec<&Cell> = matrix.cells().collect();
    let config = scanning::configuration(&matrix.watcher);
    let found = scanning::read(&output_of(&mut scanning::command(&matrix.watcher, &config, &cells, &[])));
    let mut wrong = Vec::new();
    for (cell, begun) in cells.iter().zip(matrix.connections(&cells)) {
        wrong.extend(judge(cell, &found));
        let asked = begun.saturating_sub(KNOCKS);
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
        let version = line["tls"]["version"].as_str().unwrap_or_default();
        // Where the handshake was left after the certificate it may not be told.
        if version != "unknown" && !cell.offers.contains(&version) {
            wrong.push(format!("{}: {version:?} is spoken with {whom}, and it has {:?}", cell.label, cell.offers));
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
