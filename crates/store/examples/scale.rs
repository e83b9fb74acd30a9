//! A million hosts with three million endpoints: how long a start takes, and a commit of a thousand changes.
//!
//! `cargo run --release -p store --example scale [HOSTS [FOLDER]]`: in the folder the database stays for another time.

use inventory::{EndpointState, HostState, PortStatus, Restoration, ServiceState};
use jiff::Timestamp;
use model::{HostKey, Service, SystemClock, Transport};
use monitor::{Batch, Journal as _};
use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
};
use store::{Options, PastFilter, Soundness, Store};
use tokio::time::Instant;

const CHANGES: u32 = 1_000;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "what it is for")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let hosts: u32 = arguments.next().map_or(1_000_000, |text| text.parse().expect("a number of hosts"));
    let ours = tempfile::tempdir().expect("a folder");
    let folder = arguments.next().map_or_else(|| ours.path().to_owned(), PathBuf::from);
    let path = folder.join("perimeter.db");
    let open = || Store::open(&path, Arc::new(SystemClock), &Options::default()).expect("opens");
    if path.exists() {
        println!("the one in {} is used again", folder.display());
    } else {
        let began = Instant::now();
        let store = open();
        // In the order of a pass, which is not the order of addresses.
        let mut order = (0..hosts).map(|number| number.wrapping_mul(0x9e37_79b1) % (1 << 24)).peekable();
        while order.peek().is_some() {
            let hosts = order.by_ref().take(5_000).map(|number| host(number, 0)).collect();
            store.commit(Batch { hosts, ..Batch::default() }).await.expect("commits");
        }
        println!("filled with {hosts} hosts in {:.0} s", began.elapsed().as_secs_f64());
        store.close().await.expect("closes");
    }
    let size = fs::metadata(&path).expect("is there").len();
    println!("file: {} MiB, {} bytes a host", size >> 20, size / u64::from(hosts));

    for how in ["nothing of it in the page cache", "again, as far as it is in the page cache"] {
        if how.starts_with("nothing") {
            forget(&path);
        }
        start(how, &open).await.close().await.expect("closes");
    }
    fs::remove_file(folder.join("perimeter.db.seal")).expect("it was closed");
    forget(&path);
    let store = start("after an unclean end, checked meanwhile", &open).await;
    let began = Instant::now();
    let found = store.soundness().wait_for(|found| *found != Soundness::Unknown).await.expect("it is open").clone();
    println!("check: {:.1} s more, {found:?}", began.elapsed().as_secs_f64());

    let mut times = Vec::new();
    // On a file that is used again the same change as last time would be none.
    let run = std::process::id() * 100;
    for round in 1..=20_u32 {
        let number = |change: u32| (round * CHANGES + change).wrapping_mul(0x9e37_79b1) % (1 << 24);
        let changes = (0..CHANGES).map(|change| host(number(change), run + round)).collect();
        let began = Instant::now();
        store.commit(Batch { hosts: changes, ..Batch::default() }).await.expect("commits");
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    println!("commit of {CHANGES} changed hosts: median {:.0} ms, slowest {:.0} ms", times[10], times[19]);

    let began = Instant::now();
    let page = PastFilter { limit: Some(1_000), ..PastFilter::default() };
    let (found, _) = store.reader().diff(at(0), at(1_000_000), page.clone()).await.expect("reads");
    println!("first page of a diff: {} differences in {:.2} s", found.len(), began.elapsed().as_secs_f64());
    let began = Instant::now();
    let then = store.reader().inventory_at(at(30), page).await.expect("reads");
    println!("first page of the past: {} hosts in {:.2} s", then.len(), began.elapsed().as_secs_f64());
}

/// As the daemon does it.
#[expect(clippy::print_stdout, reason = "what it is for")]
async fn start(how: &str, open: &impl Fn() -> Store) -> Store {
    // Lets the peak begin anew.
    fs::write("/proc/self/clear_refs", "5").expect("it is ours");
    let (began, busy, before) = (Instant::now(), processor(), memory("VmRSS:"));
    let store = open();
    let (hosts, rest) = store.load(Restoration::new("".into())).await.expect("loads");
    let inventory = hosts.finish(rest.certificates, rest.regions, rest.baselines);
    println!(
        "start ({how}): {:.1} s, {:.1} s of processor; {} hosts with {} endpoints restored in {} MiB, at most {} MiB",
        began.elapsed().as_secs_f64(),
        processor() - busy,
        inventory.counts().hosts,
        inventory.counts().endpoints,
        memory("VmRSS:") - before,
        memory("VmHWM:") - before,
    );
    store
}

/// Nothing of the file is in the page cache afterwards.
fn forget(path: &Path) {
    let file = File::open(path).expect("is there");
    file.sync_all().expect("syncs");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advises");
}

/// Of this process, in MiB (`proc(5)`, `status`).
fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("is there");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}

/// Seconds all threads of this process have spent on processors (`proc(5)`, `stat`, in hundredths).
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("is there");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0).sum()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_255_200 + seconds).expect("in range")
}

fn host(number: u32, round: u32) -> HostState {
    let ip: IpAddr = Ipv4Addr::from(0x0a00_0000 | number).into();
    let seconds = i64::from(round) * 60;
    let endpoint = |port: u16, name: &str, product: &str| {
        // What changes is one version of one service.
        let version = if port == 22 { format!("9.{round}") } else { "1.22.1".to_owned() };
        let service = Service {
            name: name.to_owned(),
            vendor: Some(product.to_lowercase()),
            product: Some(product.to_owned()),
            version: Some(version.clone()),
            cpe: vec![format!("cpe:2.3:a:{product}:{product}:{version}:*:*:*:*:*:*:*")],
            confidence: 0.75,
            banner: Some(format!("{product} {version} on host {number}")),
            ..Service::default()
        };
        let changed_at = if port == 22 { at(seconds) } else { at(0) };
        EndpointState {
            transport: Transport::Tcp,
            port,
            status: PortStatus::Open,
            reason: "connected".to_owned(),
            first_seen: at(0),
            last_seen: at(seconds),
            changed_at: at(0),
            last_observed: at(seconds),
            pending: None,
            recovered: 0,
            learnt: true,
            services: vec![ServiceState {
                name: None,
                learnt: false,
                service: Some(Arc::new(service)),
                tls: None,
                first_seen: at(0),
                last_seen: at(seconds),
                changed_at,
                last_observed: at(seconds),
                pending_service: None,
                pending_certificate: None,
                pending_key: None,
                pending_trust: None,
            }],
        }
    };
    HostState {
        up: true,
        last_seen: at(seconds),
        assets: ["dmz".into()].into(),
        tags: ["production".into()].into(),
        endpoints: vec![endpoint(22, "ssh", "OpenSSH"), endpoint(80, "http", "nginx"), endpoint(443, "http", "nginx")],
        ..HostState::new(HostKey { vantage: "".into(), ip }, at(0))
    }
}
