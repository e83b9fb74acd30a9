//! Opening: whose file it is, whether it is sound, and who else has it open.

use crate::{
    Reader, Soundness, StoreError,
    column::get_time_or_none,
    seal::{self, Standing},
    soundness::Inspection,
    writer::{Task, Writer, newest},
};
use jiff::Timestamp;
use model::{Clock, Vantage};
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

const MIGRATIONS: &[M<'_>] = &[
    M::up(include_str!("migrations/0001_first.sql")),
    M::up(include_str!("migrations/0002_detection.sql")),
    M::up(include_str!("migrations/0003_probes.sql")),
    M::up(include_str!("migrations/0004_answers.sql")),
];

/// What this version writes in `user_version`.
pub(crate) const SCHEMA: usize = MIGRATIONS.len();

/// `perm` in ASCII: tells our files from other `SQLite` databases.
const APPLICATION_ID: i64 = 0x7065_726d;

/// Bytes: `SQLite`'s own choice.
const PAGE: u32 = 4_096;

/// How much work may wait before whoever brings more has to wait too.
const QUEUE: usize = 256;

/// How a database is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose view of the world is kept: what was covered, the ledger and the leases of another sensor are left alone.
    pub vantage: Vantage,
    /// How long a statement waits for a lock.
    pub busy_timeout: Duration,
    /// What the write-ahead log is cut back to, in bytes. When it is half as long, what it holds goes into the database.
    pub log_limit: u32,
    /// Connections that read at the same time, from 1.
    pub readers: usize,
    /// Files up to so many bytes are checked for damage as a whole before anything is done with them. Larger ones are where
    /// their last end was not clean, and then while the work goes on: see [`Store::soundness`].
    pub check_first: u64,
    /// A quota in pages of 4 KiB: beyond it commits fail as on a full disk. None: the disk is the limit.
    pub page_limit: Option<u32>,
    /// Rows of the probe ledger that are kept, whatever the retention: about 50 bytes each.
    pub most_volleys: u64,
    #[cfg(test)]
    pub(crate) fault: crate::steps::fault::Fault,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            vantage: "".into(),
            busy_timeout: Duration::from_secs(5),
            log_limit: 64 << 20,
            readers: 4,
            check_first: 64 << 20,
            page_limit: None,
            most_volleys: 20_000_000,
            #[cfg(test)]
            fault: crate::steps::fault::Fault::default(),
        }
    }
}

/// The database: a [`monitor::Journal`] and a [`notifiers::Outbox`]. Clones share it; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reader: Reader,
    pub(crate) vantage: Vantage,
    pub(crate) most_volleys: u64,
    pub(crate) opened: Opened,
    newest: watch::Receiver<u64>,
    soundness: watch::Receiver<Soundness>,
    inspection: Mutex<Option<Inspection>>,
    writer: Mutex<Option<(Queue, JoinHandle<()>)>>,
}

/// When the database was opened: by what it holds, which is not before its newest record, and by the clock that never jumps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) at: Timestamp,
    pub(crate) instant: Instant,
}

type Queue = mpsc::Sender<Box<dyn crate::writer::Work>>;

impl Store {
    /// Opens the database, making it (mode 0640) and its folder (mode 0750) where they are missing, brings an older
    /// schema up to date, and keeps every other daemon out by a lock on `<path>.lock` until the store is closed.
    ///
    /// Blocks. A file that is not ours, was found damaged, or is small and damaged is refused, and nothing in it changes. A
    /// large one is used at once; where its last end was not clean it is checked meanwhile, see [`Self::soundness`].
    pub fn open(path: &Path, clock: Arc<dyn Clock>, options: &Options) -> Result<Self, StoreError> {
        let path = settle(path)?;
        let lock = lock(&path)?;
        make(&path)?;
        let (connection, standing) = connect(&path, options)?;
        let known = newest(&connection).map_err(|error| StoreError::of(&path, &error))?;
        let latest = latest(&connection).map_err(|error| StoreError::of(&path, &error))?;
        let opened = Opened { at: latest.unwrap_or_else(|| clock.now()), instant: Instant::now() };
        let (announcements, newest) = watch::channel(known);
        let (found, soundness) = watch::channel(standing);
        let reader = Reader::new(path.clone(), options, found.clone());
        let is_open = *soundness.borrow() == Soundness::Unknown;
        let inspection = is_open.then(|| Inspection::begin(&path, options.busy_timeout, found.clone())).transpose()?;
        let writer = Writer {
            path: path.clone(),
            connection,
            newest: announcements,
            soundness: found,
            foreign: None,
            #[cfg(test)]
            fault: options.fault.clone(),
            _lock: lock,
        };
        let (queue, work) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.serve(work))
            .map_err(|error| StoreError::open(&path, &error))?;
        let writer = Mutex::new(Some((queue, thread)));
        let (vantage, inspection) = (options.vantage.clone(), Mutex::new(inspection));
        let most_volleys = options.most_volleys;
        let shared =
            Shared { path, clock, reader, vantage, most_volleys, opened, newest, soundness, inspection, writer };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The read side. It stays usable for as long as the store is open.
    pub fn reader(&self) -> Reader {
        self.shared.reader.clone()
    }

