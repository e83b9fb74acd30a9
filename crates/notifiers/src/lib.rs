//! Ways out: intervals, digests, the outbox pipeline, one folder a channel.
//!
//! [`route`] decides at commit time who is owed which alert; the store writes that down in the same transaction. The
//! [`Pipeline`] turns what is owed into digests, one recipient at a time, and keeps offering each to its [`Channel`] until
//! the other end has taken responsibility. Delivery is at least once: a digest whose fate is unknown is repeated unchanged,
//! under the same id.
//!
//! A channel is one folder with the same parts: `mod.rs` (from configuration to channel), a renderer, a deliverer, tests.

mod channel;
mod contract;
mod email;
mod identity;
mod interval;
mod json;
mod jsonl;
mod pipeline;
mod plain;
mod route;
mod sentence;
mod syslog;
mod test_notice;
mod tls;

#[cfg(test)]
mod sample;

pub use channel::{ChannelError, Outlet, build, outlets};
pub use contract::{Channel, Digest, Ending, OpenDigest, Outbox, OutboxError, OutboxFuture, Owed};
pub use identity::Identity;
pub use interval::{next_tick, previous_tick};
pub use json::json_line;
pub use pipeline::{Failure, Pipeline};
pub use route::route;
pub use sentence::sentence;
pub use test_notice::{test_digest, test_notice};
