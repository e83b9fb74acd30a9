//! Questions to the network: the dialer, the sweep, the conversations.
//!
//! * [`Dialer`]: the only way out. It paces, limits, holds to the scope, can be halted, and tells our own trouble from the
//!   target's.
//! * [`sweep()`]: a group of addresses times a list of ports, in permuted order, with memory for that group only.
//! * [`ask()`]: endpoints one by one, with spaced attempts: the known, and confirmations.
//! * [`conversation`]: who is there, on as few connections as possible.
//! * [`starttls`]: from plain bytes to the point where TLS begins.
//! * [`audit::audit`]: which versions and weak ciphers a TLS service takes, and every active [`check`] on it.
//! * [`Resolve`]: the addresses of host names, for leases, and the names of addresses.
//! * [`Place`]: the sensor's own links, addresses and routes.
//! * [`Routes`]: where packets to the targets go below IP.
//! * [`SelfProbe`]: whether raw packets or connections work here, and why.
//! * [`Raw`]: packets of our own making, in place of connections and UDP sockets, where that is possible.
//!
//! All of it but the last works through the kernel's own sockets and without any privilege; with `CAP_NET_RAW` a firewall's
//! refusal is told from a host's.

mod ask;
pub mod audit;
pub mod check;
pub mod conversation;
mod counters;
mod dialer;
mod place;
mod raw;
mod resolver;
mod self_probe;
pub mod starttls;
mod sweep;
mod tls;

pub use ask::{AskOptions, ask};
pub use counters::DialerCounters;
pub use dialer::{Compared, Conn, Dialer, DialerSettings, Identity, Pace, Probed};
pub use place::{
    Egress, Link, LinkKind, NextHop, NoWay, Part, Place, PlaceReport, PortFacts, Routes, SourcePorts, Way, Ways,
};
pub use raw::{Aside, Knock, Limiting, Raw, RawAccess, RawCounters, RawError, RawSettings};
pub use resolver::{HickoryResolver, Resolve, ResolveError, Resolved, Resolving, Reversing};
pub use self_probe::{
    Backend, BothWays, Choice, Due, Finding, Obstacle, RawAnswer, SelfProbe, may_send_raw, trial, try_packets,
};
pub use sweep::{
    Asked, Discovered, Found, HostResult, Known, MOST_ATTEMPTS, Round, SweepCounts, SweepJob, SweepOutcome, Trap,
    UdpPayload, sweep, sweep_and_tell,
};
pub use wire::Recording;