    /// The file, with its folder's links resolved.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The highest event sequence number stored; changes after every commit that brought events.
    pub fn newest_event(&self) -> watch::Receiver<u64> {
        self.shared.newest.clone()
    }

    /// What is known of the whole file. Damage, whoever met it, is final: from then on nothing is written, because what is
    /// written to a damaged file may be gone tomorrow, after it was told.
    pub fn soundness(&self) -> watch::Receiver<Soundness> {
        self.shared.soundness.clone()
    }

    /// Waits for damage to be found; for ever where there is none.
    pub async fn damage(&self) -> StoreError {
        let mut soundness = self.soundness();
        loop {
            if let Some(error) = soundness.borrow_and_update().error(self.path()) {
                return error;
            }
            if soundness.changed().await.is_err() {
                // It is closed, and nobody looks any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stores what is still waiting, closes the database and lets go of its lock. Later calls give [`StoreError::Closed`].
    pub async fn close(&self) -> Result<(), StoreError> {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((queue, thread)) = writer else { return Ok(()) };
        self.shared.reader.close();
        let inspection = self.shared.inspection.lock().unwrap_or_else(PoisonError::into_inner).take();
        let closed = || StoreError::Closed { path: self.shared.path.clone() };
        let close = move || {
            // Before the writer ends: whoever closes the database last empties its log, and only the writer can.
            inspection.into_iter().for_each(Inspection::end);
            drop(queue);
            thread.join()
        };
        tokio::task::spawn_blocking(close).await.map_err(|_| closed())?.map_err(|_| closed())
    }

    /// Has the writer do it, in a transaction of its own or one shared with others' work.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(crate::steps::Steps<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let closed = || StoreError::Closed { path: self.shared.path.clone() };
        let queue = match &*self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((queue, _)) => queue.clone(),
            None => return Err(closed()),
        };
        let (work, outcome) = Task::queued(work);
        queue.send(work).await.map_err(|_| closed())?;
        drop(queue);
        outcome.await.map_err(|_| closed())?
    }
}

impl Drop for Shared {
    /// Waits for the writer, so that the lock is free when the last clone is gone.
    fn drop(&mut self) {
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((queue, thread)) = writer {
            self.reader.close();
            let inspection = self.inspection.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            inspection.into_iter().for_each(Inspection::end);
            drop(queue);
            if thread.join().is_err() {
                tracing::error!(database = %self.path.display(), "the database's writer panicked");
            }
        }
    }
}

/// Makes the folder, and resolves links in the path to it: two spellings of one database must find one lock.
fn settle(path: &Path) -> Result<PathBuf, StoreError> {
    let name = path
        .file_name()
        .ok_or_else(|| StoreError::Open { path: path.to_owned(), reason: "the path names no file".to_owned() })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unmade = |error: io::Error| StoreError::Folder { path: folder.to_owned(), reason: error.to_string() };
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(unmade)?;
    }
    match fs::canonicalize(path) {
        // Before a lock file is left beside what will never be a database.
        Ok(real) if !real.is_file() => {
            Err(StoreError::Open { path: path.to_owned(), reason: "it is not a file".to_owned() })
        }
        Ok(real) => Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(fs::canonicalize(folder).map_err(unmade)?.join(name))
        }
        Err(error) => Err(StoreError::open(path, &error)),
    }
}

/// Takes the lock and leaves our process number in it. The file stays for ever: removing it would let two daemons each
/// lock a file of that name.
fn lock(path: &Path) -> Result<File, StoreError> {
    let failed = |error: io::Error| StoreError::open(path, &error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(beside(path, ".lock"))
        .map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // The sentence is worth saying without the number too.
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StoreError::Locked { path: path.to_owned(), pid });
        }
        Err(error) => return Err(failed(error.into())),
    }
    let note = format!("{}\n", std::process::id());
    // The lock holds without the note: a full disk must not keep the daemon from starting.
    let noted = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
    if let Err(error) = noted {
        tracing::warn!(database = %path.display(), %error, "the process number could not be written to the lock file");
    }
    Ok(file)
}

