//! The simulator: a network described in TOML, the real monitor that watches it, and an oracle that knows the truth.
//!
//! Time is tokio's, paused: a day takes as long as the work in it. The monitor, its scheduler, detector and rules are the real
//! ones; only [`monitor::Network`] and [`monitor::Journal`] are played. Nothing here opens a socket.
//!
//! A [`Scenario`] says what is there (hosts, balancers, pools), what befalls the ways to it (loss, outages, bans, tables that
//! overflow, those who answer for others), what truly changes, by script or by chance, and how the daemon is treated (killed,
//! reloaded, without a route). From what truly changes the oracle derives which events must come, until when, and which may;
//! every other event is false. [`run`] gives a [`Report`]: false events, missed changes, delays, and whether what is remembered
//! at the end is what is there.
//!
//! The questions keep the manners of the real ones: two attempts to a known endpoint, a second apart, 3.5 s each, in which the
//! kernel sends up to three SYNs; a sweep asks silence again only where that pays, and then when all has been asked once. Each
//! SYN is lost by itself, with its answer or without; in an outage all are.

mod build;
mod intervals;
mod journal;
mod judge;
mod network;
mod oracle;
mod path;
mod random;
mod report;
mod run;
mod scenario;
mod script;
mod truth;

pub use report::{Delay, Report};
pub use run::{load, run};
pub use scenario::*;

/// Why a simulation could not be run. Always a mistake in the scenario, or a bug in the monitor.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    #[error("{0}")]
    Scenario(String),
    #[error("the monitor gave up: {0}")]
    Monitor(#[from] monitor::MonitorError),
    #[error("the monitor ended in a bug: {0}")]
    Bug(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
