//! What passes between the engine and its links, for those who want to see it: told packet by packet at level `trace` (target
//! `wire::trace`), and written down where somebody asked for that.

use model::Clock;
use std::sync::Arc;
use wire::{Receive, Recorded, Recording, Traced, Transmit};

/// Where it is written down, and by which clock.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) recording: Option<Recording>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Watched {
    /// A way out.
    pub(super) fn outward(&self, transmit: Box<dyn Transmit>) -> Box<dyn Transmit> {
        match &self.recording {
            Some(recording) => Box::new(Traced(Recorded::new(transmit, recording.clone(), Arc::clone(&self.clock)))),
            None => Box::new(Traced(transmit)),
        }
    }

    /// A way in.
    pub(super) fn inward(&self, receive: Box<dyn Receive>) -> Box<dyn Receive> {
        match &self.recording {
            Some(recording) => Box::new(Traced(Recorded::new(receive, recording.clone(), Arc::clone(&self.clock)))),
            None => Box::new(Traced(receive)),
        }
    }
}
