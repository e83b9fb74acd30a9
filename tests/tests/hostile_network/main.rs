//! The real daemon in front of real servers, and between them a network that loses, delays, bans, forges and balances.
//! Whatever it does, nothing false is told, and everything true is. A scenario is a file in `tests/hostile`.

mod scenario;
mod stage;
mod verdict;

use scenario::{File, Mode, What};
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

/// A scenario, and how the daemon asks in it.
struct Play {
    file: File,
    mode: Mode,
}

struct Row<'a> {
    play: &'a Play,
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
    let plays = chosen();
    let waiting = Mutex::new(plays.iter());
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some(each) = next() {
                    let row = play(each);
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|row| (&row.play.file.name, row.play.mode.as_str()));
    let table = table(&rows);
    // Not through `println!`, which the harness swallows. Where stderr is closed there is nobody to tell.
    let _ = std::io::stderr().write_all(table.as_bytes());
    let wrong: Vec<String> = rows.iter().filter_map(complaint).collect();
    assert!(wrong.is_empty(), "{} of {} scenarios:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert_eq!(rows.len(), plays.len());
}

/// All scenarios, each in its own mode. For whoever looks closer: those named in `PERIMETERD_HOSTILE`, in the modes named in
/// `PERIMETERD_HOSTILE_MODES`.
fn chosen() -> Vec<Play> {
    let files = scenario::all();
    assert!(files.len() >= 16, "some scenarios are missing");
    let listed = |variable: &str| {
        let value = std::env::var(variable).ok()?;
        Some(value.split(',').map(ToOwned::to_owned).collect::<Vec<String>>())
    };
    let (names, modes) = (listed("PERIMETERD_HOSTILE"), listed("PERIMETERD_HOSTILE_MODES"));
    let is_named = |file: &File| names.as_ref().is_none_or(|names| names.contains(&file.name));
    let mut plays = Vec::new();
    for file in files.into_iter().filter(is_named) {
        for mode in [Mode::Raw, Mode::Connect] {
            if modes.as_ref().map_or(mode == file.mode, |modes| modes.iter().any(|named| named == mode.as_str())) {
                plays.push(Play { file: file.clone(), mode });
            }
        }
    }
    plays
}

/// A panic in one is told in its row, and the others go on.
fn play(play: &Play) -> Row<'_> {
    let begun = Instant::now();
    let played = catch_unwind(AssertUnwindSafe(|| Stage::begin(&play.file, play.mode).play()));
    let (verdict, counts) = played.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let complaints = vec![format!("it broke off: {}", said.unwrap_or_default())];
        (Verdict { complaints, ..Verdict::default() }, BTreeMap::new())
    });
    Row { play, took: begun.elapsed(), verdict, counts }
}

fn table(rows: &[Row<'_>]) -> String {
    let mut table =
        "\nscenario | mode | impairments | true changes | told | false events | of itself | seconds\n".to_owned();
    for Row { play: Play { file, mode }, took, verdict, counts } in rows {
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
            mode.as_str().to_owned(),
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
    (!lines.is_empty()).then(|| {
        let Play { file, mode } = row.play;
        format!("{} by {} ({}):\n{}", file.name, mode.as_str(), file.title, lines.join("\n"))
    })
}
