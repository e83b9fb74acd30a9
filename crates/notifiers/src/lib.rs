//! Ways out: intervals, digests, the outbox pipeline, one folder a channel.

mod contract;

pub use contract::{Channel, Digest, Ending, OpenDigest, Outbox, OutboxError, OutboxFuture, Owed};
