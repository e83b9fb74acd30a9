//! What a server says before anything is encrypted (RFC 5246 §7.4), and nothing of it is ever answered: version, suite, extensions,
//! certificates, key exchange, whether it asks for a certificate of ours. A server of TLS 1.3 encrypts after its hello.

mod message;
#[cfg(test)]
mod tests;

use super::{
    cipher::{Cipher, Ssl2Cipher},
    record::{Record, Records},
    version::Version,
};
use message::Message;

/// Reads a server's first flight as it comes in. Total on hostile bytes, linear in their number, and bounded: it stops at
/// [`FlightReader::MAX_BYTES`].
#[derive(Debug, Clone, Default)]
pub struct FlightReader {
    records: Records,
    /// Of handshake messages, what is not whole yet.
    handshake: Vec<u8>,
    flight: ServerFlight,
    fed: usize,
}

/// What a server showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFlight {
    pub hello: Option<ServerHello>,
    /// The hello of an SSL 2.0 server; its certificate is the only one in `certificates`.
    pub ssl2: Option<Ssl2Hello>,
    /// As presented, leaf first, each one's DER. At most 64.
    pub certificates: Vec<Vec<u8>>,
    /// A stapled OCSP response's DER.
    pub ocsp: Option<Vec<u8>>,
    pub key_exchange: Option<KeyExchange>,
    /// It asks for a certificate of ours.
    pub client_auth: Option<ClientAuth>,
    /// In the order they came; at most 16.
    pub alerts: Vec<Alert>,
    /// Why nothing more is read; none while the server may still have something to say.
    pub end: Option<End>,
}

/// How a flight ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With `ServerHelloDone`: it is our turn. Of SSL 2.0, the hello is all.
    HelloDone,
    /// TLS 1.3: what follows the hello is encrypted, or the server wants another hello first.
    Encrypted,
    /// With an alert: it will not have us.
    Refused,
    /// What it says is no TLS; [`FlightReader::rest`] has the beginning.
    NotTls,
    /// Records of TLS with something in them that makes no sense, or too much.
    Malformed,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// What it has chosen, wherever it says so.
    pub version: Version,
    pub cipher: Cipher,
    /// 0 is none, 1 DEFLATE (RFC 3749).
    pub compression: u8,
    /// By number, in the order they came; at most 64.
    pub extensions: Vec<u16>,
    /// It knows no name like the one asked for is another matter: here it says that it went by it (RFC 6066 §3).
    pub took_server_name: bool,
    pub alpn: Option<Vec<u8>>,
    /// RFC 5746.
    pub secure_renegotiation: bool,
    /// The mode of RFC 6520: 1, it takes heartbeats; 2, it does not.
    pub heartbeat: Option<u8>,
    pub extended_master_secret: bool,
    pub encrypt_then_mac: bool,
    /// The number of signed certificate timestamps that came beside the certificate.
    pub timestamps: usize,
    /// It gave us a session to come back to, or promised a ticket.
    pub resumes: bool,
    /// TLS 1.3: the group it wants another hello with, or has taken a key of.
    pub group: Option<u16>,
    /// TLS 1.3: it wants another hello (`HelloRetryRequest`).
    pub retry: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssl2Hello {
    /// What it has of what was offered.
    pub ciphers: Vec<Ssl2Cipher>,
}

/// The parameters of an ephemeral key exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyExchange {
    /// A curve by its number (IANA registry "TLS Supported Groups").
    Group(u16),
    /// A curve written out, over a field of this many bits.
    ExplicitCurve { bits: u32 },
    /// Finite field: the prime, big-endian without leading zeros.
    Dh { prime: Vec<u8>, bits: u32 },
    /// A short RSA key beside the certificate's: export.
    Rsa { bits: u32 },
}

/// What a server says of the certificate it wants (RFC 5246 §7.4.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientAuth {
    /// Kinds of certificates by number: 1 is RSA, 2 DSS, 64 ECDSA.
    pub kinds: Vec<u8>,
    /// Distinguished names of the authorities it trusts, each one's DER; at most 512, and fewer where they are not whole.
    pub authorities: Vec<Vec<u8>>,
}

/// RFC 5246 §7.2. Prints as the description's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert {
    pub fatal: bool,
    pub description: u8,
}

impl FlightReader {
    /// Of one flight; the longest that clients of others take is a certificate message of 100 KiB.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// Takes what has come in. What comes after the end stays in [`FlightReader::rest`].
    pub fn feed(&mut self, bytes: &[u8]) -> &ServerFlight {
        let room = Self::MAX_BYTES.saturating_sub(self.fed).min(bytes.len());
        self.fed += bytes.len().min(room);
        self.records.feed(bytes.get(..room).unwrap_or_default());
        self.read();
        if self.flight.end.is_none() && self.fed >= Self::MAX_BYTES {
            self.flight.end = Some(End::Malformed);
        }
        &self.flight
    }

    pub fn flight(&self) -> &ServerFlight {
        &self.flight
    }

    /// Bytes that have come and are not part of the flight: the beginning of what is no TLS, or what follows the end.
    pub fn rest(&self) -> &[u8] {
        self.records.rest()
    }

