//! Whether the probability of a miss that perimeterd states is the one it has.

use super::Measure;
use crate::{
    bench::Bench,
    population::Population,
    ran::run,
    report::{Claim, Report, number},
    tool::{Question, Tool},
    trial::{Setting, Trial},
};
use serde_json::Value;
use std::time::Duration;
use testkit::{Lab, Line, Listeners, Passage, router::Scenario};

pub(crate) const MEASURE: Measure = Measure {
    name: "predicted",
    what: "Realised misses over those that the stated probability of a miss by random loss predicts, where all are live: \
           random loss of 1, 2 and 5 % each way, and losses in bursts (Gilbert–Elliott) of 5 %.",
    is_long: false,
    take,
};

const LOSSES: [f64; 3] = [0.01, 0.02, 0.05];
const RATE: u32 = 60_000;
/// The router takes packets one by one.
const RATE_THROUGH_ROUTER: u32 = 10_000;
/// 5 % of packets in bursts of 20.
const BURSTS: &str = "seed = 11\nstage = [{ kind = 'burst-loss', worsen = 0.002631, recover = 0.05, always = true }]";
const BEHIND_ROUTER: &str = "10.77.128.0/17";
/// Fewer are too few for a ratio.
const ENOUGH: f64 = 20.0;

/// One model of loss: how many there were to find, missed, and expected to be missed.
struct Outcome {
    model: String,
    live: f64,
    missed: f64,
    expected: Option<f64>,
}

fn take(bench: &Bench) -> Report {
    let mut report = Report::default();
    let mut outcomes = Vec::new();
    if bench.has(Tool::Perimeterd) {
        let trials = random(bench);
        outcomes.extend(trials.iter().map(|trial| {
            let live = trial.there as f64;
            Outcome {
                model: trial.variant.clone(),
                live,
                missed: (trial.there - trial.found) as f64,
                expected: trial.summary.as_ref().and_then(predicted).map(|share| share * live),
            }
        }));
        outcomes.push(bursts(bench));
        report = Report::of(&trials);
    }
    for outcome in &outcomes {
        report.claim(Claim {
            what: format!("realised misses ÷ predicted, {}", outcome.model),
            at_least: "0.5 … 2".to_owned(),
            ours: outcome.shown(),
            theirs: "–".to_owned(),
            is_reached: outcome.holds(),
        });
    }
    report.note(format!(
        "Where fewer than {ENOUGH} misses are expected no ratio says anything: there it has to be a number that chance gives, \
         within three standard deviations."
    ));
    report
}

impl Outcome {
    fn shown(&self) -> String {
        let Some(expected) = self.expected else { return format!("{} missed, none predicted", number(self.missed)) };
        let ratio = if expected > 0.0 { format!("{:.2}", self.missed / expected) } else { "–".to_owned() };
        format!("{ratio} ({} of {} missed, {expected:.1} expected)", number(self.missed), number(self.live))
    }

    fn holds(&self) -> Option<bool> {
        let expected = self.expected?;
        let is_close = (0.5..=2.0).contains(&(self.missed / expected));
        let is_chance = (self.missed - expected).abs() <= 3.0 * expected.sqrt() + 1.0;
        Some(is_close || (expected < ENOUGH && is_chance))
    }
}

fn predicted(summary: &Value) -> Option<f64> {
    summary["p_miss_random_loss"].as_f64()
}

fn random(bench: &Bench) -> Vec<Trial> {
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[80], "");
    let population = Population::new(13, 1.0);
    let setting = |loss: f64| Setting {
        variant: format!("{:.0} % random loss", loss * 100.0),
        passage: Passage { loss, ..Passage::default() },
        live: &population.live,
        ports: &[80],
        targets: population.size.into(),
        within: Duration::from_mins(3),
    };
    let question = Question::new(&population.prefix, "80").at(RATE);
    LOSSES.iter().map(|loss| Trial::run(bench, &line, &setting(*loss), Tool::Perimeterd, &question)).collect()
}

fn bursts(bench: &Bench) -> Outcome {
    let scenario = Scenario::read(BURSTS).expect("it is well written");
    let (mut lab, watcher) = Lab::across_router(&scenario);
    let host = lab.host("host", &["10.77.0.2"]);
    lab.answer_for(&host, BEHIND_ROUTER);
    let _open = Listeners::start(&host, &[80], "");
    let question = Question::new(BEHIND_ROUTER, "80").at(RATE_THROUGH_ROUTER);
    let (found, stdout) = (watcher.dir().join("found"), watcher.dir().join("stdout"));
    eprint!("  5 % loss in bursts: perimeterd …");
    let mut command = Tool::Perimeterd.command(bench, &watcher, &question, &found);
    let ran = run(&mut command, &stdout, Duration::from_mins(3));
    let answer = Tool::Perimeterd.read(&found, &stdout);
    let live = f64::from(1 << 15);
    eprintln!(" found {}, took {:.2} s, {:?}", answer.open.len(), ran.took.as_secs_f64(), ran.ended);
    Outcome {
        model: "5 % loss in bursts of 20 packets".to_owned(),
        live,
        missed: live - answer.open.len() as f64,
        expected: answer.summary.as_ref().and_then(predicted).map(|share| share * live),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_holds_where_the_ratio_is_close_or_chance_explains_it() {
        for (missed, expected, holds) in [
            (50.0, Some(50.0), Some(true)),
            (99.0, Some(50.0), Some(true)),
            (101.0, Some(50.0), Some(false)),
            (24.0, Some(50.0), Some(false)),
            (0.0, Some(0.3), Some(true)),
            (9.0, Some(0.3), Some(false)),
            (3.0, None, None),
        ] {
            let outcome = Outcome { model: String::new(), live: 1e5, missed, expected };
            assert_eq!(outcome.holds(), holds, "{missed} {expected:?}");
        }
    }
}
