//! The daemon: assembly of the rooms, signals, and the end.

use std::{path::PathBuf, process::ExitCode};

/// What the command line says about a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunOptions {
    /// None: the installed configuration, or else the embedded one.
    pub config: Option<PathBuf>,
    /// One more socket to listen on.
    pub socket: Option<PathBuf>,
}

pub(crate) async fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this build holds no daemon yet (asked for {:?}, {:?})", options.config, options.socket)
}
