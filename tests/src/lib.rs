//! What crosses crates: the stories in `tests/`, the benchmarks in `examples/`.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::OnceLock,
};

/// The binary a user runs, of the same build profile as the test that asks for it. Built at the first call of a run, so
/// that it is never an old one.
///
/// # Panics
///
/// Where it cannot be built.
pub fn perimeterd() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            let here = std::env::current_exe().expect("a running program has a path");
            // target/<profile>/deps/<test>
            let folder = here.ancestors().nth(2).expect("a test stands in a target folder");
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--locked", "--package", "perimeterd"]);
            if folder.ends_with("release") {
                build.arg("--release");
            }
            let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
            assert!(status.success(), "perimeterd does not build");
            folder.join("perimeterd")
        })
        .clone()
}

/// Runs it to its end, away from whatever is installed on this machine.
///
/// # Panics
///
/// Where it does not start.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(perimeterd())
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .output()
        .expect("perimeterd starts")
}
