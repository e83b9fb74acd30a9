use crate::{LastGuard, Scope};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use std::{net::IpAddr, sync::Arc};
use tokio::sync::watch;

/// The scope that holds now, shared by everything that probes; a reload or a new lease replaces it as a whole.
#[derive(Debug, Clone)]
pub struct ScopeHandle(Arc<Held>);

#[derive(Debug)]
struct Held {
    scope: ArcSwap<Scope>,
    replaced: watch::Sender<()>,
}

impl ScopeHandle {
    pub fn new(scope: Scope) -> Self {
        Self(Arc::new(Held { scope: ArcSwap::from_pointee(scope), replaced: watch::Sender::new(()) }))
    }

    pub fn load(&self) -> Arc<Scope> {
        self.0.scope.load_full()
    }

    /// What was minted from the old scope is still held back by [`ScopeHandle::permits`] where the new one does not allow it.
    pub fn replace(&self, scope: Scope) {
        self.0.scope.store(Arc::new(scope));
        self.0.replaced.send_replace(());
    }

    /// The last check before a packet leaves, by other code over another representation than [`Scope::authorize`].
    pub fn permits(&self, ip: IpAddr, now: Timestamp) -> bool {
        self.0.scope.load().guard().permits(ip, now)
    }

    /// Returns once the address must not be talked to any more because another scope has come: at once if it is so already. Leave that
    /// ends by itself, with a window or a lease, lets what was begun in its time come to its end.
    pub async fn withdrawn(&self, ip: IpAddr, now: impl Fn() -> Timestamp) {
        let mut replaced = self.0.replaced.subscribe();
        while self.permits(ip, now()) {
            if replaced.changed().await.is_err() {
                // Nobody can replace it any more.
                return std::future::pending().await;
            }
        }
    }

    /// The same check for a batch of packets that leaves now.
    pub fn last_guard(&self, now: Timestamp) -> LastGuard {
        LastGuard::new(self.load(), now)
    }
}
