//! What is known is asked in time whatever the line loses: who waits for a second question holds up nobody else.

mod world;

use model::Lane;
use std::{collections::BTreeMap, sync::Arc};
use world::{Daemon, Disk, World, clock, pass};

const CONFIG: &str = r#"
[sensor]
name = "scan1"
rate = "50k/s"
[asset.dmz]
targets = ["10.0.0.0/22"]
authorization = { by = "the test" }
[profile.dmz]
assets = ["dmz"]
scan = { hot = "1h", known = "10s", likely = "never", full = "never", hot_ports = "22,80,443,8080", udp = "none", identify = "1d" }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;
const HOSTS: u32 = 640;
const PORTS: [u16; 4] = [22, 80, 443, 8_080];
/// Batches of 256: in nearly every one of them somebody is asked again.
const BATCHES: u64 = (HOSTS as u64 * PORTS.len() as u64).div_ceil(256);
/// Of a thousand questions; both of an endpoint's first two are lost of one in twenty-five.
const LOST: u64 = 200;
/// What is asked has this long in seconds, and eight tenths of it is made use of.
const PERIOD: i64 = 10;
/// The longest that second questions take, in seconds.
const AGAIN: i64 = 10;

#[tokio::test(start_paused = true)]
async fn second_questions_hold_up_nobody_else() {
    let (disk, clock) = (Disk::default(), clock());
    let world = World::new(Arc::clone(&clock));
    for host in 0..HOSTS {
        for port in PORTS {
            world.open(&format!("10.0.{}.{}", host / 200, host % 200 + 1), port, "ssh");
        }
    }
    let daemon = Daemon::start_on(CONFIG, Arc::new(world.clone()), clock, &disk).await;
    pass(600).await;
    let known = disk.hosts().iter().map(|host| host.endpoints.len()).sum::<usize>();
    assert_eq!(known, HOSTS as usize * PORTS.len());
    let before = disk.passes().len();
    let told = disk.alerts().len();
    world.lose(LOST);
    pass(300).await;
    let mut took = BTreeMap::new();
    for record in disk.passes().into_iter().skip(before).filter(|pass| pass.lane == Lane::Known && pass.complete) {
        let seconds = record.finished.expect("it ended").duration_since(record.started).as_secs();
        assert_eq!((record.groups_done, record.covered), (BATCHES, u64::from(HOSTS)), "{record:?}");
        took.insert(record.started, seconds);
    }
    assert!(took.len() >= 300 / usize::try_from(PERIOD + AGAIN).expect("few"), "{took:?}");
    assert!(took.values().all(|seconds| *seconds <= PERIOD + AGAIN), "{took:?}");
    assert_eq!(disk.alerts().split_off(told), [], "nothing changed but the line");
    daemon.stop().await.expect("it ends cleanly");
}
