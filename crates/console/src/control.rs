//! What the API asks the running daemon to do.

use model::{AddressSet, Delivery, Event, StatusReport};
use serde::{Deserialize, Serialize};
use std::{fmt, future::Future, path::Path, pin::Pin};
use tokio::sync::broadcast;

pub type ControlFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The running daemon, as the console sees it.
///
/// Errors are whole sentences for the operator who asked: what was not done, and what to do.
pub trait Control: fmt::Debug + Send + Sync + 'static {
    fn status(&self) -> ControlFuture<'_, StatusReport>;

    /// Whether the store was restored and the lanes run (or are halted): what `/readyz` answers.
    fn is_ready(&self) -> bool;

    /// Stops all probing within a second, durably. On `Ok` it is on disk.
    fn halt(&self) -> ControlFuture<'_, Result<(), String>>;

    fn resume(&self) -> ControlFuture<'_, Result<(), String>>;

    /// Starts a pass of that profile's lanes now. The text says what was started.
    fn scan_now<'a>(&'a self, profile: &'a str) -> ControlFuture<'a, Result<String, String>>;

    /// Records that hosts are meant to be there, or that they are not. The text says what came of it.
    fn review(&self, review: Review) -> ControlFuture<'_, Result<String, String>>;

    /// Reads the configuration again. The text says what changed; on failure it is the rendered diagnostics, and nothing
    /// has changed.
    fn reload(&self) -> ControlFuture<'_, Result<String, String>>;

    /// Reads the rules that name who answers again, and looks at every answer that is kept with them. No packet is sent. The text says
    /// what came of it; on failure the rules in force stay.
    fn relabel(&self) -> ControlFuture<'_, Result<String, String>>;

    /// Sends a marked test alert through the recipient's real channel. `Err`: there is no such recipient.
    fn notify_test<'a>(&'a self, recipient: &'a str) -> ControlFuture<'a, Result<Delivery, String>>;

    /// Writes a consistent copy of the database to that absolute path, which must not exist yet.
    fn backup<'a>(&'a self, path: &'a Path) -> ControlFuture<'a, Result<(), String>>;

    /// The profiles in force, by name.
    fn profiles(&self) -> Vec<ProfileView>;

    /// The recipients in force, by name.
    fn recipients(&self) -> Vec<RecipientView>;

    /// Every event from now on, after its commit and with its sequence number, in that order.
    fn subscribe(&self) -> broadcast::Receiver<Event>;
}

/// An operator's word on hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Those meant; none: every host that is known now.
    pub addresses: Option<AddressSet>,
    /// They are not approved any more.
    pub withdraw: bool,
    /// Who says so: a name, or the file the list came from.
    pub by: String,
}

/// A profile, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileView {
    pub name: String,
    pub active: bool,
    pub assets: Vec<String>,
    pub rulesets: Vec<String>,
    pub lanes: Vec<LaneView>,
}

/// A lane that is switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneView {
    pub lane: model::Lane,
    /// As durations are written: `5m`.
    pub every: String,
}

/// A recipient, as the API shows it: nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientView {
    pub name: String,
    /// `email`, `syslog`, `jsonl`.
    pub channel: String,
    /// Where it leads: `soc@example.org via smtps://mail.example.org:465`.
    pub to: String,
    /// `immediate`, `never`, or a duration.
    pub every: String,
    /// Empty: all.
    pub profiles: Vec<String>,
    pub min_severity: model::Severity,
}
