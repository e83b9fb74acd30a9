//! What was seen of one server, by us or by nmap, and how right it is.

use crate::{asking, running::Running, truth};
use std::time::Duration;
use testkit::{Host, output_of};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Seen {
    words: String,
    connections: u64,
    took: Duration,
    protocol: bool,
    product: bool,
    version: bool,
    /// It was given another product's name.
    wrong: bool,
}

/// nmap's names for what has another at IANA.
const ALIASES: [(&str, &[&str]); 7] = [
    ("rfb", &["vnc"]),
    ("microsoft-ds", &["netbios-ssn", "smb"]),
    ("kerberos", &["kerberos-sec", "kerberos"]),
    ("socks", &["socks5", "socks4"]),
    ("memcache", &["memcached", "memcache"]),
    ("xmpp-client", &["xmpp", "jabber", "xmpp-client"]),
    ("xmpp-server", &["xmpp", "jabber", "xmpp-server"]),
];

impl Seen {
    pub(crate) fn by_us(watcher: &Host, one: &Running) -> Self {
        let (observation, connections, took) = asking::ask(watcher, &one.host, one.port);
        let service = observation.and_then(|observation| observation.service);
        let name = service.as_ref().map(|service| service.name.clone()).unwrap_or_default();
        let product = service.as_ref().and_then(|service| service.product.clone()).unwrap_or_default();
        let version = service.and_then(|service| service.version).unwrap_or_default();
        Self::judged(one, [name, product, version], connections, took)
    }

    pub(crate) fn by_nmap(watcher: &Host, one: &Running, options: &[&str]) -> Self {
        let before = asking::accepted(&one.host);
        let begun = Instant::now();
        let mut command = watcher.command("nmap");
        command.args(["-n", "-Pn", "-oX", "-", "-p", &one.port.to_string()]).args(options);
        let said = output_of(command.arg(one.host.address().to_string()));
        let took = begun.elapsed();
        let connections = asking::accepted(&one.host) - before;
        // It guesses a name by the port where it has none: method="table".
        let service = said.split("<service ").nth(1).and_then(|rest| rest.split('>').next()).unwrap_or_default();
        let probed = service.contains("method=\"probed\"");
        let attribute = |name: &str| {
            let value = service.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
            value.filter(|_| probed).unwrap_or_default().to_owned()
        };
        Self::judged(one, [attribute("name"), attribute("product"), attribute("version")], connections, took)
    }

    fn judged(one: &Running, [name, product, version]: [String; 3], connections: u64, took: Duration) -> Self {
        let server = one.server;
        let aliases = ALIASES.iter().find(|(protocol, _)| *protocol == server.protocol).map(|(_, aliases)| *aliases);
        let lower = |text: &str| text.to_lowercase();
        let words = format!("{product} {version}");
        let named = lower(&words).contains(&lower(server.product));
        // An exact version stands by itself: neither a range nor the beginning of another.
        let truth = truth::version(server.package);
        let exact = version.split([' ', '-', ',']).any(|word| word == truth);
        Self {
            protocol: name == server.protocol || aliases.is_some_and(|aliases| aliases.contains(&name.as_str())),
            product: named,
            version: exact,
            wrong: !product.is_empty() && !named,
            words: [name, product, version].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "),
            connections,
            took,
        }
    }

    /// How much of it is right.
    pub(crate) fn rank(&self) -> u8 {
        u8::from(self.protocol) + u8::from(self.product) + u8::from(self.version)
    }

    pub(crate) fn cell(&self) -> String {
        let mark = match (self.wrong, self.protocol, self.product, self.version) {
            (true, ..) => "wrong product",
            (_, _, _, true) => "exact",
            (_, _, true, _) => "product",
            (_, true, ..) => "protocol",
            _ => "not named",
        };
        let words = if self.words.is_empty() { "-" } else { &self.words };
        format!("{words}: {mark}, {} conn., {:.2} s", self.connections, self.took.as_secs_f64())
    }
}

/// Sums over all servers.
pub(crate) fn summary(seen: &[Seen]) -> String {
    let mut times: Vec<Duration> = seen.iter().map(|one| one.took).collect();
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default().as_secs_f64();
    let connections: u64 = seen.iter().map(|one| one.connections).sum();
    let count = |is: fn(&Seen) -> bool| seen.iter().filter(|one| is(one)).count();
    format!(
        "{} servers, protocol {}, product {}, exact version {}, wrong product {}; {connections} connections, p50 {:.2} s, p95 {:.2} s, \
         in all {:.1} s",
        seen.len(),
        count(|one| one.protocol),
        count(|one| one.product),
        count(|one| one.version),
        count(|one| one.wrong),
        at(50),
        at(95),
        times.iter().sum::<Duration>().as_secs_f64()
    )
}
