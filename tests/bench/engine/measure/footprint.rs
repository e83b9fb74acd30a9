//! What asking costs at the rates of every day, and what waiting costs.

use super::{Measure, of, shown};
use crate::{
    bench::Bench,
    population::Population,
    ran::{cpu_of, memory_of},
    report::{Claim, Report, number},
    tool::{Question, Tool},
    trial::{Setting, Trial},
    watch::{Plan, Watch},
};
use std::{thread, time::Duration};
use testkit::{Line, Listeners, Passage, Traffic};
use tokio::time::Instant;

pub(crate) const BUSY: Measure = Measure {
    name: "cpu",
    what: "Processor time at 5,000 and 50,000 packets per second, a hundredth of the targets live.",
    is_long: false,
    take: busy,
};

pub(crate) const IDLE: Measure = Measure {
    name: "idle",
    what: "Processor time of a daemon that knows 10,000 endpoints and asks them every five minutes; for ten minutes.",
    is_long: true,
    take: idle,
};

const TOOLS: [Tool; 3] = [Tool::Perimeterd, Tool::Zmap, Tool::Masscan];

/// Of a core, while it sends.
fn share(trial: &Trial) -> f64 {
    trial.ran.cpu.as_secs_f64() / Traffic::lasted(&trial.traffic).as_secs_f64().max(0.01)
}

fn busy(bench: &Bench) -> Report {
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[80], "");
    let mut trials = Vec::new();
    let mut claims = Vec::new();
    // About twenty seconds each.
    for (rate, length) in [(5_000, 15), (50_000, 12)] {
        let population = Population::new(length, 0.01);
        let setting = Setting {
            variant: format!("{} per second", number(f64::from(rate))),
            passage: Passage { live: population.for_path(), ..Passage::default() },
            live: &population.live,
            ports: &[80],
            targets: population.size.into(),
            within: Duration::from_mins(3),
        };
        let question = Question { listen: Some(1), ..Question::new(&population.prefix, "80").at(rate) };
        let begun = trials.len();
        for tool in bench.among(&TOOLS) {
            trials.push(Trial::run(bench, &line, &setting, tool, &question));
        }
        let show =
            |tool| shown(of(&trials[begun..], tool).next().map(share), |share| format!("{:.1} %", share * 100.0));
        claims.push(Claim {
            what: format!("CPU at {}, of one core", setting.variant),
            at_least: "recorded".to_owned(),
            ours: show(Tool::Perimeterd),
            theirs: format!("ZMap {}, masscan {}", show(Tool::Zmap), show(Tool::Masscan)),
            is_reached: of(&trials[begun..], Tool::Perimeterd).next().map(|_| true),
        });
    }
    let mut report = Report::of(&trials);
    for claim in claims {
        report.claim(claim);
    }
    report
}

/// Ten ports on a thousand hosts.
const KNOWN: usize = 10_000;
const LOOKED_AT: Duration = Duration::from_mins(10);
const AT_MOST: f64 = 0.01;

fn idle(bench: &Bench) -> Report {
    let claim = |ours: String, is_reached| Claim {
        what: "idle, 10,000 known endpoints asked every five minutes, of one core".to_owned(),
        at_least: "< 1 %".to_owned(),
        ours,
        theirs: "–".to_owned(),
        is_reached,
    };
    let mut report = Report::default();
    if !bench.has(Tool::Perimeterd) {
        report.claim(claim("–".to_owned(), None));
        return report;
    }
    let line = Line::new();
    let ports = [22, 80, 443, 3_306, 5_432, 8_080, 8_443, 9_000, 9_001, 9_002];
    let _open = Listeners::start(line.far(), &ports, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
    // Work is paced to its deadline: what is to be learnt in half a minute is then left to the known lane alone.
    let scan = |hot: &str| {
        format!(
            "hot = \"{hot}\", known = \"5m\", likely = \"never\", full = \"never\", identify = \"1d\", \
             hot_ports = \"22,80,443,3306,5432,8080,8443,9000-9002\""
        )
    };
    let (learning, watching) = (scan("30s"), scan("1d"));
    let plan = Plan { rate: 5_000, rate_per_host: 500, targets: "10.0.0.1-10.0.3.232", scan: &learning };
    let mut watch = Watch::start(bench, line.near(), &plan);
    let is_learnt = |watch: &Watch| {
        let knows_all = watch.status().is_some_and(|status| status["endpoints"].as_u64() == Some(KNOWN as u64));
        knows_all && watch.lane("hot").is_some_and(|lane| !lane["last_finished"].is_null())
    };
    let is_ready = watch.wait(Duration::from_mins(10), is_learnt);
    if !is_ready {
        report.note(format!("It had not learnt everything within ten minutes: `{:?}`", watch.status()));
        report.claim(claim("not learnt in time".to_owned(), Some(false)));
        return report;
    }
    watch.change(&Plan { scan: &watching, ..plan });
    line.become_like(&Passage::default());
    let (begun, before) = (Instant::now(), cpu_of(watch.pid()).expect("it runs"));
    thread::sleep(LOOKED_AT);
    let (lasted, after) = (begun.elapsed(), cpu_of(watch.pid()).expect("it runs"));
    let share = (after.saturating_sub(before)).as_secs_f64() / lasted.as_secs_f64();
    report.note(format!(
        "{:.2} s of processor time in {:.0} s; {} SYNs received; {:.1} MiB resident.",
        (after.saturating_sub(before)).as_secs_f64(),
        lasted.as_secs_f64(),
        number(line.count("asked") as f64),
        memory_of(watch.pid()).unwrap_or_default() as f64 / 1024.0
    ));
    report.claim(claim(format!("{:.2} %", share * 100.0), Some(share < AT_MOST)));
    report
}
