//! What is put beside each other, and how each is asked for the same two things: the certificate and the versions.

use crate::{
    cell::Cell,
    scanning, sslyze,
    truth::{Truth, VERSIONS},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use testkit::Host;
use tokio::time::Instant;

/// Over one cell; what has not been told by then is not told.
const MOST: Duration = Duration::from_mins(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Scan,
    Audit,
    Sslyze,
    Testssl,
}

pub(crate) const TOOLS: [Tool; 4] = [Tool::Scan, Tool::Audit, Tool::Sslyze, Tool::Testssl];

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Audit => "scan --tls-audit",
            Self::Sslyze => "sslyze",
            Self::Testssl => "testssl.sh",
        }
    }

    /// An ordinary scan does not look for them.
    pub(crate) fn tells_versions(self) -> bool {
        self != Self::Scan
    }

    /// sslyze has no words for `MySQL`.
    fn can(self, cell: &Cell) -> bool {
        self != Self::Sslyze || starttls(cell) != Some("mysql")
    }
}

/// A certificate as a tool shows it.
#[derive(Debug)]
pub(crate) enum Shown {
    Sha256(String),
    Pem(String),
}

/// What a tool says of a cell.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) certificate: Option<Shown>,
    pub(crate) versions: BTreeSet<&'static str>,
    pub(crate) took: Duration,
    pub(crate) connections: u64,
    pub(crate) is_late: bool,
    /// It does not know the protocol, and was not asked.
    pub(crate) cannot: bool,
}

/// Whether what was shown is what is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificate {
    Right,
    Other,
    None,
}

impl Told {
    pub(crate) fn certificate(&self, truth: &Truth) -> Certificate {
        let is_right = match &self.certificate {
            None => return Certificate::None,
            Some(Shown::Sha256(digits)) => *digits == truth.sha256,
            Some(Shown::Pem(pem)) => *pem == truth.pem,
        };
        if is_right { Certificate::Right } else { Certificate::Other }
    }
}

pub(crate) struct Bench {
    watcher: Host,
    config: PathBuf,
    sslyze: PathBuf,
}

impl Bench {
    pub(crate) fn new(watcher: &Host, sslyze: PathBuf) -> Self {
        Self { watcher: watcher.clone(), config: scanning::configuration(watcher), sslyze }
    }

    /// The connections are not counted here.
    pub(crate) fn ask(&self, tool: Tool, cell: &Cell) -> Told {
        if !tool.can(cell) {
            return Told { cannot: true, ..Told::default() };
        }
        // testssl.sh adds to what is there.
        let file = self.watcher.dir().join(format!("{}-{}.json", tool.name().replace(' ', ""), cell.name));
        if file.exists() {
            fs::remove_file(&file).expect("an old file goes");
        }
        let mut command = match tool {
            Tool::Scan => scanning::command(&self.watcher, &self.config, &[cell], &[]),
            Tool::Audit => scanning::command(&self.watcher, &self.config, &[cell], &["--tls-audit"]),
            Tool::Sslyze => self.sslyze(cell, &file),
            Tool::Testssl => self.testssl(cell, &file),
        };
        command = bounded(&command, MOST);
        let begun = Instant::now();
        let output = run(&mut command);
        let took = begun.elapsed();
        // None where it ended before it wrote any.
        let written = || fs::read_to_string(&file).unwrap_or_default();
        let told = match tool {
            Tool::Scan | Tool::Audit => by_scan(cell, &String::from_utf8_lossy(&output.stdout)),
            Tool::Sslyze => sslyze::read(&written()),
            Tool::Testssl => by_testssl(&written()),
        };
        if told.certificate.is_none() {
            let said = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
            let last: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            eprintln!("{}: no certificate of {}: {:?}", tool.name(), cell.label, &last[last.len().saturating_sub(3)..]);
        }
        Told { took, is_late: took >= MOST, ..told }
    }

