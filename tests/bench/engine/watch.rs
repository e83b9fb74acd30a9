//! perimeterd as a daemon on the line's near end, and what can be asked of it.

use crate::{bench::Bench, tool::Endpoint};
use rustix::process::Pid;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use testkit::{Host, Process};
use tokio::time::Instant;

/// Between two questions.
const EVERY: Duration = Duration::from_millis(250);

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    bench: &'a Bench,
    host: &'a Host,
    state: PathBuf,
    config: PathBuf,
    process: Process,
}

/// What a daemon watches and how: values of its configuration.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// Packets per second, over everything and to one host.
    pub(crate) rate: u32,
    pub(crate) rate_per_host: u32,
    pub(crate) targets: &'a str,
    /// The profile's `scan` table, without its braces.
    pub(crate) scan: &'a str,
}

impl<'a> Watch<'a> {
    pub(crate) fn start(bench: &'a Bench, host: &'a Host, plan: &Plan) -> Self {
        // What one before it has learnt is not to be known.
        let is_free = |state: &PathBuf| !state.exists();
        let mut states = (0..1_000).map(|number| host.dir().join(format!("state{number}")));
        let state = states.find(is_free).expect("so many daemons are never started");
        std::fs::create_dir(&state).expect("the host's directory can be written");
        let config = state.join("perimeterd.toml");
        std::fs::write(&config, plan.text(bench.mode(), &state)).expect("its directory can be written");
        let mut command = host.command(&bench.binary().to_string_lossy());
        command.args(["run", "--config"]).arg(&config);
        let process = host.start("perimeterd", &mut command);
        Self { bench, host, state, config, process }
    }

    /// From now on it watches like this; panics where it does not take it.
    pub(crate) fn change(&self, plan: &Plan) {
        std::fs::write(&self.config, plan.text(self.bench.mode(), &self.state)).expect("its directory can be written");
        let output = self.command(&["reload"]).output().expect("perimeterd starts");
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "perimeterd does not take its new configuration: {complained}");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).expect("a pid")).expect("a pid is not zero")
    }

    /// None while it does not answer.
    pub(crate) fn status(&self) -> Option<Value> {
        serde_json::from_slice(&self.ask(&["status", "--json"])).ok()
    }

    /// What `status` says of a lane.
    pub(crate) fn lane(&self, name: &str) -> Option<Value> {
        let status = self.status()?;
        status["lanes"].as_array()?.iter().find(|lane| lane["lane"] == name).cloned()
    }

    /// Open endpoints it knows, each with when it was last seen open.
    pub(crate) fn open(&self) -> BTreeMap<Endpoint, String> {
        let listed = self.ask(&["services", "--json", "--limit", "1000000"]);
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let objects = listed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        objects
            .filter_map(|object| {
                let port = u16::try_from(object["port"].as_u64()?).ok()?;
                let seen = object["last_seen"].as_str()?.to_owned();
                Some(((object["ip"].as_str()?.parse().ok()?, port), seen))
            })
            .collect()
    }

    /// Its events of one type.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let listed = self.ask(&["events", "--json", "--limit", "1000000"]);
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let events = listed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["type"] == kind).collect()
    }

    /// Waits until this can be seen; false where it cannot within the time.
    pub(crate) fn wait(&mut self, within: Duration, mut is_so: impl FnMut(&Self) -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < within {
            self.process.must_run();
            if is_so(self) {
                return true;
            }
            thread::sleep(EVERY);
        }
        false
    }

    fn ask(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(arguments).output();
        output.unwrap_or_else(|error| panic!("perimeterd {arguments:?} does not start: {error}")).stdout
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(&self.bench.binary().to_string_lossy());
        command.args(arguments).arg("--config").arg(&self.config).stdin(Stdio::null());
        command
    }
}

impl Plan<'_> {
    /// A whole configuration; `state` is where it may write.
    fn text(&self, mode: &str, state: &Path) -> String {
        let Plan { rate, rate_per_host, targets, scan } = self;
        format!(
            r#"
[sensor]
name = "bench"
mode = "{mode}"
rate = "{rate}/s"
rate_per_host = "{rate_per_host}/s"
[store]
path = "{state}/perimeter.db"
[console]
listen = "none"
[asset.line]
targets = ["{targets}"]
[profile.line]
assets = ["line"]
rulesets = ["builtin:perimeter"]
scan = {{ {scan} }}
[recipient.file]
jsonl = "{state}/alerts.jsonl"
every = "immediate"
"#,
            state = state.display(),
        )
    }
}
