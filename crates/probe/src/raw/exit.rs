//! A way out with what is about to leave by it.

use super::paths::Path;
use crate::dialer::synchronous;
use model::{Endpoint, LocalErrorKind, NotProbed, Outcome};
use scope::LastGuard;
use std::{
    net::IpAddr,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};
use wire::{Batch, Mark, SynTemplate, Transmit, WireError};

#[derive(Debug)]
pub(super) struct Exit {
    source: IpAddr,
    template: SynTemplate,
    transmit: Box<dyn Transmit>,
    load: Load,
    second: Option<Second>,
}

/// Packets, and in their order whose they are.
#[derive(Debug)]
struct Load {
    batch: Batch,
    entries: Vec<Entry>,
    /// Those that did not leave, by place, ascending.
    unsent: Vec<(usize, Outcome)>,
}

/// A thread that sends by the same way, for where one processor cannot: full batches go to it while it has nothing to do.
#[derive(Debug)]
struct Second {
    to: SyncSender<Load>,
    back: Receiver<Load>,
    /// Here while the thread has nothing to do.
    spare: Option<Load>,
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
    /// Of the second of two datagrams nobody keeps count: what becomes of it is told of the first.
    Second,
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
            load: Load::new(longest),
            second: None,
        }
    }

    /// A second thread sends by a way of its own. Without one, where the machine has no thread left, everything still leaves.
    pub(super) fn with_second(mut self, transmit: Box<dyn Transmit>) -> Self {
        self.second = Second::start(transmit);
        self
    }

    pub(super) fn source(&self) -> IpAddr {
        self.source
    }

    /// A SYN more. There is room for [`Batch::PACKETS`].
    pub(super) fn add(&mut self, entry: Entry, mark: Mark, tsval: u32) {
        let Self { template, load, .. } = self;
        let Endpoint { ip, port, .. } = entry.endpoint;
        if load.batch.push(template.len(), |place| template.stamp(place, ip, port, &mark, tsval)) {
            load.entries.push(entry);
        }
    }

    /// The last packet goes to this neighbour.
    pub(super) fn direct(&mut self, to: [u8; 6]) {
        self.load.batch.direct(to);
    }

    /// A packet more, which `fill` writes. False where it is longer than there is room for.
    pub(super) fn push(&mut self, entry: Entry, length: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        let is_added = self.load.batch.push(length, fill);
        if is_added {
            self.load.entries.push(entry);
        }
        is_added
    }

    /// Sends what there is, or hands it to the second thread. `sent` hears of everything that left, perhaps only at the next time or
    /// when it is [settled](Self::settle), `unsent` of what did not and why.
    pub(super) fn flush(
        &mut self,
        guard: &LastGuard,
        mut sent: impl FnMut(&Entry),
        mut unsent: impl FnMut(&Entry, Outcome),
    ) {
        if self.load.entries.is_empty() {
            return;
        }
        self.load.keep(guard, &mut unsent);
        if let Some(second) = &mut self.second {
            if second.spare.is_none()
                && let Ok(mut done) = second.back.try_recv()
            {
                done.tell(&mut sent, &mut unsent);
                second.spare = Some(done);
            }
            if self.load.entries.len() == Batch::PACKETS
                && let Some(spare) = second.spare.take()
            {
                let full = std::mem::replace(&mut self.load, spare);
                match second.to.send(full) {
                    Ok(()) => return,
                    // It has died of a bug: everything leaves from here again.
                    Err(back) => {
                        self.load = back.0;
                        self.second = None;
                    }
                }
            }
        }
        self.load.send(&mut *self.transmit);
        self.load.tell(&mut sent, &mut unsent);
    }

    /// Waits until what the second thread was handed has left, and tells of it.
    pub(super) fn settle(&mut self, mut sent: impl FnMut(&Entry), mut unsent: impl FnMut(&Entry, Outcome)) {
        if let Some(second) = &mut self.second
            && second.spare.is_none()
            && let Ok(mut done) = second.back.recv()
        {
            done.tell(&mut sent, &mut unsent);
            second.spare = Some(done);
        }
    }
}

impl Load {
    fn new(longest: usize) -> Self {
        Self {
            batch: Batch::new(Batch::PACKETS, longest),
            entries: Vec::with_capacity(Batch::PACKETS),
            unsent: Vec::new(),
        }
    }

    /// Throws out what may not leave.
    fn keep(&mut self, guard: &LastGuard, unsent: &mut impl FnMut(&Entry, Outcome)) {
        let Self { batch, entries, .. } = self;
        let (mut at, mut kept) = (0, 0);
        batch.retain(|packet| {
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
    }

    fn send(&mut self, transmit: &mut dyn Transmit) {
        let (mut next, mut pauses) = (0, 0);
        while let Some(entry) = self.entries.get(next) {
            match transmit.send(&mut self.batch) {
                Ok(0) if pauses < MOST_FULL => {
                    pauses += 1;
                    thread::sleep(FULL * pauses);
                }
                Ok(0) => {
                    let why = Outcome::LocalError(LocalErrorKind::Buffers);
                    self.unsent.extend((next..self.entries.len()).map(|place| (place, why)));
                    break;
                }
                Ok(count) => {
                    next += count;
                    pauses = 0;
                }
                Err(error) => {
                    tracing::debug!(%error, endpoint = %entry.endpoint, "a packet could not be sent");
                    self.unsent.push((next, Outcome::LocalError(kind(&error))));
                    self.batch.skip();
                    next += 1;
                }
            }
        }
    }

    /// Empty again, once everybody knows what became of theirs.
    fn tell(&mut self, sent: &mut impl FnMut(&Entry), unsent: &mut impl FnMut(&Entry, Outcome)) {
        let mut missing = self.unsent.iter().peekable();
        for (place, entry) in self.entries.iter().enumerate() {
            match missing.next_if(|(missing, _)| *missing == place) {
                Some((_, why)) => unsent(entry, *why),
                None => sent(entry),
            }
        }
        self.batch.clear();
        self.entries.clear();
        self.unsent.clear();
    }
}

impl Second {
    /// None where the machine has no thread left.
    fn start(mut transmit: Box<dyn Transmit>) -> Option<Self> {
        let (to, loads) = sync_channel::<Load>(1);
        let (done, back) = sync_channel(1);
        let work = move || {
            // Until the exit is dropped.
            for mut load in loads {
                load.send(&mut *transmit);
                if done.send(load).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("transmit-2".to_owned()).spawn(work).ok()?;
        Some(Self { to, back, spare: Some(Load::new(SynTemplate::LONGEST)) })
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

#[cfg(test)]
mod tests;
