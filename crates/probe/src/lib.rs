//! Questions to the network: the dialer, the sweep, the conversations.
//!
//! * [`Dialer`]: the only way out. It paces, limits, holds to the scope, can be halted, and tells our own trouble from the
//!   target's.
//! * [`sweep()`]: a group of addresses times a list of ports, in permuted order, with memory for that group only.
//! * [`ask()`]: endpoints one by one, with spaced attempts: the known, and confirmations.
//! * [`conversation`]: who is there, on as few connections as possible.
//! * [`Resolve`]: the addresses of host names, for leases.
//!
//! All of it works through the kernel's own sockets and without any privilege.

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
