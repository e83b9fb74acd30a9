//! Losses of our own making: a receive ring that cannot hold what comes.

use super::{Measure, of, percent, seconds, shown};
use crate::{
    bench::Bench,
    population::Population,
    report::{Claim, Report, number},
    tool::{Question, Tool},
    trial::{Setting, Trial},
};
use std::time::Duration;
use testkit::{Line, Listeners, Passage};

pub(crate) const MEASURE: Measure = Measure {
    name: "small-ring",
    what: "A receive ring made so small that it drops answers, while a /15 in which everybody is there is asked: what was \
           dropped has to be asked again.",
    is_long: false,
    take,
};

const RATE: u32 = 100_000;
/// How perimeterd is told the size of its ring, in bytes.
const RING: &str = "PERIMETERD_RING_BYTES";
/// What its summary calls the answers its own ring dropped.
const DROPPED: &str = "ring_drops";

fn take(bench: &Bench) -> Report {
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[80], "");
    let population = Population::new(15, 1.0);
    let setting = Setting {
        variant: format!("ring of {} bytes", number(bench.ring_bytes as f64)),
        passage: Passage { live: population.for_path(), ..Passage::default() },
        live: &population.live,
        ports: &[80],
        targets: population.size.into(),
        within: Duration::from_mins(3),
    };
    let mut question = Question::new(&population.prefix, "80").at(RATE);
    question.environment.push((RING, bench.ring_bytes.to_string()));
    let trials: Vec<Trial> =
        bench.among(&[Tool::Perimeterd]).map(|tool| Trial::run(bench, &line, &setting, tool, &question)).collect();
    let ours = of(&trials, Tool::Perimeterd).next();
    let dropped = ours.and_then(|trial| trial.summary.as_ref()?[DROPPED].as_f64());
    let mut report = Report::of(&trials);
    report.note(format!("`{RING}={}` in its environment.", bench.ring_bytes));
    if let Some(summary) = ours.and_then(|trial| trial.summary.as_ref()) {
        report.note(format!("`{summary}`"));
    }
    report.claim(Claim {
        what: "receive ring so small that its drop counter rises".to_owned(),
        at_least: "100 % after replay".to_owned(),
        ours: format!(
            "{} with {} dropped, {}",
            shown(ours.map(Trial::recall), percent),
            shown(dropped, number),
            shown(ours.map(|trial| trial.ran.took.as_secs_f64()), seconds)
        ),
        theirs: "–".to_owned(),
        // Where nothing was dropped nothing was shown.
        is_reached: ours.zip(dropped).map(|(ours, dropped)| ours.recall() >= 1.0 && dropped > 0.0),
    });
    report
}
