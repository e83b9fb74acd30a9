//! Scans by packets of our own, with the real binary against real kernels in isolated networks: by a router on an Ethernet and by a
//! tunnel, IPv4 and IPv6, loss on the way, and no privilege.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    process::{Command, Output},
};
use testkit::{Host, Lab, Line, Listeners, Passage, binary, lacks_root, router::Scenario};

fn scan(watcher: &Host, arguments: &[&str]) -> Output {
    let mut command = watcher.command(binary().to_str().expect("a path of text"));
    command.args(["scan", "--json", "--no-identify"]).args(arguments);
    command.output().expect("runs")
}

/// What is open, and the summary.
fn found(output: &Output, reasons: &[&str]) -> (BTreeSet<(IpAddr, u16)>, Value) {
    let (text, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaint}\n{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &'static str| lines.iter().filter(move |line| line["kind"] == kind);
    let open = of("endpoint").map(|line| {
        assert!(reasons.iter().any(|reason| line["reason"] == *reason), "{line}");
        let port = line["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        (line["ip"].as_str().expect("a text").parse().expect("an address"), port)
    });
    (open.collect(), of("summary").next().expect("a summary").clone())
}

fn everything(hosts: &[IpAddr], ports: &[u16]) -> BTreeSet<(IpAddr, u16)> {
    hosts.iter().flat_map(|ip| ports.iter().map(|port| (*ip, *port))).collect()
}

const PORTS: [u16; 6] = [1, 22, 80, 443, 999, 1024];

#[test]
fn what_a_router_leads_to_is_asked_by_packets() {
    if lacks_root("what_a_router_leads_to_is_asked_by_packets") {
        return;
    }
    let line = Line::new();
    let _open = Listeners::start(line.far(), &PORTS, "");
    let targets = ["10.0.0.0/30", "fd10::/127"];
    let record = line.near().dir().join("scan.pcap");
    let record = record.to_str().expect("a path of text");
    let arguments = ["--tcp", "1-1024", "--mode", "raw", "--rate", "20k/s", "--pcap", record];
    let (open, summary) = found(&scan(line.near(), &[&targets[..], &arguments].concat()), &["syn-ack"]);
    let hosts = ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "fd10::", "fd10::1"];
    let expected = hosts.map(|ip| ip.parse().expect("an address"));
    assert_eq!(open, everything(&expected, &PORTS));
    assert_eq!((&summary["hosts_up"], &summary["p_miss_random_loss"]), (&6.into(), &0.0.into()), "{summary}");
    assert_eq!(summary["limited_by"], "ceiling", "{summary}");
    // One question each, and now and then a canary: an answer with a cookie is proof.
    let asked = line.count("asked");
    assert!((6 * 1024..6 * 1024 + 600).contains(&asked), "{:?}", line.counts());
    // All of it was written down, and every answer.
    let mut written = BTreeMap::<u8, u64>::new();
    for flags in tcp_flags(&std::fs::read(record).expect("a record")) {
        *written.entry(flags).or_default() += 1;
    }
    assert_eq!(written[&0x02], asked, "SYN");
    assert!(written[&0x12] >= 6 * 6 && written[&0x14] >= 6 * 1024 - 600, "{written:?}");
}

/// The flags of every TCP segment in a pcap file of IP packets.
fn tcp_flags(file: &[u8]) -> Vec<u8> {
    assert_eq!(file[..4], 0xa1b2_3c4d_u32.to_le_bytes(), "nanoseconds, in this machine's order");
    let mut rest = &file[24..];
    let mut flags = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        let (packet, next) = behind.split_at(usize::try_from(length).expect("a length"));
        rest = next;
        let (protocol, segment) = if packet[0] >> 4 == 4 { (packet[9], 20) } else { (packet[6], 40) };
        flags.extend((protocol == 6).then(|| packet[segment + 13]));
    }
    flags
}

