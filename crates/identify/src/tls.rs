//! TLS and SSL as far as they are spoken in the clear: a client's hello of any age, and what a server answers to it until it
//! encrypts. Nothing here needs cryptography: what is asked for is only read. Pure, like the rest of the crate.

pub mod cipher;
pub mod dtls;
pub mod extension;
pub mod flight;
mod hello;
mod posture;
mod record;
mod version;

pub use cipher::{Cipher, Class, Ssl2Cipher};
pub use dtls::DtlsReader;
pub use flight::{Alert, ClientAuth, End, FlightReader, KeyExchange, ServerFlight, ServerHello, Ssl2Hello};
pub use hello::{Hello, ssl2_hello};
pub use posture::{is_by_hand_alone, is_modern, posture, profile};
pub use record::{NoRecord, Record, Records};
pub use version::Version;
