//! A host in front of which something answers for every port, and what is really behind it.

use super::{Measure, seconds, shown};
use crate::{
    bench::Bench,
    ran::{Ran, run},
    report::{Claim, Report, number},
    tool::{Question, Tool},
    watch::{Plan, Watch},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use testkit::{
    Host, Lab,
    router::{Router, Scenario},
    server::Banner,
};
use tokio::time::Instant;

pub(crate) const MEASURE: Measure = Measure {
    name: "every-port",
    what: "A host that answers SYN-ACK on all ports, with three real services behind it, and a fourth later.",
    is_long: false,
    take,
};

const HOST: &str = "10.77.0.9";
const PROXY: &str =
    "seed = 3\nstage = [{ kind = 'syn-proxy', prefix = ['10.77.0.9'], nothing_behind = 'mute', always = true }]";
const SERVICES: [(u16, &str); 3] =
    [(21, "220 ftp.lab.example FTP server ready"), (22, "SSH-2.0-OpenSSH_9.2p1"), (25, "220 mail.lab.example ESMTP")];
const FOURTH: (u16, &str) = (110, "+OK POP3 ready");
/// What the router calls the SYNs it answered.
const ANSWERED: &str = "syn-proxy.answered";
/// What perimeterd's summary calls the answers it looked at before it knew.
const EXAMINED: &str = "answers_examined";
const EXAMINED_AT_MOST: f64 = 16.0;
const STOPS_WITHIN: f64 = 0.1;
const RATE: u32 = 20_000;
/// How often it is looked.
const SLICE: Duration = Duration::from_millis(20);
/// Conversations go on after the sweep has stopped; more than a tenth of the rate are a sweep.
const SWEEPING: f64 = RATE as f64 / 10.0;

fn take(bench: &Bench) -> Report {
    let claim = |ours: String, is_reached| Claim {
        what: "a host that answers SYN-ACK on all ports".to_owned(),
        at_least: "≤ 16 answers examined, stops in 100 ms, three named, the fourth alerts".to_owned(),
        ours,
        theirs: "–".to_owned(),
        is_reached,
    };
    let mut report = Report::default();
    if !bench.has(Tool::Perimeterd) {
        report.claim(claim("–".to_owned(), None));
        return report;
    }
    let scenario = Scenario::read(PROXY).expect("it is well written");
    let (mut lab, watcher) = Lab::across_router(&scenario);
    let host = lab.host("host", &[HOST]);
    let _services = SERVICES.map(|(port, line)| Banner::start(&host, port, line));

    let (ran, swept) = sweep(bench, &watcher, lab.router());
    let said = fs::read_to_string(watcher.dir().join("stdout")).unwrap_or_default();
    let objects: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let named: BTreeSet<u64> = objects
        .iter()
        .filter(|object| object["kind"] == "endpoint" && !object["service"].is_null())
        .filter_map(|object| object["port"].as_u64())
        .collect();
    let finding = objects.iter().find(|object| object["id"] == "answers-every-port");
    let summary = objects.iter().find(|object| object["kind"] == "summary");
    let examined = summary.and_then(|summary| summary[EXAMINED].as_f64());
    let all_named = SERVICES.iter().all(|(port, _)| named.contains(&u64::from(*port)));
    let fourth = fourth_alerts(bench, &watcher, &host);

    report.command(&ran.command);
    report.note(format!(
        "The scan took {:.1} s; the proxy answered {} SYNs in all; from the first answer to the end of the sweep {:.2} s.",
        ran.took.as_secs_f64(),
        number(lab.router().count(ANSWERED) as f64),
        swept.as_secs_f64()
    ));
    let evidence = finding.map_or("none", |finding| finding["evidence"].as_str().unwrap_or("without evidence"));
    report.note(format!("Finding: {evidence}. Named: {named:?}."));
    report.claim(claim(
        format!(
            "{} examined, stops after {}, {} of 3 named, the fourth {}",
            shown(examined, number),
            seconds(swept.as_secs_f64()),
            SERVICES.iter().filter(|(port, _)| named.contains(&u64::from(*port))).count(),
            fourth.map_or("does not alert".to_owned(), |after| format!("alerts after {:.0} s", after.as_secs_f64()))
        ),
        Some(
            finding.is_some()
                && all_named
                && fourth.is_some()
                && swept.as_secs_f64() <= STOPS_WITHIN
                && examined.is_some_and(|examined| examined <= EXAMINED_AT_MOST),
        ),
    ));
    report
}

/// Scans, and says for how long after the first answer it went on sweeping.
fn sweep(bench: &Bench, watcher: &Host, router: &Router) -> (Ran, Duration) {
    let question = Question { identify: true, ..Question::new(HOST, "1-65535").at(RATE) };
    let (found, stdout) = (watcher.dir().join("found"), watcher.dir().join("stdout"));
    let mut command = Tool::Perimeterd.command(bench, watcher, &question, &found);
    let stop = AtomicBool::new(false);
    eprintln!("  every port answers: perimeterd …");
    let (ran, samples) = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut samples = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                samples.push((Instant::now(), router.count(ANSWERED)));
                thread::sleep(SLICE);
            }
            samples
        });
        let ran = run(&mut command, &stdout, Duration::from_mins(3));
        stop.store(true, Ordering::Relaxed);
        (ran, sampler.join().expect("counting does not fail"))
    });
    (ran, swept(&samples))
}

/// From the first slice in which something was answered to the end of the last one that looks like a sweep.
fn swept(samples: &[(Instant, u64)]) -> Duration {
    let slices = || samples.windows(2).filter_map(|pair| Some((pair.first()?, pair.last()?)));
    let first = slices().find(|(before, after)| after.1 > before.1).map(|(before, _)| before.0);
    let rate = |before: &(Instant, u64), after: &(Instant, u64)| {
        (after.1 - before.1) as f64 / after.0.saturating_duration_since(before.0).max(SLICE).as_secs_f64()
    };
    let last = slices().rfind(|(before, after)| rate(before, after) > SWEEPING).map(|(_, after)| after.0);
    first.zip(last).map_or(Duration::ZERO, |(first, last)| last.saturating_duration_since(first))
}

/// How long after it was opened the fourth service was told of; None where it was not.
fn fourth_alerts(bench: &Bench, watcher: &Host, host: &Host) -> Option<Duration> {
    let plan = Plan {
        rate: 5_000,
        rate_per_host: 500,
        targets: HOST,
        scan: "hot = \"5s\", known = \"5s\", likely = \"never\", full = \"never\", identify = \"10s\", \
               hot_ports = \"21,22,25,80,110,143,443\"",
    };
    let mut watch = Watch::start(bench, watcher, &plan);
    let patience = Duration::from_mins(2);
    if !watch.wait(patience, |watch| !watch.events("BASELINE_DONE").is_empty()) {
        return None;
    }
    let (port, line) = FOURTH;
    let _fourth = Banner::start(host, port, line);
    let begun = Instant::now();
    let is_told = |watch: &Watch| watch.events("PORT_OPEN").iter().any(|event| event["endpoint"]["port"] == port);
    watch.wait(patience, is_told).then(|| begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_lasts_from_the_first_answer_to_the_last_busy_slice() {
        let begun = Instant::now();
        let samples: Vec<_> = [0, 0, 5, 300, 600, 602, 603]
            .into_iter()
            .zip(0_u32..)
            .map(|(count, n)| (begun + SLICE * n, count))
            .collect();
        assert_eq!(swept(&samples), SLICE * 3);
        assert_eq!(swept(&samples[..2]), Duration::ZERO);
    }
}
