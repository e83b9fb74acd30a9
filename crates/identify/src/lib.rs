//! Bytes in, evidence out: protocol parsers, certificates and their verdicts. Pure: it knows no clock, socket or disk.
//!
//! A protocol is one file in `protocol/` with the same parts: its name, who speaks first, the ports that make it likely
//! (never more than that), the question it is asked if it needs one, and a total parser. [`classify`] tries every parser on
//! every answer, whatever was asked, so that a server's reply to a wrong question still names it.

mod answer;
mod certificate;
mod chain;
mod classify;
mod distribution;
pub mod fingerprint;
mod fragile;
mod head;
mod md5;
pub mod ntlm;
mod product;
mod protocol;
mod reader;
mod reply;
mod roots;
mod staple;
mod text;
pub mod tls;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Next, Parse, Received, Strength};
pub use certificate::{CertificateError, count_scts, read_certificate, sha256};
pub use chain::{Assessment, Served, assess, judge};
pub use classify::classify;
pub use fingerprint::Fingerprints;
pub use fragile::is_fragile;
pub use protocol::favicon_request;
pub use protocol::ssh::exchange as ssh_exchange;
pub use protocol::{
    Asking, Protocol, Speaker, by_name, likely, likely_as_well, opening, protocols, reply_to, suggested, tls_is_likely,
};
pub use protocol::{postgresql::STARTUP as POSTGRESQL_STARTUP, rdp::CREDSSP_NEGOTIATE};
pub use reader::Reader;
pub use roots::{Roots, RootsError};
pub use staple::read_staple;
pub use text::{printable, stable};