/// Makes the file, so that it has our mode rather than `SQLite`'s.
fn make(path: &Path) -> Result<(), StoreError> {
    let length = match fs::metadata(path) {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => return Err(StoreError::Open { path: path.to_owned(), reason: "it is not a file".to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(StoreError::open(path, &error)),
    };
    let log = beside(path, "-wal");
    if length == 0 && fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        // SQLite would take the log for a left-over and remove it.
        return Err(StoreError::Orphaned { path: path.to_owned(), log });
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(path);
    file.map(drop).map_err(|error| StoreError::open(path, &error))
}

fn connect(path: &Path, options: &Options) -> Result<(Connection, Soundness), StoreError> {
    let of = |error: rusqlite::Error| StoreError::of(path, &error);
    let unsealed = |error: io::Error| StoreError::open(path, &error);
    let standing = seal::standing(path).map_err(unsealed)?;
    if let Standing::Damaged(detail) = standing {
        return Err(StoreError::Damaged { path: path.to_owned(), detail });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(of)?;
    connection.busy_timeout(options.busy_timeout).map_err(of)?;
    let schema = recognise(path, &connection)?;
    // Bringing up to date rewrites much of it, once.
    let is_rewritten = standing == Standing::Unknown && schema < SCHEMA;
    let soundness = if is_rewritten || is_small(path, options.check_first) {
        check(path, &connection)?;
        Soundness::Sound
    } else if standing == Standing::Sound {
        Soundness::Sound
    } else {
        Soundness::Unknown
    };
    seal::break_open(path).map_err(unsealed)?;
    settings(&connection, options).map_err(of)?;
    Migrations::from_slice(MIGRATIONS).to_latest(&mut connection).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::of(path, &err),
        error => StoreError::Query { path: path.to_owned(), detail: error.to_string() },
    })?;
    connection.pragma_update(None, "foreign_keys", true).map_err(of)?;
    if let Some(pages) = options.page_limit {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).map_err(of)?;
    }
    connection.set_prepared_statement_cache_capacity(128);
    Ok((connection, soundness))
}

/// The time of the newest record, where there is any.
fn latest(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let newest = "SELECT max(at) FROM (SELECT max(time) AS at FROM event
                  UNION ALL SELECT max(started) FROM pass UNION ALL SELECT max(finished) FROM pass)";
    connection.query_row(newest, [], |row| get_time_or_none(row, 0))
}

/// With its log.
fn is_small(path: &Path, most: u64) -> bool {
    let size = |file: &Path| fs::metadata(file).map_or(0, |file| file.len());
    size(path) + size(&beside(path, "-wal")) <= most
}

/// Ours, empty, newer, or somebody else's; gives its schema.
fn recognise(path: &Path, connection: &Connection) -> Result<usize, StoreError> {
    let number = |pragma: &str| -> Result<i64, StoreError> {
        connection.pragma_query_value(None, pragma, |row| row.get(0)).map_err(|error| StoreError::of(path, &error))
    };
    let (application, schema) = (number("application_id")?, number("user_version")?);
    let known = i64::try_from(SCHEMA).unwrap_or(i64::MAX);
    if application == APPLICATION_ID {
        return if schema > known {
            Err(StoreError::Newer { path: path.to_owned(), found: schema, known })
        } else {
            // Not negative: nobody but us writes it.
            Ok(usize::try_from(schema).unwrap_or(0))
        };
    }
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| StoreError::of(path, &error))?;
    if (application, schema, tables) == (0, 0, 0) { Ok(0) } else { Err(StoreError::Foreign { path: path.to_owned() }) }
}

pub(crate) fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let answer: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::of(path, &error))?;
    let detail = answer.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    if detail == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: path.to_owned(), detail }) }
}

fn settings(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A commit of many hosts touches pages all over a large file; 64 MiB hold the inner ones.
    connection.pragma_update(None, "cache_size", -65_536)?;
    // Commits that follow each other change many of the same pages: each is then written once for all of them.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", options.log_limit / 2 / PAGE, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", options.log_limit, |_| Ok(()))
}

/// The path with something appended to its file name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
