//! The sensor's own place, in an isolated network whose cables are pulled and whose routes are changed.

use jiff::Timestamp;
use model::AddressSet;
use probe::{Place, PlaceReport};
use scope::{AssetScope, Scope};
use std::{net::IpAddr, sync::Arc};
use testkit::{Host, Lab, lacks_root, soon};

fn scope(targets: &[&str]) -> Arc<Scope> {
    let targets = targets.iter().map(|text| text.parse().expect("a target")).collect();
    Arc::new(Scope::new(vec![AssetScope { name: "lab".into(), targets, until: None }], AddressSet::empty()))
}

/// A place whose sockets live in the host's network.
fn place(host: &Host) -> Place {
    host.namespace().enter(Place::watch).join().expect("no panic in the namespace")
}

fn ip(host: &Host, arguments: &str) {
    host.run("ip", &arguments.split(' ').collect::<Vec<_>>());
}

/// What it says once its generation is another than `before`; changes take the kernel a moment.
fn changed(place: &Place, scope: &Arc<Scope>, before: u64) -> PlaceReport {
    soon(format_args!("a generation after {before}"), || {
        Some(place.report(scope, Timestamp::UNIX_EPOCH)).filter(|report| report.generation > before)
    })
}

#[test]
fn cables_and_routes() {
    if lacks_root("cables_and_routes") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let host = lab.host("host", &["10.77.0.2", "fd77::2"]);
    ip(&watcher, "route add 10.88.0.0/24 via 10.77.0.2");
    // Neither has a route here: nothing that went wrong.
    let scope = scope(&["10.77.0.0/24", "10.88.0.0/24", "fd77::/64", "192.0.2.0/24", "2001:db8::/64"]);
    let place = place(&watcher);
    let now = || place.report(&scope, Timestamp::UNIX_EPOCH);
    soon("the carrier", || now().faults.is_empty().then_some(()));
    let begun = now().generation;

    // What is none of the targets' ways changes nothing.
    ip(&watcher, "link add other type bridge");
    ip(&watcher, "addr add 10.99.0.1/24 dev other");
    ip(&watcher, "link set other up");
    ip(&watcher, "route add 10.98.0.0/24 via 10.99.0.9");
    assert_eq!((now().generation, now().faults), (begun, vec![]));

    // An address of ours on the way.
    ip(&watcher, "addr add 10.77.0.99/24 dev eth0");
    let report = changed(&place, &scope, begun);
    assert!(report.faults.is_empty(), "{:?}", report.faults);

    // A route goes, and comes back by another gateway.
    ip(&watcher, "route del 10.88.0.0/24");
    let report = changed(&place, &scope, report.generation);
    assert_eq!(report.faults, ["there is no route to 10.88.0.0-10.88.0.255 any more"]);
    ip(&watcher, "route add 10.88.0.0/24 via 10.77.0.3");
    let report = changed(&place, &scope, report.generation);
    assert!(report.faults.is_empty(), "{:?}", report.faults);

    // Switched off, and on again.
    watcher.unplug();
    let report = changed(&place, &scope, report.generation);
    assert_eq!(report.faults[0], "eth0 is down");
    assert!(report.faults[1].starts_with("there is no route to 10.77.0.0"), "{:?}", report.faults);
    watcher.plug_in();
    ip(&watcher, "route add 10.88.0.0/24 via 10.77.0.3");
    soon("everything to be well again", || now().faults.is_empty().then_some(()));
    let well = now().generation;
    assert!(well > report.generation);

    // A host's cable is not ours.
    host.unplug();
    assert_eq!((now().generation, now().faults), (well, vec![]));
    assert_eq!(now().dropped, 0);
}

#[test]
fn neighbours() {
    if lacks_root("neighbours") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let host = lab.host("host", &["10.77.0.2", "fd77::2"]);
    for address in ["10.77.0.2", "fd77::2"] {
        // Nobody listens; but to be told so, each has to be found.
        let meet = format!("exec 3<>/dev/tcp/{address}/9");
        let met = watcher.command("timeout").args(["5", "bash", "-c", &meet]).output().expect("bash runs");
        assert!(String::from_utf8_lossy(&met.stderr).contains("refused"), "{met:?}");
    }
    let place = place(&watcher);
    let mac = host.run("cat", &["/sys/class/net/eth0/address"]);
    for address in host.addresses() {
        assert_eq!(place.mac(*address).map(|mac| mac.to_string()).as_deref(), Some(mac.trim()), "{address}");
    }
    let nobody: IpAddr = "10.77.0.66".parse().expect("an address");
    assert_eq!(place.mac(nobody), None);
}
