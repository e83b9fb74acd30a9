//! What the loop shows of itself while it runs: read by `status`, metrics and health checks without disturbing it.

use jiff::Timestamp;
use model::{LaneStatus, NotEnumerable};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use tokio::time::Instant;

/// Kept up to date by the loop.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<Snapshot>);

/// The loop's last word about itself.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub lanes: Vec<LaneStatus>,
    /// Targets of which only candidates are asked.
    pub not_enumerable: Vec<NotEnumerable>,
    /// By what is wrong: a sentence each. Empty: healthy.
    pub reasons: BTreeMap<&'static str, String>,
    pub halted: bool,
    pub hosts: u64,
    pub endpoints: u64,
    pub certificates: u64,
    /// Committed since the database was made.
    pub events: u64,
    pub confirmations_waiting: u64,
    /// The first pass of every lane has been planned: the daemon is at work.
    pub ready: bool,
    pub last_commit: Option<Timestamp>,
    /// When the loop last turned (also while it waits for the disk): a watchdog's question.
    pub turned: Option<Instant>,
}

impl Live {
    pub(crate) fn read(&self) -> Snapshot {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
