//! How long as many packets take with both cores.

use super::{Measure, ROUNDS, median, of, seconds, shown};
use crate::{
    bench::Bench,
    report::{Claim, Report, number, ratio, times},
    tool::{Question, Tool},
    trial::{Setting, Trial},
};
use std::{collections::BTreeSet, time::Duration};
use testkit::{Line, Passage, Traffic};

pub(crate) const MEASURE: Measure = Measure {
    name: "two-cores",
    what: "Time until equally many packets have arrived, with two sending threads; the median of three runs.",
    is_long: false,
    take,
};

const TOOLS: [Tool; 2] = [Tool::Perimeterd, Tool::Zmap];
const AT_MOST: f64 = 1.0;

fn take(bench: &Bench) -> Report {
    let line = Line::new();
    let setting = Setting {
        variant: "dark /12".to_owned(),
        passage: Passage { dark: true, ..Passage::default() },
        live: &BTreeSet::new(),
        ports: &[],
        targets: 1 << 20,
        within: Duration::from_mins(1),
    };
    let mut trials = Vec::new();
    for _ in 0..ROUNDS {
        for tool in bench.among(&TOOLS) {
            let question = Question { listen: Some(1), threads: 2, ..Question::new(Line::TARGETS[0], "80") };
            trials.push(Trial::run(bench, &line, &setting, tool, &question));
        }
    }
    // What all of them have sent at least: whoever asks twice is not held up for it, nor whose packets were dropped on the way.
    let packets = trials.iter().map(|trial| trial.asked).min().unwrap_or_default();
    let sending = |tool| {
        let is_one = of(&trials, tool).next().is_some();
        let time = |trial: &Trial| Traffic::until(&trial.traffic, packets).unwrap_or(trial.ran.took).as_secs_f64();
        is_one.then(|| median(&trials, tool, time)).flatten()
    };
    let [ours, zmap] = TOOLS.map(sending);
    let mut report = Report::of(&trials);
    report.claim(Claim {
        what: format!("sending time of {} packets with two cores", number(packets as f64)),
        at_least: format!("≤ {AT_MOST:.1} × ZMap -T 2"),
        ours: format!("{} ({})", shown(ours, seconds), times(ours, zmap)),
        theirs: format!("ZMap {}", shown(zmap, seconds)),
        is_reached: ratio(ours, zmap).map(|ratio| ratio <= AT_MOST),
    });
    report
}
