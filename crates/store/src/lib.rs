//! `SQLite`: the journal the monitor commits to, and the read side.
//!
//! One thread owns the only connection that writes ([`Store`]); reads go through a few read-only connections of their
//! own ([`Reader`]) and never wait for it. `Ok` from anything that writes means it is on disk and survives power loss.

mod answers;
mod backup;
mod column;
mod error;
mod history;
mod host;
mod journal;
mod load;
mod open;
mod outbox;
mod probes;
mod reader;
mod retention;
mod seal;
mod soundness;
mod steps;
mod writer;

#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use history::Ending;
pub use open::{Options, Store};
pub use reader::{
    AlertFilter, AlertRow, CertificateFilter, Counts, DeliveryState, Difference, DifferenceKind, EventFilter, Gap,
    HostAt, HostDetail, HostFilter, HostHistory, HostInterval, HostRow, OpenPort, PassFilter, PastFilter, ProbeFilter,
    ProbeRow, Probes, Reader, RecipientRow, ServiceFacts, ServiceFilter, ServiceInterval, ServiceRow, SoftwareFilter,
    SoftwareRow, Told,
};
pub use retention::Expired;
pub use soundness::Soundness;

// What rows and filters are made of, for those who may not depend on the inventory itself.
pub use inventory::{CertificateState, PortStatus};