    /// The flight, and the record layer to go on with.
    pub fn finish(self) -> (ServerFlight, Records) {
        (self.flight, self.records)
    }

    fn read(&mut self) {
        while self.flight.end.is_none() {
            if self.read_ssl2() {
                return;
            }
            match self.records.take() {
                Ok(Some(record)) => self.read_record(&record),
                Ok(None) => return,
                Err(_) => self.flight.end = Some(End::NotTls),
            }
        }
    }

    /// SSL 2.0 has records of its own. True: that is what it is, and is being read.
    fn read_ssl2(&mut self) -> bool {
        if self.flight.hello.is_some() || !self.flight.alerts.is_empty() || !self.handshake.is_empty() {
            return false;
        }
        match message::ssl2(self.records.rest()) {
            message::Ssl2::No => false,
            message::Ssl2::NeedMore => true,
            message::Ssl2::Hello(hello, certificate) => {
                self.flight.ssl2 = Some(hello);
                self.flight.certificates = vec![certificate];
                self.flight.end = Some(End::HelloDone);
                true
            }
            message::Ssl2::Refused => {
                self.flight.end = Some(End::Refused);
                true
            }
        }
    }

    fn read_record(&mut self, record: &Record) {
        match record.kind {
            Record::HANDSHAKE => {
                self.handshake.extend_from_slice(&record.payload);
                self.read_messages();
            }
            Record::ALERT => match *record.payload.as_slice() {
                [level @ (1 | 2), description] => {
                    let alert = Alert { fatal: level == 2 || description == Alert::CLOSE_NOTIFY, description };
                    if self.flight.alerts.len() < 16 {
                        self.flight.alerts.push(alert);
                    }
                    if alert.fatal {
                        self.flight.end = Some(End::Refused);
                    }
                }
                _ => self.flight.end = Some(End::Malformed),
            },
            _ => self.flight.end = Some(End::Malformed),
        }
    }

    fn read_messages(&mut self) {
        let mut taken = 0;
        while self.flight.end.is_none() {
            let Some((message, length)) = Message::first(self.handshake.get(taken..).unwrap_or_default()) else {
                break;
            };
            message.tell(&mut self.flight);
            taken += length;
        }
        self.handshake.drain(..taken.min(self.handshake.len()));
    }
}

impl ServerFlight {
    /// Whether the other end speaks TLS, or SSL, whatever it made of our hello.
    pub fn speaks_tls(&self) -> bool {
        self.hello.is_some() || self.ssl2.is_some() || !self.alerts.is_empty()
    }

    pub fn version(&self) -> Option<Version> {
        self.hello.as_ref().map(|hello| hello.version).or_else(|| self.ssl2.as_ref().map(|_| Version::SSL2))
    }

    /// It said so by alert, fatal or not.
    pub fn alerted(&self, description: u8) -> bool {
        self.alerts.iter().any(|alert| alert.description == description)
    }

    /// What stays the same as long as the server's software and settings do, in a line: version, suite, extensions in their
    /// order, group, protocol, each in hexadecimal; how it refused where it did. None where it showed neither.
    pub fn profile(&self) -> Option<String> {
        let Some(hello) = &self.hello else {
            return self.alerts.last().map(|alert| format!("alert-{:02x}", alert.description));
        };
        let extensions: Vec<_> = hello.extensions.iter().map(|kind| format!("{kind:x}")).collect();
        let group = match &self.key_exchange {
            Some(KeyExchange::Group(group)) => format!("{group:x}"),
            Some(KeyExchange::Dh { bits, .. }) => format!("dh{bits}"),
            Some(KeyExchange::ExplicitCurve { bits }) => format!("ec{bits}"),
            Some(KeyExchange::Rsa { bits }) => format!("rsa{bits}"),
            None => hello.group.map(|group| format!("{group:x}")).unwrap_or_default(),
        };
        let alpn = hello.alpn.as_deref().map(crate::printable).unwrap_or_default();
        let alpn: String = alpn.chars().filter(|char| !matches!(char, ',' | '|' | ':')).collect();
        Some(format!("{:04x},{:04x},{},{group},{alpn}", hello.version.0, hello.cipher.0, extensions.join("-")))
    }
}

impl Alert {
    pub const CLOSE_NOTIFY: u8 = 0;
    pub const UNEXPECTED_MESSAGE: u8 = 10;
    pub const BAD_RECORD_MAC: u8 = 20;
    pub const HANDSHAKE_FAILURE: u8 = 40;
    pub const BAD_CERTIFICATE: u8 = 42;
    pub const ACCESS_DENIED: u8 = 49;
    pub const PROTOCOL_VERSION: u8 = 70;
    pub const INTERNAL_ERROR: u8 = 80;
    pub const INAPPROPRIATE_FALLBACK: u8 = 86;
    pub const UNRECOGNIZED_NAME: u8 = 112;
    pub const CERTIFICATE_REQUIRED: u8 = 116;
    pub const NO_APPLICATION_PROTOCOL: u8 = 120;
}
