//! Ways in and out that fail on purpose, the same way for the same seed.

use crate::{Arrival, Batch, Receive, ReceiveCounters, Transmit, TransmitCounters, WireError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What goes wrong on the way out. Each number is a share out of 65,536.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransmitFaults {
    /// Packets that are said to be sent, and are not.
    pub lost: u16,
    /// Calls of which only the first half of the packets is taken.
    pub short: u16,
    /// Calls of which nothing is taken: no room (`ENOBUFS`).
    pub full: u16,
    /// Calls that find the link down.
    pub down: u16,
    pub seed: u64,
}

/// A way out that spoils some of what it is handed, as [`TransmitFaults`] says.
#[derive(Debug)]
pub struct FaultyTransmit<T> {
    inner: T,
    faults: TransmitFaults,
    chance: Chance,
    counters: TransmitCounters,
    /// What the way out is handed in the end, and which of the batch's packets each of those is.
    rest: Batch,
    places: Vec<usize>,
}

impl<T> FaultyTransmit<T> {
    /// For batches of at most `capacity` packets of `longest` bytes.
    pub fn new(inner: T, faults: TransmitFaults, capacity: usize, longest: usize) -> Self {
        let chance = Chance(faults.seed);
        let (rest, places) = (Batch::new(capacity, longest), Vec::with_capacity(capacity));
        Self { inner, faults, chance, counters: TransmitCounters::default(), rest, places }
    }
}

impl<T: Transmit> Transmit for FaultyTransmit<T> {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
        if batch.is_empty() {
            return Ok(0);
        }
        if self.chance.strikes(self.faults.down) {
            self.counters.refused += 1;
            let error = std::io::Error::from_raw_os_error(libc::ENETDOWN);
            return Err(WireError::LinkDown { link: "a link that fails on purpose".to_owned(), source: error });
        }
        if self.chance.strikes(self.faults.full) {
            self.counters.short += 1;
            return Ok(0);
        }
        let handed = if self.chance.strikes(self.faults.short) { batch.len().div_ceil(2) } else { batch.len() };
        self.counters.short += u64::from(handed < batch.len());
        self.rest.clear();
        self.places.clear();
        let mut seen = 0;
        for packet in batch.packets().take(handed) {
            if !self.chance.strikes(self.faults.lost) {
                if !self.rest.push(packet.len(), |place| place.copy_from_slice(packet)) {
                    break;
                }
                self.places.push(seen);
            }
            seen += 1;
        }
        let taken = self.inner.send(&mut self.rest)?;
        // What stands before the first packet that was not taken is through, whatever became of it.
        let through = self.places.get(taken).copied().unwrap_or(seen);
        batch.advance(through);
        self.counters.sent += u64::try_from(through).unwrap_or_default();
        Ok(through)
    }

    fn counters(&self) -> TransmitCounters {
        let inner = self.inner.counters();
        TransmitCounters {
            sent: self.counters.sent,
            short: self.counters.short + inner.short,
            refused: self.counters.refused + inner.refused,
        }
    }
}

/// What goes wrong on the way in. Each number is a share out of 65,536.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveFaults {
    /// Packets that nobody hears of.
    pub lost: u16,
    /// Packets that found the ring full: they are lost, and counted as dropped.
    pub dropped: u16,
    /// Packets handed over twice.
    pub twice: u16,
    /// Packets of which only the first half is handed over.
    pub cut: u16,
    pub seed: u64,
}

/// A switch that holds a way in up: while it is on, nothing is taken out of the ring, which fills and overflows by itself.
#[derive(Debug, Clone, Default)]
pub struct Stall(Arc<AtomicBool>);

impl Stall {
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }
}

/// A way in that spoils some of what comes, as [`ReceiveFaults`] and [`Stall`] say.
#[derive(Debug)]
pub struct FaultyReceive<T> {
    inner: T,
    faults: ReceiveFaults,
    stall: Stall,
    chance: Chance,
    dropped: u64,
}

impl<T> FaultyReceive<T> {
    pub fn new(inner: T, faults: ReceiveFaults, stall: Stall) -> Self {
        Self { inner, faults, stall, chance: Chance(faults.seed), dropped: 0 }
    }
}

impl<T: Receive> Receive for FaultyReceive<T> {
    fn receive(&mut self, timeout: Duration, each: &mut dyn FnMut(&[u8], &Arrival)) -> Result<(), WireError> {
        if self.stall.0.load(Ordering::Relaxed) {
            // As long as a call may take, and no longer.
            std::thread::sleep(timeout);
            return Ok(());
        }
        let Self { inner, faults, chance, dropped, .. } = self;
        inner.receive(timeout, &mut |packet, arrival| {
            if chance.strikes(faults.lost) {
                return;
            }
            if chance.strikes(faults.dropped) {
                *dropped += 1;
                return;
            }
            let cut = chance.strikes(faults.cut);
            let packet = if cut { packet.get(..packet.len() / 2).unwrap_or_default() } else { packet };
            each(packet, arrival);
            if chance.strikes(faults.twice) {
                each(packet, arrival);
            }
        })
    }

    fn counters(&mut self) -> Result<ReceiveCounters, WireError> {
        let mut counters = self.inner.counters()?;
        counters.received = counters.received.saturating_sub(self.dropped);
        counters.dropped += self.dropped;
        Ok(counters)
    }
}

/// `SplitMix64`: even, and the same for the same seed.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// Whether it strikes that share out of 65,536. Nothing is drawn where it never does.
    fn strikes(&mut self, share: u16) -> bool {
        if share == 0 {
            return false;
        }
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        x & 0xffff < u64::from(share)
    }
}

#[cfg(test)]
mod tests;
