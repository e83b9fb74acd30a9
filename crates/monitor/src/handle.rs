//! How the rest of the daemon speaks to the loop.

use crate::{
    live::{Live, Snapshot},
    network::Network,
    review::Reviewed,
    run::Relabelled,
};
use config::Config;
use model::{AddressSet, Event};
use notifiers::Failure;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot};

/// What an operator, a signal or another room asks of the loop.
#[derive(Debug)]
pub(crate) enum Command {
    Halt {
        halted: bool,
        done: oneshot::Sender<()>,
    },
    ScanNow {
        profile: String,
        done: oneshot::Sender<Result<String, String>>,
    },
    Review {
        addresses: Option<AddressSet>,
        withdraw: bool,
        by: String,
        done: oneshot::Sender<Reviewed>,
    },
    Reload {
        config: Arc<Config>,
        done: oneshot::Sender<()>,
    },
    Relabel {
        done: oneshot::Sender<Relabelled>,
    },
    /// A digest that will not arrive any more.
    DeliveryFailed(Failure),
}

/// The monitor is not there to take a command: it has stopped, or is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the monitor is stopping")]
pub struct Gone;

/// Cheap to clone. Outlives the loop; commands then return [`Gone`].
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) live: Arc<Live>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) events: broadcast::Sender<Event>,
}

impl Handle {
    /// What the loop last said of itself.
    pub fn snapshot(&self) -> Snapshot {
        self.live.read()
    }

    /// Committed events, as they are committed.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Stops every probe (the last leaves within a second, whatever the loop is busy with) or lets them go on. Returns when
    /// it is on disk, and so survives a restart.
    pub async fn halt(&self, halted: bool) -> Result<(), Gone> {
        if halted {
            self.network.halt(true);
            self.live.update(|live| live.halted = true);
        }
        let (done, wait) = oneshot::channel();
        self.commands.send(Command::Halt { halted, done }).await.map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }

    /// Makes every lane of a profile due now.
    pub async fn scan_now(&self, profile: &str) -> Result<Result<String, String>, Gone> {
        let (done, wait) = oneshot::channel();
        self.commands.send(Command::ScanNow { profile: profile.to_owned(), done }).await.map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }

    /// Records that hosts are meant to be there (or no longer): all known ones where no addresses are given. Addresses without
    /// a known host are approved ahead. Returns when it is on disk.
    pub async fn review(&self, addresses: Option<AddressSet>, withdraw: bool, by: String) -> Result<Reviewed, Gone> {
        let (done, wait) = oneshot::channel();
        self.commands.send(Command::Review { addresses, withdraw, by, done }).await.map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }

    /// Looks at every answer that is kept with the rules in force now. No packet is sent.
    pub async fn relabel(&self) -> Result<Relabelled, Gone> {
        let (done, wait) = oneshot::channel();
        self.commands.send(Command::Relabel { done }).await.map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }

    /// Swaps the configuration, whole.
    pub async fn reload(&self, config: Arc<Config>) -> Result<(), Gone> {
        let (done, wait) = oneshot::channel();
        self.commands.send(Command::Reload { config, done }).await.map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }

    /// Records that a recipient was given up on, as a `NOTIFY_FAILED` that the others get.
    pub async fn delivery_failed(&self, failure: Failure) -> Result<(), Gone> {
        self.commands.send(Command::DeliveryFailed(failure)).await.map_err(|_| Gone)
    }
}
