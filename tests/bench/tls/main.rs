//! Puts what a scan learns of TLS beside sslyze and testssl.sh, on the same servers in the same run, in network namespaces that
//! nothing leads out of. The servers are a selection of the test `tls_matrix`; connections are counted where they arrive.
//!
//! `tests/bench/tls/run` installs what it needs and starts it. The table goes to stdout as Markdown, progress to stderr.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints figures")]

#[path = "../../tests/tls_matrix/cell.rs"]
mod cell;
#[path = "../../tests/tls_matrix/daemons.rs"]
mod daemons;
#[path = "../../tests/tls_matrix/front.rs"]
mod front;
#[path = "../../tests/tls_matrix/matrix.rs"]
mod matrix;
#[path = "../../tests/tls_matrix/pairs.rs"]
mod pairs;
#[path = "../../tests/tls_matrix/scanning.rs"]
mod scanning;
mod selection;
mod sslyze;
mod table;
mod tool;
mod truth;

use cell::Cell;
use matrix::Matrix;
use std::{process::ExitCode, thread};
use table::Row;
use testkit::{Lab, is_root};
use tool::{Bench, TOOLS, Told, Tool};
use truth::Truth;

/// How many cells at once, with every tool alike: as many as the machine has cores.
const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    if !is_root() {
        eprintln!("network namespaces need root");
        return ExitCode::from(2);
    }
    let Some(sslyze) = testkit::rig("python/bin/sslyze") else {
        eprintln!("sslyze is missing: tests/rig DIR bench");
        return ExitCode::from(2);
    };
    // Words choose cells by their label, such as `gnutls`; without one it is the selection. `all` takes the whole matrix.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut lab = Lab::new();
    let matrix = Matrix::start(&mut lab);
    let all: Vec<&Cell> = matrix.cells().collect();
    let chosen: Vec<&Cell> = match &words[..] {
        [] => selection::representative(&all),
        [only] if only == "all" => all,
        _ => all.into_iter().filter(|cell| words.iter().any(|word| cell.label.contains(word.as_str()))).collect(),
    };
    let bench = Bench::new(&matrix.watcher, sslyze);
    let truths: Vec<Truth> = chosen.iter().map(|cell| Truth::of(&matrix.watcher, cell)).collect();
    eprintln!("{} cells of {} listen", chosen.len(), matrix.cells().count());

    // All tools on some cells, then on the next: what else the machine does in the meantime meets all of them.
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (cells, truths) in chosen.chunks(AT_ONCE).zip(truths.chunks(AT_ONCE)) {
        let told = TOOLS.map(|tool| ask(&matrix, &bench, tool, cells));
        let mut told = told.map(Vec::into_iter);
        for (cell, truth) in cells.iter().zip(truths) {
            rows.push(Row { cell, truth, told: told.iter_mut().filter_map(Iterator::next).collect() });
        }
        eprintln!("{} of {}", rows.len(), chosen.len());
    }
    table::print(&rows);
    ExitCode::SUCCESS
}

/// What one tool says of each of these, asked at once.
fn ask(matrix: &Matrix, bench: &Bench, tool: Tool, cells: &[&Cell]) -> Vec<Told> {
    let before = matrix.connections(cells);
    let mut told: Vec<Told> = thread::scope(|scope| {
        let asking: Vec<_> = cells.iter().map(|cell| scope.spawn(move || bench.ask(tool, cell))).collect();
        asking.into_iter().map(|one| one.join().expect("a tool's words are read")).collect()
    });
    for (told, (before, after)) in told.iter_mut().zip(before.into_iter().zip(matrix.connections(cells))) {
        told.connections = after - before;
    }
    told
}
