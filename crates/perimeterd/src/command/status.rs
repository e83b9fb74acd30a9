use super::{Format, Global};
use crate::{
    client::Client,
    failure::Outcome,
    output::{self, Table, ago, printable},
};
use clap::Args;
use model::{CheckState, DeliveryStatus, EngineStatus, LaneStatus, StatusReport, format_duration};
use std::{process::ExitCode, time::Duration};

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    format: Format,
}

impl Status {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let report: StatusReport = Client::connect(global).await?.get("/api/v1/status", &[]).await?;
        if self.format.json {
            output::json(&report)?;
        } else {
            for line in head(&report) {
                output::line(&line)?;
            }
            if !report.lanes.is_empty() {
                output::line("")?;
                lanes(&report).print()?;
            }
            if !report.delivery.is_empty() {
                output::line("")?;
                delivery(&report).print()?;
            }
        }
        Ok(match report.state {
            CheckState::Ok => ExitCode::SUCCESS,
            CheckState::Degraded => ExitCode::from(1),
        })
    }
}

fn head(report: &StatusReport) -> Vec<String> {
    let state = match (report.state, report.halted) {
        (_, true) => "halted",
        (CheckState::Ok, _) => "ok",
        (CheckState::Degraded, _) => "degraded",
    };
    let asks = if report.mode == "raw" { "asks by packets of its own" } else { "asks by connections" };
    let mut lines = vec![
        format!(
            "{state}: sensor {}, perimeterd {}, mode {}, up {}, {} vantage{}",
            printable(&report.sensor),
            printable(&report.version),
            printable(&report.mode),
            ago(report.started, report.now),
            report.vantages,
            if report.vantages == 1 { "" } else { "s" },
        ),
        [
            count(report.hosts, "host", "hosts"),
            count(report.endpoints, "open endpoint", "open endpoints"),
            count(report.certificates, "certificate", "certificates"),
            count(report.events, "event", "events"),
        ]
        .join(", "),
    ];
    if !report.mode_why.is_empty() {
        lines.push(format!("{asks}: {}", printable(&report.mode_why)));
    }
    if !report.roots.is_empty() {
        lines.push(format!("certificates are judged by {}", printable(&report.roots)));
    }
    lines.extend(report.engine.as_ref().map(engine));
    lines.extend(report.not_enumerable.iter().map(|open| {
        let candidates = count(open.candidates, "candidate", "candidates");
        format!("not enumerable: {}, {candidates}", printable(&open.target))
    }));
    lines.extend(report.reasons.iter().map(|reason| format!("- {}", printable(reason))));
    lines
}

fn engine(engine: &EngineStatus) -> String {
    let limit = match engine.limited_by.as_str() {
        "ceiling" => "what the configuration allows".to_owned(),
        "deadline" => "the periods ask for less".to_owned(),
        "host" => "each host that is asked has its own ceiling".to_owned(),
        "prefix" => "each network that is asked has its own ceiling".to_owned(),
        "path" => "more would be lost on the way".to_owned(),
        "link" => "this machine or its link takes no more".to_owned(),
        other => printable(other).into_owned(),
    };
    format!(
        "packets: at most {:.0} a second now ({limit}); {} sent, {} answers, {} lost on arrival, {} no answer to anything asked",
        engine.rate, engine.sent, engine.answers, engine.ring_drops, engine.forged
    )
}

fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn lanes(report: &StatusReport) -> Table {
    let mut table = Table::new(&[
        "PROFILE",
        "LANE",
        "EVERY",
        "BASELINE",
        "LAST PASS",
        "LAG",
        "COVERAGE",
        "LOSS",
        "P(MISS)",
        "PROBES",
        "ATTEMPTS",
        "REPLAYED",
        "ERRORS",
    ]);
    for lane in &report.lanes {
        table.row([
            lane.profile.clone(),
            lane.lane.to_string(),
            seconds(lane.period_s),
            if lane.baseline_done { "learnt" } else { "learning" }.to_owned(),
            last_pass(lane, report),
            if lane.lag_s < 1.0 { "none".to_owned() } else { seconds(lane.lag_s) },
            if lane.last_finished.is_some() { percent(lane.coverage) } else { "-".to_owned() },
            loss(lane),
            lane.p_miss_random_loss.map_or_else(|| "-".to_owned(), probability),
            lane.probes.to_string(),
            lane.attempts.to_string(),
            lane.replayed.to_string(),
            lane.local_errors.to_string(),
        ]);
    }
    table
}

