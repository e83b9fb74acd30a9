//! The table, and what it comes to.

use crate::{
    cell::Cell,
    tool::{Certificate, TOOLS, Told, Tool},
    truth::Truth,
};
use std::{collections::BTreeSet, time::Duration};

/// A cell and what each of the tools said of it, in their order.
pub(crate) struct Row<'a> {
    pub(crate) cell: &'a Cell,
    pub(crate) truth: &'a Truth,
    pub(crate) told: Vec<Told>,
}

type Versions = BTreeSet<&'static str>;

fn listed(versions: &Versions) -> String {
    versions.iter().map(|version| version.trim_start_matches("TLSv")).collect::<Vec<_>>().join(" ")
}

/// What it did not find, and what is not there.
fn differences(truth: &Truth, told: &Told) -> (Versions, Versions) {
    let without = |from: &Versions, what: &Versions| from.difference(what).copied().collect();
    (without(&truth.versions, &told.versions), without(&told.versions, &truth.versions))
}

fn is_exact(truth: &Truth, told: &Told) -> bool {
    truth.versions == told.versions
}

fn entry(tool: Tool, truth: &Truth, told: &Told) -> String {
    if told.cannot {
        return "cannot".to_owned();
    }
    let mut words = vec![
        match told.certificate(truth) {
            Certificate::Right => "right",
            Certificate::Other => "**another**",
            Certificate::None => "**none**",
        }
        .to_owned(),
    ];
    if tool.tells_versions() {
        let (missed, wrong) = differences(truth, told);
        if missed.is_empty() && wrong.is_empty() {
            words.push("all".to_owned());
        }
        if !missed.is_empty() {
            words.push(format!("without {}", listed(&missed)));
        }
        if !wrong.is_empty() {
            words.push(format!("wrongly {}", listed(&wrong)));
        }
    }
    words.push(format!("{:.1} s{}", told.took.as_secs_f64(), if told.is_late { " (ended)" } else { "" }));
    words.push(told.connections.to_string());
    words.join(", ")
}

/// The label without what is the same in all of its make, or its alone.
fn title(cell: &Cell) -> String {
    let dull = ["s_server", "Tlslite", "{", "}", "anonymous:", "false", "-servername", "-servername_fatal"];
    let words = cell.label.split_whitespace().filter(|word| !dull.contains(word) && !word.contains("lab.example"));
    let title = words.collect::<Vec<_>>().join(" ").replace('|', "");
    if cell.wants_name { title.replace(" true", " name required") } else { title.replace(" false", "") }
}

pub(crate) fn print(rows: &[Row<'_>]) {
    println!("{} build\n", if cfg!(debug_assertions) { "debug" } else { "release" });
    let names: Vec<&str> = TOOLS.iter().map(|tool| tool.name()).collect();
    println!("| server | versions | {} |\n|---|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for Row { cell, truth, told } in rows {
        let entries: Vec<String> = TOOLS.iter().zip(told).map(|(tool, told)| entry(*tool, truth, told)).collect();
        println!("| {} | {} | {} |", title(cell), listed(&truth.versions), entries.join(" | "));
    }
    println!("\nOf each: the certificate, versions, seconds, connections.\n");
    println!(
        "| | certificates | versions all right | versions missed | versions wrong | connections | median | 95th percentile | in all |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let sums: Vec<Sums> = (0..TOOLS.len()).map(|at| Sums::of(rows, at)).collect();
    for (tool, sums) in TOOLS.iter().zip(&sums) {
        println!("| {} | {} |", tool.name(), sums.row(*tool));
    }
    println!();
    for (tool, peer) in TOOLS.iter().zip(&sums).skip(2) {
        println!(
            "- {} takes {:.1} times the connections and {:.1} times the time of an audit, {:.1} and {:.1} of a scan, \
             on the {} cells that it can be asked about",
            tool.name(),
            ratio(peer.connections, peer.among(rows, 1).0),
            peer.whole.as_secs_f64() / peer.among(rows, 1).1.as_secs_f64(),
            ratio(peer.connections, peer.among(rows, 0).0),
            peer.whole.as_secs_f64() / peer.among(rows, 0).1.as_secs_f64(),
            peer.asked.len(),
        );
    }
    let over: Vec<String> =
        rows.iter().filter(|row| row.told[0].connections > row.cell.most + KNOCKS).map(|row| title(row.cell)).collect();
    println!("- more connections than a scan may make: {}", some(&over));
    let worse: Vec<String> = rows.iter().filter(|row| is_worse(row)).map(|row| title(row.cell)).collect();
    println!("- ours is worse than a peer on: {}", some(&worse));
}

/// Of a scan, beside what a cell allows: whether the port is open at all.
const KNOCKS: u64 = 1;

fn some(titles: &[String]) -> String {
    if titles.is_empty() { "none".to_owned() } else { titles.join("; ") }
}

fn ratio(ours: u64, theirs: u64) -> f64 {
    Duration::from_secs(ours).as_secs_f64() / Duration::from_secs(theirs).as_secs_f64()
}

/// A peer has the certificate or all versions where an audit has not.
fn is_worse(Row { truth, told, .. }: &Row<'_>) -> bool {
    let has = |told: &Told| told.certificate(truth) == Certificate::Right;
    let (ours, peers) = (&told[1], &told[2..]);
    let scan_has = has(&told[0]);
    peers.iter().any(|peer| has(peer) && !(has(ours) && scan_has) || is_exact(truth, peer) && !is_exact(truth, ours))
}

/// Over all cells that a tool could be asked about.
struct Sums {
    asked: BTreeSet<usize>,
    right: usize,
    exact: usize,
    missed: usize,
    wrong: usize,
    connections: u64,
    whole: Duration,
    times: Vec<Duration>,
}

impl Sums {
    fn of(rows: &[Row<'_>], at: usize) -> Self {
        let all = || {
            rows.iter()
                .enumerate()
                .map(move |(number, row)| (number, row.truth, &row.told[at]))
                .filter(|(_, _, told)| !told.cannot)
        };
        let mut times: Vec<Duration> = all().map(|(_, _, told)| told.took).collect();
        times.sort();
        Self {
            asked: all().map(|(number, ..)| number).collect(),
            right: all().filter(|(_, truth, told)| told.certificate(truth) == Certificate::Right).count(),
            exact: all().filter(|(_, truth, told)| is_exact(truth, told)).count(),
            missed: all().map(|(_, truth, told)| differences(truth, told).0.len()).sum(),
            wrong: all().map(|(_, truth, told)| differences(truth, told).1.len()).sum(),
            connections: all().map(|(_, _, told)| told.connections).sum(),
            whole: times.iter().sum(),
            times,
        }
    }

    /// Connections and time of another tool on the same cells.
    fn among(&self, rows: &[Row<'_>], other: usize) -> (u64, Duration) {
        let told = || self.asked.iter().map(|number| &rows[*number].told[other]);
        (told().map(|told| told.connections).sum(), told().map(|told| told.took).sum())
    }

    fn row(&self, tool: Tool) -> String {
        let of = self.asked.len();
        let at = |percent: usize| self.times.get(self.times.len() * percent / 100).copied().unwrap_or_default();
        let versions = if tool.tells_versions() {
            format!("{} of {of} | {} | {}", self.exact, self.missed, self.wrong)
        } else {
            "not asked for | | ".to_owned()
        };
        format!(
            "{} of {of} | {versions} | {} | {:.1} s | {:.1} s | {:.0} s",
            self.right,
            self.connections,
            at(50).as_secs_f64(),
            at(95).as_secs_f64(),
            self.whole.as_secs_f64()
        )
    }
}
