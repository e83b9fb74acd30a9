//! What is measured, one a file. Each makes its own rig, asks everybody the same, and says what came of it.

mod ban;
mod every_port;
mod first_cycle;
mod footprint;
mod forged;
mod memory;
mod next_cycle;
mod no_loss;
mod one_host;
mod policer;
mod predicted;
mod small_ring;
mod syn_per_cpu;
mod two_cores;

use crate::{bench::Bench, report::Report, tool::Tool, trial::Trial};

#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    /// One sentence for people.
    pub(crate) what: &'static str,
    /// Longer than ten minutes: only taken when asked for.
    pub(crate) is_long: bool,
    pub(crate) take: fn(&Bench) -> Report,
}

/// In the order they are taken.
pub(crate) static MEASURES: &[Measure] = &[
    syn_per_cpu::MEASURE,
    two_cores::MEASURE,
    no_loss::MEASURE,
    first_cycle::MEASURE,
    next_cycle::MEASURE,
    policer::MEASURE,
    small_ring::MEASURE,
    forged::MEASURE,
    every_port::MEASURE,
    predicted::MEASURE,
    memory::MEASURE,
    one_host::CLEAN,
    one_host::LOSSY,
    ban::SCALED,
    footprint::BUSY,
    footprint::IDLE,
    ban::HOUR,
];

/// Repetitions of what is quick and noisy; their median counts.
const ROUNDS: usize = 3;

/// Those of one tool, without those that were given arguments of their own.
fn of(trials: &[Trial], tool: Tool) -> impl Iterator<Item = &Trial> {
    trials.iter().filter(move |trial| trial.tool == tool && trial.is_plain)
}

/// The middle one of a figure of a tool's trials; None where it has none.
fn median(trials: &[Trial], tool: Tool, figure: impl Fn(&Trial) -> f64) -> Option<f64> {
    middle(of(trials, tool).map(figure))
}

fn middle(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// `what` where there is a figure, a dash where there is none.
fn shown(figure: Option<f64>, show: impl Fn(f64) -> String) -> String {
    figure.map_or_else(|| "–".to_owned(), show)
}

fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

fn seconds(time: f64) -> String {
    format!("{time:.2} s")
}
