//! The protocols, one file each.

mod amqp;
mod bgp;
mod cassandra;
mod dns;
mod dns_tcp;
mod dtls;
mod epmap;
mod epmd;
mod ftp;
mod greeting;
mod http;
mod http2;
mod http_body;
mod ike;
mod imap;
mod ipmi;
mod irc;
mod java;
mod job_server;
mod kafka;
mod kerberos;
mod ldap;
mod lmtp;
mod mdns;
mod memcached;
mod mongodb;
mod mqtt;
mod mysql;
mod mysqlx;
mod nats;
mod netbios;
mod nntp;
mod ntp;
mod openwire;
mod oracle;
mod pop3;
pub(crate) mod postgresql;
mod pptp;
mod quic;
pub(crate) mod rdp;
mod redis;
mod rfb;
mod rsync;
mod rtsp;
mod sieve;
mod sip;
mod small_datagram;
mod smb;
mod smtp;
mod snmp;
mod socks;
mod sql_server;
mod ssdp;
pub(crate) mod ssh;
mod stomp;
mod stun;
mod sunrpc;
mod telnet;
mod text_line;
mod tftp;
mod tls;
mod trivial;
mod versions;
mod x11;
mod xmpp;
mod zabbix;
mod zookeeper;

pub use http::favicon_request;

use crate::answer::{Parse, Received};
use crate::text;
use model::{Endpoint, Service, ServiceName, Transport};

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
    /// What an answer says to who has just asked this question, where it means nothing to anybody else.
    pub reply: Option<fn(Received<'_>) -> Parse>,
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

static TCP: &[&Protocol] = &[
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
    &smb::PROTOCOL,
    &epmap::PROTOCOL,
    &oracle::PROTOCOL,
    &mongodb::PROTOCOL,
    &memcached::PROTOCOL,
    &amqp::PROTOCOL,
    &mqtt::PROTOCOL,
    &kafka::PROTOCOL,
    &sip::PROTOCOL,
    &rtsp::PROTOCOL,
    &sunrpc::PROTOCOL,
    &mysqlx::PROTOCOL,
    &cassandra::PROTOCOL,
    &zookeeper::PROTOCOL,
    &nats::PROTOCOL,
    &openwire::PROTOCOL,
    &stomp::PROTOCOL,
    &java::AJP,
    &java::RMI,
    &java::JDWP,
    &epmd::PROTOCOL,
    &x11::PROTOCOL,
    &versions::GIT,
    &versions::SUBVERSION,
    &pptp::PROTOCOL,
    &socks::PROTOCOL,
    &zabbix::PROTOCOL,
    &http2::PROTOCOL,
    &kerberos::PROTOCOL,
    &bgp::PROTOCOL,
    &job_server::BEANSTALKD,
    &job_server::GEARMAN,
    &greeting::ASTERISK,
    &greeting::MPD,
    &greeting::MUNIN,
    &trivial::ECHO,
    &trivial::CHARGEN,
    &trivial::DAYTIME,
    &trivial::IDENT,
    &trivial::FINGER,
    &text_line::PROTOCOL,
];

static UDP: &[&Protocol] = &[
    &dns::PROTOCOL,
    &ntp::PROTOCOL,
    &snmp::PROTOCOL,
    &memcached::BY_DATAGRAM,
    &sunrpc::BY_DATAGRAM,
    &sip::BY_DATAGRAM,
    &kerberos::BY_DATAGRAM,
    &netbios::PROTOCOL,
    &tftp::PROTOCOL,
    &mdns::PROTOCOL,
    &ike::PROTOCOL,
    &stun::PROTOCOL,
    &ssdp::PROTOCOL,
    &ipmi::PROTOCOL,
    &small_datagram::SQL_BROWSER,
    &small_datagram::COAP,
    &small_datagram::NAT_PMP,
    &small_datagram::GTP,
    &small_datagram::XDMCP,
    &small_datagram::RADIUS,
    &small_datagram::L2TP,
    &small_datagram::OPENVPN,
    &dtls::PROTOCOL,
    &quic::PROTOCOL,
    &small_datagram::WS_DISCOVERY,
];

/// Those of a transport, the most telling first.
pub fn protocols(transport: Transport) -> &'static [&'static Protocol] {
    match transport {
        Transport::Tcp => TCP,
        Transport::Udp => UDP,
    }
}

/// The protocol of that IANA name.
pub fn by_name(transport: Transport, name: &str) -> Option<&'static Protocol> {
    protocols(transport).iter().copied().find(|protocol| protocol.name == name)
}

/// The question over TCP to somebody who may be one of those: with IRC it is another than the one to a server that is known for it.
pub fn opening(name: &str) -> Option<&'static Protocol> {
    if name == irc::OPENING.name { Some(&irc::OPENING) } else { by_name(Transport::Tcp, name) }
}

/// What an answer says to who has just asked that protocol's question: some answers mean nothing to anybody else.
pub fn reply_to(asked: &Protocol, received: Received<'_>) -> Parse {
    asked.reply.map_or(Parse::No, |reply| reply(received))
}

/// The protocol this port makes likely, in TLS or not: one whose server speaks first or that has a question.
pub fn likely(transport: Transport, port: u16) -> Option<&'static Protocol> {
    let conversable = |protocol: &Protocol| protocol.speaker == Speaker::Server || protocol.request.is_some();
    protocols(transport).iter().copied().find(|protocol| protocol.ports.contains(&port) && conversable(protocol))
}

/// The one whose question is asked beside that of [`likely`], at a port that two protocols share which are both common there and are
/// silent to each other's question: DNS by DTLS and by QUIC (RFC 8094, RFC 9250).
pub fn likely_as_well(transport: Transport, port: u16) -> Option<&'static Protocol> {
    let is_shared = (transport, port) == (Transport::Udp, 853);
    is_shared.then(|| suggested(transport, port).filter(|protocol| protocol.request.is_some()).nth(1)).flatten()
}

/// The protocols this port makes likely, the most telling first.
pub fn suggested(transport: Transport, port: u16) -> impl Iterator<Item = &'static Protocol> {
    protocols(transport).iter().copied().filter(move |protocol| protocol.ports.contains(&port))
}

/// A service of this protocol, of which nothing else is known yet.
fn named(protocol: &str) -> Service {
    Service { name: protocol.into(), ..Service::default() }
}

/// Writes down what a stranger said, if it was anything.
pub(crate) fn note(service: &mut Service, fact: &str, said: impl AsRef<[u8]>) {
    let said = text::printable(said.as_ref());
    if !said.is_empty() {
        service.facts.insert(fact.to_owned(), said);
    }
}

/// Whether this TCP port makes TLS likely.
pub fn tls_is_likely(port: u16) -> bool {
    tls::PROTOCOL.ports.contains(&port)
}
