//! What a packet costs: a /12 in which nobody is, asked as fast as each can with one sending thread.

use super::{Measure, ROUNDS, median, shown};
use crate::{
    bench::Bench,
    report::{Claim, Report, number, ratio, times},
    tool::{Question, Tool},
    trial::{Setting, Trial},
};
use std::{collections::BTreeSet, time::Duration};
use testkit::{Line, Passage};

pub(crate) const MEASURE: Measure = Measure {
    name: "syn-per-cpu",
    what: "SYN packets per CPU-second into a dark /12, receive side and cookies on, counted at the receiver; \
           the median of three runs.",
    is_long: false,
    take,
};

const TOOLS: [Tool; 3] = [Tool::Perimeterd, Tool::Zmap, Tool::Masscan];
const AT_LEAST: f64 = 1.3;

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
            // Nobody answers, so nobody has to listen long.
            let question = Question { listen: Some(1), ..Question::new(Line::TARGETS[0], "80") };
            trials.push(Trial::run(bench, &line, &setting, tool, &question));
        }
    }
    let [ours, zmap, masscan] = TOOLS.map(|tool| median(&trials, tool, Trial::asked_per_cpu_second));
    let mut report = Report::of(&trials);
    report.claim(Claim {
        what: "SYN packets per CPU-second into a dark /12".to_owned(),
        at_least: format!("≥ {AT_LEAST} × ZMap"),
        ours: format!("{} ({})", shown(ours, number), times(ours, zmap)),
        theirs: format!("ZMap {}, masscan {}", shown(zmap, number), shown(masscan, number)),
        is_reached: ratio(ours, zmap).map(|ratio| ratio >= AT_LEAST),
    });
    report
}