    fn sslyze(&self, cell: &Cell, file: &Path) -> Command {
        let mut command = self.watcher.command(&self.sslyze.to_string_lossy());
        command.args(["--certinfo", "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"]);
        command.args(["--mozilla_config", "disable", "--quiet"]).arg(format!("--json_out={}", file.display()));
        if let Some(protocol) = starttls(cell) {
            command.args(["--starttls", protocol]);
        }
        command.arg(format!("{}:{}{{{}}}", cell.host_name(), cell.port, cell.address));
        command
    }

    /// Protocols and server defaults; without the look-ups by DNS, which would wait for an answer here. It goes on where Debian's OpenSSL,
    /// with which it checks first, is too strict to connect.
    fn testssl(&self, cell: &Cell, file: &Path) -> Command {
        let mut command = self.watcher.command("testssl");
        command.args(["-p", "-S", "--nodns", "none", "--warnings", "off", "--quiet", "--color", "0"]);
        command.args(["--connect-timeout", "10", "--openssl-timeout", "10", "--ip", &cell.address.to_string()]);
        command.arg("--jsonfile").arg(file);
        if let Some(protocol) = starttls(cell) {
            command.args(["-t", protocol]);
        }
        command.arg(format!("{}:{}", cell.host_name(), cell.port));
        command
    }
}

/// What has to be spoken before TLS, as OpenSSL, sslyze and testssl.sh call it alike.
pub(crate) fn starttls(cell: &Cell) -> Option<&'static str> {
    Some(match cell.port {
        21 => "ftp",
        25 => "smtp",
        143 => "imap",
        389 => "ldap",
        3306 => "mysql",
        5432 => "postgres",
        _ => return None,
    })
}

/// The same command, ended with all it has started when the time is up.
pub(crate) fn bounded(command: &Command, most: Duration) -> Command {
    let mut outer = Command::new("timeout");
    outer.args(["--kill-after", "5", &most.as_secs().to_string()]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// To its end, whatever that is: what counts is what it has said.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}

fn by_scan(cell: &Cell, said: &str) -> Told {
    let found = scanning::read(said);
    let place = |name| found.get(&(cell.address.to_string(), u64::from(cell.port), name));
    let (named, unnamed) = (place(Some(cell.host_name())), place(None));
    let sha256 = |line: &&Value| line["tls"]["certificate"]["sha256"].as_str().map(str::to_owned);
    let certificate = [named, unnamed].iter().flatten().find_map(sha256);
    let audited = [named, unnamed].into_iter().flatten().find_map(|line| line["audit"]["versions"].as_array());
    let words = audited.into_iter().flatten().filter_map(Value::as_str);
    Told { certificate: certificate.map(Shown::Sha256), versions: known(words), ..Told::default() }
}

fn by_testssl(written: &str) -> Told {
    let written: Value = serde_json::from_str(written).unwrap_or_default();
    let entries = written.as_array().map(Vec::as_slice).unwrap_or_default();
    let finding = |id: &str| {
        // Where a server shows several certificates, the number of each follows.
        let is_it = |entry: &&Value| entry["id"].as_str().and_then(|all| all.split(' ').next()) == Some(id);
        entries.iter().find(is_it).and_then(|entry| entry["finding"].as_str())
    };
    let versions = VERSIONS.into_iter().zip(["SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3"]);
    // "offered, no cipher", "supported but couldn't detect a cipher", "vulnerable with 7 ciphers".
    let is_spoken = |said: &str| ["offered", "supported", "vulnerable"].iter().any(|word| said.starts_with(word));
    Told {
        certificate: finding("cert_fingerprintSHA256").map(|digits| Shown::Sha256(digits.to_lowercase())),
        versions: versions.filter(|(_, id)| finding(id).is_some_and(is_spoken)).map(|(version, _)| version).collect(),
        ..Told::default()
    }
}

/// Those of the words that name a version.
fn known<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<&'static str> {
    words.filter_map(|word| VERSIONS.into_iter().find(|version| *version == word)).collect()
}
