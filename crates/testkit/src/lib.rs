//! What the tests of whole rooms and of the whole house need: isolated networks of network namespaces, Debian's real
//! servers inside them, certificate authorities, and a way to wait for something with a deadline. A dev-dependency only.
//!
//! A [`Lab`] is a network of its own: a bridge nobody else can reach, and hosts with an address each. There is no link
//! and no route from it to the machine's own network, so nothing that happens in it can leave it.
//!
//! [`Lab::across_router`] puts an impairment router between the watcher and the hosts, so that real packets are lost,
//! delayed, banned, forged or balanced as a scenario says.
//!
//! A [`Line`] is for many packets: two ends and a path of nftables between them, which carries hundreds of thousands a
//! second, and a far end that answers for more than a million addresses.
//!
//! What does not work as it should panics, saying what and where to look: the test has failed.

mod authority;
mod clock;
mod daemon;
mod lab;
mod line;
mod namespace;
mod patience;
mod process;
mod requirement;
mod rig;
pub mod router;
pub mod server;
#[cfg(feature = "simulation")]
pub mod simulation;
mod wire_count;

pub use authority::{Authority, Identity};
pub use clock::TokioClock;
pub use daemon::{Daemon, Privileges, binary, run_binary};
pub use lab::{Host, Lab};
pub use line::{Ban, Line, Listeners, Passage, Policer, Sample, Traffic};
pub use namespace::Namespace;
pub use patience::{eventually, soon};
pub use process::{Process, output_of};
pub use requirement::{is_root, lacks_root, skip};
pub use rig::rig;
pub use wire_count::WireCount;
