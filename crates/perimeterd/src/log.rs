//! What the program says of itself: on stderr, for people on a terminal, as JSON on request.

use clap::ValueEnum;
use std::io::{self, IsTerminal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One object a line.
    Json,
}

/// Sets up logging for the whole process. `verbose` counts the `-v`s: from none, which shows only what `quietest` lets
/// through, to three and more, which show everything. `PERIMETERD_LOG` (`debug`, `probe=trace,info`) says it more exactly.
pub(crate) fn set_up(format: LogFormat, verbose: u8, quietest: LevelFilter) -> Result<(), String> {
    let steps = [LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];
    let first = steps.iter().position(|&step| step == quietest).unwrap_or(0);
    let level = steps.get(first + usize::from(verbose)).copied().unwrap_or(LevelFilter::TRACE);
    let filter = match std::env::var("PERIMETERD_LOG") {
        Ok(text) if !text.is_empty() => {
            EnvFilter::try_new(&text).map_err(|error| format!("PERIMETERD_LOG=`{text}` is no log filter: {error}"))?
        }
        // The libraries' own chatter helps nobody before the second `-v`.
        _ if level <= LevelFilter::INFO => {
            EnvFilter::new(format!("{level},hickory_proto=error,hickory_resolver=error,rusqlite_migration=warn"))
        }
        _ => EnvFilter::new(format!("{level},hyper=info,rustls=info,h2=info")),
    };
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_span_events(FmtSpan::NONE);
    let done = match format {
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        LogFormat::Human => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            // The journal stamps lines itself.
            if std::env::var_os("JOURNAL_STREAM").is_some() {
                subscriber.with_ansi(false).without_time().try_init()
            } else {
                subscriber.with_ansi(colour).with_target(verbose > 0).try_init()
            }
        }
    };
    done.map_err(|error| format!("logging could not be set up: {error}"))
}
