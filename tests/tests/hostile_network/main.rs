//! The real daemon in front of real servers, and between them a network that loses, delays, bans, forges and balances.
//! Whatever it does, nothing false is told, and everything true is. A scenario is a file in `tests/hostile`.

mod scenario;
mod stage;
mod verdict;

use scenario::{File, What};
use stage::Stage;
use std::{
    collections::BTreeMap,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use testkit::{binary, lacks_root};
use tokio::time::Instant;
use verdict::Verdict;

/// So many networks live at once: they mostly wait.
const AT_ONCE: usize = 8;

struct Row<'a> {
    file: &'a File,
    took: Duration,
    verdict: Verdict,
    counts: BTreeMap<String, u64>,
}

#[test]
fn nothing_false_is_told_and_everything_true() {
    if lacks_root("nothing_false_is_told_and_everything_true") {
        return;
    }
    // Built before anything waits for it.
    binary();
    let files = chosen();
    let waiting = Mutex::new(files.iter());
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some(file) = next() {
                    let row = play(file);
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by(|a, b| a.file.name.cmp(&b.file.name));
    let table = table(&rows);
    // Not through `println!`, which the harness swallows. Where stderr is closed there is nobody to tell.
    let _ = std::io::stderr().write_all(table.as_bytes());
    let wrong: Vec<String> = rows.iter().filter_map(complaint).collect();
    assert!(wrong.is_empty(), "{} of {} scenarios:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert_eq!(rows.len(), files.len());
}

/// All scenarios, or those named in `PERIMETERD_HOSTILE`, for whoever looks into one.
fn chosen() -> Vec<File> {
    let mut files = scenario::all();
    assert!(files.len() >= 16, "some scenarios are missing");
    if let Ok(names) = std::env::var("PERIMETERD_HOSTILE") {
        files.retain(|file| names.split(',').any(|name| name == file.name));
    }
    files
}

/// A panic in one is told in its row, and the others go on.
fn play(file: &File) -> Row<'_> {
    let begun = Instant::now();
    let played = catch_unwind(AssertUnwindSafe(|| Stage::begin(file).play()));
    let (verdict, counts) = played.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let complaints = vec![format!("it broke off: {}", said.unwrap_or_default())];
        (Verdict { complaints, ..Verdict::default() }, BTreeMap::new())
    });
    Row { file, took: begun.elapsed(), verdict, counts }
}

fn table(rows: &[Row<'_>]) -> String {
    let mut table = "\nscenario | impairments | true changes | told | false events | of itself | seconds\n".to_owned();
    for Row { file, took, verdict, counts } in rows {
        let join = |parts: Vec<String>| parts.join(", ");
        let happened = file.expect.happened.keys();
        let happened = happened.map(|what| format!("{what} {}", counts.get(what).copied().unwrap_or_default()));
        let uplink = file.change.iter().filter_map(|change| match change.what {
            What::Uplink(uplink) => Some(format!("uplink {uplink:?}").to_lowercase()),
            _ => None,
        });
        let sensor = verdict.sensor.iter().map(|(kind, count)| format!("{kind} {count}"));
        let cells = [
            file.title.clone(),
            join(happened.chain(uplink).collect()),
            verdict.changes.to_string(),
            verdict.told.to_string(),
            verdict.wrong.len().to_string(),
            join(sensor.collect()),
            took.as_secs().to_string(),
        ];
        table.push_str(&cells.join(" | "));
        table.push('\n');
    }
    table
}

fn complaint(row: &Row<'_>) -> Option<String> {
    let Verdict { untold, wrong, complaints, .. } = &row.verdict;
    let lines: Vec<String> = untold
        .iter()
        .map(|what| format!("  not told: {what}"))
        .chain(wrong.iter().map(|what| format!("  false: {what}")))
        .chain(complaints.iter().map(|what| format!("  {what}")))
        .collect();
    (!lines.is_empty()).then(|| format!("{} ({}):\n{}", row.file.name, row.file.title, lines.join("\n")))
}
