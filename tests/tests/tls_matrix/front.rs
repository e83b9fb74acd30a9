//! Servers of TLS of every make on one host, each behind an address of its own on port 443: the host leads it to where that server
//! listens, and counts who asks.

use crate::{
    cell::{ASKS, Cell, MOST, VERSIONS, certify, host_name},
    pairs::cover,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};
use testkit::{
    Host, Lab, Process, eventually,
    server::tls::{Asks, Certificates, Key, Pair, Sni, TlsServer, Tlslite, gnutls_serv, old_node, s_server, tlslite},
};

#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) cells: Vec<Cell>,
    host: Host,
    _servers: Vec<TlsServer>,
    _nginx: Process,
}

const PORT: u16 = 443;
/// The first place where one of them listens.
const FIRST: u16 = 10_000;

/// A front that is being set up.
struct Setup {
    host: Host,
    rsa: Certificates,
    ec: Certificates,
    cells: Vec<Cell>,
    servers: Vec<TlsServer>,
}

/// Who a cell is, where it listens, and for which versions.
struct Place {
    name: String,
    port: u16,
    pair: Pair,
    offers: &'static [&'static str],
}

impl Setup {
    fn place(&self, make: &str, key: Key, offers: &'static [&'static str]) -> Place {
        let number = self.cells.len();
        let name = format!("{make}{number}");
        // Of some the authority has another key, and so another signature.
        let certificates = if number % 7 == 3 { &self.ec } else { &self.rsa };
        let pair = certify(certificates, key, &name, number, address(number));
        Place { name, port: FIRST + u16::try_from(number).expect("few of them"), pair, offers }
    }

    fn add(&mut self, place: Place, label: String, wants_name: bool, most: u64) {
        let address = address(self.cells.len());
        let Place { name, pair, offers, .. } = place;
        self.cells.push(Cell { name, address, port: PORT, label, pair, offers, wants_name, most });
    }
}

fn address(number: usize) -> IpAddr {
    let [high, low] = u16::try_from(number).expect("few of them").to_be_bytes();
    Ipv4Addr::new(10, 77, 1 + high, low).into()
}

pub(crate) fn start(lab: &mut Lab, watcher: &Host) -> Front {
    let host = lab.host("front", &["10.77.0.2"]);
    let (rsa, ec) = (Certificates::new(host.dir()), Certificates::signed_by(host.dir(), Key::P384));
    let mut setup = Setup { host: host.clone(), rsa, ec, cells: Vec::new(), servers: Vec::new() };
    s_servers(&mut setup);
    gnutls(&mut setup);
    oldest(&mut setup);
    let nginx = nginx(&mut setup);
    let Setup { cells, servers, .. } = setup;
    lead(&host, cells.len());
    watcher.namespace().ip(&["route", "add", "10.77.0.0/16", "via", "10.77.0.2"]);
    Front { cells, host, _servers: servers, _nginx: nginx }
}

/// Leads port 443 of each address to its server, and counts for each who begins a connection.
fn lead(host: &Host, count: usize) {
    let mut map = String::new();
    for number in 0..count {
        // Writing to a String cannot fail.
        _ = write!(map, "{} : {}, ", address(number), usize::from(FIRST) + number);
    }
    let rules = format!(
        "table inet front {{\n set asked {{ type ipv4_addr; flags dynamic; counter; size 65535; }}\n \
         chain count {{ type filter hook prerouting priority -300; tcp dport {PORT} tcp flags & (syn | ack) == syn \
         update @asked {{ ip daddr }}; }}\n \
         chain lead {{ type nat hook prerouting priority -100; tcp dport {PORT} redirect to :ip daddr map {{ {map} }}; }}\n}}\n"
    );
    let path = host.write("front.nft", &rules);
    host.run("nft", &["-f", &path.to_string_lossy()]);
    for block in 1..=1 + count / 256 {
        let prefix = format!("10.77.{block}.0/24");
        host.namespace().ip(&["route", "add", "local", &prefix, "dev", "lo"]);
    }
}

