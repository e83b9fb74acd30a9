//! A scan of some cells by the whole binary, under their names.

use crate::cell::Cell;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};
use testkit::{Host, binary};

/// Every endpoint that the scan shows, by place and name.
pub(crate) type Found = BTreeMap<(String, u64, Option<String>), Value>;

/// What every scan is started with; kept with the watcher.
pub(crate) fn configuration(watcher: &Host) -> PathBuf {
    let config = "[sensor]\nresolvers = [\"10.77.0.53\"]\n[asset.lab]\ntargets = [\"10.77.0.0/16\"]\n\
                  [profile.lab]\nassets = [\"lab\"]\n[store]\npath = \"none.db\"\n";
    watcher.write("scan.toml", config)
}

pub(crate) fn command(watcher: &Host, config: &Path, cells: &[&Cell], options: &[&str]) -> Command {
    let mut ports: Vec<String> = cells.iter().map(|cell| cell.port.to_string()).collect();
    ports.sort();
    ports.dedup();
    let mut command = watcher.command(&binary().to_string_lossy());
    command.arg("scan").args(cells.iter().map(|cell| cell.host_name())).args(options);
    command.args(["--tcp", &ports.join(","), "--mode", "connect", "--json", "--config"]).arg(config);
    command.env("NO_COLOR", "1").env_remove("PERIMETERD_LOG").env("HOME", "/nonexistent");
    command
}

/// What it has printed.
pub(crate) fn read(said: &str) -> Found {
    let mut found = Found::new();
    for line in said.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        if line["kind"] == "endpoint" {
            let ip = line["ip"].as_str().unwrap_or_default().to_owned();
            let name = line["name"].as_str().map(str::to_owned);
            found.insert((ip, line["port"].as_u64().unwrap_or_default(), name), line);
        }
    }
    found
}
