//! What both listeners read from the store.

use crate::{Console, refusal::Refusal};
use model::{Event, EventType};
use std::{collections::BTreeMap, sync::PoisonError};
use store::{EventFilter, StoreError};

/// Events counted so far: a counter never goes back, whatever retention deletes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    last: u64,
    by_type: BTreeMap<EventType, u64>,
}

impl Console {
    /// Events after that sequence number, oldest first.
    pub(crate) async fn events_after(&self, seq: u64, limit: usize) -> Result<Vec<Event>, Refusal> {
        let filter = EventFilter { after: Some(seq), limit: Some(limit), ..EventFilter::default() };
        self.reader.events(filter).await.map_err(unreadable)
    }

    /// Every event ever seen by this process, by type; at its start, those the store still holds.
    pub(crate) async fn event_counts(&self) -> Result<BTreeMap<EventType, u64>, Refusal> {
        let last = self.tally.lock().unwrap_or_else(PoisonError::into_inner).last;
        let (new, newest) = self.reader.events_by_type(last).await.map_err(unreadable)?;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        // Another scrape may have been quicker: then its sum counts.
        if tally.last == last {
            tally.last = newest;
            for (kind, count) in new {
                *tally.by_type.entry(kind).or_default() += count;
            }
        }
        Ok(tally.by_type.clone())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "goes into map_err")]
pub(crate) fn unreadable(error: StoreError) -> Refusal {
    tracing::warn!("the console could not read: {error}");
    Refusal::trouble(error.to_string())
}
