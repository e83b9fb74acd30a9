//! Where the probe ledger may lack something: a daemon that is killed forgets the single questions of its last seconds. What is known of
//! that is when it was at work last, and when it began again.

use super::Monitor;
use crate::{Batch, Journal, Note};
use jiff::{SignedDuration, Timestamp};

/// The kind of the note that says when this run was at work last; none after one that ended in peace.
const ALIVE: &str = "alive";
/// The kind of the notes about kills: at the latest time at which the daemon is known to have been at work, until it began again. The
/// store reads them for whoever asks the ledger.
pub const GAP: &str = "gap";
/// A daemon that is killed again and again has one long gap.
const NEAR: SignedDuration = SignedDuration::from_mins(10);

impl<J: Journal> Monitor<J> {
    /// At the start: keeps the gap that the last run left, where it left one.
    pub(super) fn note_gap(&self, notes: &[Note], batch: &mut Batch) {
        let now = self.clock.now();
        let of = |kind: &'static str| notes.iter().filter(move |note| note.kind == kind);
        let time = |text: &str| text.parse::<Timestamp>().ok();
        for old in of(GAP) {
            let kept = i64::try_from(self.config.store.retention.as_secs()).unwrap_or(i64::MAX);
            let is_old = |to: Timestamp| now.duration_since(to) > SignedDuration::from_secs(kept);
            if old.value.as_deref().and_then(time).is_none_or(is_old) {
                batch.note(Note { value: None, ..old.clone() });
            }
        }
        // After what is old has gone: it may be the same gap, which lasts on.
        if let Some(alive) = of(ALIVE).find_map(|note| time(note.value.as_deref()?)) {
            let last = of(GAP).filter_map(|note| Some((time(&note.key)?, time(note.value.as_deref()?)?))).max();
            let from = last.filter(|(_, to)| alive.duration_since(*to) < NEAR).map_or(alive, |(from, _)| from);
            batch.note(Note { kind: GAP.to_owned(), key: from.to_string(), value: Some(now.to_string()) });
        }
        self.note_alive(batch);
    }

    pub(super) fn note_alive(&self, batch: &mut Batch) {
        let value = Some(self.clock.now().to_string());
        batch.note(Note { kind: ALIVE.to_owned(), key: String::new(), value });
    }

    /// At the end, in peace.
    pub(super) fn note_end(batch: &mut Batch) {
        batch.note(Note { kind: ALIVE.to_owned(), key: String::new(), value: None });
    }
}
