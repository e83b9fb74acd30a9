//! A way out with what is about to leave by it.

use super::paths::Path;
use crate::dialer::synchronous;
use model::{Endpoint, LocalErrorKind, NotProbed, Outcome};
use scope::LastGuard;
use std::{net::IpAddr, thread, time::Duration};
use wire::{Batch, Mark, SynTemplate, Transmit, WireError};

#[derive(Debug)]
pub(super) struct Exit {
    source: IpAddr,
    template: SynTemplate,
    transmit: Box<dyn Transmit>,
    batch: Batch,
    /// Of the batch's packets, in order.
    entries: Vec<Entry>,
}

/// What a packet is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) endpoint: Endpoint,
    pub(super) owner: Owner,
}

/// Whose question it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Question,
    Canary,
    /// Its number, and the volley's.
    Volley {
        id: u64,
        number: u64,
    },
}

/// The kernel is given this long to take more, a little longer each time.
const FULL: Duration = Duration::from_micros(200);
const MOST_FULL: u32 = 60;

impl Exit {
    pub(super) fn new(path: &Path, transmit: Box<dyn Transmit>) -> Self {
        Self::with_room(path, transmit, SynTemplate::LONGEST)
    }

    /// For packets of up to so many bytes.
    pub(super) fn with_room(path: &Path, transmit: Box<dyn Transmit>, longest: usize) -> Self {
        Self {
            source: path.source,
            template: SynTemplate::new(path.source, path.link.mtu),
            transmit,
            batch: Batch::new(Batch::PACKETS, longest),
            entries: Vec::with_capacity(Batch::PACKETS),
        }
    }

    pub(super) fn source(&self) -> IpAddr {
        self.source
    }

    /// A SYN more. There is room for [`Batch::PACKETS`].
    pub(super) fn add(&mut self, entry: Entry, mark: Mark, tsval: u32) {
        let Self { template, batch, entries, .. } = self;
        let Endpoint { ip, port, .. } = entry.endpoint;
        if batch.push(template.len(), |place| template.stamp(place, ip, port, &mark, tsval)) {
            entries.push(entry);
        }
    }

    /// The last packet goes to this neighbour.
    pub(super) fn direct(&mut self, to: [u8; 6]) {
        self.batch.direct(to);
    }

    /// A packet more, which `fill` writes. False where it is longer than there is room for.
    pub(super) fn push(&mut self, entry: Entry, length: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        let is_added = self.batch.push(length, fill);
        if is_added {
            self.entries.push(entry);
        }
        is_added
    }

    /// Sends what there is. `sent` hears of everything that left, `unsent` of what did not and why.
    pub(super) fn flush(
        &mut self,
        guard: &LastGuard,
        mut sent: impl FnMut(&Entry),
        mut unsent: impl FnMut(&Entry, Outcome),
    ) {
        if self.entries.is_empty() {
            return;
        }
        let (entries, mut at) = (&mut self.entries, 0);
        let mut kept = 0;
        self.batch.retain(|packet| {
            let may = guard.permits_packet(packet);
            if let Some(entry) = entries.get(at).copied() {
                if may {
                    entries[kept] = entry;
                    kept += 1;
                } else {
                    unsent(&entry, Outcome::NotProbed(NotProbed::OutOfScope));
                }
            }
            at += 1;
            may
        });
        entries.truncate(kept);
        let (mut next, mut pauses) = (0, 0);
        while let Some(entry) = entries.get(next) {
            match self.transmit.send(&mut self.batch) {
                Ok(0) if pauses < MOST_FULL => {
                    pauses += 1;
                    thread::sleep(FULL * pauses);
                }
                Ok(0) => {
                    entries[next..]
                        .iter()
                        .for_each(|entry| unsent(entry, Outcome::LocalError(LocalErrorKind::Buffers)));
                    break;
                }
                Ok(count) => {
                    entries.iter().skip(next).take(count).for_each(&mut sent);
                    next += count;
                    pauses = 0;
                }
                Err(error) => {
                    tracing::debug!(%error, endpoint = %entry.endpoint, "a packet could not be sent");
                    unsent(entry, Outcome::LocalError(kind(&error)));
                    self.batch.skip();
                    next += 1;
                }
            }
        }
        self.batch.clear();
        self.entries.clear();
    }
}

fn kind(error: &WireError) -> LocalErrorKind {
    match error {
        WireError::LinkDown { .. } => LocalErrorKind::NoRoute,
        WireError::Refused { source, .. } => match synchronous(source) {
            Outcome::LocalError(kind) => kind,
            _ => LocalErrorKind::Other,
        },
        _ => LocalErrorKind::Other,
    }
}
