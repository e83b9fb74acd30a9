//! The unit as systemd itself judges it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A copy of the unit whose program exists on any machine: what is judged is the unit, not whether it is installed.
fn unit_copy(folder: &Path) -> PathBuf {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/perimeterd.service");
    let text = fs::read_to_string(&unit).expect("the unit can be read");
    let program = "ExecStart=/usr/bin/perimeterd ";
    assert!(text.contains(program), "the unit starts the installed program");
    let copy = folder.join("perimeterd.service");
    fs::write(&copy, text.replace(program, "ExecStart=/bin/true ")).expect("the copy can be written");
    copy
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    Command::new("systemd-analyze").args(arguments).arg(unit).output().expect("systemd-analyze is installed")
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_unit_verifies_without_a_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = analyze(&["verify"], &unit_copy(folder.path()));
    assert!(output.status.success() && shown(&output).trim().is_empty(), "{}", shown(&output));
}

#[test]
fn the_unit_is_exposed_to_at_most_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = unit_copy(folder.path());
    // The threshold is ten times the level; above it the command fails.
    let output = analyze(&["security", "--offline=true", "--no-pager", "--threshold=20"], &unit);
    assert!(output.status.success(), "{}", shown(&output));
    assert!(shown(&output).contains("Overall exposure level for perimeterd.service"), "{}", shown(&output));
}

/// The test above can fail: the same unit without its hardening is above the threshold.
#[test]
fn an_open_unit_would_be_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("perimeterd.service");
    fs::write(&unit, "[Service]\nExecStart=/bin/true\n").expect("written");
    assert!(!analyze(&["security", "--offline=true", "--no-pager", "--threshold=20"], &unit).status.success());
}

#[test]
fn the_unit_keeps_what_operators_rely_on() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/perimeterd.service");
    let text = fs::read_to_string(unit).expect("the unit can be read");
    for line in [
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "User=perimeterd",
        "AmbientCapabilities=CAP_NET_RAW",
        "CapabilityBoundingSet=CAP_NET_RAW",
        "ProtectSystem=strict",
        "StateDirectory=perimeterd",
        "RuntimeDirectory=perimeterd",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    assert!(text.lines().any(|line| line.starts_with("WatchdogSec=")), "a watchdog");
    assert!(!text.lines().any(|line| line.starts_with("LoadCredential=")), "a secret that is not there stops nothing");
}
