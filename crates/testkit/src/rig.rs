//! TLS stacks that Debian no longer has: `tests/rig` puts them where they are looked for here.

use std::{env, path::PathBuf};

/// Names the folder that `tests/rig` filled.
const RIG: &str = "PERIMETERD_RIG";

/// A program of the rig by its name, such as `node-0.10.1` or `python/bin/python`; none where `tests/rig` has not been run.
pub fn rig(program: &str) -> Option<PathBuf> {
    let folder = match env::var_os(RIG) {
        Some(folder) => PathBuf::from(folder),
        // Where `tests/run` has it put by default.
        None => PathBuf::from(env::var_os("HOME")?).join(".cache/perimeterd/rig"),
    };
    let program = folder.join(program);
    program.exists().then_some(program)
}
