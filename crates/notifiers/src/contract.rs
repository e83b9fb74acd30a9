//! What every channel keeps to, and what the pipeline needs from the store.

use jiff::Timestamp;
use model::{Delivery, Notice};
use serde::{Deserialize, Serialize};
use std::{future::Future, pin::Pin};

/// The alerts of one interval for one recipient. Once made it never changes: a repeat after a crash is the same digest
/// under the same id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// Stable: goes into Message-ID. Derived from recipient, first and last sequence number.
    pub id: String,
    pub recipient: String,
    /// The window it covers: from the end of the last one (or the first alert) to the tick.
    pub from: Timestamp,
    pub to: Timestamp,
    /// Ascending by sequence number, at least one.
    pub notices: Vec<Notice>,
}

/// A way out.
///
/// `deliver` returns [`Delivery::Delivered`] only when the other end has taken responsibility. It never panics, never
/// blocks for longer than its own timeouts (at most a minute in all), and delivering the same digest twice is allowed.
pub trait Channel: std::fmt::Debug + Send + Sync {
    /// `email`, `syslog`, `jsonl`.
    fn kind(&self) -> &'static str;

    /// Where it leads, without secrets: `soc@example.org via smtps://mail.example.org:465`.
    fn describe(&self) -> String;

    fn deliver<'a>(&'a self, digest: &'a Digest) -> Pin<Box<dyn Future<Output = Delivery> + Send + 'a>>;
}

/// One row of the outbox: this alert is owed to that recipient. Written in the transaction that commits the alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owed {
    pub recipient: String,
    pub alert: model::AlertId,
}

/// A digest that was begun and is not known to have arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenDigest {
    pub digest: Digest,
    pub attempts: u32,
    pub first_try: Timestamp,
    pub next_try: Timestamp,
    pub last_error: Option<String>,
}

/// How a digest ended, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Delivered {
        at: Timestamp,
        answer: String,
    },
    /// Refused, or tried for too long.
    Dead {
        at: Timestamp,
        reason: String,
    },
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("the outbox could not be read or written: {0}")]
pub struct OutboxError(pub String);

pub type OutboxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, OutboxError>> + Send + 'a>>;

/// The durable side of the pipeline; the store implements it. Every call that returns `Ok` is on disk.
pub trait Outbox: std::fmt::Debug + Send + Sync {
    /// The digests begun and not ended, oldest first: at most one a recipient.
    fn open_digests(&self) -> OutboxFuture<'_, Vec<OpenDigest>>;

    /// Makes a digest of what is owed to the recipient and in no digest yet, at most `limit` alerts, oldest first, and
    /// records it as begun. None where nothing is owed. `to` is the tick.
    fn begin<'a>(&'a self, recipient: &'a str, to: Timestamp, limit: usize) -> OutboxFuture<'a, Option<Digest>>;

    /// Records a failed attempt and when the next is due.
    fn postpone<'a>(&'a self, digest: &'a str, next_try: Timestamp, error: &'a str) -> OutboxFuture<'a, ()>;

    /// Ends a digest. With `Dead`, its alerts stay recorded as never delivered.
    fn end<'a>(&'a self, digest: &'a str, ending: Ending) -> OutboxFuture<'a, ()>;

    /// Alerts owed and not delivered, for each recipient that has any, with the time of the oldest.
    fn backlog(&self) -> OutboxFuture<'_, Vec<(String, u64, Timestamp)>>;
}
