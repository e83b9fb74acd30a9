//! The one thread that writes.

use crate::{Soundness, StoreError, seal, steps::Steps};
use rusqlite::Connection;
use std::{fs::File, path::PathBuf, slice};
use tokio::sync::{mpsc, oneshot, watch};

/// How many waiting pieces of work may share a transaction, and with it one wait for the disk.
const GROUP: usize = 32;

/// A piece of work: all of it is stored, or nothing of it. It may be run more than once, but only one run is stored.
pub(crate) trait Work: Send {
    fn run(&mut self, steps: Steps<'_>) -> rusqlite::Result<()>;

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// Work with a result that somebody waits for.
pub(crate) struct Task<T, F> {
    work: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Task<T, F>
where
    T: Send + 'static,
    F: FnMut(Steps<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    pub(crate) fn queued(work: F) -> (Box<dyn Work>, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, outcome) = oneshot::channel();
        (Box::new(Self { work, value: None, reply }), outcome)
    }
}

impl<T, F> Work for Task<T, F>
where
    T: Send,
    F: FnMut(Steps<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, steps: Steps<'_>) -> rusqlite::Result<()> {
        self.value = Some((self.work)(steps)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { value, reply, .. } = *self;
        let answer = match (outcome, value) {
            (Ok(()), Some(value)) => Ok(value),
            (Err(error), _) => Err(error),
            // Stored work has run, and a run that succeeds leaves a value.
            (Ok(()), None) => return,
        };
        // Whoever asked may have stopped waiting; the work is stored all the same.
        drop(reply.send(answer));
    }
}

/// The write connection and what goes with it. Dropping it closes the database, and only then lets go of the lock.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    /// The highest event sequence number stored.
    pub(crate) newest: watch::Sender<u64>,
    /// What anybody has found: with a damaged file nothing is written any more.
    pub(crate) soundness: watch::Sender<Soundness>,
    /// The file is not even a database any more.
    pub(crate) foreign: Option<StoreError>,
    #[cfg(test)]
    pub(crate) fault: crate::steps::fault::Fault,
    /// Held, not used. Declared last: fields are dropped in this order.
    pub(crate) _lock: File,
}

impl Writer {
    /// Serves until nobody can ask any more.
    pub(crate) fn serve(mut self, mut queue: mpsc::Receiver<Box<dyn Work>>) {
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            self.store(group);
        }
        let database = self.path.display();
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%database, %error, "the database was not closed cleanly; its log is read at the next start");
            return;
        }
        let damage = match &*self.soundness.borrow() {
            _ if self.foreign.is_some() => return,
            Soundness::Unknown => return,
            Soundness::Sound => None,
            Soundness::Damaged(detail) => Some(detail.clone()),
        };
        if let Err(error) = seal::put(&self.path, damage) {
            tracing::warn!(%database, %error, "that the database was closed cleanly could not be noted; the next start checks it for damage");
        }
    }

    /// Together where all of it succeeds, else each by itself, so that nobody's failure is another's.
    fn store(&mut self, mut group: Vec<Box<dyn Work>>) {
        if group.len() > 1 && self.transaction(&mut group).is_ok() {
            self.announce();
            for work in group {
                work.answer(Ok(()));
            }
            return;
        }
        for mut work in group {
            let outcome = self.transaction(slice::from_mut(&mut work));
            if outcome.is_ok() {
                self.announce();
            }
            work.answer(outcome);
        }
    }

    fn transaction(&mut self, group: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
        let damage = self.soundness.borrow().error(&self.path);
        if let Some(error) = damage.or_else(|| self.foreign.clone()) {
            return Err(error);
        }
        let outcome = self.attempt(group);
        outcome.map_err(|error| {
            // SQLite has rolled back by itself after some errors, and only after some.
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK")
            {
                tracing::error!(database = %self.path.display(), %error, "a transaction could not be rolled back");
            }
            let error = StoreError::of(&self.path, &error);
            match &error {
                StoreError::Damaged { detail, .. } => {
                    Soundness::settle(&self.soundness, Soundness::Damaged(detail.clone()));
                }
                StoreError::Foreign { .. } => self.foreign = Some(error.clone()),
                _ => {}
            }
            error
        })
    }

    fn attempt(&self, group: &mut [Box<dyn Work>]) -> rusqlite::Result<()> {
        let steps = self.steps();
        steps.execute("BEGIN IMMEDIATE", [])?;
        group.iter_mut().try_for_each(|work| work.run(steps))?;
        steps.execute("COMMIT", [])?;
        Ok(())
    }

    #[cfg(not(test))]
    fn steps(&self) -> Steps<'_> {
        Steps::new(&self.connection)
    }

    #[cfg(test)]
    fn steps(&self) -> Steps<'_> {
        Steps::new(&self.connection, &self.fault)
    }

    fn announce(&self) {
        match newest(&self.connection) {
            Ok(newest) => {
                self.newest.send_if_modified(|known| newest > std::mem::replace(known, newest.max(*known)));
            }
            Err(error) => tracing::warn!(database = %self.path.display(), %error, "the newest event could not be read"),
        }
    }
}

/// The highest event sequence number stored, 0 where there is none.
pub(crate) fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM event")?
        .query_row([], |row| crate::column::get_count(row, 0))
}
