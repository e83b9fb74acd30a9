//! perimeterd: watches the address ranges you own and tells the right person what changed.

mod client;
mod command;
mod daemon;
mod failure;
mod fingerprints;
mod log;
mod output;
mod paths;

use clap::Parser;
use command::{Arguments, Command};
use failure::{Failure, Outcome};
use std::{path::Path, process::ExitCode, time::Duration};
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start(arguments).unwrap_or_else(|failure| {
        if let Some(message) = failure.message() {
            output::complain("error", &message);
        }
        failure.exit_code()
    })
}

fn start(arguments: Arguments) -> Outcome {
    let is_daemon = matches!(arguments.command, None | Some(Command::Run));
    // Without a configuration it speaks to a person at a terminal, on stdout; the log is for what goes wrong.
    let on_defaults = arguments.global.config.is_none() && !paths::is_there(Path::new(paths::INSTALLED_CONFIG));
    let quietest = if is_daemon && !on_defaults { LevelFilter::INFO } else { LevelFilter::WARN };
    log::set_up(arguments.global.log_format, arguments.global.verbose, quietest).map_err(Failure::Usage)?;
    // A provider is there already only where this ran before, and then it is the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::world(format!("the threads could not be started: {error}")))?;
    let outcome = runtime.block_on(command::run(arguments));
    // A thread that still blocks (on a disk, on a resolver) does not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(300));
    outcome
}
