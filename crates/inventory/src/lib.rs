//! The inventory and the change detector. Pure: `(state, input, now) -> (state, output)`.

mod change;
mod state;

pub use change::{Change, ConfirmRequest, Question};
pub use state::{
    CertificateState, EndpointState, HostState, Pending, PendingCertificate, PendingService, PortStatus, Region,
    ServiceState, TlsState,
};