/// With the interval in which the true loss lies.
fn loss(lane: &LaneStatus) -> String {
    match (lane.loss, lane.loss_interval) {
        (Some(loss), Some((low, high))) => format!("{} ({}-{})", percent(loss), percent(low), percent(high)),
        (Some(loss), None) => percent(loss),
        (None, _) => "-".to_owned(),
    }
}

fn last_pass(lane: &LaneStatus, report: &StatusReport) -> String {
    let finished = lane.last_finished.map(|time| match ago(time, report.now).as_str() {
        "now" => "just now".to_owned(),
        ago => format!("{ago} ago"),
    });
    if let Some(opens) = lane.opens {
        let finished = finished.unwrap_or_else(|| "never".to_owned());
        return format!("{finished}, its window opens in {}", ago(report.now, opens));
    }
    match (finished, lane.running) {
        (None, false) => "never".to_owned(),
        (None, true) => format!("{} done", percent(lane.progress)),
        // The next one has begun and no host of it is done yet.
        (Some(finished), true) if lane.progress <= 0.0 => finished,
        (Some(finished), false) => finished,
        (Some(finished), true) => format!("{finished}, {} of the next", percent(lane.progress)),
    }
}

fn delivery(report: &StatusReport) -> Table {
    let mut table = Table::new(&["RECIPIENT", "CHANNEL", "BACKLOG", "LAST DELIVERED", "TROUBLE"]);
    for row in &report.delivery {
        table.row([
            row.recipient.clone(),
            row.channel.clone(),
            row.backlog.to_string(),
            row.last_delivered
                .map_or_else(|| "not since start".to_owned(), |time| format!("{} ago", ago(time, report.now))),
            trouble(row, report),
        ]);
    }
    table
}

fn trouble(row: &DeliveryStatus, report: &StatusReport) -> String {
    let Some(error) = &row.last_error else { return "none".to_owned() };
    match row.next_try {
        Some(next) if next > report.now => {
            #[expect(clippy::cast_precision_loss, reason = "a duration to be read by people")]
            let wait = next.duration_since(report.now).as_secs() as f64;
            format!("{error}; next try in {}", seconds(wait))
        }
        _ => error.clone(),
    }
}

fn seconds(seconds: f64) -> String {
    let rounded = if seconds < 1.0 { seconds } else { seconds.round() };
    Duration::try_from_secs_f64(rounded).map_or_else(|_| "-".to_owned(), format_duration)
}

fn probability(p: f64) -> String {
    if p <= 0.0 { "0".to_owned() } else { format!("{p:.1e}") }
}

fn percent(ratio: f64) -> String {
    // Never "100%" for what is not whole.
    let percent = ratio * 100.0;
    if percent >= 100.0 {
        "100%".to_owned()
    } else if percent <= 0.0 {
        "0%".to_owned()
    } else {
        format!("{:.2}%", percent.clamp(0.01, 99.99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_short() {
        for (p, expect) in [(0.0, "0"), (4.0e-8, "4.0e-8"), (0.02, "2.0e-2")] {
            assert_eq!(probability(p), expect);
        }
    }

    #[test]
    fn a_percentage_never_flatters() {
        for (ratio, expect) in
            [(1.0, "100%"), (0.999_999, "99.99%"), (0.5, "50.00%"), (0.000_001, "0.01%"), (0.0, "0%")]
        {
            assert_eq!(percent(ratio), expect, "{ratio}");
        }
    }
}
