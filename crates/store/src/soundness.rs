//! Whether the file is sound as a whole: looked into beside the work, where its last end leaves that open.

use crate::{StoreError, open::check, reader::read_only};
use rusqlite::{Connection, InterruptHandle};
use std::{
    path::Path,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// What is known of the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Soundness {
    /// It was checked since it was opened, or it is as a clean end left it.
    Sound,
    /// It is being checked; until then damage shows only where it is met.
    Unknown,
    /// What was found, in words. From then on nothing is written any more.
    Damaged(String),
}

impl Soundness {
    /// Damage stays, whatever else is found.
    pub(crate) fn settle(now: &watch::Sender<Self>, found: Self) {
        now.send_if_modified(|now| {
            let news = matches!((&*now, &found), (Self::Unknown, _) | (Self::Sound, Self::Damaged(_)));
            if news {
                *now = found;
            }
            news
        });
    }

    pub(crate) fn error(&self, path: &Path) -> Option<StoreError> {
        let Self::Damaged(detail) = self else { return None };
        Some(StoreError::Damaged { path: path.to_owned(), detail: detail.clone() })
    }
}

/// A check of the whole file, under way on a connection of its own.
pub(crate) struct Inspection {
    interrupt: InterruptHandle,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inspection")
    }
}

impl Inspection {
    pub(crate) fn begin(path: &Path, busy: Duration, found: watch::Sender<Soundness>) -> Result<Self, StoreError> {
        let connection = read_only(path, busy).map_err(|error| StoreError::of(path, &error))?;
        let interrupt = connection.get_interrupt_handle();
        let path = path.to_owned();
        let inspect = {
            let path = path.clone();
            move || inspect(&path, &connection, &found)
        };
        let thread = thread::Builder::new()
            .name("store check".to_owned())
            .spawn(inspect)
            .map_err(|error| StoreError::open(&path, &error))?;
        Ok(Self { interrupt, thread })
    }

    /// Breaks it off where it is not done. Blocks for a moment.
    pub(crate) fn end(self) {
        // An interruption counts only for what has begun by then.
        while !self.thread.is_finished() {
            self.interrupt.interrupt();
            thread::sleep(Duration::from_millis(5));
        }
        if self.thread.join().is_err() {
            tracing::error!("the check of the database panicked");
        }
    }
}

fn inspect(path: &Path, connection: &Connection, found: &watch::Sender<Soundness>) {
    let database = path.display();
    tracing::info!(%database, "the database was not left by a clean end: the whole of it is checked for damage meanwhile");
    let began = Instant::now();
    match check(path, connection) {
        Ok(()) => {
            tracing::info!(%database, seconds = began.elapsed().as_secs(), "the database is sound");
            Soundness::settle(found, Soundness::Sound);
        }
        Err(error @ StoreError::Unwritable { .. }) => {
            // Told to end, or a disk that cannot be read just now: there is no seal, so the next start checks again.
            tracing::info!(%database, %error, "the check for damage was not finished; the next start begins it anew");
        }
        Err(error) => {
            tracing::error!("{error}");
            let detail = if let StoreError::Damaged { detail, .. } = error { detail } else { error.to_string() };
            Soundness::settle(found, Soundness::Damaged(detail));
        }
    }
}
