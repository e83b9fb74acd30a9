//! Runs one scenario of the simulator and prints what came of it; exit status 1 where that is not what should have.
//!
//!     cargo run --release -p tests --example simulate -- tests/simulations/month.toml --days 30

use std::{path::PathBuf, process::ExitCode, time::Duration};
use testkit::simulation;

/// What is seen again is written again, host by host: many small pieces of memory, for which the C library's allocator takes a
/// third more time in all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut file, mut days) = (None, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--days" => days = arguments.next().and_then(|days| days.parse::<f64>().ok()).filter(|days| *days > 0.0),
            _ => file = Some(PathBuf::from(argument)),
        }
    }
    let Some(file) = file else {
        complain("usage: simulate FILE [--days N]");
        return ExitCode::from(2);
    };
    let lasting = days.map(|days| Duration::from_secs_f64(days * 86_400.0));
    match simulation::load(&file).and_then(|scenario| simulation::run(&scenario, lasting)) {
        Ok(report) => {
            show(&report);
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "what the program is for")]
fn show(report: &simulation::Report) {
    print!("{report}");
}

#[expect(clippy::print_stderr, reason = "diagnostics")]
fn complain(what: &str) {
    eprintln!("{what}");
}
