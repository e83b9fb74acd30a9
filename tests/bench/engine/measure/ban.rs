//! A firewall that bans whoever asks too fast, and a daemon that has an hour.

use super::Measure;
use crate::{
    bench::Bench,
    report::{Claim, Report, number},
    tool::Tool,
    watch::{Plan, Watch},
};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use testkit::{Ban, Line, Listeners, Passage};
use tokio::time::Instant;

pub(crate) const SCALED: Measure = Measure {
    name: "ban",
    what: "All ports of one host with 22 open behind a firewall that bans above 1,000 packets per second for an hour; the \
           daemon has six minutes: the same as an hour below 100, ten times as fast.",
    is_long: false,
    take: |bench| take(bench, 1_000, Duration::from_mins(6), "6m"),
};

pub(crate) const HOUR: Measure = Measure {
    name: "ban-hour",
    what: "All ports of one host with 22 open behind a firewall that bans above 100 packets per second for an hour; the \
           daemon has an hour.",
    is_long: true,
    take: |bench| take(bench, 100, Duration::from_hours(1), "1h"),
};

fn take(bench: &Bench, limit: u32, deadline: Duration, full: &str) -> Report {
    let ports = super::one_host::PORTS;
    let minutes = deadline.as_secs() / 60;
    let claim = |ours: String, is_reached| Claim {
        what: format!("one host behind a ban above {limit} pps, full = \"{full}\""),
        at_least: "all 22 by the deadline, no ban".to_owned(),
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
    let _open = Listeners::start(line.far(), &ports, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
    let host: IpAddr = "10.0.0.77".parse().expect("an address");
    // A second's worth at once.
    let ban = Ban { syns_per_second: limit, burst: limit, lasts: Duration::from_hours(1) };
    line.become_like(&Passage { live: Some(vec![host]), ban: Some(ban), ..Passage::default() });
    let scan = format!("hot = \"never\", known = \"never\", likely = \"never\", full = \"{full}\"");
    let plan = Plan { rate: 5_000, rate_per_host: 500, targets: &host.to_string(), scan: &scan };
    let begun = Instant::now();
    let mut watch = Watch::start(bench, line.near(), &plan);
    let known = |watch: &Watch| -> BTreeSet<u16> {
        watch
            .open()
            .into_keys()
            .filter(|(ip, port)| *ip == host && ports.contains(port))
            .map(|(_, port)| port)
            .collect()
    };
    // It is looked at seldom: an hour is long.
    let mut looked = Instant::now();
    let mut found = BTreeSet::new();
    let is_done = watch.wait(deadline, |watch| {
        if looked.elapsed() > Duration::from_secs(10) {
            looked = Instant::now();
            found = known(watch);
        }
        found.len() == ports.len() && watch.lane("full").is_some_and(|lane| !lane["last_finished"].is_null())
    });
    let took = begun.elapsed();
    let found = known(&watch);
    let counts = line.counts();
    report.note(format!(
        "{} of 22 known after {:.0} s of {minutes} minutes{}; {} SYNs received; banned {} times, {} packets blocked.",
        found.len(),
        took.as_secs_f64(),
        if is_done { ", the pass finished" } else { "" },
        number(counts["asked"] as f64),
        counts["banned"],
        counts["blocked"]
    ));
    report.claim(claim(
        format!("{} in {:.0} s, banned {} times", found.len(), took.as_secs_f64(), counts["banned"]),
        Some(found.len() == ports.len() && counts["banned"] == 0),
    ));
    report
}
