//! Who refused: the host itself, or a firewall on its way. With real firewalls, in an isolated network.

use model::{AddressSet, ClosedReason, Endpoint, FilteredReason, Outcome, Rate, SystemClock};
use probe::{Dialer, DialerSettings, Identity};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{net::IpAddr, sync::Arc, time::Duration};
use testkit::{Host, Lab, lacks_root};

const FIREWALL: &str = "
table inet lab {
    chain input {
        type filter hook input priority 0;
        tcp dport 81 reject with icmpx port-unreachable
        tcp dport 82 reject with tcp reset
        tcp dport 83 reject with icmpx admin-prohibited
        udp dport 81 reject with icmpx port-unreachable
    }
}";

const PATIENCE: Duration = Duration::from_secs(5);

fn dialer(concurrency: usize) -> Dialer {
    let targets = ["10.77.0.0/24", "fd77::/64"].iter().map(|text| text.parse().expect("a target")).collect();
    let asset = AssetScope { name: "lab".into(), targets, until: None };
    let rate = Rate::per_second(1_000_000).expect("in range");
    let identity = Identity { sensor: "test".into(), contact: None, version: "0".into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    let scope = ScopeHandle::new(Scope::new(vec![asset], AddressSet::empty()));
    Dialer::with_concurrency(scope, Arc::new(SystemClock), settings, concurrency)
}

/// Runs in the host's network.
fn on<T: Send + 'static>(host: &Host, run: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let inside = host.namespace().enter(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run())
    });
    inside.join().expect("no panic in the namespace")
}

fn firewalled(lab: &mut Lab) -> (Host, Vec<IpAddr>) {
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let host = lab.host("host", &["10.77.0.2", "fd77::2"]);
    let rules = host.write("rules", FIREWALL);
    // Linux sends a peer few ICMP errors at a time, and then is silent.
    host.run("sh", &["-ec", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit"]);
    host.run("nft", &["-f", &rules.to_string_lossy()]);
    (watcher, host.addresses().to_vec())
}

#[test]
fn a_reject_is_no_closure() {
    if lacks_root("a_reject_is_no_closure") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, addresses) = firewalled(&mut lab);
    on(&watcher, async move || {
        let dialer = dialer(64);
        assert!(dialer.tells_refusals_apart());
        for ip in addresses {
            let refused = Outcome::Closed(ClosedReason::Refused);
            for (port, expect) in [
                (81, Outcome::Filtered(FilteredReason::PortUnreachable)),
                (82, refused),
                (80, refused),
                (81, Outcome::Filtered(FilteredReason::PortUnreachable)),
            ] {
                let endpoint = Endpoint::tcp(ip, port);
                let target = dialer.authorize(endpoint).expect("in scope");
                assert_eq!(dialer.probe(target, PATIENCE).await.outcome, expect, "{endpoint}");
                let failure = dialer.connect(target, PATIENCE).await.expect_err("nobody listens");
                assert_eq!(failure, expect, "{endpoint}");
            }
            let prohibited = dialer.authorize(Endpoint::tcp(ip, 83)).expect("in scope");
            assert!(matches!(dialer.probe(prohibited, PATIENCE).await.outcome, Outcome::Filtered(_)));
            // A datagram is refused by no other means, so there it closes.
            for port in [81, 84] {
                let target = dialer.authorize(Endpoint::udp(ip, port)).expect("in scope");
                let answer = dialer.datagram(target, b"?", PATIENCE).await;
                assert_eq!(answer, Err(Outcome::Closed(ClosedReason::PortUnreachable)), "{ip} {port}");
            }
        }
    });
}

/// Whoever empties the queue finds the messages of all others in it.
#[test]
fn refusals_at_the_same_time_are_told_apart() {
    if lacks_root("refusals_at_the_same_time_are_told_apart") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, addresses) = firewalled(&mut lab);
    on(&watcher, async move || {
        let dialer = dialer(512);
        let ask = |ip: IpAddr, number: u16| {
            let dialer = dialer.clone();
            async move {
                let endpoint = Endpoint::tcp(ip, 80 + number % 3);
                let target = dialer.authorize(endpoint).expect("in scope");
                (endpoint, dialer.probe(target, PATIENCE).await.outcome)
            }
        };
        for ip in addresses {
            let all = futures_util::future::join_all((0..150).map(|number| ask(ip, number))).await;
            for (endpoint, outcome) in all {
                let expect = match endpoint.port {
                    81 => Outcome::Filtered(FilteredReason::PortUnreachable),
                    _ => Outcome::Closed(ClosedReason::Refused),
                };
                assert_eq!(outcome, expect, "{endpoint}");
            }
        }
    });
}

#[test]
fn without_the_capability_both_are_refused() {
    if lacks_root("without_the_capability_both_are_refused") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, addresses) = firewalled(&mut lab);
    on(&watcher, async move || {
        rustix::thread::set_capabilities(
            None,
            rustix::thread::CapabilitySets {
                effective: rustix::thread::CapabilitySet::empty(),
                permitted: rustix::thread::CapabilitySet::empty(),
                inheritable: rustix::thread::CapabilitySet::empty(),
            },
        )
        .expect("a thread may give its capabilities up");
        let dialer = dialer(64);
        assert!(!dialer.tells_refusals_apart());
        for ip in addresses {
            let target = dialer.authorize(Endpoint::tcp(ip, 81)).expect("in scope");
            let outcome = dialer.probe(target, PATIENCE).await.outcome;
            assert_eq!(outcome, Outcome::Closed(ClosedReason::Refused));
        }
    });
}
