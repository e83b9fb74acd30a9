//! The certificate behind STARTTLS, from Debian's servers: a scan shows it in the same connection in which it tells who is there, and it is
//! the one that openssl reads from the server's own file.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use testkit::{
    Authority, Daemon, Host, Identity, Lab, WireCount, binary, eventually, lacks_root, output_of,
    server::{Dovecot, Inspircd, Mariadb, Postfix, Postgresql, Prosody, Slapd, Vnc, Vsftpd, Xrdp},
};

const SERVERS: &str = "10.77.0.2";
/// Port, name of the service, and what its certificate's name begins with.
const EXPECTED: [(u16, &str, &str); 14] = [
    (21, "ftp", "ftp"),
    (24, "lmtp", "mail"),
    (25, "smtp", "mx"),
    (110, "pop3", "mail"),
    (143, "imap", "mail"),
    (389, "ldap", "directory"),
    (3306, "mysql", "mariadb"),
    (3389, "ms-wbt-server", "desktop"),
    (4190, "sieve", "mail"),
    (5222, "xmpp-client", "chat"),
    (5269, "xmpp-server", "chat"),
    (5432, "postgresql", "postgresql"),
    (5900, "rfb", "screen"),
    (6667, "irc", "irc"),
];

/// What `openssl x509` says of a certificate.
fn openssl(certificate: &Path, question: &[&str]) -> String {
    let mut command = Command::new("openssl");
    output_of(command.args(["x509", "-noout", "-in"]).arg(certificate).args(question)).trim().to_owned()
}

