//! TLS servers of several makes and ages, set up for one question each.

mod certificates;
mod gnutls;
mod node;
mod openssl;
mod quic;
mod tlslite;

pub use certificates::{Certificates, Key, Pair, Paper};
pub use gnutls::gnutls_serv;
pub use node::old_node;
pub use openssl::s_server;
pub use quic::{QuicServer, aioquic, caddy};
pub use tlslite::{Tlslite, tlslite};

use super::wait_until_listening;
use crate::{lab::Host, process::Process};
use std::process::Command;

/// A server of TLS on one port, ended when dropped.
#[derive(Debug)]
pub struct TlsServer {
    /// What it is and how it is set up, for messages.
    pub label: String,
    pub port: u16,
    process: Process,
}

impl TlsServer {
    fn start(host: &Host, label: &str, port: u16, command: &mut Command) -> Self {
        let mut process = host.start(&format!("tls-{port}"), command);
        wait_until_listening(host, &mut process, "-lt", port);
        Self { label: label.to_owned(), port, process }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Panics with what it said if it has ended.
    pub fn must_run(&mut self) {
        self.process.must_run();
    }
}

/// Whether a server asks for a certificate of the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    No,
    Optional,
    Required,
}

/// What a server does about the name a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sni {
    Ignored,
    /// A name it does not know ends the handshake; without a name it goes on.
    Rejected,
}
