//! The command line: one file a command.

mod alerts;
mod approve;
mod backup;
mod certificates;
mod check;
mod completions;
mod diff;
mod events;
mod evidence;
mod filter;
mod fingerprints;
mod halt;
mod host;
mod hosts;
mod man;
mod nmap;
mod notify;
mod probes;
mod reload;
mod row;
mod scan;
mod scan_now;
mod services;
mod software;
mod status;
mod tls;

#[cfg(test)]
mod tests;

use crate::{
    daemon::{self, RunOptions},
    failure::Outcome,
    log::LogFormat,
};
use clap::{ArgAction, Args, Parser, Subcommand};
use std::path::PathBuf;

/// Watches the address ranges you own and tells the right person what changed.
///
/// Without a command it is the daemon: `perimeterd run`.
#[derive(Debug, Parser)]
#[command(name = "perimeterd", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 the answer is \"no\", or something is wrong in the world; 2 usage; \
                          3 the daemon is not there.";

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// The configuration file [default: /etc/perimeterd/perimeterd.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// The daemon's socket [default: beside its database]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub socket: Option<PathBuf>,
    /// How the log on stderr is written
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Global options")]
    pub log_format: LogFormat,
    /// Say more (twice: still more)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
}

/// How what is asked for comes out.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Format {
    /// JSON: one object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon in the foreground (also without a command)
    ///
    /// Without --config and without /etc/perimeterd/perimeterd.toml it watches 127.0.0.1, keeps its database under your
    /// state folder, prints what it learns and then what changes, and serves health and metrics on loopback.
    Run,
    /// Validate the configuration and show what it will do, without sending a packet
    Check(check::Check),
    /// Scan once, now, without a daemon
    Scan(scan::Scan),
    /// List the hosts the daemon knows
    Hosts(hosts::Hosts),
    /// Show everything known about one address
    Host(host::Host),
    /// List the services on open ports
    Services(services::Services),
    /// List the software that services disclose
    Software(software::Software),
    /// List the certificates that are served
    Certificates(certificates::Certificates),
    /// List confirmed changes, newest last
    Events(events::Events),
    /// List the changes that rules cared about, newest last
    Alerts(alerts::Alerts),
    /// What changed between two times, or what nmap sees otherwise
    Diff(diff::Diff),
    /// Whether, when and why an address or port was asked; exits 1 when it was not
    ///
    /// A time is reckoned from the place in the order, and EXACT says how far it may be off. "Perhaps" stands where it may not
    /// have been asked at all: what was cut short, or is still under way.
    Probes(probes::Probes),
    /// Show coverage, loss, lag and delivery; exits 1 when degraded
    Status(status::Status),
    /// Stop all probing within a second, until `resume`
    Halt(halt::Halt),
    /// Go on probing after `halt`
    Resume(halt::Resume),
    /// Start a pass of a profile's lanes now
    ScanNow(scan_now::ScanNow),
    /// Try out ways to recipients
    Notify(notify::Notify),
    /// Try out the rules by which what answers is named
    Fingerprints(fingerprints::Fingerprints),
    /// Write a consistent copy of the daemon's database
    Backup(backup::Backup),
    /// Have the daemon read its configuration again; a bad one changes nothing
    Reload(reload::Reload),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Print the manual page (roff)
    Man(man::Man),
}

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    let Arguments { global, command } = arguments;
    match command {
        None | Some(Command::Run) => {
            Ok(daemon::run(RunOptions { config: global.config, socket: global.socket }).await?)
        }
        Some(Command::Check(command)) => command.run(&global),
        Some(Command::Fingerprints(command)) => command.run(&global).await,
        Some(Command::Scan(command)) => command.run(&global).await,
        Some(Command::Hosts(command)) => command.run(&global).await,
        Some(Command::Host(command)) => command.run(&global).await,
        Some(Command::Services(command)) => command.run(&global).await,
        Some(Command::Diff(command)) => command.run(&global).await,
        Some(Command::Software(command)) => command.run(&global).await,
        Some(Command::Certificates(command)) => command.run(&global).await,
        Some(Command::Events(command)) => command.run(&global).await,
        Some(Command::Alerts(command)) => command.run(&global).await,
        Some(Command::Probes(command)) => command.run(&global).await,
        Some(Command::Status(command)) => command.run(&global).await,
        Some(Command::Halt(command)) => command.run(&global).await,
        Some(Command::Resume(command)) => command.run(&global).await,
        Some(Command::ScanNow(command)) => command.run(&global).await,
        Some(Command::Notify(command)) => command.run(&global).await,
        Some(Command::Backup(command)) => command.run(&global).await,
        Some(Command::Reload(command)) => command.run(&global).await,
        Some(Command::Completions(command)) => command.run(),
        Some(Command::Man(command)) => command.run(),
    }
}
