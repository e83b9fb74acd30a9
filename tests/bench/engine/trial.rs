//! One tool, one question, one path: what it found of what there is, what it sent, and what that cost.

use crate::{
    bench::Bench,
    ran::{Ended, Ran, run},
    tool::{Endpoint, Question, Tool},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};
use testkit::{Line, Passage, Sample, Traffic};

/// What is asked of whom, and what is true.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    /// What sets it apart from the others of its measure: "1 % loss".
    pub(crate) variant: String,
    pub(crate) passage: Passage,
    /// Addresses that are there, and the ports open on each.
    pub(crate) live: &'a BTreeSet<IpAddr>,
    pub(crate) ports: &'a [u16],
    /// Endpoints that are asked about.
    pub(crate) targets: u64,
    /// A tool that takes longer is stopped.
    pub(crate) within: Duration,
}

#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) variant: String,
    pub(crate) tool: Tool,
    /// Its name, and what sets this run of it apart: "zmap -T 2".
    pub(crate) who: String,
    /// Nothing was asked of it that others were not.
    pub(crate) is_plain: bool,
    pub(crate) ran: Ran,
    /// Open endpoints it found, and those that are there to be found.
    pub(crate) found: usize,
    pub(crate) there: usize,
    /// What it called open that is not.
    pub(crate) false_open: usize,
    pub(crate) targets: u64,
    /// SYNs that arrived at the path.
    pub(crate) asked: u64,
    /// When its packets, of whatever kind, arrived at the path.
    pub(crate) traffic: Vec<Sample>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) summary: Option<Value>,
}

impl Trial {
    pub(crate) fn run(bench: &Bench, line: &Line, setting: &Setting, tool: Tool, question: &Question) -> Self {
        let mut who = tool.name().to_owned();
        if tool != Tool::Perimeterd && question.threads > 1 {
            who = format!("{who}, {} threads", question.threads);
        }
        if tool != Tool::Perimeterd && question.probes > 1 {
            who = format!("{who}, {} probes", question.probes);
        }
        for argument in question.besides {
            who = format!("{who} {argument}");
        }
        eprint!("  {}: {who} …", setting.variant);
        let dir = line.near().dir();
        let (found, stdout) = (dir.join("found"), dir.join("stdout"));
        // That of the one before.
        let _ = std::fs::remove_file(&found);
        line.become_like(&setting.passage);
        let watch = Traffic::watch(line);
        let ran = run(&mut tool.command(bench, line.near(), question, &found), &stdout, setting.within);
        let traffic = watch.end();
        let answer = tool.read(&found, &stdout);
        let is_there = |(ip, port): &&Endpoint| setting.live.contains(ip) && setting.ports.contains(port);
        let counts = line.counts();
        let trial = Self {
            variant: setting.variant.clone(),
            tool,
            who,
            is_plain: question.besides.is_empty(),
            found: answer.open.iter().filter(is_there).count(),
            there: setting.live.len() * setting.ports.len(),
            false_open: answer.open.iter().filter(|endpoint| !is_there(endpoint)).count(),
            targets: setting.targets,
            asked: counts["asked"],
            traffic,
            counts,
            ran,
            summary: answer.summary,
        };
        eprintln!(" {}", trial.in_a_line());
        if trial.ran.ended != Ended::Well {
            let errors = std::fs::read_to_string(stdout.with_extension("err")).unwrap_or_default();
            let words: Vec<&str> = errors.lines().rev().take(5).collect();
            eprintln!("    it ended badly ({:?}); its last words, last first: {words:#?}", trial.ran.ended);
        }
        trial
    }

    /// Share of what is there that it found; 1 where nothing is.
    pub(crate) fn recall(&self) -> f64 {
        if self.there == 0 { 1.0 } else { self.found as f64 / self.there as f64 }
    }

    pub(crate) fn asked_per_target(&self) -> f64 {
        self.asked as f64 / self.targets.max(1) as f64
    }

    pub(crate) fn asked_per_cpu_second(&self) -> f64 {
        self.asked as f64 / self.ran.cpu.as_secs_f64().max(0.01)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.ran.ended == Ended::Well
    }

    fn in_a_line(&self) -> String {
        format!(
            "found {} of {}, asked {}, took {:.2} s, CPU {:.2} s",
            self.found,
            self.there,
            self.asked,
            self.ran.took.as_secs_f64(),
            self.ran.cpu.as_secs_f64()
        )
    }

    pub(crate) const COLUMNS: [&'static str; 11] = [
        "setting",
        "who",
        "found",
        "recall",
        "false",
        "SYNs received",
        "per target",
        "sending, s",
        "in all, s",
        "CPU, s",
        "peak MiB",
    ];

    /// Under [`Self::COLUMNS`].
    pub(crate) fn row(&self) -> Vec<String> {
        let found = if self.there == 0 { "–".to_owned() } else { format!("{} of {}", self.found, self.there) };
        let recall = if self.there == 0 { "–".to_owned() } else { format!("{:.3} %", self.recall() * 100.0) };
        let took = self.ran.took.as_secs_f64();
        let took = match self.ran.ended {
            Ended::Well => format!("{took:.2}"),
            Ended::With(code) => format!("{took:.2} (exit code {code})"),
            Ended::Stopped => format!("stopped after {took:.0}"),
        };
        vec![
            self.variant.clone(),
            self.who.clone(),
            found,
            recall,
            self.false_open.to_string(),
            self.asked.to_string(),
            format!("{:.3}", self.asked_per_target()),
            format!("{:.2}", Traffic::lasted(&self.traffic).as_secs_f64()),
            took,
            format!("{:.2}", self.ran.cpu.as_secs_f64()),
            format!("{:.1}", self.ran.peak_kib as f64 / 1024.0),
        ]
    }
}
