//! Every scenario in `simulations/`, in paused time: no false event, no missed change, and at the end the truth is remembered.
//! Adding a scenario is adding a file.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use testkit::simulation;

/// Long scenarios run whole with the `simulate` example; here a day of them.
const MOST: Duration = Duration::from_hours(24);

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations");
    let entries = fs::read_dir(&folder).expect("tests/simulations can be read");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

#[test]
fn every_scenario_comes_out_as_it_should() {
    let files = scenarios();
    assert!(!files.is_empty(), "no scenario in tests/simulations");
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(path) = files.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    let outcome = simulation::load(path)
                        .and_then(|scenario| simulation::run(&scenario, Some(scenario.lasting.0.min(MOST))));
                    let complaint = match outcome {
                        Ok(report) if report.is_clean() => continue,
                        Ok(report) => report.to_string(),
                        Err(error) => error.to_string(),
                    };
                    failed.lock().expect("no panic while it was held").push(format!("{name}: {complaint}"));
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic while it was held");
    assert!(failed.is_empty(), "{} of {} scenarios:\n{}", failed.len(), files.len(), failed.join("\n"));
}
