//! What answers although nobody is there: a proxy before a host that opens every port, and the kernel's own SYN proxy, whose
//! answers have no room for anything. With the real binary, by packets of our own, in isolated networks.

use serde_json::Value;
use std::{collections::BTreeSet, process::Output};
use testkit::{Host, Lab, Line, Listeners, binary, lacks_root, router::Scenario, server::Banner};

const HOST: &str = "10.77.0.9";
const PROXY: &str =
    "seed = 3\nstage = [{ kind = 'syn-proxy', prefix = ['10.77.0.9'], nothing_behind = 'mute', always = true }]";
const SERVICES: [(u16, &str, &str); 3] = [
    (21, "220 ftp.lab.example FTP server ready", "ftp"),
    (22, "SSH-2.0-OpenSSH_9.2p1", "ssh"),
    (25, "220 mail.lab.example ESMTP", "smtp"),
];

fn scan(watcher: &Host, arguments: &[&str]) -> Vec<Value> {
    let mut command = watcher.command(binary().to_str().expect("a path of text"));
    command.args(["scan", "--json", "--mode", "raw"]).args(arguments);
    objects(&command.output().expect("runs"))
}

fn objects(output: &Output) -> Vec<Value> {
    let (text, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaint}\n{text}");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn open(objects: &[Value]) -> BTreeSet<(u64, Option<&str>)> {
    let endpoints = objects.iter().filter(|object| object["kind"] == "endpoint");
    endpoints.map(|it| (it["port"].as_u64().expect("a port"), it["service"]["name"].as_str())).collect()
}

/// One finding about the host, those who speak named and nobody else open, and the summary.
fn sees_through(objects: &[Value]) -> &Value {
    let findings: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "finding").collect();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((&findings[0]["id"], &findings[0]["ip"]), (&"answers-every-port".into(), &HOST.into()));
    assert_eq!(open(objects), SERVICES.map(|(port, _, name)| (u64::from(port), Some(name))).into());
    let summary = objects.iter().find(|object| object["kind"] == "summary").expect("a summary");
    let examined = summary["answers_examined"].as_u64().expect("a number");
    assert!(examined <= 16, "{examined} answers were examined");
    summary
}

#[test]
fn a_host_that_answers_everything_is_one_finding_and_its_services_are_named() {
    if lacks_root("a_host_that_answers_everything_is_one_finding_and_its_services_are_named") {
        return;
    }
    let scenario = Scenario::read(PROXY).expect("a scenario");
    let (mut lab, watcher) = Lab::across_router(&scenario);
    let host = lab.host("host", &[HOST]);
    let _services = SERVICES.map(|(port, line, _)| Banner::start(&host, port, line));
    let all = scan(&watcher, &[HOST, "--tcp", "1-65535", "--rate", "20k/s"]);
    let summary = sees_through(&all);
    assert_eq!(summary["open"], 3, "{summary}");
    // At 20,000 a second it was stopped within a tenth of one; the conversations came on top.
    let answered = lab.router().count("syn-proxy.answered");
    assert!((24..2_500).contains(&answered), "{answered} were answered");
    // So few ports are asked that all of them may be somebody's: there ports that are drawn by lot tell.
    sees_through(&scan(&watcher, &[HOST, "--tcp", "20-26,80,443", "--rate", "1k/s"]));
}

/// Rules by which the kernel answers for what listens behind it.
const KERNELS_OWN: &str = "table ip proxy {
  chain first { type filter hook prerouting priority raw; tcp flags & (syn|ack) == syn notrack; }
  chain then { type filter hook input priority filter;
    meta l4proto tcp ct state { invalid, untracked } synproxy mss 1460 wscale 7 timestamp sack-perm
    ct state invalid drop
  }
}
";

#[test]
fn an_answer_without_room_is_believed_once_a_connection_shows_somebody() {
    if lacks_root("an_answer_without_room_is_believed_once_a_connection_shows_somebody") {
        return;
    }
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[80, 443], "");
    line.far().run("sysctl", &["-qw", "net.netfilter.nf_conntrack_tcp_loose=0"]);
    let rules = line.far().write("proxy.nft", KERNELS_OWN);
    line.far().run("nft", &["-f", &rules.to_string_lossy()]);
    let all = scan(line.near(), &["10.0.0.1", "--tcp", "79-82,443", "--rate", "1k/s", "--no-identify"]);
    assert_eq!(open(&all), [(80, None), (443, None)].into());
    let reasons: Vec<&Value> = all.iter().filter(|it| it["kind"] == "endpoint").map(|it| &it["reason"]).collect();
    assert_eq!(reasons, ["bare-syn-ack"; 2]);
    assert!(!all.iter().any(|object| object["kind"] == "finding"));
}
