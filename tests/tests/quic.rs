//! The certificate behind QUIC, from aioquic and Caddy: a scan shows it, by the kernel's sockets and by packets of our own, and the
//! daemon does, and tells of another one.

use serde_json::Value;
use std::{collections::BTreeMap, net::IpAddr, path::Path, time::Duration};
use testkit::{
    Daemon, Host, Lab, binary, eventually, lacks_root, output_of, rig,
    server::{
        Bind,
        tls::{Certificates, Key, Pair, Paper, QuicServer, aioquic, caddy},
    },
    skip,
};

const PLAIN: &str = "10.77.0.2";
const NAMED: &str = "10.77.0.3";
const NAME: &str = "www.lab.example";

fn digest(pair: &Pair) -> String {
    let said = pair.ask(&["-fingerprint", "-sha256"]);
    said.trim().rsplit('=').next().unwrap_or_default().replace(':', "").to_lowercase()
}

/// More than a server may send before it knows that we are where we say (RFC 9000 §8.1).
fn long_certificate(certificates: &Certificates) -> Pair {
    let names: Vec<String> = (0..200).map(|number| format!("DNS:host-{number}.lab.example")).collect();
    let names = names.join(",");
    let paper = Paper { subject: "/CN=host-0.lab.example", names: &names, days: 90, options: &[] };
    certificates.certify(Key::Rsa(4096), "long", "long", paper)
}

struct Place {
    watcher: Host,
    plain: Host,
    certificates: Certificates,
    /// By address, port and the name asked under, whose certificate is shown.
    expected: BTreeMap<(String, u64, Option<String>), Option<Pair>>,
    first: Option<QuicServer>,
    _others: [QuicServer; 3],
    _bind: Bind,
    _lab: Lab,
}

fn start(mut lab: Lab) -> Place {
    let (watcher, dns) = (lab.watcher("watcher", &["10.77.0.1"]), lab.host("dns", &["10.77.0.53"]));
    let (plain, by_name) = (lab.host("plain", &[PLAIN]), lab.host("named", &[NAMED]));
    let certificates = Certificates::new(lab.dir());
    let first = certificates.issue(Key::P256, &["first.lab.example"], 90);
    let long = long_certificate(&certificates);
    let named = certificates.issue(Key::Rsa(2048), &[NAME], 90);
    let dns_over_quic = certificates.issue(Key::Ed25519, &["dns.lab.example"], 90);
    let make =
        |host, port, pair, protocol, retry| aioquic(host, port, pair, protocol, retry).expect("the rig is there");
    let running = make(&plain, 443, &first, "h3", false);
    let others = [
        make(&plain, 8443, &long, "hq-interop", true),
        make(&by_name, 853, &dns_over_quic, "doq", false),
        caddy(&by_name, 443, &named, NAME),
    ];
    let key = |ip: &str, port, name: Option<&str>| (ip.to_owned(), port, name.map(str::to_owned));
    let expected = BTreeMap::from([
        (key(PLAIN, 443, None), Some(first)),
        (key(PLAIN, 8443, None), Some(long)),
        (key(NAMED, 443, None), None),
        (key(NAMED, 443, Some(NAME)), Some(named)),
        (key(NAMED, 853, None), Some(dns_over_quic.clone())),
        (key(NAMED, 853, Some(NAME)), Some(dns_over_quic)),
    ]);
    let bind = Bind::start_with(&dns, &[("www", NAMED.parse::<IpAddr>().expect("an address"))]);
    Place { watcher, plain, certificates, expected, first: Some(running), _others: others, _bind: bind, _lab: lab }
}

fn configuration(dir: &Path) -> String {
    format!(
        "[sensor]\nresolvers = [\"10.77.0.53\"]\n[store]\npath = \"{}/perimeter.db\"\n\
         [asset.lab]\ntargets = [\"{PLAIN}\", \"{NAME}\"]\n[profile.lab]\nassets = [\"lab\"]\n\
         rulesets = [\"builtin:certificates\"]\nscan = {{ hot = \"2s\", known = \"2s\", likely = \"4s\", full = \"never\", \
         identify = \"2s\", hot_ports = \"22\", tcp = \"22\", udp = \"443,853,8443\" }}\n\
         confirm = {{ certificate_changed = {{ passes = 2, at_least = \"4s\" }} }}\n",
        dir.display()
    )
}

