//! Packets: what they look like, how they prove themselves, and the sockets they leave and arrive through.
//!
//! * [`SynTemplate`], [`AckTemplate`], [`UdpTemplate`], [`EchoTemplate`]: whole packets, of which a few fields are written over for each target.
//! * [`Cookies`]: what a probe carries so that its answer proves itself without any memory of the probe; [`Tag`] says which attempt
//!   of which volley is answered, [`PortBlock`] where probes leave from.
//! * [`Batch`] and [`Transmit`]: a handful of packets, and the way out: [`PacketTransmit`] (`AF_PACKET`, past routing and
//!   netfilter) or [`RawTransmit`] (raw IP, by the kernel's routing).
//! * [`Receive`]: the way in; [`RingReceive`] is a ring shared with the kernel, behind a [`Filter`] that runs in it.
//! * [`read()`]: what came in. Total: bytes from the network can neither panic nor stall it.
//! * [`Recorded`], [`Traced`], [`FaultyTransmit`], [`FaultyReceive`]: ways in and out that write down, tell, or spoil what passes.
//!
//! Packets are IP packets everywhere: what stands in front of them on a link is this crate's own business. Nothing is allocated for
//! a packet once the parts are made. What may be sent where is decided elsewhere; here is no address that is not handed in.
//!
//! This is the only crate with `unsafe` code, and all of it is in `sys`.

mod batch;
mod cookie;
mod error;
mod fault;
mod filter;
mod layout;
mod link;
mod neighbour;
mod packet;
mod ports;
mod raw;
mod read;
mod receive;
mod record;
mod ring;
#[expect(unsafe_code, reason = "system calls and a memory map that the standard library does not have")]
mod sys;
mod trace;
mod transmit;
mod transmit_ring;

pub use batch::Batch;
pub use cookie::{Cookies, EchoMark, Epoch, Mark, Tag};
pub use error::WireError;
pub use fault::{FaultyReceive, FaultyTransmit, ReceiveFaults, Stall, TransmitFaults};
pub use filter::{Filter, Instruction};
pub use layout::{AckTemplate, EchoTemplate, SynTemplate, UdpTemplate, round_trip, ticks};
pub use link::{Link, LinkKind, NextHop};
pub use neighbour::NeighbourQuestions;
pub use packet::PacketTransmit;
pub use ports::PortBlock;
pub use raw::RawTransmit;
pub use read::{
    Datagram, EchoReply, Flags, Heard, Neighbour, Quoted, QuotedPart, Segment, TcpOptions, TimestampReply, Unreachable,
    Why, read,
};
pub use receive::{Arrival, Receive, ReceiveCounters};
pub use record::{Recorded, Recording};
pub use ring::RingReceive;
pub use trace::Traced;
pub use transmit::{Transmit, TransmitCounters, open_transmit};
