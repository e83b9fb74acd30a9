//! Active checks on servers that really have the weakness, or really have not: Node.js of 2013 to 2015 with the OpenSSL of its time,
//! beside sound servers of today. By the whole binary, in isolated networks.

use identify::Roots;
use model::{AddressSet, Endpoint, SystemClock};
use probe::{
    Dialer, DialerSettings, Identity,
    audit::{Report, Subject, check_again, posture},
    check::Verdict,
    conversation::{Ask, Conversation, Timeouts, identify},
};
use scope::{AssetScope, Scope, ScopeHandle};
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use testkit::{
    Host, Lab, binary, lacks_root,
    router::Scenario,
    server::tls::{Asks, Certificates, Key, Sni, TlsServer, Tlslite, gnutls_serv, old_node, s_server, tlslite},
    skip,
};

/// Node's version, its OpenSSL's, and whether that has Heartbleed (Node 0.10.2 was built without heartbeats) and takes an early
/// `ChangeCipherSpec` (sound from OpenSSL 1.0.0m and 1.0.1h on).
const NODES: [(&str, &str, bool, bool); 5] = [
    ("0.8.28", "1.0.0m", false, false),
    ("0.10.1", "1.0.1e", true, true),
    ("0.10.2", "1.0.1e", false, true),
    ("0.10.26", "1.0.1e", false, true),
    ("0.12.0", "1.0.1l", false, false),
];
const HEARTBLEED: &str = "CVE-2014-0160";
const EARLY_CCS: &str = "CVE-2014-0224";

/// Every object a scan with an audit printed, on standard output; all of it as text as well.
fn scan(from: &Host, targets: &[&str], ports: &str) -> (Vec<Value>, String) {
    let mut command = from.command(&binary().to_string_lossy());
    command.arg("scan").args(targets).args(["--tcp", ports, "--mode", "connect", "--tls-audit", "--json"]);
    command.env("NO_COLOR", "1").env_remove("PERIMETERD_LOG").env("HOME", "/nonexistent");
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the scan failed ({}):\n{said}{complained}", output.status);
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in: {line}"));
    (said.lines().map(read).collect(), said.into_owned())
}

/// The audit of each endpoint, and the ids of its findings, by address and port.
fn audits(objects: &[Value]) -> BTreeMap<String, (Value, Vec<String>)> {
    let place = |object: &Value| format!("{} {}", object["ip"].as_str().unwrap_or_default(), object["port"]);
    let mut audits: BTreeMap<_, _> = objects
        .iter()
        .filter(|object| object["kind"] == "endpoint")
        .map(|object| (place(object), (object["audit"].clone(), Vec::new())))
        .collect();
    for finding in objects.iter().filter(|object| object["kind"] == "finding") {
        let (_, ids) = audits.get_mut(&place(finding)).unwrap_or_else(|| panic!("no endpoint for {finding}"));
        ids.push(finding["id"].as_str().unwrap_or_default().to_owned());
    }
    audits
}

fn judge(place: &str, audit: &Value, findings: &[String], heartbleed: bool, early: bool) -> Vec<String> {
    let word = |yes: bool| if yes { "vulnerable" } else { "not-vulnerable" };
    let mut wrong = Vec::new();
    for (check, id, expect) in [("tls/heartbleed", HEARTBLEED, heartbleed), ("tls/early-ccs", EARLY_CCS, early)] {
        let verdict = audit["checks"][check]["verdict"].as_str().unwrap_or("none");
        if verdict != word(expect) || findings.iter().any(|finding| finding == id) != expect {
            let evidence = &audit["checks"][check]["evidence"];
            wrong.push(format!(
                "{place}: {check} is {verdict} and should be {} ({evidence}; {findings:?})",
                word(expect)
            ));
        }
    }
    let connections = audit["connections"].as_u64().unwrap_or(u64::MAX);
    if connections > 16 {
        wrong.push(format!("{place}: an audit on {connections} connections"));
    }
    wrong
}

