//! The second time: who is known is asked once, and again only where nothing came.

use super::{Measure, percent};
use crate::{
    bench::Bench,
    report::{Claim, Report, number},
    tool::Tool,
    watch::{Plan, Watch},
};
use jiff::Timestamp;
use std::time::Duration;
use testkit::{Line, Listeners, Passage};
use tokio::time::Instant;

pub(crate) const MEASURE: Measure = Measure {
    name: "next-cycle",
    what: "A daemon's next cycles over 20,000 endpoints known open, with 1 % and 5 % random loss each way: five cycles each, \
           pooled.",
    is_long: false,
    take,
};

const ENDPOINTS: u32 = 20_000;
const CYCLES: u32 = 5;
/// Loss each way and the least recall.
const LOSSES: [(f64, f64); 2] = [(0.01, 0.9999), (0.05, 0.999)];
const AT_MOST: f64 = 1.1;
/// A cycle begins when the one before ends, and that is noticed so much later at most. Who answered shortly before that counts for both:
/// they are few, and hardly one of them is silent to the next one.
const SINCE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_mins(4);
const LEARNING: &str =
    "hot = \"30s\", known = \"10s\", likely = \"never\", full = \"never\", identify = \"1d\", hot_ports = \"80\"";
const WATCHING: &str =
    "hot = \"1d\", known = \"60s\", likely = \"never\", full = \"never\", identify = \"1d\", hot_ports = \"80\"";

fn take(bench: &Bench) -> Report {
    let claim = |loss: f64, recall: f64, ours: String, is_reached| Claim {
        what: format!("next cycle, {:.0} % loss, endpoints known open", loss * 100.0),
        at_least: format!("{} % at ≤ {AT_MOST} ×", recall * 100.0),
        ours,
        theirs: "–".to_owned(),
        is_reached,
    };
    if !bench.has(Tool::Perimeterd) {
        let mut report = Report::default();
        for (loss, recall) in LOSSES {
            report.claim(claim(loss, recall, "–".to_owned(), None));
        }
        return report;
    }
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[80], "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
    // Work is paced to its deadline: what is to be learnt in half a minute is then left to the known lane alone.
    let plan = |hot: &'static str| Plan { rate: 20_000, rate_per_host: 500, targets: "10.0.0.1-10.0.78.32", scan: hot };
    let mut watch = Watch::start(bench, line.near(), &plan(LEARNING));
    let is_learnt = |watch: &Watch| {
        let known = watch.status().is_some_and(|status| status["endpoints"].as_u64() == Some(ENDPOINTS.into()));
        known && watch.lane("known").is_some_and(|lane| !lane["last_finished"].is_null())
    };
    let mut rows = Vec::new();
    let mut claims = Vec::new();
    let mut is_ready = watch.wait(PATIENCE, is_learnt);
    eprintln!("  learnt: {is_ready}");
    watch.change(&plan(WATCHING));
    for (loss, recall) in LOSSES {
        line.become_like(&Passage { loss, note_answers: true, ..Passage::default() });
        let mut seen = 0;
        let mut asked = 0;
        let canaries = |watch: &Watch| watch.status().and_then(|status| status["engine"]["canaries"].as_u64());
        // The pass that was running when the loss began does not count.
        is_ready = is_ready && wait_for_a_pass(&mut watch);
        let canaries_before = canaries(&watch);
        for _ in 0..CYCLES {
            let (before, began) = (line.count("asked"), Instant::now());
            is_ready = is_ready && wait_for_a_pass(&mut watch);
            asked += line.count("asked") - before;
            let again = line.answered_within(began.elapsed() + SINCE);
            eprintln!("  {:.0} % loss, a cycle: {again} of {ENDPOINTS} answered, {asked} asked so far", loss * 100.0);
            seen += again;
        }
        let canaries = canaries(&watch).zip(canaries_before).map_or(0, |(after, before)| after.saturating_sub(before));
        let there = f64::from(ENDPOINTS) * f64::from(CYCLES);
        let (reached, price) = (seen as f64 / there, asked as f64 / there);
        rows.push(vec![
            format!("{:.0} % loss", loss * 100.0),
            format!("{} of {}", number(seen as f64), number(there)),
            percent(reached),
            number(asked as f64),
            format!("{price:.3}"),
            number(canaries as f64),
            watch.events("PORT_CLOSED").len().to_string(),
        ]);
        let ours = format!("{} at {price:.2} ×", percent(reached));
        claims.push(claim(loss, recall, ours, Some(is_ready && reached >= recall && price <= AT_MOST)));
    }
    let columns = [
        "setting",
        "answered in a way that arrived",
        "recall",
        "SYNs received",
        "per endpoint",
        "canaries among them",
        "closed by mistake so far",
    ];
    let mut report = Report::table(&columns, rows);
    report.note(
        "An endpoint counts for a cycle where an answer of it reached the sensor; what the sensor made of it shows in the last \
         column.",
    );
    if !is_ready {
        report.note(format!("It did not finish its passes in time: `{:?}`", watch.status()));
    }
    for claim in claims {
        report.claim(claim);
    }
    report
}

fn last_finished(watch: &Watch) -> Option<Timestamp> {
    watch.lane("known")?["last_finished"].as_str()?.parse().ok()
}

/// Until the known lane has finished a pass that it had not when this began.
fn wait_for_a_pass(watch: &mut Watch) -> bool {
    let before = last_finished(watch);
    watch.wait(PATIENCE, |watch| last_finished(watch) > before)
}
