use crate::{LastGuard, Scope};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use std::{net::IpAddr, sync::Arc};

/// The scope that holds now, shared by everything that probes; a reload or a new lease replaces it as a whole.
#[derive(Debug, Clone)]
pub struct ScopeHandle(Arc<ArcSwap<Scope>>);

impl ScopeHandle {
    pub fn new(scope: Scope) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(scope)))
    }

    pub fn load(&self) -> Arc<Scope> {
        self.0.load_full()
    }

    /// What was minted from the old scope is still held back by [`ScopeHandle::permits`] where the new one does not allow it.
    pub fn replace(&self, scope: Scope) {
        self.0.store(Arc::new(scope));
    }

    /// The last check before a packet leaves, by other code over another representation than [`Scope::authorize`].
    pub fn permits(&self, ip: IpAddr, now: Timestamp) -> bool {
        self.0.load().guard().permits(ip, now)
    }

    /// The same check for a batch of packets that leaves now.
    pub fn last_guard(&self, now: Timestamp) -> LastGuard {
        LastGuard::new(self.load(), now)
    }
}
