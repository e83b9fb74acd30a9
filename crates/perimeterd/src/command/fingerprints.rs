use super::{Format, Global, halt::act};
use crate::{
    failure::{Failure, Outcome},
    fingerprints, output, paths,
};
use clap::{Args, Subcommand};
use identify::fingerprint::{self, Trial};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::time::Instant;

#[derive(Debug, Args)]
pub(crate) struct Fingerprints {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read, compile, try and time every rule; exits 1 when one does not hold
    ///
    /// Without --recog and --service-probes it tries those of the configuration, if there are any. Each rule is run over answers
    /// made to be slow: one that needs more than a tenth of a second for any of them does not hold.
    Check(Check),
    /// Name everything again by the rules of today, without sending a packet
    ///
    /// The daemon reads the rules anew and looks at the answers it has kept. No event comes of it: where they were heard nothing has
    /// changed.
    Relabel {
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Debug, Args)]
struct Check {
    /// A folder of Recog's XML files
    #[arg(long, value_name = "FOLDER")]
    recog: Option<PathBuf>,
    /// A file in the format of nmap's service probes
    #[arg(long, value_name = "FILE")]
    service_probes: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// More than this for one answer is too slow: it would hold up others. Without optimisation everything takes ten times as long.
const TOO_SLOW: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 100 });
const SHOWN: usize = 5;

impl Fingerprints {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let check = match self.command {
            Command::Relabel { format } => return act(global, format, "fingerprints/relabel", &json!({})).await,
            Command::Check(check) => check,
        };
        let wanted = check.wanted(global)?;
        let begun = Instant::now();
        let fingerprints = fingerprints::load(&wanted)?;
        let read = begun.elapsed();
        let report = try_out(&fingerprints);
        if check.format.json {
            output::json(&report.json(read))?;
        } else {
            output::line(report.table(read).trim_end())?;
        }
        Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

impl Check {
    fn wanted(&self, global: &Global) -> Result<config::Identify, Failure> {
        if self.recog.is_some() || self.service_probes.is_some() {
            return Ok(config::Identify {
                recog: self.recog.clone(),
                service_probes: self.service_probes.clone(),
                ..config::Identify::default()
            });
        }
        let installed = Path::new(paths::INSTALLED_CONFIG);
        let path = match &global.config {
            Some(path) => path.as_path(),
            None if paths::is_there(installed) => installed,
            None => return Ok(config::Identify::default()),
        };
        let loaded = config::load(path).map_err(|failure| {
            super::check::diagnose(&failure.diagnostics, &failure.sources);
            Failure::world(format!("{} cannot be used", path.display()))
        })?;
        Ok(loaded.config.identify)
    }
}

#[derive(Debug, Default)]
struct Report {
    rules: usize,
    examples: usize,
    left_out: Vec<String>,
    faults: Vec<String>,
    compiling: Duration,
    running: Duration,
    /// The slowest over one value, the worst first.
    slowest: Vec<(Duration, String)>,
}

fn try_out(fingerprints: &identify::Fingerprints) -> Report {
    let mut report = Report::default();
    let values = fingerprint::hostile_values();
    let mut times = Vec::new();
    for trial in fingerprints.trials() {
        report.rules += 1;
        let begun = Instant::now();
        let compiles = trial.run(b"").is_some();
        report.compiling += begun.elapsed();
        if !compiles {
            report.faults.push(told(&trial, "cannot be compiled"));
            continue;
        }
        let (examples, faults) = trial.examples();
        report.examples += examples;
        report.faults.extend(faults.iter().map(|fault| told(&trial, fault)));
        let mut worst = Duration::ZERO;
        for value in &values {
            let begun = Instant::now();
            trial.run(value);
            let taken = begun.elapsed();
            report.running += taken;
            worst = worst.max(taken);
        }
        if worst > TOO_SLOW {
            report.faults.push(told(&trial, &format!("takes {worst:.1?} for one answer")));
        }
        times.push((worst, trial.place()));
    }
    times.sort_by_key(|(taken, _)| std::cmp::Reverse(*taken));
    times.truncate(SHOWN);
    report.slowest = times;
    let left_out = fingerprints.probes().map_or(&[][..], |probes| &probes.left_out);
    report.left_out = left_out.iter().map(|left| format!("service probes line {}: {}", left.line, left.why)).collect();
    report
}

fn told(trial: &Trial<'_>, fault: &str) -> String {
    let pattern: String = trial.pattern().chars().take(80).collect();
    format!("{}: {fault} ({pattern})", trial.place())
}

impl Report {
    fn table(&self, read: Duration) -> String {
        let (products, builtin) = fingerprint::builtin_counts();
        let mut lines = vec![format!("{builtin} rules for {products} products are built in")];
        if self.rules > 0 {
            lines.push(format!(
                "{} further rules were read in {read:.0?} and compiled in {:.0?}; {} examples tried, {} faults",
                self.rules,
                self.compiling,
                self.examples,
                self.faults.len()
            ));
            lines.push(format!(
                "all of them over {} slow answers: {:.0?}",
                fingerprint::hostile_values().len(),
                self.running
            ));
            lines.push("the slowest, for one answer:".to_owned());
            lines.extend(self.slowest.iter().map(|(taken, place)| format!("  {taken:>9.1?}  {place}")));
        } else {
            lines.push("no others are configured ([identify], --recog, --service-probes)".to_owned());
        }
        if !self.left_out.is_empty() {
            lines.push(format!("left out, since no engine here runs them in bounded time: {}", self.left_out.len()));
            lines.extend(self.left_out.iter().take(SHOWN).map(|left| format!("  {left}")));
        }
        lines.extend(self.faults.iter().map(|fault| format!("fault: {fault}")));
        output::printable_lines(&lines.join("\n")).into_owned()
    }

