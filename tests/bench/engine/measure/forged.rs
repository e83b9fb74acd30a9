//! Somebody answers in everybody's name, a hundred thousand times a second, while we ask.

use super::{Measure, median, seconds, shown};
use crate::{
    bench::Bench,
    forger::Forger,
    population::Population,
    report::{Claim, Report, number, ratio, times},
    tool::{Question, Tool},
    trial::{Setting, Trial},
};
use std::time::Duration;
use testkit::{Line, Listeners, Passage};

pub(crate) const MEASURE: Measure = Measure {
    name: "forged",
    what: "At least 100,000 forged SYN-ACK and RST per second received while a /16 with a tenth of it live is asked.",
    is_long: false,
    take,
};

const TOOLS: [Tool; 3] = [Tool::Perimeterd, Tool::Zmap, Tool::Masscan];
/// Of the asking.
const RATE: u32 = 10_000;
/// Of the forging: some of it does not get through a busy machine.
const FORGED: u32 = 130_000;
const AT_LEAST: f64 = 100_000.0;
const AT_MOST: f64 = 2.0;

fn take(bench: &Bench) -> Report {
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[80], "");
    let population = Population::new(16, 0.1);
    let setting = |variant: &str| Setting {
        variant: variant.to_owned(),
        passage: Passage { live: population.for_path(), ..Passage::default() },
        live: &population.live,
        ports: &[80],
        targets: population.size.into(),
        within: Duration::from_mins(3),
    };
    let question = Question::new(&population.prefix, "80").at(RATE);
    let mut trials: Vec<Trial> = Vec::new();
    let mut received = Vec::new();
    for tool in bench.among(&TOOLS) {
        trials.push(Trial::run(bench, &line, &setting("undisturbed"), tool, &question));
        let forger = Forger::start(&line, population.size, 80, FORGED);
        let trial = Trial::run(bench, &line, &setting("forged answers"), tool, &question);
        received.push((tool, forger.received() as f64 / trial.ran.took.as_secs_f64()));
        trials.push(trial);
    }
    let time = |variant: &str, tool| {
        let chosen = trials.iter().find(|trial| trial.variant == variant && trial.tool == tool);
        chosen.map(|trial| trial.ran.took.as_secs_f64())
    };
    let missed = |tool| median(&trials, tool, |trial| (trial.there - trial.found) as f64);
    let false_open =
        |tool| trials.iter().filter(|trial| trial.tool == tool).map(|trial| trial.false_open).sum::<usize>();
    let ours = Tool::Perimeterd;
    let (calm, disturbed) = (time("undisturbed", ours), time("forged answers", ours));
    let heard = received.iter().find(|(tool, _)| *tool == ours).map(|(_, rate)| *rate);
    let mut report = Report::of(&trials);
    for (tool, rate) in &received {
        report.note(format!("Forged packets received while {} asked: {} per second.", tool.name(), number(*rate)));
    }
    report.claim(Claim {
        what: "forged SYN-ACK and RST while scanning".to_owned(),
        at_least: format!("≥ {} per second received, 0 false states, ≤ {AT_MOST:.0} × the time", number(AT_LEAST)),
        ours: format!(
            "{} per second, {} false, {} missed, {} ({})",
            shown(heard, number),
            shown(heard, |_| false_open(ours).to_string()),
            shown(missed(ours), number),
            shown(disturbed, seconds),
            times(disturbed, calm)
        ),
        theirs: [Tool::Zmap, Tool::Masscan]
            .map(|tool| {
                let slower = times(time("forged answers", tool), time("undisturbed", tool));
                format!("{}: {} false, {slower}", tool.name(), false_open(tool))
            })
            .join(", "),
        is_reached: ratio(disturbed, calm).map(|slower| {
            let states_hold = trials.iter().filter(|trial| trial.tool == ours).all(|trial| trial.found == trial.there);
            slower <= AT_MOST && states_hold && false_open(ours) == 0 && heard.is_some_and(|rate| rate >= AT_LEAST)
        }),
    });
    report
}
