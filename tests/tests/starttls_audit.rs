//! Audits behind STARTTLS, of Debian's servers set up for today and with everything old let in again: what is found is
//! what OpenSSL's own client comes to an agreement on. And `MariaDB`, which counts broken handshakes, has few of them to count.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};
use testkit::{
    Authority, Host, Lab, binary, lacks_root, output_of,
    server::{Dovecot, Mariadb, Postfix, Postgresql},
};

const STRICT: &str = "10.77.0.2";
const LAX: &str = "10.77.0.3";
/// The port, the service, and what OpenSSL calls going over to TLS there.
const SERVICES: [(u16, &str, &str); 5] = [
    (25, "smtp", "smtp"),
    (587, "smtp", "smtp"),
    (143, "imap", "imap"),
    (110, "pop3", "pop3"),
    (5432, "postgresql", "postgres"),
];
/// What the audit says, and how OpenSSL's client asks for it.
const VERSIONS: [(&str, &str); 4] =
    [("TLSv1.0", "-tls1"), ("TLSv1.1", "-tls1_1"), ("TLSv1.2", "-tls1_2"), ("TLSv1.3", "-tls1_3")];
const CIPHERS: [(&str, &str); 2] = [("null-cipher", "eNULL:@SECLEVEL=0"), ("anonymous-cipher", "aNULL:@SECLEVEL=0")];

