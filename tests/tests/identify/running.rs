//! Servers that listen, each on a host of its own.

use crate::servers::Server;
use testkit::{
    Authority, Host, Lab,
    server::{Script, Socket},
};

/// Chooses the ports, so that a run can be repeated: it says which it was.
pub(crate) const SEED: &str = "PERIMETERD_PORTS";

/// Ports that nothing is known by, one after another.
#[derive(Debug)]
pub(crate) struct Ports(u64);

impl Ports {
    pub(crate) fn new() -> Self {
        let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        Self(given.unwrap_or_else(|| u64::from(std::process::id())))
    }

    /// What the next ones follow from.
    pub(crate) fn seed(&self) -> u64 {
        self.0
    }

    /// Below those that are given to whoever asks for any, and none that is likely to be anything or takes harm.
    pub(crate) fn next(&mut self) -> u16 {
        loop {
            // Knuth's constants for a linear congruence modulo 2^64.
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let port = 10_000 + u16::try_from((self.0 >> 33) % 22_000).expect("small");
            let is_known = identify::suggested(model::Transport::Tcp, port).next().is_some();
            if !is_known && !identify::is_fragile(port) && !identify::tls_is_likely(port) {
                return port;
            }
        }
    }
}

/// A server that listens, on a host of its own.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) server: &'static Server,
    pub(crate) host: Host,
    pub(crate) port: u16,
    script: Script,
}

/// Starts each on a host of its own and a port of its own; panics with what they said where some do not listen.
pub(crate) fn start(
    lab: &mut Lab,
    authority: &Authority,
    ports: &mut Ports,
    servers: impl Iterator<Item = &'static Server>,
) -> Vec<Running> {
    let mut running: Vec<Running> = Vec::new();
    for (number, server) in servers.enumerate() {
        let host = lab.host(&format!("s{number}"), &[&format!("10.77.0.{}", number + 10)]);
        let identity = authority.issue(&["lab.example"], host.addresses());
        let port = ports.next();
        let script = Script::start(&host, server.package, server.script, Socket::Tcp(port), &identity);
        running.push(Running { server, host, port, script });
    }
    let failed: Vec<String> = running.iter_mut().filter_map(|one| one.script.wait().err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    running
}
