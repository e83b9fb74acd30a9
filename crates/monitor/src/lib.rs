//! The loop: lanes, passes, confirmations, and what is committed when.

mod journal;

pub use journal::{Batch, Committed, Journal, JournalError, LeaseRecord, PassRecord, Restored, Violations};