/// The endpoints of a scan with an audit, by address and port.
fn scan(watcher: &Host, targets: &[&str], ports: &str) -> BTreeMap<(String, u64), Value> {
    let mut command = watcher.command(&binary().to_string_lossy());
    command.arg("scan").args(targets).args(["--tcp", ports, "--mode", "connect", "--tls-audit", "--json"]);
    command.env("NO_COLOR", "1").env_remove("PERIMETERD_LOG").env("HOME", "/nonexistent");
    let said = output_of(&mut command);
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let endpoints = lines.filter(|line| line["kind"] == "endpoint");
    endpoints.map(|line| ((text(&line["ip"]).to_owned(), line["port"].as_u64().unwrap_or_default()), line)).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn words(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// Whether OpenSSL's client comes to an agreement when it is asked so.
fn agrees(watcher: &Host, place: &str, starttls: &str, options: &[&str]) -> bool {
    let mut command: Command = watcher.command("timeout");
    command.args(["10", "openssl", "s_client", "-connect", place, "-starttls", starttls]).args(options);
    let output = command.stdin(std::process::Stdio::null()).output().expect("openssl starts");
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().any(|line| line.starts_with("New, ") && !line.contains("(NONE)"))
}

fn postfix(host: &Host, authority: &Authority, settings: &str) -> Postfix {
    let server = Postfix::start_with(host, &authority.issue(&["mx.lab.example"], host.addresses()), settings);
    let etc = host.dir().join("etc").to_string_lossy().into_owned();
    // What submission is as it comes, but for the login, which is none of TLS.
    host.run("postconf", &["-c", &etc, "-M", "587/inet=587 inet n - n - - smtpd"]);
    host.run("postconf", &["-c", &etc, "-P", "587/inet/smtpd_tls_security_level=encrypt"]);
    host.run("postfix", &["-c", &etc, "reload"]);
    server
}

#[test]
fn what_an_audit_finds_behind_starttls_is_what_openssl_agrees_on() {
    if lacks_root("what_an_audit_finds_behind_starttls_is_what_openssl_agrees_on") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let (strict, lax) = (lab.host("strict", &[STRICT]), lab.host("lax", &[LAX]));
    let authority = Authority::new("Lab Example CA");
    let issue = |host: &Host| authority.issue(&["mail.lab.example"], host.addresses());
    let old = "smtpd_tls_protocols = >=TLSv1\nsmtpd_tls_mandatory_protocols = >=TLSv1\n\
               tls_medium_cipherlist = ALL:eNULL:@SECLEVEL=0\nsmtpd_tls_exclude_ciphers =\n";
    // Debian's takes TLS 1.0 as it comes.
    let of_today = "smtpd_tls_protocols = >=TLSv1.2\nsmtpd_tls_mandatory_protocols = >=TLSv1.2\n";
    let _mx = [postfix(&strict, &authority, of_today), postfix(&lax, &authority, old)];
    let _mail = [
        Dovecot::start(&strict, &issue(&strict)),
        Dovecot::start_with(&lax, &issue(&lax), "ssl_min_protocol = TLSv1\nssl_cipher_list = ALL:eNULL:@SECLEVEL=0"),
    ];
    let _data = [
        Postgresql::start(&strict, &issue(&strict)),
        Postgresql::start_with(
            &lax,
            &issue(&lax),
            &["ssl_min_protocol_version=TLSv1", "ssl_ciphers=ALL:eNULL:@SECLEVEL=0"],
        ),
    ];
    let ports = SERVICES.map(|(port, ..)| port.to_string()).join(",");
    let found = scan(&watcher, &[STRICT, LAX], &ports);
    assert_eq!(found.len(), 2 * SERVICES.len(), "{found:#?}");
    let mut wrong = Vec::new();
    for host in [STRICT, LAX] {
        for (port, service, starttls) in SERVICES {
            let line = &found[&(host.to_owned(), u64::from(port))];
            let (place, audit) = (format!("{host}:{port}"), &line["audit"]);
            assert_eq!((text(&line["service"]["name"]), text(&line["tls"]["starttls"])), (service, service), "{line}");
            let speaks = |&(_, option): &(&str, &str)| {
                agrees(&watcher, &place, starttls, &[option, "-cipher", "ALL:eNULL:@SECLEVEL=0"])
            };
            let truth: BTreeSet<&str> =
                VERSIONS.iter().filter(|way| speaks(way)).map(|(version, _)| *version).collect();
            let told = words(&audit["versions"]);
            if told != truth {
                wrong.push(format!("{place}: {told:?} are spoken, and OpenSSL says {truth:?}: {audit}"));
            }
            // Old versions are there to be found, or the truth says nothing.
            assert_eq!(truth.contains("TLSv1.0"), host == LAX, "{place}: {truth:?}");
            for (weakness, list) in CIPHERS {
                let truth = agrees(&watcher, &place, starttls, &["-tls1_2", "-cipher", list]);
                if words(&audit["weak"]).contains(weakness) != truth || !words(&audit["asked"]).contains(weakness) {
                    wrong.push(format!("{place}: {weakness} is {truth}, and the audit says {audit}"));
                }
            }
            let connections = audit["connections"].as_u64().unwrap_or(u64::MAX);
            if connections > 16 || !audit["incomplete"].is_null() {
                wrong.push(format!("{place}: {connections} connections, {}", audit["incomplete"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `MariaDB` has against the watcher.
fn counted(host: &Host) -> u64 {
    let socket = host.dir().join("mariadb/socket");
    let query = "SELECT COALESCE(SUM(SUM_CONNECT_ERRORS), 0) FROM performance_schema.host_cache";
    let said = host.run(
        "mariadb",
        &["--no-defaults", "--user=root", "--batch", "-N", "-e", query, "--socket", &socket.to_string_lossy()],
    );
    said.trim().parse().unwrap_or_else(|_| panic!("{said:?} is no number"))
}

#[test]
fn mariadb_is_audited_and_has_little_to_count() {
    if lacks_root("mariadb_is_audited_and_has_little_to_count") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let (strict, lax) = (lab.host("strict", &[STRICT]), lab.host("lax", &[LAX]));
    let authority = Authority::new("Lab Example CA");
    let issue = |host: &Host| authority.issue(&["mariadb.lab.example"], host.addresses());
    let old = ["--tls-version=TLSv1.0,TLSv1.1,TLSv1.2,TLSv1.3", "--ssl-cipher=ALL:@SECLEVEL=0"];
    let _servers = [
        Mariadb::start_with(&strict, &issue(&strict), &["--performance-schema=ON"]),
        Mariadb::start_with(&lax, &issue(&lax), &[&["--performance-schema=ON"][..], &old].concat()),
    ];
    for (host, at, versions) in [
        (&strict, STRICT, BTreeSet::from(["TLSv1.2", "TLSv1.3"])),
        (&lax, LAX, BTreeSet::from(["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"])),
    ] {
        let before = counted(host);
        let found = scan(&watcher, &[at], "3306");
        let line = &found[&(at.to_owned(), 3306)];
        let audit = &line["audit"];
        assert_eq!(line["tls"]["starttls"], "mysql", "{line}");
        // Each broken handshake of the audit counts, and the scan's own knock.
        let (counted, asked) = (counted(host) - before, audit["connections"].as_u64().unwrap_or(u64::MAX));
        let asked = asked.saturating_add(audit["check_connections"].as_u64().unwrap_or_default());
        assert_eq!(words(&audit["versions"]), versions, "{line}");
        assert_eq!(audit["incomplete"], Value::Null, "{line}");
        assert_eq!(words(&audit["weak"]).contains("tls1.0"), at == LAX, "{line}");
        assert!((1..=10).contains(&asked), "{asked}");
        assert!(counted <= asked + 1, "{counted} of {asked} and a knock");
    }
}