#[test]
fn what_a_lossy_tunnel_hides_is_asked_again() {
    if lacks_root("what_a_lossy_tunnel_hides_is_asked_again") {
        return;
    }
    let scenario = "seed = 7\n[[stage]]\nkind = \"loss\"\nshare = 0.03\nalways = true\n";
    let scenario = Scenario::read(scenario).expect("a scenario");
    let (mut lab, watcher) = Lab::across_router(&scenario);
    let host = lab.host("host", &["10.77.0.2", "fd77::2"]);
    // So many that what is lost of them says what is lost of the others.
    let ports: Vec<u16> = (1..=100).map(|nth| nth * 10).collect();
    let _open = Listeners::start(&host, &ports, "");
    let output = scan(&watcher, &["10.77.0.0/30", "fd77::/126", "--tcp", "1-1024", "--mode", "raw", "--rate", "20k/s"]);
    let (open, summary) = found(&output, &["syn-ack"]);
    assert_eq!(open, everything(host.addresses(), &ports));
    // All ports of the hosts that are there answered in the end; the others show what is known of them.
    assert!(summary["p_miss_random_loss"].as_f64().is_some_and(|p| p < 0.2), "{summary}");
}

#[test]
fn without_the_privilege_it_says_so_and_connects_instead() {
    if lacks_root("without_the_privilege_it_says_so_and_connects_instead") {
        return;
    }
    let line = Line::new();
    let watcher = line.near();
    let _open = Listeners::start(line.far(), &PORTS, "");
    let unprivileged = |mode: &str| {
        let mut command: Command = watcher.command("setpriv");
        command.args(["--bounding-set", "-all", "--inh-caps", "-all", "--"]).arg(binary());
        command.args(["scan", "10.0.0.1", "--json", "--no-identify", "--tcp", "1-1024", "--mode", mode]);
        command.output().expect("runs")
    };
    // This machine itself.
    let near = scan(watcher, &["127.0.0.1", "--mode", "raw"]);
    let complaint = String::from_utf8_lossy(&near.stderr);
    assert_eq!(near.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("this machine itself") && complaint.contains("--mode connect"), "{complaint}");
    let refused = unprivileged("raw");
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("CAP_NET_RAW") && complaint.contains("--mode connect"), "{complaint}");
    assert!(refused.stdout.is_empty());
    let connected = unprivileged("auto");
    let text = String::from_utf8_lossy(&connected.stdout);
    assert!(connected.status.success(), "{}", String::from_utf8_lossy(&connected.stderr));
    assert_eq!(text.lines().filter(|line| line.contains("\"reason\":\"connected\"")).count(), PORTS.len(), "{text}");
    let (_, summary) = found(&connected, &["connected"]);
    let why = summary["mode_why"].as_str().unwrap_or_default();
    assert!(summary["mode"] == "connect" && why.contains("take CAP_NET_RAW"), "{summary}");
}

#[test]
fn by_itself_it_takes_what_is_answered_and_says_why() {
    if lacks_root("by_itself_it_takes_what_is_answered_and_says_why") {
        return;
    }
    let line = Line::new();
    let _open = Listeners::start(line.far(), &PORTS, "");
    let one = "10.0.0.1".parse().expect("an address");
    // What is asked, how that is to be found open, and why.
    let near = Listeners::start(line.near(), &PORTS, "");
    let dropped = Passage { first: "tcp sport 61000-65095 drop".to_owned(), ..Passage::default() };
    let nobody = Passage { live: Some(Vec::new()), ..Passage::default() };
    for (passage, target, open, mode, why) in [
        (Passage::default(), "10.0.0.1", everything(&[one], &PORTS), "raw", "are answered"),
        (dropped, "10.0.0.1", everything(&[one], &PORTS), "connect", "something on the way drops them"),
        (nobody, "10.0.0.1", BTreeSet::new(), "raw", "nothing answered them"),
        (
            Passage::default(),
            "127.0.0.1",
            everything(&["127.0.0.1".parse().expect("an address")], &PORTS),
            "connect",
            "this machine itself",
        ),
    ] {
        line.become_like(&passage);
        let output = scan(line.near(), &[target, "--tcp", "1-1024", "--rate", "20k/s"]);
        let reason = if mode == "raw" { "syn-ack" } else { "connected" };
        let (found, summary) = found(&output, &[reason]);
        assert_eq!(found, open, "{summary}");
        let said = summary["mode_why"].as_str().unwrap_or_default();
        assert!(summary["mode"] == mode && said.contains(why), "{summary}");
    }
    drop(near);
}
