//! The programs that are compared, one a file: how each is asked, and what it says it has found.

mod masscan;
mod nmap;
mod perimeterd;
mod zmap;

use crate::bench::Bench;
use clap::ValueEnum;
use serde_json::Value;
use std::{collections::BTreeSet, fs, net::IpAddr, path::Path, process::Command};
use testkit::Host;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Tool {
    Perimeterd,
    Zmap,
    Masscan,
    Nmap,
}

/// What a tool is asked. Whatever is left open is what the tool does by itself.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// An address or a prefix.
    pub(crate) targets: String,
    /// As all of them read it: `80`, `1-65535`.
    pub(crate) ports: String,
    /// Packets per second; None: as fast as it can.
    pub(crate) rate: Option<u32>,
    /// Threads that send, where one can say.
    pub(crate) threads: u32,
    /// How often each endpoint is asked, where one can say.
    pub(crate) probes: u32,
    /// Seconds to listen after the last packet, where one can say; None: what the tool does.
    pub(crate) listen: Option<u32>,
    /// perimeterd is to say what it is, too.
    pub(crate) identify: bool,
    /// Arguments beside those every run of a tool has.
    pub(crate) besides: &'static [&'static str],
    /// For the environment of perimeterd.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// An address and a port.
pub(crate) type Endpoint = (IpAddr, u16);

/// What a tool says it has found.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) open: BTreeSet<Endpoint>,
    /// perimeterd's last line.
    pub(crate) summary: Option<Value>,
}

impl Question {
    pub(crate) fn new(targets: &str, ports: &str) -> Self {
        Self {
            targets: targets.to_owned(),
            ports: ports.to_owned(),
            rate: None,
            threads: 1,
            probes: 1,
            listen: None,
            identify: false,
            besides: &[],
            environment: Vec::new(),
        }
    }

    pub(crate) fn at(self, rate: u32) -> Self {
        Self { rate: Some(rate), ..self }
    }
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Perimeterd => "perimeterd",
            Self::Zmap => "zmap",
            Self::Masscan => "masscan",
            Self::Nmap => "nmap",
        }
    }

    /// To be run on a line's near end. What it finds it writes to `found`, or to stdout.
    pub(crate) fn command(self, bench: &Bench, near: &Host, question: &Question, found: &Path) -> Command {
        match self {
            Self::Perimeterd => perimeterd::command(bench, near, question),
            Self::Zmap => zmap::command(near, question, found),
            Self::Masscan => masscan::command(near, question, found),
            Self::Nmap => nmap::command(near, question, found),
        }
    }

    /// What it has written to `found`, and to stdout.
    pub(crate) fn read(self, found: &Path, stdout: &Path) -> Answer {
        // A tool that found nothing may have written nothing.
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        match self {
            Self::Perimeterd => perimeterd::read(&text(stdout)),
            Self::Zmap => zmap::read(&text(found)),
            Self::Masscan => masscan::read(&text(found)),
            Self::Nmap => nmap::read(&text(found)),
        }
    }

    /// What it says its version is; None where it is not installed.
    pub(crate) fn version(self, bench: &Bench) -> Option<String> {
        let program = if self == Self::Perimeterd { bench.binary().to_owned() } else { self.name().into() };
        let output = Command::new(program).arg("--version").output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let is_version = |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
        let version = said.split_whitespace().find(is_version)?;
        Some(format!("{} {version}", self.name()))
    }
}
