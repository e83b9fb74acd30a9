//! The protocols, one file each.

mod dns;
mod dns_tcp;
mod ftp;
mod http;
mod imap;
mod irc;
mod ldap;
mod lmtp;
mod mysql;
mod nntp;
mod ntp;
mod pop3;
mod postgresql;
mod rdp;
mod redis;
mod rfb;
mod rsync;
mod sieve;
mod smtp;
mod snmp;
mod sql_server;
pub(crate) mod ssh;
mod telnet;
mod text_line;
mod tls;
mod xmpp;

use crate::answer::{Parse, Received};
use model::{Endpoint, ServiceName, Transport};

/// What a question is made with.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub endpoint: Endpoint,
    /// The name the service is asked under; none asks the address.
    pub name: Option<&'a ServiceName>,
    /// Inside TLS: decides which port goes without saying in a Host header.
    pub tls: bool,
    /// Who we are, for a User-Agent header: `perimeterd/0.1.0 (https://example.org/security)`.
    pub agent: &'a str,
}

/// One protocol: the same parts in every file.
#[derive(Debug)]
pub struct Protocol {
    /// Its IANA name, as in [`model::Service::name`].
    pub name: &'static str,
    pub speaker: Speaker,
    /// Ports that make it likely: they order the questions and never identify anything.
    pub ports: &'static [u16],
    /// The question; none where the server speaks first and needs none.
    pub request: Option<fn(&Asking<'_>) -> Vec<u8>>,
    pub parse: fn(Received<'_>) -> Parse,
    /// Real-looking answers, for the contract every protocol keeps.
    #[cfg(test)]
    pub(crate) samples: &'static [&'static [u8]],
}

/// Who says the first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Server,
    Client,
}

static TCP: [&Protocol; 24] = [
    &ssh::PROTOCOL,
    &http::PROTOCOL,
    &tls::PROTOCOL,
    &smtp::PROTOCOL,
    &ftp::PROTOCOL,
    &pop3::PROTOCOL,
    &imap::PROTOCOL,
    &dns_tcp::PROTOCOL,
    &mysql::PROTOCOL,
    &rfb::PROTOCOL,
    &rsync::PROTOCOL,
    &redis::PROTOCOL,
    &telnet::PROTOCOL,
    &lmtp::PROTOCOL,
    &sieve::PROTOCOL,
    &nntp::PROTOCOL,
    &irc::PROTOCOL,
    &xmpp::CLIENT,
    &xmpp::SERVER,
    &ldap::PROTOCOL,
    &postgresql::PROTOCOL,
    &sql_server::PROTOCOL,
    &rdp::PROTOCOL,
    &text_line::PROTOCOL,
];

static UDP: [&Protocol; 3] = [&dns::PROTOCOL, &ntp::PROTOCOL, &snmp::PROTOCOL];

/// Those of a transport, the most telling first.
pub fn protocols(transport: Transport) -> &'static [&'static Protocol] {
    match transport {
        Transport::Tcp => &TCP,
        Transport::Udp => &UDP,
    }
}

/// The protocol of that IANA name.
pub fn by_name(transport: Transport, name: &str) -> Option<&'static Protocol> {
    protocols(transport).iter().copied().find(|protocol| protocol.name == name)
}

/// What an answer says to who has just asked that protocol's question: some answers mean nothing to anybody else.
pub fn reply_to(asked: &Protocol, received: Received<'_>) -> Parse {
    if asked.name == postgresql::PROTOCOL.name { postgresql::reply(received) } else { Parse::No }
}

/// The protocol this port makes likely, in TLS or not: one whose server speaks first or that has a question.
pub fn likely(transport: Transport, port: u16) -> Option<&'static Protocol> {
    let conversable = |protocol: &Protocol| protocol.speaker == Speaker::Server || protocol.request.is_some();
    protocols(transport).iter().copied().find(|protocol| protocol.ports.contains(&port) && conversable(protocol))
}

/// Whether this TCP port makes TLS likely.
pub fn tls_is_likely(port: u16) -> bool {
    tls::PROTOCOL.ports.contains(&port)
}
