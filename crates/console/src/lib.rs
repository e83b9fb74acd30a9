//! What the daemon answers: the API on its Unix socket, and health and metrics on TCP.
//!
//! The socket's API reads from the store and asks the daemon through [`Control`]; whoever may open the socket may do
//! everything. TCP answers `/healthz`, `/readyz` and `/metrics` and nothing else, whatever address it listens on.

mod act;
mod api;
mod control;
mod metrics;
mod public;
mod query;
mod read;
mod refusal;
mod server;
mod stream;

#[cfg(test)]
mod tests;

pub use control::{Control, ControlFuture, LaneView, ProfileView, RecipientView, Review};
pub use server::{BoundTcp, BoundUnix, ConsoleError, bind_tcp, bind_unix, serve_tcp, serve_unix};

use model::Clock;
use std::sync::{Arc, Mutex};
use store::Reader;

/// What both listeners answer from.
#[derive(Debug)]
pub struct Console {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) reader: Reader,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) host_names: Vec<String>,
    pub(crate) tally: Mutex<read::Tally>,
}

impl Console {
    /// `host_names`: what this machine is called by those who scrape it. TCP answers under these, under `localhost` and
    /// under addresses, and under no other name.
    pub fn new(control: Arc<dyn Control>, reader: Reader, clock: Arc<dyn Clock>, host_names: Vec<String>) -> Arc<Self> {
        Arc::new(Self { control, reader, clock, host_names, tally: Mutex::default() })
    }
}
