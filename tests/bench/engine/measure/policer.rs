//! Somebody on the way lets through a tenth of what is asked for, and drops the rest without a word.

use super::{Measure, median, of, percent, seconds, shown};
use crate::{
    bench::Bench,
    population::Population,
    report::{Claim, Report},
    tool::{Question, Tool},
    trial::{Setting, Trial},
};
use std::time::Duration;
use testkit::{Line, Listeners, Passage, Policer};

pub(crate) const MEASURE: Measure = Measure {
    name: "policer",
    what: "Behind a policer of 20,000 packets per second, asked for 200,000: a /13 with a tenth of it live.",
    is_long: false,
    take,
};

const TOOLS: [Tool; 3] = [Tool::Perimeterd, Tool::Zmap, Tool::Masscan];
const LIMIT: u32 = 20_000;
const ASKED_FOR: u32 = 200_000;
const AT_LEAST: f64 = 0.999;

fn take(bench: &Bench) -> Report {
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[80], "");
    let population = Population::new(13, 0.1);
    let at_the_limit = f64::from(population.size) / f64::from(LIMIT);
    let setting = Setting {
        variant: "20,000 per second pass".to_owned(),
        passage: Passage {
            live: population.for_path(),
            policer: Some(Policer { packets_per_second: LIMIT, burst: 200 }),
            ..Passage::default()
        },
        live: &population.live,
        ports: &[80],
        targets: population.size.into(),
        within: Duration::from_mins(3),
    };
    let question = Question::new(&population.prefix, "80").at(ASKED_FOR);
    let trials: Vec<Trial> =
        bench.among(&TOOLS).map(|tool| Trial::run(bench, &line, &setting, tool, &question)).collect();
    let [ours, zmap, masscan] = TOOLS.map(|tool| median(&trials, tool, Trial::recall));
    let took = median(&trials, Tool::Perimeterd, |trial| trial.ran.took.as_secs_f64());
    let mut report = Report::of(&trials);
    for trial in &trials {
        report.note(format!("Dropped by the policer: {} of {}.", trial.counts["policed"], trial.who));
    }
    report.claim(Claim {
        what: "behind a 20,000 pps policer, asked for 200,000 pps".to_owned(),
        at_least: format!("{} % within {:.1} s", AT_LEAST * 100.0, at_the_limit * 2.0),
        ours: format!("{} in {}", shown(ours, percent), shown(took, seconds)),
        theirs: format!("ZMap {}, masscan {}", shown(zmap, percent), shown(masscan, percent)),
        is_reached: of(&trials, Tool::Perimeterd)
            .next()
            .map(|ours| ours.recall() >= AT_LEAST && ours.ran.took.as_secs_f64() <= at_the_limit * 2.0),
    });
    report
}