fn scan(place: &Place, mode: &str, config: &Path) {
    let mut command = place.watcher.command(&binary().to_string_lossy());
    command.args(["scan", PLAIN, NAME, "--tcp", "none", "--udp", "443,853,8443", "--mode", mode, "--json", "--config"]);
    command.arg(config);
    let said = output_of(&mut command);
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut found = BTreeMap::new();
    for line in lines.filter(|line| line["kind"] == "endpoint") {
        let name = line["name"].as_str().map(str::to_owned);
        let key = (line["ip"].as_str().unwrap_or_default().to_owned(), line["port"].as_u64().unwrap_or_default(), name);
        assert!(found.insert(key.clone(), line).is_none(), "{key:?} is said twice: {said}");
    }
    let places = |keys: Vec<&(String, u64, Option<String>)>| format!("{keys:?}");
    assert_eq!(places(found.keys().collect()), places(place.expected.keys().collect()), "{mode}: {said}");
    for (key, line) in &found {
        let (service, tls) = (&line["service"], &line["tls"]);
        assert_eq!((&line["transport"], &service["name"]), (&"udp".into(), &"quic".into()), "{line}");
        let Some(pair) = &place.expected[key] else {
            assert_eq!((&tls["certificate"], &tls["posture"]["name_required"]), (&Value::Null, &true.into()), "{line}");
            continue;
        };
        assert_eq!(tls["certificate"]["sha256"], digest(pair), "{mode}: {line}");
        assert_eq!(tls["version"], "TLSv1.3", "{line}");
        assert!(tls["cipher"].as_str().is_some_and(|cipher| cipher.starts_with("TLS_")), "{line}");
        assert_eq!(
            (&tls["posture"]["client_auth"], &tls["posture"]["stapled"]),
            (&"no".into(), &false.into()),
            "{line}"
        );
    }
}

fn shown(daemon: &Daemon) -> Vec<String> {
    let rows = daemon.list(&["certificates"]);
    let digests = rows.iter().filter_map(|row| row["certificate"]["sha256"].as_str());
    let mut digests: Vec<String> = digests.map(str::to_owned).collect();
    digests.sort();
    digests
}

#[test]
fn the_certificate_behind_quic_is_seen_by_scan_and_daemon() {
    const TEST: &str = "the_certificate_behind_quic_is_seen_by_scan_and_daemon";
    if lacks_root(TEST) {
        return;
    }
    if rig("python/bin/python").is_none() {
        skip(TEST, "tests/rig has not been run");
        return;
    }
    let mut place = start(Lab::new());
    let config = place.watcher.write("perimeterd.toml", &configuration(place.watcher.dir()));
    for mode in ["connect", "raw"] {
        scan(&place, mode, &config);
    }

    let daemon = Daemon::start(&place.watcher, &config);
    let patience = Duration::from_mins(1);
    let mut expected: Vec<String> = place.expected.values().flatten().map(digest).collect();
    expected.sort();
    expected.dedup();
    eventually("the certificates behind QUIC", patience, || (shown(&daemon) == expected).then_some(()));

    // Another certificate in the same place is news.
    drop(place.first.take());
    let second = place.certificates.issue(Key::P384, &["second.lab.example"], 90);
    place.first = aioquic(&place.plain, 443, &second, "h3", false);
    let told = eventually("the news", Duration::from_mins(2), || {
        let is_news = |event: &Value| event["certificate"]["sha256"] == digest(&second);
        daemon.list(&["events"]).into_iter().find(is_news)
    });
    assert_eq!(told["type"], "SSL_CHANGED", "{told:#}");
    let endpoint = (&told["host"]["ip"], &told["endpoint"]["transport"], &told["endpoint"]["port"]);
    assert_eq!(endpoint, (&PLAIN.into(), &"udp".into(), &443.into()), "{told:#}");
}
