//! Hosts that are there and answer by none of their ports, with the real binary across a router, IPv4 and IPv6: they are known by
//! what else they answer to, and that makes no port of theirs anything.

use serde_json::Value;
use std::collections::BTreeMap;
use testkit::{Line, Passage, binary, lacks_root};

/// What firewalls in front of them let through: nothing, echoes, acknowledgements, timestamps.
const FIREWALLS: &str = "ip daddr 10.0.0.0 drop
ip daddr 10.0.0.1 meta l4proto tcp drop
ip daddr 10.0.0.2 icmp type { echo-request, timestamp-request } drop
ip daddr 10.0.0.2 tcp flags & (syn | ack) == syn drop
ip daddr 10.0.0.3 meta l4proto tcp drop
ip daddr 10.0.0.3 icmp type echo-request drop
ip6 daddr fd10:: icmpv6 type echo-request drop
ip6 daddr fd10:: meta l4proto tcp drop
ip6 daddr fd10::1 meta l4proto tcp drop";

fn scan(line: &Line, ports: &str) -> (BTreeMap<String, Value>, Value) {
    let mut command = line.near().command(binary().to_str().expect("a path of text"));
    command.args(["scan", "10.0.0.0/30", "fd10::/127", "--tcp", ports, "--mode", "raw", "--rate", "20k/s", "--json"]);
    let output = command.output().expect("runs");
    let (text, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaint}\n{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().all(|line| line["kind"] != "endpoint"), "{text}");
    let hosts = lines.iter().filter(|line| line["kind"] == "host");
    let by = hosts.map(|line| (line["ip"].as_str().unwrap_or_default().to_owned(), line["by"].clone()));
    (by.collect(), lines.iter().find(|line| line["kind"] == "summary").expect("a summary").clone())
}

#[test]
fn who_hides_all_ports_is_known_by_what_else_answers() {
    if lacks_root("who_hides_all_ports_is_known_by_what_else_answers") {
        return;
    }
    let line = Line::new();
    line.become_like(&Passage { first: FIREWALLS.to_owned(), ..Passage::default() });
    let (hosts, summary) = scan(&line, "1-40");
    let expected =
        [("10.0.0.1", "icmp-echo"), ("10.0.0.2", "tcp-ack"), ("10.0.0.3", "icmp-timestamp"), ("fd10::1", "icmp-echo")];
    let expected = expected.map(|(ip, by)| (ip.to_owned(), Value::from(vec![by])));
    assert_eq!(hosts, BTreeMap::from(expected), "{summary}");
    let by = serde_json::json!({ "icmp-echo": 2, "icmp-timestamp": 1, "tcp-ack": 1 });
    assert_eq!((&summary["discovered"], &summary["hosts_up"], &summary["open"]), (&by, &4.into(), &0.into()));
    assert_eq!(summary["probes"], 6 * 40);
    // Where few ports are asked, that would cost as much as they do.
    let (hosts, summary) = scan(&line, "1-3");
    assert!(hosts.is_empty(), "{hosts:?} {summary}");
}