#[test]
fn heartbleed_and_early_ccs_are_told_by_behaviour() {
    const TEST: &str = "heartbleed_and_early_ccs_are_told_by_behaviour";
    if lacks_root(TEST) {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, host) = (lab.watcher("watcher", &["10.77.0.1"]), lab.host("old", &["10.77.0.2"]));
    let certificates = Certificates::new(host.dir());
    let rsa = certificates.issue(Key::Rsa(2048), &["www.lab.example"], 90);
    let short = certificates.issue(Key::Rsa(512), &["export.lab.example"], 90);
    let mut servers: Vec<TlsServer> = Vec::new();
    let mut truth: BTreeMap<u16, (&str, bool, bool)> = BTreeMap::new();
    for (port, (node, _, heartbleed, early)) in (8001_u16..).zip(NODES) {
        let Some(server) = old_node(&host, port, node, &rsa, None) else {
            skip(TEST, "tests/rig has not been run");
            return;
        };
        servers.push(server);
        truth.insert(port, (node, heartbleed, early));
    }
    servers.extend(old_node(&host, 8010, "0.10.1", &short, None));
    truth.insert(8010, ("0.10.1 with a key of 512 bits", true, true));
    servers.push(s_server(&host, 8011, &rsa, Asks::No, Sni::Ignored, &["-no_tls1_3"]));
    servers.push(s_server(&host, 8012, &rsa, Asks::Required, Sni::Ignored, &[]));
    servers.push(s_server(&host, 8013, &rsa, Asks::No, Sni::Ignored, &["-tls1_3"]));
    // It takes heartbeats, and knows how long they are.
    servers.push(gnutls_serv(&host, 8014, &rsa, Asks::No, Sni::Ignored, "NORMAL:+VERS-TLS1.0", &["--heartbeat"]));
    for (port, label) in [(8011, "s_server"), (8012, "s_server"), (8013, "s_server of 1.3"), (8014, "gnutls-serv")] {
        truth.insert(port, (label, false, false));
    }
    let (objects, _) = scan(&watcher, &["10.77.0.2"], "8001-8005,8010-8014");
    let audits = audits(&objects);
    assert_eq!(audits.len(), truth.len(), "{:?}", audits.keys());
    let mut wrong = Vec::new();
    for (port, (label, heartbleed, early)) in &truth {
        let place = format!("10.77.0.2 {port}");
        let (audit, findings) = &audits[&place];
        wrong.extend(judge(&format!("{label} ({place})"), audit, findings, *heartbleed, *early));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // What else is true of them, of which their handshakes tell.
    let has = |port: u16, ids: &[&str]| {
        let (_, findings) = &audits[&format!("10.77.0.2 {port}")];
        for id in ids {
            assert!(findings.iter().any(|finding| finding == id), "{port}: no {id} in {findings:?}");
        }
    };
    // SSL 2.0 and 3.0, RC4, DES, 3DES, ciphers that encrypt nothing.
    has(8001, &["CVE-2016-0800", "CVE-2014-3566", "CVE-2015-2808", "CVE-2016-2183", "tls/null", "des", "tls1.0"]);
    has(8002, &["CVE-2016-0800", "CVE-2014-3566", "CVE-2015-2808", "CVE-2016-2183", "tls/null", "des", "tls1.1"]);
    has(8005, &["tls/anonymous", "CVE-2015-2808", "tls1.0"]);
    // A certificate of 512 bits is a key for export.
    has(8010, &["CVE-2015-0204"]);
    assert_eq!(audits["10.77.0.2 8013"].1, [""; 0], "of TLS 1.3 alone nothing is weak");
    // Heartbeats were agreed on, and one was sent; the sound answer to it is none.
    let (gnutls, _) = &audits["10.77.0.2 8014"];
    assert_eq!(gnutls["heartbeat"], true, "{gnutls}");
    for server in &mut servers {
        server.must_run();
    }
}

/// One that is strict about what TLS 1.3 may be offered with, and breaks off over protocols inside.
#[test]
fn every_version_is_found_on_a_strict_server() {
    const TEST: &str = "every_version_is_found_on_a_strict_server";
    if lacks_root(TEST) {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, host) = (lab.watcher("watcher", &["10.77.0.1"]), lab.host("strict", &["10.77.0.2"]));
    let pair = Certificates::new(host.dir()).issue(Key::Rsa(2048), &["www.lab.example"], 90);
    let setting = Tlslite { oldest: "3.0", newest: "3.4", ciphers: "", asks: Asks::No, anonymous: false };
    let Some(mut server) = tlslite(&host, 8443, &pair, setting) else {
        skip(TEST, "tests/rig has not been run");
        return;
    };
    let (objects, _) = scan(&watcher, &["10.77.0.2"], "8443");
    let line = objects.iter().find(|object| object["kind"] == "endpoint").expect("it is open");
    assert_eq!(line["tls"]["version"], "TLSv1.3", "{line}");
    let versions = ["SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"].map(Value::from);
    assert_eq!(line["audit"]["versions"], Value::from(versions.to_vec()), "{line}");
    server.must_run();
}

fn dialer() -> Dialer {
    let targets = vec!["10.77.0.0/24".parse().expect("a prefix")];
    let scope = Scope::new(vec![AssetScope { name: "own".into(), targets, until: None }], AddressSet::default());
    let rate: model::Rate = "1k/s".parse().expect("a rate");
    let identity = Identity { sensor: "test".into(), contact: None, version: "1".into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    Dialer::with_concurrency(ScopeHandle::new(scope), Arc::new(SystemClock), settings, 64)
}

/// The same through a network that takes two seconds for there and back, sixteen servers at a time.
#[test]
fn two_seconds_of_delay_and_sixteen_at_a_time_change_no_verdict() {
    const TEST: &str = "two_seconds_of_delay_and_sixteen_at_a_time_change_no_verdict";
    if lacks_root(TEST) {
        return;
    }
    let scenario = "seed = 5\nstage = [{ kind = 'latency', delay = '1s', always = true }]";
    let (mut lab, watcher) = Lab::across_router(&Scenario::read(scenario).expect("a scenario"));
    let mut servers = Vec::new();
    let mut truth = BTreeMap::new();
    let addresses = ["10.77.0.2", "10.77.0.3", "10.77.0.4", "10.77.0.5"];
    let choice = [1, 2, 3, 4, 0, 1, 3, 1, 2, 1, 0, 3, 4, 1, 3, 2];
    for (number, address) in addresses.into_iter().enumerate() {
        let host = lab.host(&format!("old{number}"), &[address]);
        let pair = Certificates::new(host.dir()).issue(Key::Rsa(2048), &["www.lab.example"], 90);
        for (port, node) in (8001_u16..).zip(&choice[number * 4..number * 4 + 4]) {
            let (node, _, heartbleed, early) = NODES[*node];
            let Some(server) = old_node(&host, port, node, &pair, None) else {
                skip(TEST, "tests/rig has not been run");
                return;
            };
            servers.push(server);
            let address = address.parse().expect("an address");
            truth.insert(SocketAddr::new(address, port), (node, heartbleed, early));
        }
    }
    let places: Vec<SocketAddr> = truth.keys().copied().collect();
    let verdicts = watcher.namespace().enter(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let dialer = dialer();
            let check = async |at: SocketAddr| {
                let subject = Subject { endpoint: Endpoint::tcp(at.ip(), at.port()), name: None, starttls: None };
                (at, check_again(&dialer, subject).await)
            };
            // All of them at once.
            futures_util::future::join_all(places.into_iter().map(check)).await
        })
    });
    let reports = verdicts.join().expect("the checks end");
    let mut wrong = Vec::new();
    for (at, report) in reports {
        let (node, heartbleed, early) = truth[&at];
        for (id, expect) in [("tls/heartbleed", heartbleed), ("tls/early-ccs", early)] {
            let checked = report.checks.iter().find(|checked| checked.check.id == id).expect("it ran");
            let expect = if expect { Verdict::Vulnerable } else { Verdict::NotVulnerable };
            if checked.verdict != expect {
                wrong.push(format!("node {node} ({at}): {id} is {} ({})", checked.verdict, checked.evidence));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

type Looked = (SocketAddr, Report, Conversation);

/// Audits all of these at once, and asks each who it is.
fn look_at_all(from: &Host, places: Vec<SocketAddr>) -> Vec<Looked> {
    let looking = from.namespace().enter(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (dialer, roots) = (dialer(), Roots::public());
            let look = async |at: SocketAddr| {
                let endpoint = Endpoint::tcp(at.ip(), at.port());
                let ask =
                    Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: Timeouts::default() };
                let subject = Subject { endpoint, name: None, starttls: None };
                // One after the other: some of these servers talk to one at a time, and who waits for his turn is not answered in time.
                let report = posture(&dialer, subject).await;
                (at, report, identify(&dialer, endpoint, ask).await)
            };
            futures_util::future::join_all(places.into_iter().map(look)).await
        })
    });
    looking.join().expect("the looks end")
}

