//! What the operating system asks of the daemon.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug)]
pub(crate) struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Reload,
    /// Its name.
    End(&'static str),
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// The next request to end; there is nothing yet that could be reloaded.
    pub(crate) async fn end(&mut self) -> &'static str {
        loop {
            if let Signal::End(name) = self.next().await {
                return name;
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::End("SIGTERM"),
            _ = self.int.recv() => Signal::End("SIGINT"),
            _ = self.hup.recv() => Signal::Reload,
        }
    }
}
