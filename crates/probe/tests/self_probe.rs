//! A network that lets connections through and drops raw packets, as networks of virtual machines do.

use config::Mode;
use model::{AddressSet, Clock, Endpoint, Rate, SystemClock};
use probe::{Dialer, DialerSettings, Egress, Finding, Identity, RawAccess, RawSettings, trial};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{sync::Arc, time::Duration};
use testkit::{Host, Lab, lacks_root, server::Nginx};
use tokio::time::{sleep, timeout};

fn dialer() -> Dialer {
    let targets = vec!["10.88.0.0/24".parse().expect("a target")];
    let scope = Scope::new(vec![AssetScope { name: "lab".into(), targets, until: None }], AddressSet::empty());
    let rate = Rate::per_second(1_000).expect("a rate");
    let identity = Identity { sensor: "scan1".into(), contact: None, version: "1".into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Dialer::new(ScopeHandle::new(scope), clock, settings)
}

/// Has somebody ask by raw packets on the host, with these capabilities taken away.
fn with_raw<T: Send + 'static>(
    host: &Host,
    lacking: CapabilitySet,
    ask: impl AsyncFnOnce(Dialer, &RawAccess) -> T + Send + 'static,
) -> T {
    let run = host.namespace().enter(move || {
        let mut sets = capabilities(None).expect("capabilities can be asked for");
        sets.effective -= lacking;
        set_capabilities(None, sets).expect("and given up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let dialer = dialer();
            let access = RawAccess::open(&dialer, Egress::default(), RawSettings::RING, Mode::Raw, None).await;
            ask(dialer, &access.expect("raw packets can be sent")).await
        })
    });
    run.join().expect("no panic in the namespace")
}

/// What a trial with these endpoints shows on the host.
fn tried(host: &Host, endpoints: &[Endpoint]) -> Finding {
    let endpoints = endpoints.to_vec();
    with_raw(host, CapabilitySet::empty(), async move |dialer, _| trial(&dialer, &endpoints).await)
}

/// A daemon under systemd may send raw packets, and may not tell the kernel whom to ask for on the link.
#[test]
fn a_router_is_found_without_the_right_to_have_it_asked_for() {
    if lacks_root("a_router_is_found_without_the_right_to_have_it_asked_for") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let _router = lab.host("router", &["10.77.0.2", "10.88.0.7"]);
    watcher.run("ip", &["route", "add", "10.88.0.0/24", "via", "10.77.0.2"]);
    let target = "10.88.0.7".parse().expect("an address");
    let (before, after) = with_raw(&watcher, CapabilitySet::NET_ADMIN, async move |_, access| {
        let before = access.raw().reaches(target);
        let reached = async {
            while !access.raw().reaches(target) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        (before, timeout(Duration::from_secs(10), reached).await.is_ok())
    });
    assert_eq!((before, after), (false, true));
}

#[test]
fn raw_packets_that_are_dropped_are_noticed() {
    if lacks_root("raw_packets_that_are_dropped_are_noticed") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let router = lab.host("router", &["10.77.0.2", "10.88.0.7"]);
    let _server = Nginx::start(&router, "nginx", &[80], None);
    watcher.run("ip", &["route", "add", "10.88.0.0/24", "via", "10.77.0.2"]);
    let (open, shut) = ("10.88.0.7".parse().expect("an address"), "10.88.0.8".parse().expect("an address"));
    let (open, shut) = (Endpoint::tcp(open, 80), Endpoint::tcp(shut, 80));

    assert_eq!(tried(&watcher, &[open]), Finding::Works);
    // The ports that raw packets come from by default.
    let drop = "table ip cloud { chain in { type filter hook prerouting priority raw; tcp sport 61000-65095 drop; }; }";
    router.run("nft", &[drop]);
    assert_eq!(tried(&watcher, &[open]), Finding::Dropped(vec![open]));
    // Nobody is there at all: that says nothing.
    assert_eq!(tried(&watcher, &[shut]), Finding::Undecided);
    router.run("nft", &["delete table ip cloud"]);
    assert_eq!(tried(&watcher, &[open]), Finding::Works);
}
