//! Measures the packet engine beside zmap, masscan and nmap: the same targets behind the same path in the same run, in
//! network namespaces that nothing leads out of, with packets counted where they arrive.
//!
//! `tests/bench/engine/run` installs the others and starts it: see `--help`, and `--list` for what is measured.
//! Everything there is to see goes to stdout as Markdown, section by section, and progress to stderr.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "it prints figures, and no figure here needs more than 52 bits"
)]

mod bench;
mod forger;
mod machine;
mod measure;
mod population;
mod ran;
mod report;
mod tool;
mod trial;
mod watch;

use bench::Bench;
use clap::Parser;
use jiff::Timestamp;
use measure::{MEASURES, Measure};
use std::{path::PathBuf, process::ExitCode};
use tool::Tool;

/// Measures perimeterd's packet engine beside zmap, masscan and nmap, in isolated network namespaces. Needs root.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; everything but the long measures where nothing is named
    measures: Vec<String>,
    /// The long measures too
    #[arg(long)]
    long: bool,
    /// Only say what there is to measure
    #[arg(long)]
    list: bool,
    /// Only these take part
    #[arg(long, value_enum, value_delimiter = ',', default_value = "perimeterd,zmap,masscan,nmap")]
    only: Vec<Tool>,
    /// How perimeterd is to ask: auto, raw or connect
    #[arg(long, default_value = "auto")]
    mode: String,
    /// Another perimeterd than this program's own
    #[arg(long, value_name = "FILE")]
    perimeterd: Option<PathBuf>,
    /// The receive ring of the measure that makes it too small, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 65_536)]
    ring: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for measure in MEASURES {
            let long = if measure.is_long { " (long)" } else { "" };
            println!("{:<22}{}{long}", measure.name, measure.what);
        }
        return ExitCode::SUCCESS;
    }
    let chosen = match choose(&arguments) {
        Ok(chosen) => chosen,
        Err(unknown) => {
            eprintln!("`{unknown}` is nothing that can be measured; --list says what is");
            return ExitCode::from(2);
        }
    };
    if !testkit::is_root() {
        eprintln!("network namespaces need root");
        return ExitCode::from(2);
    }
    let tools = arguments.only.iter().copied().collect();
    let bench = Bench::new(tools, arguments.perimeterd, arguments.mode, arguments.ring);
    let missing: Vec<&str> =
        arguments.only.iter().filter(|tool| tool.version(&bench).is_none()).map(|tool| tool.name()).collect();
    if !missing.is_empty() {
        eprintln!("not installed: {}; tests/bench/engine/run installs them", missing.join(", "));
        return ExitCode::from(2);
    }
    measure_all(&bench, &chosen);
    ExitCode::SUCCESS
}

fn choose(arguments: &Arguments) -> Result<Vec<&'static Measure>, String> {
    if arguments.measures.is_empty() {
        return Ok(MEASURES.iter().filter(|measure| arguments.long || !measure.is_long).collect());
    }
    let called = |name: &String| MEASURES.iter().find(|measure| measure.name == name).ok_or_else(|| name.clone());
    arguments.measures.iter().map(called).collect()
}

#[expect(clippy::disallowed_methods, reason = "the date of a benchmark")]
fn measure_all(bench: &Bench, chosen: &[&'static Measure]) {
    println!("## Engine\n");
    println!(
        "{} on {}; load before {}.\n",
        Timestamp::now().strftime("%F %H:%M UTC"),
        machine::machine(),
        machine::load()
    );
    let versions = [Tool::Perimeterd, Tool::Zmap, Tool::Masscan, Tool::Nmap].into_iter();
    let versions = versions.filter(|tool| bench.has(*tool)).filter_map(|tool| match tool {
        Tool::Perimeterd => tool.version(bench).map(|version| format!("{version} (mode {})", bench.mode())),
        other => machine::package(other.name()).or_else(|| other.version(bench)),
    });
    println!("{}.\n", versions.collect::<Vec<_>>().join(", "));
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    println!("`{}`\n", format!("tests/bench/engine/run {command}").trim_end());
    let mut claims = Vec::new();
    for measure in chosen {
        eprintln!("{}", measure.name);
        let report = (measure.take)(bench);
        println!("{}", report.section(measure));
        for claim in &report.claims {
            eprintln!("  {}: {} (at least: {}; peers: {})", claim.what, claim.ours, claim.at_least, claim.theirs);
        }
        claims.extend(report.claims.into_iter().map(|claim| (*measure, claim)));
    }
    if !claims.is_empty() {
        println!("### What is reached\n\n{}", report::summary(&claims));
    }
    eprintln!("load after: {}", machine::load());
}
