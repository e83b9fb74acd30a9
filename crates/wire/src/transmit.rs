//! How packets leave.

use crate::{Batch, Link, LinkKind, NextHop, PacketTransmit, RawTransmit, WireError};
use std::{fmt::Debug, io};

/// A way out for batches of packets, all over one link to one next hop.
pub trait Transmit: Debug + Send {
    /// Hands the batch's packets to the kernel in order and takes those it took off the batch; gives how many that were.
    ///
    /// Fewer than there were, none even, where the kernel has no room at the moment (`ENOBUFS`, `EAGAIN`): what is left in the
    /// batch is to be sent after a pause. An error is about the link, or about the packet that is now first
    /// ([`WireError::Refused`]): [`Batch::skip`] goes on without it. Never waits and never allocates.
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError>;

    /// Since it was made.
    fn counters(&self) -> TransmitCounters;
}

/// What became of the packets handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransmitCounters {
    /// Packets the kernel took.
    pub sent: u64,
    /// Times it took fewer than it was handed.
    pub short: u64,
    /// Times it gave an error.
    pub refused: u64,
}

/// Opens the way out that fits. A gateway or a point needs a packet socket, the kernel's own routing a raw IP socket.
pub fn open_transmit(link: &Link, hop: NextHop) -> Result<Box<dyn Transmit>, WireError> {
    Ok(match (hop, link.kind) {
        (NextHop::Kernel, _) | (_, LinkKind::Loopback) => Box::new(RawTransmit::open(link)?),
        (NextHop::Gateway(_) | NextHop::Neighbours | NextHop::Point, _) => Box::new(PacketTransmit::open(link, hop)?),
    })
}

impl<T: Transmit + ?Sized> Transmit for Box<T> {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
        (**self).send(batch)
    }

    fn counters(&self) -> TransmitCounters {
        (**self).counters()
    }
}

/// Sends a batch call by call, until it is empty or the kernel takes no more. `send` gives how many of the
/// batch's first packets were taken.
pub(crate) fn drain(
    batch: &mut Batch,
    counters: &mut TransmitCounters,
    mut send: impl FnMut(&Batch) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut total = 0;
    // Every turn but the last sends something, a signal aside; signals do not come without end.
    while !batch.is_empty() {
        match send(batch) {
            Ok(taken) => {
                batch.advance(taken);
                total += taken;
                counters.sent += u64::try_from(taken).unwrap_or_default();
                if taken == 0 {
                    counters.short += 1;
                    break;
                }
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                    counters.short += 1;
                    break;
                }
                // The packets before it have left; it is first now, and the next call will tell.
                _ if total > 0 => break,
                _ => {
                    counters.refused += 1;
                    return Err(error);
                }
            },
        }
    }
    Ok(total)
}
