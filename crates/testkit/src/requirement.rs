//! What a test needs and may not find. As root, everything that can be installed has been, so there a skip is a failure.

use std::io::Write;

/// Set to `1` by `tests/run` as root: a skip panics.
const REQUIRE_ALL: &str = "PERIMETERD_REQUIRE_ALL";
/// Names the file `tests/run` counts skips in, one a line.
const SKIP_LOG: &str = "PERIMETERD_SKIP_LOG";

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the test has to be skipped because it is not run as root; says so.
pub fn lacks_root(test: &str) -> bool {
    if is_root() {
        return false;
    }
    skip(test, "network namespaces need root");
    true
}

/// Says that a test is skipped, and why. The caller returns. Panics where skips are not allowed.
pub fn skip(test: &str, reason: &str) {
    assert!(std::env::var_os(REQUIRE_ALL).is_none_or(|value| value != "1"), "{test} may not be skipped: {reason}");
    let line = format!("skipped {test}: {reason}\n");
    // Not through `println!`, which the harness swallows for tests that pass. Where stderr is closed there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os(SKIP_LOG) {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(&path).expect("the skip log opens");
        log.write_all(line.as_bytes()).expect("the skip log takes a line");
    }
}
