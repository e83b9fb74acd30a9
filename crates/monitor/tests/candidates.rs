//! A prefix too large to ask every address of: whoever is met in it is asked, and nobody else.

mod world;

use model::NotEnumerable;
use std::{net::IpAddr, time::Duration};
use world::{Daemon, Disk, World, clock, pass};

const CONFIG: &str = r#"
[sensor]
name = "scan1"
rate = "10k/s"
rate_per_host = "10k/s"
exclude = ["2001:db8:1::bad"]
[asset.dmz]
targets = ["10.0.0.0/30", "2001:db8:1::/64", "2001:db8:1::c0-2001:db8:1::c3"]
authorization = { by = "the test" }
[profile.dmz]
assets = ["dmz"]
scan = { hot = "1m", known = "1m", likely = "never", full = "never", hot_ports = "22,80", udp = "none" }
confirm = { port_closed = { passes = 2, at_least = "30s" }, host_lost = { passes = 2, at_least = "30s" } }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;

/// Several passes.
const A_WHILE: u64 = 300;

fn asked(world: &World) -> Vec<String> {
    world.asked_addresses().iter().filter(|ip| ip.is_ipv6()).map(IpAddr::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn whoever_is_met_is_asked_and_nobody_else() {
    let (world, disk) = (World::new(clock()), Disk::default());
    for ip in ["10.0.0.1", "2001:db8:1::7", "2001:db8:1::c1", "2001:db8:1::bad", "2001:db8:2::1", "2001:db8:1::99"] {
        world.open(ip, 22, "ssh OpenSSH/9.2p1");
    }
    world.neighbours(&["2001:db8:1::7", "2001:db8:1::bad", "2001:db8:2::1", "2001:db8:1::c1", "10.0.0.9"]);
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    pass(A_WHILE).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    let given = ["2001:db8:1::7", "2001:db8:1::c0", "2001:db8:1::c1", "2001:db8:1::c2", "2001:db8:1::c3"];
    assert_eq!(asked(&world), given);
    let shown = |candidates| [NotEnumerable { target: "2001:db8:1::/64".to_owned(), candidates }];
    assert_eq!(daemon.handle.snapshot().not_enumerable, shown(5));

    // Nobody says any more that it is there, but it is known.
    world.neighbours(&[]);
    world.power("2001:db8:1::7", false);
    pass(A_WHILE).await;
    assert_eq!(disk.kinds_since(1), ["HOST_LOST"]);
    world.power("2001:db8:1::7", true);
    pass(A_WHILE).await;
    assert_eq!(disk.kinds_since(2), ["HOST_UP"]);

    // On the first day whoever is met is learnt.
    world.open("2001:db8:1::8", 22, "ssh OpenSSH/9.2p1");
    world.neighbours(&["2001:db8:1::8"]);
    pass(A_WHILE).await;
    assert!(asked(&world).contains(&"2001:db8:1::8".to_owned()));
    assert_eq!(daemon.handle.snapshot().not_enumerable, shown(6));
    assert_eq!(disk.kinds_since(3), [""; 0]);

    // Later it is news, and so is what opens on those who were learnt.
    tokio::time::advance(Duration::from_hours(24)).await;
    pass(A_WHILE).await;
    let so_far = disk.events().len();
    world.open("2001:db8:1::9", 22, "ssh OpenSSH/9.2p1");
    world.neighbours(&["2001:db8:1::8", "2001:db8:1::9"]);
    pass(A_WHILE).await;
    assert_eq!(disk.kinds_since(so_far)[..2], ["HOST_FOUND", "PORT_OPEN"]);
    let so_far = disk.events().len();
    world.open("2001:db8:1::8", 80, "http nginx/1.22.1");
    pass(A_WHILE).await;
    assert_eq!(disk.kinds_since(so_far)[0], "PORT_OPEN");
    assert!(
        !asked(&world).iter().any(|ip| ["2001:db8:1::bad", "2001:db8:1::99", "2001:db8:2::1"].contains(&ip.as_str()))
    );

    // Over a crash the known are known, and the lane does not learn anew.
    daemon.kill().await;
    let so_far = disk.events().len();
    world.neighbours(&[]);
    let daemon = Daemon::start(CONFIG, &world, &disk).await;
    world.close("2001:db8:1::9", 22);
    pass(A_WHILE).await;
    assert_eq!(disk.kinds_since(so_far)[0], "PORT_CLOSED");
    assert_eq!(daemon.handle.snapshot().not_enumerable, shown(7));
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_prefix_in_which_nobody_is_met_is_no_trouble() {
    let (world, disk) = (World::new(clock()), Disk::default());
    let config = CONFIG.replace("\"10.0.0.0/30\", ", "").replace(", \"2001:db8:1::c0-2001:db8:1::c3\"", "");
    let daemon = Daemon::start(&config, &world, &disk).await;
    pass(A_WHILE).await;
    assert_eq!(disk.kinds_since(0), ["BASELINE_DONE"]);
    assert_eq!((world.asked(), daemon.handle.snapshot().reasons.len()), (0, 0));
    daemon.stop().await.expect("it ends cleanly");
}
