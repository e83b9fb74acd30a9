//! Which roots chains are judged by. When they are others than in the last run, what is said of a chain may change though nothing has
//! changed at the server, and nobody is told of that.

use super::Monitor;
use crate::{Batch, Journal, MonitorError, Note};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// The note of the roots that chains are judged by, and since when: `2026-11-23T09:00:00Z`, a space, and which they are.
const ROOTS: &str = "roots";

impl<J: Journal> Monitor<J> {
    /// What the note of the last run says, where there is one that can be read.
    pub(super) fn restore_roots(&mut self, notes: &[Note]) {
        let note = notes.iter().find(|note| note.kind == ROOTS).and_then(|note| note.value.as_deref());
        let known = note.and_then(|note| note.split_once(' '));
        self.judged_by = known.and_then(|(since, roots)| Some((since.parse().ok()?, roots.to_owned())));
    }

    /// At the start: notes the roots of today where they are others, or where nobody noted any.
    pub(super) async fn meet_roots(&mut self, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let Some(roots) = self.tools.network.roots() else { return Ok(()) };
        if self.judged_by.as_ref().is_none_or(|(_, known)| *known != roots) {
            let since: Timestamp = self.clock.now();
            let note = Note { kind: ROOTS.to_owned(), key: String::new(), value: Some(format!("{since} {roots}")) };
            let mut batch = Batch::default();
            batch.note(note);
            self.commit(batch, shutdown).await?;
            self.judged_by = Some((since, roots));
        }
        self.decider.judge_by_roots_since(self.judged_by.as_ref().map(|(since, _)| *since));
        Ok(())
    }
}
