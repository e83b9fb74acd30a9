//! The probe ledger: "did we touch this address and port, when, and why", without a row per probe.
//!
//! Probes leave in volleys: some or all of the endpoints that have numbers ([`crate::Numbering`]), in an order that can be
//! turned back ([`crate::Permutation`]). So a volley is one [`Volley`] row, its endpoints are a [`Territory`] that is stored
//! once however often it is asked, and whether and when an endpoint was asked follows from its number's place in the order
//! ([`Places`]).

mod cursor;
mod places;
mod territory;
mod volley;

pub use places::{Places, Subject, Touch};
pub use territory::{Digest, NotATerritory, Territory};
pub use volley::{Entry, Errand, Mode, Order, Volley, VolleyId, Why};
