//! The inventory and the change detector. Pure: `(state, input, now) -> (state, output)`.
//!
//! [`Inventory`] holds what is known. Its planners ([`Inventory::apply`] and its siblings) take `&self` and return a
//! [`Change`]; the caller commits it and then calls [`Inventory::install`]. Nothing here reads a clock or does I/O.

mod apply;
mod baseline;
mod certificate;
mod change;
mod confirm;
mod doubt;
mod event;
mod expiry;
mod host;
mod inventory;
mod lease;
mod port;
mod region;
mod service;
mod shared;
mod skew;
mod software;
mod state;
mod version;

pub use change::{Change, ConfirmRequest, Question};
pub use inventory::{Counts, Inventory};
pub use state::{
    Approval, CertificateState, CoveredPart, EndpointState, Flap, FlapSubject, HostFinding, HostState, Identity,
    IdentityKey, Pending, PendingCertificate, PendingKey, PendingOs, PendingService, PoolOffer, PoolPlace, PoolState,
    PortStatus, Region, ServiceState, Standing, TlsState,
};
