//! Nothing is lost on the way: whatever is missed was missed by the one who asked.

use super::{Measure, median, percent, shown};
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
    name: "no-loss",
    what: "Open ports found without loss: a /16 with 1 % of its addresses live, port 80.",
    is_long: false,
    take,
};

const TOOLS: [Tool; 4] = [Tool::Perimeterd, Tool::Zmap, Tool::Masscan, Tool::Nmap];
const RATE: u32 = 100_000;

fn take(bench: &Bench) -> Report {
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[80], "");
    let population = Population::new(16, 0.01);
    let setting = Setting {
        variant: "1 % of a /16".to_owned(),
        passage: Passage { live: population.for_path(), ..Passage::default() },
        live: &population.live,
        ports: &[80],
        targets: population.size.into(),
        within: Duration::from_mins(2),
    };
    let question = Question::new(&population.prefix, "80").at(RATE);
    let mut trials = Vec::new();
    for tool in bench.among(&TOOLS) {
        trials.push(Trial::run(bench, &line, &setting, tool, &question));
    }
    let [ours, zmap, masscan, nmap] = TOOLS.map(|tool| median(&trials, tool, Trial::recall));
    let mut report = Report::of(&trials);
    report.claim(Claim {
        what: "open ports found, no loss, 1 % live of a /16".to_owned(),
        at_least: "100 %".to_owned(),
        ours: shown(ours, percent),
        theirs: format!(
            "ZMap {}, masscan {}, nmap {}",
            shown(zmap, percent),
            shown(masscan, percent),
            shown(nmap, percent)
        ),
        is_reached: ours.map(|recall| recall >= 1.0),
    });
    report
}
