//! What is asked by one datagram: the sweep's own names who answers, and silence is not called open.

use crate::servers::datagram;
use serde_json::Value;
use testkit::{
    Authority, Host, Lab, binary, lacks_root, output_of,
    server::{Script, Socket},
};

#[test]
fn the_sweeps_own_datagram_names_who_answers() {
    if lacks_root("the_sweeps_own_datagram_names_who_answers") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let authority = Authority::new("Lab Example CA");
    let mut running = Vec::new();
    for (number, (port, server)) in datagram::ALL.iter().enumerate() {
        let host = lab.host(&format!("u{number}"), &[&format!("10.77.0.{}", number + 10)]);
        let identity = authority.issue(&["lab.example"], host.addresses());
        let script = Script::start(&host, server.package, server.script, Socket::Udp(*port), &identity);
        running.push((host, *port, server, script));
    }
    let failed: Vec<String> = running.iter_mut().filter_map(|(.., script)| script.wait().err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));

    // Nobody listens there, and nobody says so: it stays open or filtered.
    let quiet = lab.host("quiet", &["10.77.0.250"]);
    quiet.run("nft", &["add table inet quiet; add chain inet quiet in { type filter hook input priority 0; }"]);
    quiet.run("nft", &["add rule inet quiet in meta l4proto udp drop"]);

    let mut wrong = Vec::new();
    for (host, port, server, _) in &running {
        count_datagrams(host);
        let endpoints = scan(&watcher, &host.address().to_string(), *port);
        let sent = datagrams(host);
        let service = endpoints.first().map_or(&Value::Null, |endpoint| &endpoint["service"]);
        let text = |field: &str| service[field].as_str();
        println!(
            "{:<32} {:<16} {:<24} {:<12} {sent} datagrams",
            server.label(),
            text("name").unwrap_or("-"),
            text("product").unwrap_or("-"),
            text("version").unwrap_or("-")
        );
        let complaints = server.judge(text("name"), text("product"), text("version"));
        if !complaints.is_empty() {
            wrong.push(format!("{}: {} ({endpoints:?})", server.label(), complaints.join(", ")));
        }
        if sent != 1 {
            wrong.push(format!("{}: {sent} datagrams for one answer", server.label()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for port in [53, 9999] {
        assert_eq!(scan(&watcher, "10.77.0.250", port), Vec::<Value>::new(), "silence on {port}");
    }
}

/// Counts what arrives there by UDP from the watcher from now on, however it was sent.
fn count_datagrams(host: &Host) {
    let path = host.write(
        "datagrams.nft",
        "table inet datagrams {\n counter asked { }\n chain arriving {\n type filter hook prerouting priority -300;\n \
         ip saddr 10.77.0.1 meta l4proto udp counter name asked\n }\n}\n",
    );
    host.run("nft", &["-f", &path.to_string_lossy()]);
}

fn datagrams(host: &Host) -> u64 {
    let listed = host.run("nft", &["list", "counter", "inet", "datagrams", "asked"]);
    let mut words = listed.split_whitespace().skip_while(|word| *word != "packets").skip(1);
    words.next().and_then(|word| word.parse().ok()).expect("nft says how many packets")
}

/// What is said to be open there.
fn scan(watcher: &Host, target: &str, port: u16) -> Vec<Value> {
    let mut command = watcher.command(&binary().to_string_lossy());
    command.args(["scan", target, "--udp", &port.to_string(), "--tcp", "none", "--mode", "raw", "--json"]);
    let said = output_of(&mut command);
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["kind"] == "endpoint" && line["transport"] == "udp" && line["state"] == "open").collect()
}
