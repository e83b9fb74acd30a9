//! What four billion targets take: nothing that grows with them.

use super::{Measure, median, of, shown};
use crate::{
    bench::Bench,
    population::Population,
    ran::Ended,
    report::{Claim, Report},
    tool::{Question, Tool},
    trial::{Setting, Trial},
};
use std::time::Duration;
use testkit::{Line, Listeners, Passage};

pub(crate) const MEASURE: Measure = Measure {
    name: "memory",
    what: "Resident memory while a /16 with a hundredth of it live is swept on all 65,535 ports, looked at all the time \
           for a minute; the most there was.",
    is_long: false,
    take,
};

const TOOLS: [Tool; 2] = [Tool::Perimeterd, Tool::Masscan];
const RATE: u32 = 100_000;
const SAMPLED: Duration = Duration::from_mins(1);
const AT_MOST_MIB: f64 = 64.0;

fn take(bench: &Bench) -> Report {
    let line = Line::new();
    let ports = super::one_host::PORTS;
    let _open = Listeners::start(line.far(), &ports, "");
    let population = Population::new(16, 0.01);
    let setting = Setting {
        variant: "/16 × 65,535 ports".to_owned(),
        passage: Passage { live: population.for_path(), ..Passage::default() },
        live: &population.live,
        ports: &ports,
        targets: u64::from(population.size) * 65_535,
        within: SAMPLED,
    };
    let question = Question::new(&population.prefix, "1-65535").at(RATE);
    let trials: Vec<Trial> =
        bench.among(&TOOLS).map(|tool| Trial::run(bench, &line, &setting, tool, &question)).collect();
    let [ours, masscan] = TOOLS.map(|tool| median(&trials, tool, |trial| trial.ran.peak_kib as f64 / 1024.0));
    let mebibytes = |figure| shown(figure, |figure| format!("{figure:.1} MiB"));
    let mut report = Report::of(&trials);
    report.note("Each is stopped after a minute; recall is of what there would be to find in all.");
    report.claim(Claim {
        what: "resident memory sweeping a /16 × 65,535 ports".to_owned(),
        at_least: format!("≤ {AT_MOST_MIB:.0} MiB"),
        ours: mebibytes(ours),
        theirs: format!("masscan {}", mebibytes(masscan)),
        // One that gave up before the minute was over shows nothing.
        is_reached: of(&trials, Tool::Perimeterd)
            .next()
            .map(|trial| trial.ran.ended == Ended::Stopped && ours.is_some_and(|ours| ours <= AT_MOST_MIB)),
    });
    report
}