/// The open endpoints of a scan of these ports, by port.
fn scan(watcher: &Host, ports: &str, arguments: &[&str]) -> Vec<Value> {
    let mut command = watcher.command(&binary().to_string_lossy());
    command.args(["scan", SERVERS, "--tcp", ports, "--mode", "connect", "--json"]).args(arguments);
    let lines = output_of(&mut command);
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut endpoints: Vec<Value> = lines.filter(|line| line["kind"] == "endpoint").collect();
    endpoints.sort_by_key(|endpoint| endpoint["port"].as_u64());
    endpoints
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Who each was given, by the first word of its name.
struct Issued {
    authority: Authority,
    folder: PathBuf,
}

impl Issued {
    fn to(&self, name: &str, host: &Host) -> Identity {
        let identity = self.authority.issue(&[&format!("{name}.lab.example")], host.addresses());
        identity.write(&self.folder, name);
        identity
    }
}

#[test]
fn the_certificate_behind_starttls_is_seen_in_one_connection() {
    if lacks_root("the_certificate_behind_starttls_is_seen_in_one_connection") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let host = lab.host("servers", &[SERVERS]);
    let folder = lab.dir().join("issued");
    std::fs::create_dir(&folder).expect("a folder");
    let issued = Issued { authority: Authority::new("Lab Example CA"), folder };

    let _ftp = Vsftpd::start(&host, &issued.to("ftp", &host));
    let _mail = Dovecot::start(&host, &issued.to("mail", &host));
    let _mx = Postfix::start(&host, &issued.to("mx", &host));
    let _directory = Slapd::start(&host, &issued.to("directory", &host));
    let _mariadb = Mariadb::start(&host, &issued.to("mariadb", &host));
    let _postgresql = Postgresql::start(&host, &issued.to("postgresql", &host));
    // Asked by its address, since no name of it is known.
    let _chat = Prosody::start(&host, &issued.to("chat", &host), SERVERS);
    let _irc = Inspircd::start(&host, &issued.to("irc", &host));
    let _desktop = Xrdp::start(&host, &issued.to("desktop", &host));
    let _screen = Vnc::start(&host, &issued.to("screen", &host));

    let ports = EXPECTED.map(|(port, ..)| port.to_string()).join(",");
    let wire = WireCount::new(&watcher, &[host.address()]);
    let found = scan(&watcher, &ports, &[]);
    let with_certificates = wire.count();
    let told: Vec<_> = found
        .iter()
        .map(|line| (line["port"].as_u64(), text(&line["service"]["name"]), text(&line["tls"]["starttls"])))
        .collect();
    let expected: Vec<_> = EXPECTED.iter().map(|(port, name, _)| (Some(u64::from(*port)), *name, *name)).collect();
    assert_eq!(told, expected, "{found:#?}");
    for (line, (port, name, issued_to)) in found.iter().zip(EXPECTED) {
        let tls = &line["tls"];
        let shown = &tls["certificate"];
        let file = issued.folder.join(format!("{issued_to}.pem"));
        let fingerprint = openssl(&file, &["-fingerprint", "-sha256"]);
        let fingerprint = fingerprint.rsplit('=').next().unwrap_or_default().replace(':', "").to_lowercase();
        assert_eq!(text(&shown["sha256"]), fingerprint, "{name} on {port}");
        let subject = openssl(&file, &["-subject", "-nameopt", "RFC2253"]);
        assert_eq!(format!("subject={}", text(&shown["subject"])), subject, "{name}");
        let issuer = openssl(&file, &["-issuer", "-nameopt", "RFC2253"]);
        for part in text(&shown["issuer"]).split(", ") {
            assert!(issuer.contains(part.trim()), "{name}: {part} is none of {issuer}");
        }
        for (field, question) in [("not_before", "-startdate"), ("not_after", "-enddate")] {
            let date = openssl(&file, &["-dateopt", "iso_8601", question]);
            let date = date.rsplit('=').next().unwrap_or_default().replace(' ', "T");
            assert_eq!(text(&shown[field]), date, "{name}: {field}");
        }
        let sans = openssl(&file, &["-ext", "subjectAltName"]);
        for san in shown["sans"].as_array().into_iter().flatten() {
            assert!(sans.contains(text(san)), "{name}: {san} is none of {sans}");
        }
        assert!(text(&tls["version"]).starts_with("TLSv1."), "{name}: {tls}");
        assert_eq!(tls["sni"], Value::Null, "an address is no name");
    }
    // What it costs to know that they are open, and who they are: not a connection more for the certificates.
    scan(&watcher, &ports, &["--no-identify"]);
    let knocks = wire.count() - with_certificates;
    let conversations = with_certificates.saturating_sub(knocks);
    assert!(conversations <= EXPECTED.len() as u64, "{conversations} connections for {} services", EXPECTED.len());
}

fn configuration(dir: &Path) -> String {
    format!(
        r#"
[store]
path = "{}/perimeter.db"

[asset.lab]
targets = ["{SERVERS}"]

[profile.lab]
assets = ["lab"]
rulesets = ["builtin:certificates"]
scan = {{ hot = "2s", known = "2s", likely = "never", full = "never", identify = "2s", hot_ports = "21,25,5432" }}
confirm = {{ port_closed = {{ passes = 10, at_least = "1m" }}, service_changed = {{ passes = 2, at_least = "5s" }}, certificate_changed = {{ passes = 3, at_least = "5s" }} }}
"#,
        dir.display()
    )
}

#[test]
fn the_daemon_watches_the_certificates_behind_starttls() {
    if lacks_root("the_daemon_watches_the_certificates_behind_starttls") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let host = lab.host("servers", &[SERVERS]);
    let authority = Authority::new("Lab Example CA");
    let issue = |name: &str| authority.issue(&[name], host.addresses());
    let ftp = Vsftpd::start(&host, &issue("ftp.lab.example"));
    let _mx = Postfix::start(&host, &issue("mx.lab.example"));
    let _postgresql = Postgresql::start(&host, &issue("postgresql.lab.example"));
    let config = watcher.write("perimeterd.toml", &configuration(watcher.dir()));
    let daemon = Daemon::start(&watcher, &config);

    let patience = Duration::from_mins(1);
    eventually("the three certificates", patience, || {
        let services = daemon.list(&["services"]);
        let upgraded = services.iter().filter(|row| row["service"]["facts"]["starttls"] == row["service"]["name"]);
        (upgraded.filter(|row| row["tls"]["certificate"].is_string()).count() == 3).then_some(())
    });
    assert_eq!(daemon.list(&["certificates"]).len(), 3);

    drop(ftp);
    let _ftp = Vsftpd::start(&host, &issue("other.lab.example"));
    let of = |kind: &str| -> Vec<Value> {
        daemon.list(&["events"]).into_iter().filter(|event| event["type"] == kind).collect()
    };
    let changed = eventually("the change behind AUTH TLS", patience, || of("SSL_CHANGED").pop());
    assert_eq!(changed["endpoint"]["port"], 21, "{changed:#}");
    assert_eq!(of("SSL_CHANGED").len(), 1);
    // All three were asked again and again meanwhile, and nothing about them seemed to change.
    assert_eq!(of("PORT_CHANGED"), Vec::<Value>::new());
}
