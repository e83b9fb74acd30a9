use monitor::JournalError;
use notifiers::OutboxError;
use rusqlite::ErrorCode;
use std::{
    io,
    path::{Path, PathBuf},
};

/// What may go wrong with the database. Every text is one sentence: what happened, to which file, what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("the folder {} for the database cannot be made: {reason}; make it, or set `path` in [store] to another", .path.display())]
    Folder { path: PathBuf, reason: String },

    #[error("the database {} cannot be opened: {reason}; check the path in [store] and who may write there", .path.display())]
    Open { path: PathBuf, reason: String },

    #[error(
        "the database {} is in use by another perimeterd{}; stop that one first, or give this one another `path` in [store]",
        .path.display(),
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked { path: PathBuf, pid: Option<u32> },

    #[error(
        "the database {} was written by a newer perimeterd (schema {found}, this one knows {known}); install that version, or put an older backup in its place",
        .path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },

    #[error(
        "{} is not a database of perimeterd, or its beginning was overwritten; nothing in it was changed: set `path` in [store] to another file, or put a backup in its place",
        .path.display()
    )]
    Foreign { path: PathBuf },

    #[error(
        "the database {} is missing, but its log {} is there and may hold what was last stored; put the database back beside it, or move the log away to begin anew",
        .path.display(), .log.display()
    )]
    Orphaned { path: PathBuf, log: PathBuf },

    #[error(
        "the database {} is damaged ({detail}); nothing in it was overwritten: move it away together with its -wal file to begin anew, or put a backup in its place",
        .path.display()
    )]
    Damaged { path: PathBuf, detail: String },

    /// A stored value is not what this version expects there; the file itself is sound.
    #[error("the database {} holds a value that cannot be read ({detail}); put a backup in its place, and please report this", .path.display())]
    Unreadable { path: PathBuf, detail: String },

    /// Passing: the same call may succeed later, and nothing of it was stored.
    #[error("the database {} could not be written ({detail}); nothing is lost: what it holds is safe, and this change can be tried again", .path.display())]
    Unwritable { path: PathBuf, detail: String },

    /// What was handed in contradicts itself or what is stored: the caller's mistake.
    #[error("the database {} refuses a change that contradicts what it holds ({detail}); nothing of it is stored; please report this", .path.display())]
    Contradiction { path: PathBuf, detail: String },

    #[error("the database {} cannot answer: {detail}", .path.display())]
    Query { path: PathBuf, detail: String },

    #[error("the database {} is closed", .path.display())]
    Closed { path: PathBuf },

    #[error("the backup {} exists already and is left as it is; name another file", .path.display())]
    BackupExists { path: PathBuf },

    #[error("the backup {} could not be written: {reason}; no part of it is left", .path.display())]
    Backup { path: PathBuf, reason: String },
}

impl StoreError {
    /// What `SQLite`'s error means for this file.
    pub(crate) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let Some(code) = error.sqlite_error_code() else {
            return match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => Self::Unreadable { path, detail: error.to_string() },
                error => Self::Query { path, detail: error.to_string() },
            };
        };
        match code {
            ErrorCode::DatabaseCorrupt => Self::Damaged { path, detail: error.to_string() },
            ErrorCode::NotADatabase => Self::Foreign { path },
            ErrorCode::DiskFull => Self::Unwritable { path, detail: "the disk is full".to_owned() },
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted
            | ErrorCode::OperationAborted => Self::Unwritable { path, detail: error.to_string() },
            ErrorCode::ConstraintViolation | ErrorCode::TooBig => {
                Self::Contradiction { path, detail: error.to_string() }
            }
            _ => Self::Query { path, detail: error.to_string() },
        }
    }

    pub(crate) fn open(path: &Path, error: &io::Error) -> Self {
        Self::Open { path: path.to_owned(), reason: error.to_string() }
    }

    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unwritable { .. })
    }
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        if error.is_passing() { Self::Retry(error.to_string()) } else { Self::Broken(error.to_string()) }
    }
}

impl From<StoreError> for OutboxError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}
