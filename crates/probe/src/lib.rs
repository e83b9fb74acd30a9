//! Questions to the network: the dialer, the sweep, the conversations.

mod ask;
pub mod conversation;
mod counters;
mod dialer;
mod resolver;
mod sweep;

pub use ask::{AskOptions, ask};
pub use counters::DialerCounters;
pub use dialer::{Conn, Dialer, DialerSettings, Identity, Pace, Probed};
pub use resolver::{HickoryResolver, Resolve, ResolveError, Resolved, Resolving};
pub use sweep::{Found, HostResult, Known, SweepCounts, SweepJob, SweepOutcome, UdpPayload, sweep};
