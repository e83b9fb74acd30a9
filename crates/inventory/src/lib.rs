//! The inventory and the change detector. Pure: `(state, input, now) -> (state, output)`.
//!
//! [`Inventory`] holds what is known. Its planners ([`Inventory::apply`] and its siblings) take `&self` and return a
//! [`Change`]; the caller commits it and then calls [`Inventory::install`]. Nothing here reads a clock or does I/O.

mod allowed;
mod apply;
mod baseline;
mod block;
mod certificate;
mod change;
mod closing;
mod confirm;
mod disown;
mod doubt;
mod event;
mod expiry;
mod finding;
mod flap;
mod hidden;
mod host;
mod identity;
mod inventory;
mod issuers;
mod lease;
mod moved;
mod names;
mod os;
mod pool;
mod port;
mod presence;
mod purge;
mod region;
mod relabel;
mod renewal;
mod replaced;
mod restoration;
mod review;
mod service;
mod skew;
mod software;
mod ssh_key;
mod state;
mod table;
mod trust;
mod turns;
mod version;
mod watch;
mod weak;

pub use change::{Change, ConfirmRequest, Question};
pub use inventory::{Counts, Inventory};
pub use os::system_of;
pub use relabel::Label;
pub use restoration::Restoration;
pub use review::Reviewed;
pub use state::{
    Approval, CertificateState, CoveredPart, EndpointState, Flap, FlapSubject, HostFinding, HostState, Identity,
    IdentityKey, NameTurn, NameTurns, PathState, Pending, PendingCertificate, PendingKey, PendingNames, PendingOs,
    PendingService, PendingTrust, PoolOffer, PoolPlace, PoolState, PortStatus, Region, ServiceState, Standing,
    Suspicion, TlsState, Turn, Turnover,
};
pub use table::{Known, Row};
