//! Committing, and only then telling.

use super::{COMMIT_RETRY_FIRST, COMMIT_RETRY_MOST, Monitor};
use crate::{Batch, Journal, JournalError, MonitorError};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

impl<J: Journal> Monitor<J> {
    /// Commits, and only then tells. A full disk holds everything up here: nothing is dropped, nothing is told.
    pub(super) async fn commit(&mut self, mut batch: Batch, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        if batch.is_empty() {
            return Ok(());
        }
        batch.probes.extend(self.book.take(self.clock.now()));
        let batch = Arc::new(batch);
        let mut wait = COMMIT_RETRY_FIRST;
        let committed = loop {
            match self.journal.commit(batch.clone()).await {
                Ok(committed) => break committed,
                Err(JournalError::Broken(reason)) => return Err(JournalError::Broken(reason).into()),
                Err(JournalError::Retry(reason)) => {
                    if wait == COMMIT_RETRY_FIRST {
                        tracing::error!("{reason}; probing waits, and nothing is told, until it can be written");
                    }
                    self.live.update(|live| {
                        live.reasons.insert("database", reason.clone());
                        live.turned = Some(Instant::now());
                    });
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // What is not on disk has been told to nobody; the next run sees it again.
                        () = shutdown.cancelled() => return Err(JournalError::Retry(reason).into()),
                    }
                    wait = (wait * 2).min(COMMIT_RETRY_MOST);
                }
            }
        };
        if wait != COMMIT_RETRY_FIRST {
            tracing::info!("the database can be written again");
        }
        let now = self.clock.now();
        self.live.update(|live| {
            live.reasons.remove("database");
            live.last_commit = Some(now);
            if let Some(last) = committed.events.last() {
                live.events = live.events.max(*last);
            }
        });
        if !batch.owed.is_empty() {
            self.owed.notify_one();
        }
        for (event, seq) in batch.events.iter().zip(committed.events) {
            if self.events.receiver_count() == 0 {
                break;
            }
            // The last listener may just have left.
            let _ = self.events.send(model::Event { seq: Some(seq), ..event.clone() });
        }
        Ok(())
    }
}
