//! Debian's servers of other protocols, which go over to TLS by their own words; each on a host of its own.

use crate::cell::{ALL_VERSIONS, Cell, MOST, certify};
use std::{any::Any, net::IpAddr};
use testkit::{
    Host, Identity, Lab,
    server::{
        Dovecot, Mariadb, Postfix, Postgresql, Slapd, Vsftpd,
        tls::{Asks, Certificates, Key},
    },
};

pub(crate) struct Daemons {
    pub(crate) cells: Vec<Cell>,
    hosts: Vec<Host>,
    _running: Vec<Box<dyn Any + Send>>,
}

type Start = fn(&Host, &Identity, Asks, &str) -> Box<dyn Any + Send>;

/// Who, where, how to start it, the kinds of keys and what it asks of clients.
type Make = (&'static str, u16, Start, &'static [(Key, Asks)]);

const MAKES: [Make; 6] = [
    (
        "postfix",
        25,
        postfix,
        &[(Key::Rsa(2048), Asks::No), (Key::P384, Asks::Optional), (Key::Ed25519, Asks::Required)],
    ),
    ("dovecot", 143, dovecot, &[(Key::Rsa(4096), Asks::No), (Key::P256, Asks::Optional)]),
    ("vsftpd", 21, vsftpd, &[(Key::Rsa(2048), Asks::No), (Key::P256, Asks::Optional), (Key::P384, Asks::Required)]),
    ("slapd", 389, slapd, &[(Key::Rsa(2048), Asks::No), (Key::P256, Asks::Optional), (Key::Ed25519, Asks::Required)]),
    ("postgresql", 5432, postgresql, &[(Key::Rsa(4096), Asks::No), (Key::Ed25519, Asks::Optional)]),
    ("mariadb", 3306, mariadb, &[(Key::Rsa(2048), Asks::No), (Key::P384, Asks::Optional)]),
];

fn postfix(host: &Host, identity: &Identity, asks: Asks, _: &str) -> Box<dyn Any + Send> {
    let settings = match asks {
        Asks::No => "",
        Asks::Optional => "smtpd_tls_ask_ccert = yes",
        Asks::Required => "smtpd_tls_req_ccert = yes\nsmtpd_tls_security_level = encrypt",
    };
    Box::new(Postfix::start_with(host, identity, settings))
}

fn dovecot(host: &Host, identity: &Identity, asks: Asks, authority: &str) -> Box<dyn Any + Send> {
    let settings = match asks {
        Asks::No => String::new(),
        _ => format!("ssl_verify_client_cert = yes\nssl_ca = <{authority}\nssl_require_crl = no"),
    };
    Box::new(Dovecot::start_with(host, identity, &settings))
}

fn vsftpd(host: &Host, identity: &Identity, asks: Asks, authority: &str) -> Box<dyn Any + Send> {
    let settings = match asks {
        Asks::No => "ssl_request_cert=NO".to_owned(),
        Asks::Optional => "ssl_request_cert=YES".to_owned(),
        Asks::Required => format!("require_cert=YES\nvalidate_cert=YES\nca_certs_file={authority}"),
    };
    Box::new(Vsftpd::start_with(host, identity, &settings))
}

fn slapd(host: &Host, identity: &Identity, asks: Asks, authority: &str) -> Box<dyn Any + Send> {
    let word = match asks {
        Asks::No => "never",
        Asks::Optional => "allow",
        Asks::Required => "demand",
    };
    Box::new(Slapd::start_with(host, identity, &format!("TLSCACertificateFile {authority}\nTLSVerifyClient {word}")))
}

fn postgresql(host: &Host, identity: &Identity, asks: Asks, authority: &str) -> Box<dyn Any + Send> {
    let setting = format!("ssl_ca_file={authority}");
    let settings: &[&str] = if asks == Asks::No { &[] } else { &[&setting] };
    Box::new(Postgresql::start_with(host, identity, settings))
}

fn mariadb(host: &Host, identity: &Identity, asks: Asks, authority: &str) -> Box<dyn Any + Send> {
    let option = format!("--ssl-ca={authority}");
    let options: &[&str] = if asks == Asks::No { &[] } else { &[&option] };
    Box::new(Mariadb::start_with(host, identity, options))
}

/// Hosts and certificates are there; nothing has been started.
pub(crate) struct Prepared {
    cells: Vec<Cell>,
    hosts: Vec<Host>,
    starts: Vec<(Start, Asks)>,
    authority: String,
}

pub(crate) fn prepare(lab: &mut Lab) -> Prepared {
    let folder = lab.dir().join("daemons");
    std::fs::create_dir(&folder).expect("a folder");
    let certificates = Certificates::new(&folder);
    let (mut cells, mut hosts, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for (make, port, start, settings) in MAKES {
        for (key, asks) in settings {
            let number = cells.len();
            let name = format!("{make}{number}");
            let address = IpAddr::from([10, 77, 0, 100 + u8::try_from(number).expect("few of them")]);
            let host = lab.host(&name, &[&address.to_string()]);
            let pair = certify(&certificates, *key, &name, number, address);
            host.run("nft", &["-f", &host.write("asked.nft", &counting(port)).to_string_lossy()]);
            starts.push((start, *asks));
            let label = format!("{make} {} {asks:?}", key.word());
            cells.push(Cell { name, address, port, label, pair, offers: ALL_VERSIONS, wants_name: false, most: MOST });
            hosts.push(host);
        }
    }
    Prepared { cells, hosts, starts, authority: certificates.authority().to_string_lossy().into_owned() }
}

impl Prepared {
    /// Starts them all, one after the other.
    pub(crate) fn start(self) -> Daemons {
        let Self { cells, hosts, starts, authority } = self;
        let start = |((host, cell), (start, asks)): ((&Host, &Cell), (Start, Asks))| {
            start(host, &Identity::from(&cell.pair), asks, &authority)
        };
        let running = hosts.iter().zip(&cells).zip(starts).map(start).collect();
        Daemons { cells, hosts, _running: running }
    }
}

fn counting(port: u16) -> String {
    format!(
        "table inet asked {{\n counter begun {{ }}\n chain count {{ type filter hook prerouting priority -300; \
         tcp dport {port} tcp flags & (syn | ack) == syn counter name begun; }}\n}}\n"
    )
}

impl Daemons {
    /// How many connections have been begun with it.
    pub(crate) fn connections(&self, cell: &Cell) -> Option<u64> {
        let host = self.hosts.iter().find(|host| host.address() == cell.address)?;
        let listed = host.run("nft", &["list", "counter", "inet", "asked", "begun"]);
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words.next()?.parse().ok()
    }
}