    fn json(&self, read: Duration) -> serde_json::Value {
        let (products, builtin) = fingerprint::builtin_counts();
        let slowest = self.slowest.iter().map(|(taken, rule)| json!({ "rule": rule, "seconds": taken.as_secs_f64() }));
        json!({
            "builtin": { "products": products, "rules": builtin },
            "rules": self.rules,
            "examples": self.examples,
            "faults": self.faults,
            "left_out": self.left_out,
            "seconds": {
                "read": read.as_secs_f64(),
                "compile": self.compiling.as_secs_f64(),
                "run": self.running.as_secs_f64(),
            },
            "slowest": slowest.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use identify::fingerprint::{probes::ServiceProbes, recog::Database};

    #[test]
    fn a_report_counts_times_and_blames() {
        let recog = "<fingerprints><fingerprint pattern='^zorb (\\d)'><example service.version='1'>zorb 2</example>\
                     <example>other</example><param pos='1' name='service.version'/></fingerprint></fingerprints>";
        let rules = identify::Fingerprints::default()
            .with_recog(vec![Database::read("own", recog).unwrap()])
            .with_probes(ServiceProbes::read(b"Probe TCP NULL q||\nmatch a m|^b|\nmatch c m|d*|\n").unwrap());
        let report = try_out(&rules);
        assert_eq!((report.rules, report.examples, report.left_out.len(), report.slowest.len()), (2, 2, 1, 2));
        assert_eq!(report.faults.len(), 2, "{:?}", report.faults);
        let table = report.table(Duration::ZERO);
        for part in ["recog own #1: says service.version is 2", "does not match its example `other`", "line 3"] {
            assert!(table.contains(part), "{table}");
        }
        assert_eq!(report.json(Duration::ZERO)["rules"], 2);
        let none = try_out(&identify::Fingerprints::default());
        assert!(none.faults.is_empty() && none.table(Duration::ZERO).contains("built in"));
    }
}