impl Front {
    /// How many connections have been begun with each address.
    pub(crate) fn connections(&self) -> BTreeMap<IpAddr, u64> {
        let listed = self.host.run("nft", &["-j", "list", "set", "inet", "front", "asked"]);
        let listed: Value = serde_json::from_str(&listed).expect("nft writes JSON");
        let mut parts = listed["nftables"].as_array().expect("a list").iter();
        // None while nobody has asked.
        let elements = parts.find_map(|part| part["set"]["elem"].as_array()).map(Vec::as_slice).unwrap_or_default();
        let count = |element: &Value| {
            let element = &element["elem"];
            Some((element["val"].as_str()?.parse().ok()?, element["counter"]["packets"].as_u64()?))
        };
        elements.iter().filter_map(count).collect()
    }
}

/// Whether a kind of key may be used in the version (`any` is the last of five): `EdDSA` came with TLS 1.2, and TLS 1.3 knows neither
/// DSA nor other curves.
fn fits(key: Key, version: usize) -> bool {
    match key {
        Key::Ed25519 | Key::Ed448 | Key::RsaPss => version >= 2,
        Key::Dsa | Key::Brainpool256 => version != 3,
        _ => true,
    }
}

fn s_servers(setup: &mut Setup) {
    const OPTIONS: [&[&str]; 5] = [&["-tls1"], &["-tls1_1"], &["-tls1_2"], &["-tls1_3"], &[]];
    const KEYS: [Key; 11] = [
        Key::Rsa(2048),
        Key::Rsa(4096),
        Key::P256,
        Key::P384,
        Key::P521,
        Key::Ed25519,
        Key::Ed448,
        Key::RsaPss,
        Key::Dsa,
        Key::Brainpool256,
        Key::Rsa(1024),
    ];
    for [version, key, asks, name, alpn] in
        cover([VERSIONS.len(), KEYS.len(), 3, 2, 2], |&[version, key, ..]| fits(KEYS[key], version))
    {
        let (key, asks) = (KEYS[key], ASKS[asks]);
        let place = setup.place("openssl", key, VERSIONS[version]);
        let host_name = host_name(&place.name);
        let mut options = OPTIONS[version].to_vec();
        let sni = if name == 1 { Sni::Rejected } else { Sni::Ignored };
        if name == 1 {
            options.extend(["-servername", &host_name]);
        }
        if alpn == 1 {
            options.extend(["-alpn", "coap"]);
        }
        let server = s_server(&setup.host, place.port, &place.pair, asks, sni, &options);
        let label = format!("{} {}", server.label, key.word());
        setup.servers.push(server);
        setup.add(place, label, false, MOST + u64::from(alpn == 1));
    }
}

fn gnutls(setup: &mut Setup) {
    const PRIORITIES: [&str; 5] = [
        "-VERS-ALL:+VERS-TLS1.0",
        "-VERS-ALL:+VERS-TLS1.1",
        "-VERS-ALL:+VERS-TLS1.2",
        "-VERS-ALL:+VERS-TLS1.3",
        "+VERS-ALL",
    ];
    const KEYS: [Key; 8] =
        [Key::Rsa(2048), Key::Rsa(4096), Key::P256, Key::P384, Key::P521, Key::Ed25519, Key::Ed448, Key::RsaPss];
    for [version, key, asks, name, alpn] in
        cover([VERSIONS.len(), KEYS.len(), 3, 2, 2], |&[version, key, ..]| fits(KEYS[key], version))
    {
        let (key, asks) = (KEYS[key], ASKS[asks]);
        let place = setup.place("gnutls", key, VERSIONS[version]);
        let host_name = host_name(&place.name);
        let mut options = Vec::new();
        if name == 1 {
            options.extend(["--sni-hostname", &host_name, "--sni-hostname-fatal"]);
        }
        if alpn == 1 {
            options.extend(["--alpn", "coap", "--alpn-fatal"]);
        }
        let priority = format!("NORMAL:{}:+SIGN-ALL", PRIORITIES[version]);
        let server = gnutls_serv(&setup.host, place.port, &place.pair, asks, Sni::Ignored, &priority, &options);
        let label = format!("{} {}", server.label, key.word());
        setup.servers.push(server);
        setup.add(place, label, false, MOST + u64::from(alpn == 1));
    }
}

