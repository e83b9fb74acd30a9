//! How packets come in.

use crate::WireError;
use std::{fmt::Debug, time::Duration};

/// A way in for packets.
pub trait Receive: Debug + Send {
    /// Waits at most `timeout` for packets, then hands over each there is, IP header on. Never allocates, and returns after at most
    /// as many packets as its buffer holds, however many come in meanwhile.
    ///
    /// After [`WireError::LinkDown`] it may be called again: a link that comes back is heard again, one that was
    /// removed is not.
    fn receive(&mut self, timeout: Duration, each: &mut dyn FnMut(&[u8], &Arrival)) -> Result<(), WireError>;

    /// Since it was made.
    fn counters(&mut self) -> Result<ReceiveCounters, WireError>;
}

/// What the kernel says about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it came, by the kernel's wall clock: since 1970 UTC.
    pub at: Duration,
    /// How long ago that is: a ring hands over what came in the last 10 ms at once, and who measures round trips wants to know.
    pub waited: Duration,
    /// How long it was on the wire, from its IP header on. What is handed over may be cut off.
    pub length: u32,
    /// The VLAN tag it had, as the 16 bits of 802.1Q.
    pub vlan: Option<u16>,
    /// Who sent it on this link, where the link is an Ethernet.
    pub sender: Option<[u8; 6]>,
}

/// What became of the packets that the filter let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveCounters {
    /// Handed over, or waiting to be.
    pub received: u64,
    /// Lost because the buffer was full: answers that were never seen.
    pub dropped: u64,
    /// Times the buffer was full.
    pub frozen: u64,
}

impl<T: Receive + ?Sized> Receive for Box<T> {
    fn receive(&mut self, timeout: Duration, each: &mut dyn FnMut(&[u8], &Arrival)) -> Result<(), WireError> {
        (**self).receive(timeout, each)
    }

    fn counters(&mut self) -> Result<ReceiveCounters, WireError> {
        (**self).counters()
    }
}
