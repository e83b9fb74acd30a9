//! Random loss, and nothing known yet: what is found at what price, where everybody is there and where few are.

use super::{Measure, of, percent, shown};
use crate::{
    bench::Bench,
    population::Population,
    report::{Claim, Report},
    tool::{Question, Tool},
    trial::{Setting, Trial},
};
use std::time::Duration;
use testkit::{Line, Listeners, Passage};

pub(crate) const MEASURE: Measure = Measure {
    name: "first-cycle",
    what: "The first cycle with 1 % and 5 % random loss each way, pooled over more than 100,000 live targets: where all \
           are live, and where half and a tenth of them are.",
    is_long: false,
    take,
};

const TOOLS: [Tool; 2] = [Tool::Perimeterd, Tool::Zmap];

/// Loss each way, the least recall, the most packets for one probe each.
const LOSSES: [(f64, f64, f64); 2] = [(0.01, 0.9999, 2.1), (0.05, 0.999, 3.1)];
/// Length of the prefix, share that is live, packets per second: the answering end has the same two cores.
const POPULATIONS: [(u32, f64, u32); 3] = [(15, 1.0, 40_000), (14, 0.5, 60_000), (12, 0.1, 100_000)];

fn take(bench: &Bench) -> Report {
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[80], "");
    let mut trials = Vec::new();
    let mut claims = Vec::new();
    for (length, share, rate) in POPULATIONS {
        let population = Population::new(length, share);
        for (loss, recall, price) in LOSSES {
            let variant = format!("{:.0} % loss, {:.0} % of a /{length} live", loss * 100.0, share * 100.0);
            let setting = Setting {
                variant: variant.clone(),
                passage: Passage { live: population.for_path(), loss, ..Passage::default() },
                live: &population.live,
                ports: &[80],
                targets: population.size.into(),
                within: Duration::from_mins(3),
            };
            let question = Question::new(&population.prefix, "80").at(rate);
            let begun = trials.len();
            for tool in bench.among(&TOOLS) {
                trials.push(Trial::run(bench, &line, &setting, tool, &question));
            }
            claims.push(claim(&variant, recall, price, &trials[begun..]));
        }
    }
    let mut report = Report::of(&trials);
    for claim in claims {
        report.claim(claim);
    }
    report
}

fn claim(variant: &str, recall: f64, price: f64, trials: &[Trial]) -> Claim {
    let [ours, zmap] = TOOLS.map(|tool| of(trials, tool).next());
    let show = |trial: Option<&Trial>| {
        let recall = shown(trial.map(Trial::recall), percent);
        format!("{recall} at {}", shown(trial.map(Trial::asked_per_target), |price| format!("{price:.2} ×")))
    };
    Claim {
        what: format!("first cycle, {variant}"),
        at_least: format!("{} % at ≤ {price} ×", recall * 100.0),
        ours: show(ours),
        theirs: format!("ZMap {}", show(zmap)),
        is_reached: ours.map(|ours| ours.recall() >= recall && ours.asked_per_target() <= price && ours.is_whole()),
    }
}