/// What is said of a server, whatever the way there is like.
fn told((at, report, talk): &Looked) -> (SocketAddr, String) {
    let heard = talk.observation.as_ref();
    let tls = heard.and_then(|heard| heard.tls.as_ref());
    let leaf = tls.and_then(|tls| tls.certificate.as_ref()).map(|leaf| leaf.sha256.to_string());
    let service = heard.and_then(|heard| heard.service.as_ref()).map(|service| &*service.name);
    let looked = tls.and_then(|tls| tls.posture.as_ref()).map(|posture| {
        (posture.client_auth, posture.heartbeat, posture.secure_renegotiation, posture.compression, posture.dh_bits)
    });
    let weak = report.shown.weaknesses();
    let version = tls.map(|tls| (&*tls.version, &*tls.cipher));
    (
        *at,
        format!(
            "{service:?} {version:?} {leaf:?} {looked:?}\n{:?} {weak:?} {:?}",
            report.shown.posture(),
            report.incomplete
        ),
    )
}

/// Audits and conversations with servers of every kind say the same through a network that takes two seconds for there and back as
/// they do beside the servers, sixteen at a time.
#[test]
fn two_seconds_of_delay_change_nothing_that_is_said_of_a_server() {
    const TEST: &str = "two_seconds_of_delay_change_nothing_that_is_said_of_a_server";
    if lacks_root(TEST) {
        return;
    }
    let scenario = "seed = 6\nstage = [{ kind = 'latency', delay = '1s', always = true }]";
    let (mut lab, watcher) = Lab::across_router(&Scenario::read(scenario).expect("a scenario"));
    let host = lab.host("servers", &["10.77.0.2"]);
    let certificates = Certificates::new(host.dir());
    let rsa = certificates.issue(Key::Rsa(2048), &["www.lab.example"], 90);
    let p256 = certificates.issue(Key::P256, &["www.lab.example"], 90);
    // Ports at which TLS is likely.
    let mut ports = [443, 465, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 5986, 6443, 6514, 8443, 8883].into_iter();
    let mut servers = Vec::new();
    for (pair, asks, sni, options) in [
        (&rsa, Asks::No, Sni::Ignored, &[][..]),
        (&rsa, Asks::Optional, Sni::Ignored, &["-tls1"]),
        (&rsa, Asks::No, Sni::Ignored, &["-tls1_1"]),
        (&p256, Asks::Required, Sni::Ignored, &["-tls1_2"]),
        (&p256, Asks::Required, Sni::Ignored, &["-tls1_3"]),
        (&p256, Asks::No, Sni::Rejected, &["-no_tls1", "-no_tls1_1"]),
        (&rsa, Asks::No, Sni::Ignored, &["-tls1_2", "-cipher", "AES256-SHA:@SECLEVEL=0"]),
        (&rsa, Asks::No, Sni::Ignored, &["-cipher", "ECDHE+AESGCM", "-no_tls1", "-no_tls1_1"]),
    ] {
        let port = ports.next().expect("enough ports");
        servers.push(s_server(&host, port, pair, asks, sni, options));
    }
    for (asks, priority, options) in [
        (Asks::No, "NORMAL", &[][..]),
        (Asks::Required, "NORMAL:-VERS-ALL:+VERS-TLS1.2", &["--heartbeat"]),
        (Asks::Optional, "NORMAL:-VERS-ALL:+VERS-TLS1.3", &[]),
    ] {
        let port = ports.next().expect("enough ports");
        servers.push(gnutls_serv(&host, port, &rsa, asks, Sni::Ignored, priority, options));
    }
    for (node, ..) in NODES {
        let Some(server) = old_node(&host, ports.next().expect("enough ports"), node, &rsa, None) else {
            skip(TEST, "tests/rig has not been run");
            return;
        };
        servers.push(server);
    }
    assert_eq!(servers.len(), 16);
    let places: Vec<SocketAddr> = servers.iter().map(|server| SocketAddr::new(host.address(), server.port)).collect();
    let near = look_at_all(&host, places.clone());
    let far = look_at_all(&watcher, places);
    let mut wrong = Vec::new();
    for ((near, far), server) in near.iter().zip(&far).zip(&servers) {
        let ((at, said), (_, far)) = (told(near), told(far));
        // What stands behind is named in any case, if only as unknown.
        if said != far || said.starts_with("None") || said.contains("\nNone") {
            wrong.push(format!("{} ({at}):\nnear {said}\nfar  {far}", server.label));
        }
    }
    assert!(wrong.is_empty(), "{} of 16:\n{}", wrong.len(), wrong.join("\n"));
}