/// What nobody should have any more: SSL 3.0, RC4, 3DES, SSL 2.0.
fn oldest(setup: &mut Setup) {
    static ALL: [&str; 5] = ["SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
    for (oldest, newest, ciphers, asks) in [
        (0, 0, "rc4", Asks::No),
        (0, 0, "3des", Asks::Optional),
        (0, 0, "aes128", Asks::No),
        (0, 1, "rc4", Asks::No),
        (1, 1, "rc4", Asks::Optional),
        (1, 3, "3des", Asks::No),
        (3, 3, "aes128", Asks::Optional),
        (0, 4, "", Asks::No),
    ] {
        let place = setup.place("tlslite", Key::Rsa(2048), &ALL[oldest..=newest]);
        // As they are on the wire.
        let [oldest, newest] = [oldest, newest].map(|version| format!("3.{version}"));
        let (oldest, newest) = (oldest.as_str(), newest.as_str());
        let setting = Tlslite { oldest, newest, ciphers, asks, anonymous: false };
        let server = tlslite(&setup.host, place.port, &place.pair, setting).expect("the rig is there");
        let label = server.label.clone();
        setup.servers.push(server);
        setup.add(place, label, false, MOST);
    }
    let nodes: [(&str, &[&str]); 3] = [
        ("0.8.28", &["SSLv2", "SSLv3", "TLSv1.0"]),
        ("0.10.1", &["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2"]),
        // Of what came before TLS it has nothing any more.
        ("0.12.0", &["TLSv1.0", "TLSv1.1", "TLSv1.2"]),
    ];
    for (version, offers) in nodes {
        let place = setup.place("node", Key::Rsa(2048), offers);
        let server = old_node(&setup.host, place.port, version, &place.pair, None).expect("the rig is there");
        let label = server.label.clone();
        setup.servers.push(server);
        setup.add(place, label, false, MOST);
    }
}

/// One nginx with every setting there is: a server for each, on a port of its own.
fn nginx(setup: &mut Setup) -> Process {
    const PROTOCOLS: [&str; 5] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"];
    const KEYS: [Key; 5] = [Key::Rsa(2048), Key::Rsa(4096), Key::P256, Key::P384, Key::Ed25519];
    let dir = setup.host.dir().display().to_string();
    let authority = setup.rsa.authority().display().to_string();
    let mut servers = String::new();
    let mut last = 0;
    for (version, versions) in PROTOCOLS.into_iter().enumerate() {
        for key in KEYS.into_iter().filter(|key| fits(*key, version)) {
            for (asks, word) in ASKS.into_iter().zip(["off", "optional", "on"]) {
                for wants_name in [false, true] {
                    let place = setup.place("nginx", key, VERSIONS[version]);
                    last = place.port;
                    let (port, name) = (place.port, host_name(&place.name));
                    let (certificate, key_file) = (place.pair.certificate.display(), place.pair.key.display());
                    let tls = format!(
                        "ssl_protocols {versions}; ssl_ciphers ALL:@SECLEVEL=0; ssl_certificate {certificate}; \
                         ssl_certificate_key {key_file}; ssl_verify_client {word}; ssl_client_certificate {authority};"
                    );
                    if wants_name {
                        let refuse =
                            format!("ssl_protocols {versions}; ssl_ciphers ALL:@SECLEVEL=0; ssl_reject_handshake on;");
                        _ = writeln!(servers, "  server {{ listen {port} ssl default_server; {refuse} }}");
                    }
                    _ = writeln!(
                        servers,
                        "  server {{ listen {port} ssl; server_name {name}; {tls} location / {{ return 200 \"hello\\n\"; }} }}"
                    );
                    let label = format!("nginx {} {} {asks:?} {wants_name}", versions.replace(' ', ","), key.word());
                    setup.add(place, label, wants_name, MOST);
                }
            }
        }
    }
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {dir}/{kind};\n"))
        .concat();
    let configuration = format!(
        "user root;\ndaemon off;\nworker_processes 1;\npid {dir}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n  access_log off;\n  server_names_hash_bucket_size 128;\n{temporary}{servers}}}\n"
    );
    let path = setup.host.write("nginx.conf", &configuration);
    let mut command = setup.host.command("nginx");
    command.args(["-p", &dir, "-e", "stderr", "-c"]).arg(path);
    let mut process = setup.host.start("nginx", &mut command);
    let host = setup.host.clone();
    eventually("nginx to listen", std::time::Duration::from_secs(30), || {
        process.must_run();
        let listening = host.run("ss", &["-Hnlt", &format!("sport = :{last}")]);
        (!listening.trim().is_empty()).then_some(())
    });
    process
}
