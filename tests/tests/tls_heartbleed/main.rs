//! What Heartbleed's check takes from a server that bleeds: our own bytes and sixteen of padding, and it keeps neither. A relay
//! between the two writes down every byte.

mod relay;
mod traces;

use model::{AddressSet, Endpoint, SystemClock};
use probe::{
    Dialer, DialerSettings, Identity,
    audit::{Report, Subject, check_again},
    check::Verdict,
};
use relay::{HEARTBEAT, Talks, records, records_of_ours, relay, secrets};
use scope::{AssetScope, Scope, ScopeHandle};
use serde_json::Value;
use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};
use testkit::{
    Daemon, Host, Lab, binary, eventually, lacks_root,
    server::tls::{Certificates, Key, old_node},
    skip,
};
use traces::Traces;

fn dialer() -> Dialer {
    let targets = vec!["127.0.0.1".parse().expect("an address")];
    let scope = Scope::new(vec![AssetScope { name: "own".into(), targets, until: None }], AddressSet::default());
    let rate: model::Rate = "1k/s".parse().expect("a rate");
    let identity = Identity { sensor: "test".into(), contact: None, version: "1".into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    Dialer::with_concurrency(ScopeHandle::new(scope), Arc::new(SystemClock), settings, 8)
}

#[test]
fn nothing_comes_back_but_our_own_bytes_and_padding_and_neither_is_kept() {
    const TEST: &str = "nothing_comes_back_but_our_own_bytes_and_padding_and_neither_is_kept";
    if lacks_root(TEST) {
        return;
    }
    let mut lab = Lab::new();
    let host = lab.host("bleeding", &["10.77.0.2"]);
    let pair = Certificates::new(host.dir()).issue(Key::Rsa(2048), &["www.lab.example"], 90);
    let Some(_server) = old_node(&host, 8443, "0.10.1", &pair, None) else {
        skip(TEST, "tests/rig has not been run");
        return;
    };
    let talks = Talks::default();
    let written = Arc::clone(&talks);
    let run = host.namespace().enter(move || {
        let near = "127.0.0.1:0".parse().expect("an address");
        let address = relay(near, "10.77.0.2:8443".parse().expect("an address"), &written);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let subject = Subject { endpoint: Endpoint::tcp(address.ip(), address.port()), name: None, starttls: None };
            let mut reports: Vec<Report> = Vec::new();
            for _ in 0..3 {
                reports.push(check_again(&dialer(), subject).await);
            }
            reports
        })
    });
    let reports = run.join().expect("the audit ends");
    let talks = talks.lock().unwrap_or_else(PoisonError::into_inner).clone();

    let mut paddings = HashSet::new();
    for talk in &talks {
        let said: Vec<_> = records_of_ours(talk).into_iter().filter(|(kind, _)| *kind == HEARTBEAT).collect();
        if said.is_empty() {
            continue;
        }
        assert_eq!(said.len(), 1, "one heartbeat a connection");
        let request = &said[0].1;
        // A request of 4096 bytes, and no padding: the record ends with what is ours.
        assert_eq!((request.len(), &request[..3]), (3 + 4096, [1, 0x10, 0].as_slice()));
        let ours = &request[3..];
        let answers: Vec<_> = records(&talk.theirs).into_iter().filter(|(kind, _)| *kind == HEARTBEAT).collect();
        assert_eq!(answers.len(), 1, "one answer");
        let answer = &answers[0].1;
        assert_eq!((answer.len(), &answer[..3]), (3 + 4096 + 16, [2, 0x10, 0].as_slice()));
        assert_eq!(&answer[3..3 + 4096], ours, "nothing but what we sent");
        let padding = answer[3 + 4096..].to_vec();
        // It is new each time, and nothing that the server ever says: random, not memory.
        assert!(paddings.insert(padding.clone()), "the padding repeats itself");
        for other in &talks {
            let elsewhere = [&other.ours, &other.theirs].into_iter();
            let times: usize = elsewhere.map(|bytes| bytes.windows(16).filter(|part| *part == padding).count()).sum();
            assert!(times <= 1, "the padding is something else as well");
        }
    }
    assert_eq!(paddings.len(), 3 * 2, "each yes is said twice");

    let traces = Traces::of(&secrets(&talks));
    assert!(!traces.is_empty());
    for report in &reports {
        let heartbleed = report.checks.iter().find(|checked| checked.check.id == "tls/heartbleed").expect("it ran");
        assert_eq!(heartbleed.verdict, Verdict::Vulnerable, "{}", heartbleed.evidence);
        // Everything there is of a report: it has no other field.
        let kept = format!("{report:?} {}", heartbleed.evidence);
        assert_eq!(traces.find(kept.as_bytes()), None, "the report keeps what came back");
    }
}

