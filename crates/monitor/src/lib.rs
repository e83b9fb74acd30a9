//! The loop that drives everything: it plans the passes of every lane, asks the network through them, lets the inventory
//! decide what changed and the rules who cares, commits all of it in one transaction, and only then lets anybody be told.
//!
//! The sockets, the disk, the clock and the seed are handed in: [`Network`], [`Journal`], [`model::Clock`].

mod account;
mod audits;
mod canary;
mod candidates;
mod chains;
mod choose;
mod confirm;
mod control;
mod conversation;
mod course;
mod decide;
mod error;
mod folding;
mod fruitless;
mod ground;
mod handle;
mod health;
mod index;
mod journal;
mod known;
mod lanes;
mod leases;
mod likely;
mod live;
mod look;
mod looks;
mod mirage;
mod network;
mod openings;
mod pass;
mod presence;
mod reverse;
mod review;
mod run;
mod schedule;
mod stale;
mod storm;
mod suspect;
mod sweep;
mod telling;
mod wired;

pub use error::MonitorError;
pub use handle::{Gone, Handle};
pub use journal::{
    AnswerPlace, Batch, Committed, Credit, Journal, JournalError, KeptAnswer, LeaseRecord, Note, PassRecord, Restored,
    Violations,
};
pub use live::Snapshot;
pub use network::{Answer, AuditRequest, Conversation, Introduction, Network, Surroundings};
pub use review::Reviewed;
pub use run::{GAP, Monitor, Parts, Relabelled, scope_of};
pub use wired::Wired;

// What the rows of the probe ledger are made of, for those who may not depend on the scope itself.
pub use scope::{Numbering, ledger};
