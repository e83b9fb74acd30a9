//! The impairment router: real packets between a watcher's namespace and the servers', through whatever a scenario in TOML
//! says a network does to them.
//!
//! * [`Scenario`]: what it does, read from TOML.
//! * [`Pipeline`]: the stages in order, and the packets on their way. Pure.
//! * [`stage`]: the impairments, one a file, of one shape.
//! * [`Packet`], [`Flow`]: what a packet says, and what belongs together.
//! * [`Router`]: the pipeline between two tun devices, in a thread of its own.

mod chance;
mod checksum;
mod device;
mod fields;
mod flow;
mod packet;
mod pipeline;
mod scenario;
pub mod stage;
mod write;

pub use chance::Chance;
pub use device::Router;
pub(crate) use device::{FAR, NEAR};
pub use flow::Flow;
pub use packet::{ACK, FIN, Packet, Quote, RST, SYN, Segment};
pub use pipeline::Pipeline;
pub use scenario::{Kind, Scenario, StageSettings};

use fields::{period, prefixes, share};