/// What a scan says on both its streams, with every word of its log.
fn scan(host: &Host, arguments: &[&str]) -> Vec<u8> {
    let mut command = host.command(&binary().to_string_lossy());
    command.args(["scan", "127.0.0.1", "--tcp", "8443", "--mode", "connect", "--tls-audit"]).args(arguments);
    command.env("NO_COLOR", "1").env("PERIMETERD_LOG", "trace").env("HOME", "/nonexistent");
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    said
}

/// Every file below a folder.
fn files(folder: &Path, read: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, read);
        } else if path.is_file() {
            read.push((path.display().to_string(), fs::read(&path).expect("a file can be read")));
        }
    }
}

#[test]
fn neither_output_nor_database_nor_log_has_a_byte_of_it() {
    const TEST: &str = "neither_output_nor_database_nor_log_has_a_byte_of_it";
    if lacks_root(TEST) {
        return;
    }
    let mut lab = Lab::new();
    let host = lab.host("bleeding", &["10.77.0.2"]);
    let pair = Certificates::new(host.dir()).issue(Key::Rsa(2048), &["www.lab.example"], 90);
    let Some(_server) = old_node(&host, 8444, "0.10.1", &pair, None) else {
        skip(TEST, "tests/rig has not been run");
        return;
    };
    let talks = Talks::default();
    let written = Arc::clone(&talks);
    let listening = host.namespace().enter(move || {
        let near = "127.0.0.1:8443".parse().expect("an address");
        relay(near, "10.77.0.2:8444".parse().expect("an address"), &written)
    });
    listening.join().expect("a relay");

    let configuration = format!(
        "[store]\npath = \"{}/perimeter.db\"\n[asset.own]\ntargets = [\"127.0.0.1\"]\n[profile.own]\nassets = [\"own\"]\n\
         rulesets = [\"builtin:certificates\"]\nscan = {{ hot = \"2s\", known = \"2s\", likely = \"never\", full = \"never\", \
         identify = \"2s\", hot_ports = \"8443\" }}\n[recipient.file]\njsonl = \"{}/alerts.jsonl\"\nevery = \"immediate\"\n",
        host.dir().display(),
        host.dir().display(),
    );
    let config = host.write("perimeterd.toml", &configuration);
    let mut daemon = Daemon::start(&host, &config);
    let said = [scan(&host, &["--json"]), scan(&host, &[])];
    let audited = eventually("the daemon's own audit", Duration::from_mins(2), || {
        let shown = |row: &&Value| row["tls"]["posture"]["audited"].is_string();
        daemon.list(&["services"]).iter().find(shown).cloned()
    });
    assert_eq!(audited["tls"]["posture"]["heartbeat"], true, "{audited:#}");
    let shown = ["services", "certificates", "events", "status"].map(|what| daemon.say(&[what, "--json"]));
    assert!(daemon.stop(Duration::from_secs(20)).success());

    let talks = talks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let secrets = secrets(&talks);
    // Two scans, each a yes that is said twice; of each what was sent and the padding. The daemon sends no heartbeat.
    assert_eq!(secrets.len(), 2 * 2 * 2);
    let traces = Traces::of(&secrets);
    for said in &said {
        assert!(String::from_utf8_lossy(said).contains("CVE-2014-0160"), "{}", String::from_utf8_lossy(said));
        assert_eq!(traces.find(said), None, "a scan says what came back");
    }
    for shown in &shown {
        assert_eq!(traces.find(shown.as_bytes()), None, "the daemon shows what came back");
    }
    let mut kept = Vec::new();
    files(host.dir(), &mut kept);
    assert!(kept.iter().any(|(path, bytes)| path.ends_with("perimeter.db") && !bytes.is_empty()), "no database");
    for (path, bytes) in &kept {
        assert_eq!(traces.find(bytes), None, "{path} keeps what came back");
    }
}
