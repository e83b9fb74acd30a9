//! The power fails while the store is busy, at hundreds of moments: what was acknowledged is there, and what is there is
//! what some number of whole commits left.
//!
//! A child process does the work under `strace`, which records every change it asks the kernel to make to the database's
//! files, with the bytes. For each moment the disk is put together as it may be after a power cut: what was synced is
//! there; of what was not, nothing, all, some, or parts of it, in whatever order. The store is then opened on it.
//! docs/adr/0009 tells why it is done this way.
//!
//! `PERIMETERD_POWER_CUTS=2000` for more moments than the usual.

mod disk;
mod trace;
mod workload;

use disk::{Disk, Luck};
use std::{
    collections::BTreeMap,
    env,
    path::Path,
    process::{Command, ExitCode},
};
use tempfile::TempDir;
use tokio::time::Instant;
use trace::Step;

const CUTS: usize = 500;

#[expect(clippy::print_stdout, reason = "a harness of its own says what it found")]
fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--work") => {
            let folder = arguments.get(2).expect("a folder");
            runtime().block_on(workload::run(Path::new(folder)));
            ExitCode::SUCCESS
        }
        // What the test harness would be asked.
        Some("--list") => {
            println!("power_loss: test");
            ExitCode::SUCCESS
        }
        Some(filter) if !filter.starts_with('-') && !"power_loss".contains(filter) => ExitCode::SUCCESS,
        _ => {
            power_loss();
            ExitCode::SUCCESS
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

#[expect(clippy::print_stdout, reason = "a harness of its own says what it found")]
fn power_loss() {
    let began = Instant::now();
    let cuts = env::var("PERIMETERD_POWER_CUTS").ok().map_or(CUTS, |text| text.parse().expect("a number"));
    let folder = memory();
    let steps = record(folder.path());
    let states = workload::states(&steps);
    let syncs = steps.iter().filter(|step| matches!(step, Step::Sync { .. })).count();
    assert!(states.len() > 100 && syncs > 100, "{} states, {syncs} syncs: not busy", states.len());

    let mut fates: BTreeMap<&str, usize> = BTreeMap::new();
    let mut disk = Disk::default();
    let mut done = 0;
    for cut in 0..cuts {
        // Spread over the whole of it, each with its own luck; the last is the very end.
        let at = (cut + 1) * steps.len() / cuts;
        let luck = Luck::of(cut);
        let left = memory();
        steps[done..at].iter().for_each(|step| disk.apply(step));
        done = at;
        disk.cut(luck, left.path());
        let fate = verify(
            &steps[..at],
            &states,
            left.path(),
            &format!("cut {cut} after {at} of {} steps, {luck:?}", steps.len()),
        );
        *fates.entry(fate).or_default() += 1;
    }
    assert!(fates.len() > 1, "every cut ended alike: {fates:?}");
    println!(
        "power loss: {cuts} cuts into {} steps ({syncs} syncs, {} operations): {fates:?}, {:.1} s",
        steps.len(),
        states.len(),
        began.elapsed().as_secs_f64()
    );
}

/// A folder that costs no waiting for a disk: what a sync means is decided here, not there.
fn memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

/// Opens what is left and compares it with what the operations up to there left.
fn verify(steps: &[Step], states: &[String], left: &Path, what: &str) -> &'static str {
    let (begun, acknowledged) = workload::progress(steps);
    runtime().block_on(async {
        let found = workload::reopen(left, acknowledged, what).await;
        let Some(number) = (acknowledged..=begun).find(|number| states.get(*number) == Some(&found)) else {
            if begun > acknowledged && workload::is_in_parts(begun) {
                workload::go_on(left, acknowledged, states, what).await;
                return "in the middle of the retention, which goes in slices";
            }
            let elsewhere = states.iter().position(|state| *state == found);
            panic!(
                "{what}: {acknowledged} operations were acknowledged and {begun} begun, but what is left is {}\n{}",
                elsewhere.map_or("no whole number of them".to_owned(), |number| format!("what {number} left")),
                workload::difference(&found, &states[acknowledged]),
            );
        };
        // The one that was not acknowledged is done again, as the daemon would, and others after it.
        workload::go_on(left, acknowledged, states, what).await;
        if number > acknowledged { "stored, not acknowledged" } else { "stored and acknowledged" }
    })
}

fn record(folder: &Path) -> Vec<Step> {
    let work = folder.join("work");
    let log = folder.join("trace");
    std::fs::create_dir(&work).expect("a folder");
    let output = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "1000000", "-o"])
        .arg(&log)
        .args(["-e", "trace=openat,pwrite64,write,pwritev,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,fallocate"])
        .arg("--")
        .arg(env::current_exe().expect("this program"))
        .arg("--work")
        .arg(&work)
        .output()
        .expect("strace is needed (`apt-get install strace`, which tests/run does)");
    assert!(output.status.success(), "the work failed: {}", String::from_utf8_lossy(&output.stderr));
    trace::read(&log, &work.canonicalize().expect("is there"))
}
