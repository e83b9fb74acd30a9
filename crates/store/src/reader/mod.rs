//! The read side: what searches, pages and the command line ask.
//!
//! Pages: ask with a `limit`, and again with `after` (or, newest first, `before`) set to the last row's place.

mod alerts;
mod certificates;
mod counts;
mod diff;
mod events;
mod history;
mod hosts;
mod passes;
mod probes;
mod question;
mod services;
mod software;

pub use alerts::{AlertFilter, AlertRow, DeliveryState, Told};
pub use certificates::CertificateFilter;
pub use counts::{Counts, RecipientRow};
pub use diff::{Difference, DifferenceKind};
pub use events::EventFilter;
pub use history::{HostAt, HostHistory, HostInterval, PastFilter, ServiceFacts, ServiceInterval};
pub use hosts::{HostDetail, HostFilter, HostRow, OpenPort};
pub use passes::PassFilter;
pub use probes::{Gap, ProbeFilter, ProbeRow, Probes};
pub use services::{ServiceFilter, ServiceRow};
pub use software::{SoftwareFilter, SoftwareRow};

pub(crate) use alerts::notices;

use crate::{Options, Soundness, StoreError};
use question::Question;
use rusqlite::{Connection, OpenFlags};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

/// Reads the database beside the writer. Every answer is one consistent state. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Reader {
    pool: Arc<Pool>,
}

#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    busy_timeout: Duration,
    soundness: watch::Sender<Soundness>,
    /// How many may read at the same time; closed with the store.
    turns: Arc<Semaphore>,
    /// Connections nobody uses now.
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    pub(crate) fn new(path: PathBuf, options: &Options, soundness: watch::Sender<Soundness>) -> Self {
        let turns = Arc::new(Semaphore::new(options.readers.max(1)));
        let (busy_timeout, idle) = (options.busy_timeout, Mutex::default());
        Self { pool: Arc::new(Pool { path, busy_timeout, soundness, turns, idle }) }
    }

    /// Asks on a thread that may block.
    pub(crate) async fn query<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.with(|pool, connection| question(connection).map_err(|error| StoreError::of(&pool.path, &error))).await
    }

    pub(crate) async fn with<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Pool, &Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let pool = Arc::clone(&self.pool);
        let closed = || StoreError::Closed { path: self.pool.path.clone() };
        let turn = Arc::clone(&pool.turns).acquire_owned().await.map_err(|_| closed())?;
        let answer = tokio::task::spawn_blocking(move || {
            let connection = pool.take()?;
            let answer = work(&pool, &connection);
            match &answer {
                Ok(_) => pool.put_back(connection),
                // Whatever was asked: the file cannot be relied on any more.
                Err(StoreError::Damaged { path, detail }) if *path == pool.path => {
                    Soundness::settle(&pool.soundness, Soundness::Damaged(detail.clone()));
                }
                // A connection that failed is not trusted with the next question.
                Err(_) => {}
            }
            drop(turn);
            answer
        });
        answer.await.map_err(|_| closed())?
    }

    /// No new questions; idle connections are closed.
    pub(crate) fn close(&self) {
        self.pool.turns.close();
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Pool {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(
            || read_only(&self.path, self.busy_timeout).map_err(|error| StoreError::of(&self.path, &error)),
            Ok,
        )
    }

    fn put_back(&self, connection: Connection) {
        if !self.turns.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

pub(crate) fn read_only(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
