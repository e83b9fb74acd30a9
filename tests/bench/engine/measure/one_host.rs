//! Every TCP port of one host, as fast as each dares.

use super::{Measure, ROUNDS, median, middle, of, seconds, shown};
use crate::{
    bench::Bench,
    report::{Claim, Report, ratio, times},
    tool::{Question, Tool},
    trial::{Setting, Trial},
};
use std::{net::IpAddr, time::Duration};
use testkit::{Line, Listeners, Passage};

pub(crate) const CLEAN: Measure = Measure {
    name: "one-host",
    what: "All 65,535 TCP ports of one host with 22 of them open, without loss; the median of three runs.",
    is_long: false,
    take: |bench| take(bench, 0.0, 1.0),
};

pub(crate) const LOSSY: Measure = Measure {
    name: "one-host-lossy",
    what: "The same with 2 % random loss each way.",
    is_long: false,
    take: |bench| take(bench, 0.02, 0.15),
};

const TOOLS: [Tool; 3] = [Tool::Perimeterd, Tool::Nmap, Tool::Masscan];
const MASSCAN_RATE: u32 = 200_000;

/// Some that everybody expects and some that nobody does.
pub(super) const PORTS: [u16; 22] = [
    22, 25, 53, 80, 110, 143, 443, 993, 2_222, 3_306, 5_432, 6_379, 8_080, 9_200, 11_211, 20_001, 27_017, 33_333,
    45_678, 51_413, 60_006, 65_535,
];

fn take(bench: &Bench, loss: f64, at_most: f64) -> Report {
    let line = Line::new();
    let _open = Listeners::start(line.far(), &PORTS, "");
    let host: IpAddr = "10.0.0.77".parse().expect("an address");
    let setting = Setting {
        variant: format!("{:.0} % loss", loss * 100.0),
        passage: Passage { live: Some(vec![host]), loss, ..Passage::default() },
        live: &[host].into(),
        ports: &PORTS,
        targets: 65_535,
        within: Duration::from_mins(3),
    };
    let mut trials = Vec::new();
    for round in 0..ROUNDS {
        // masscan listens for half a minute and is not timed: once is enough.
        for tool in bench.among(&TOOLS).filter(|tool| round == 0 || *tool != Tool::Masscan) {
            let question = Question::new(&host.to_string(), "1-65535");
            let question = if tool == Tool::Masscan { question.at(MASSCAN_RATE) } else { question };
            trials.push(Trial::run(bench, &line, &setting, tool, &question));
            if tool == Tool::Nmap {
                // With it nmap no longer waits for hosts that seem to limit their resets: four times as fast where packets
                // are lost, and nobody who compares would forgive leaving it out.
                let open = Question { besides: &["--open"], ..Question::new(&host.to_string(), "1-65535") };
                trials.push(Trial::run(bench, &line, &setting, tool, &open));
            }
        }
    }
    let took = |tool| median(&trials, tool, |trial| trial.ran.took.as_secs_f64());
    // The worst of them: each has to find all.
    let worst = |tool| of(&trials, tool).map(|trial| trial.found).min();
    let found = |tool| worst(tool).map_or_else(|| "–".to_owned(), |found| found.to_string());
    let open_only = middle(trials.iter().filter(|trial| !trial.is_plain).map(|trial| trial.ran.took.as_secs_f64()));
    let [ours, nmap] = [Tool::Perimeterd, Tool::Nmap].map(took);
    let mut report = Report::of(&trials);
    report.claim(Claim {
        what: format!("all ports of one host, 22 open, {}", setting.variant),
        at_least: format!("all 22, ≤ {at_most} × nmap's time"),
        ours: format!("{} in {} ({})", found(Tool::Perimeterd), shown(ours, seconds), times(ours, nmap)),
        theirs: format!(
            "nmap {} in {} (with --open {}), masscan {}",
            found(Tool::Nmap),
            shown(nmap, seconds),
            shown(open_only, seconds),
            found(Tool::Masscan)
        ),
        is_reached: ratio(ours, nmap).map(|ratio| ratio <= at_most && worst(Tool::Perimeterd) == Some(PORTS.len())),
    });
    report
}
