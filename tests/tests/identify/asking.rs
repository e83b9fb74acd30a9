//! One question to one server, with what it cost.

use crate::servers::Server;
use jiff::Timestamp;
use model::{AddressSet, Endpoint, ServiceObservation, SystemClock};
use probe::{
    Dialer, DialerSettings, Identity,
    conversation::{self, Ask, Timeouts},
};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{net::IpAddr, sync::Arc, time::Duration};
use testkit::Host;
use tokio::time::Instant;

/// What came of asking one.
#[derive(Debug)]
pub(crate) struct Row {
    pub label: String,
    pub port: u16,
    pub told: String,
    /// As the server's kernel counted them.
    pub connections: u64,
    pub took: Duration,
    pub wrong: Vec<String>,
}

/// Asks from the watcher who is there, of somebody who has never been met.
pub(crate) fn ask(watcher: &Host, host: &Host, port: u16) -> (Option<ServiceObservation>, u64, Duration) {
    let before = accepted(host);
    let ip = host.address();
    let asking = watcher.namespace().enter(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let dialer = dialer(ip);
            let roots = identify::Roots::public();
            let timeouts = Timeouts::default();
            let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts };
            let begun = Instant::now();
            let conversation = conversation::identify(&dialer, Endpoint::tcp(ip, port), ask).await;
            (conversation.observation, begun.elapsed())
        })
    });
    let (observation, took) = asking.join().expect("nobody panics while asking");
    (observation, accepted(host) - before, took)
}

/// One row of the table.
pub(crate) fn row(watcher: &Host, host: &Host, port: u16, server: &Server) -> Row {
    let (observation, connections, took) = ask(watcher, host, port);
    let service = observation.as_ref().and_then(|observation| observation.service.as_ref());
    let (product, version) = (
        service.and_then(|service| service.product.as_deref()),
        service.and_then(|service| service.version.as_deref()),
    );
    let name = service.map(|service| service.name.as_str());
    let mut wrong = server.judge(name, product, version);
    let tls = observation.as_ref().and_then(|observation| observation.tls.as_ref());
    if server.tls && tls.is_none_or(|tls| tls.certificate.is_none()) {
        wrong.push("no certificate".to_owned());
    }
    let told = [name, product, version].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Row { label: server.label(), port, told, connections, took, wrong }
}

fn dialer(ip: IpAddr) -> Dialer {
    let target = ip.to_string().parse().expect("an address is a target");
    let assets = vec![AssetScope { name: "lab".into(), targets: vec![target], until: None::<Timestamp> }];
    let rate = "1k/s".parse().expect("a rate");
    let settings = DialerSettings {
        rate,
        rate_per_host: rate,
        source: None,
        identity: Identity { sensor: "lab".into(), contact: None, version: "0".into() },
    };
    let scope = ScopeHandle::new(Scope::new(assets, AddressSet::default()));
    Dialer::with_concurrency(scope, Arc::new(SystemClock), settings, 16)
}

/// The TCP connections that a host's kernel has let in so far (`PassiveOpens`, RFC 4022), whether the server took them or not.
pub(crate) fn accepted(host: &Host) -> u64 {
    let table = host.run("cat", &["/proc/net/snmp"]);
    let mut lines = table.lines().filter(|line| line.starts_with("Tcp:")).map(str::split_whitespace);
    let (Some(mut names), Some(mut values)) = (lines.next(), lines.next()) else { panic!("no counters: {table}") };
    let column = names.position(|name| name == "PassiveOpens").expect("the kernel counts them");
    values.nth(column).and_then(|value| value.parse().ok()).expect("a number")
}
