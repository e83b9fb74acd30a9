//! A copy of the database, taken while it is written to.

use crate::{
    Reader, StoreError,
    open::{beside, check},
};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

impl Reader {
    /// Copies the database as it is at one moment to a new file (mode 0640), checks the copy, and only then gives it its
    /// name. An existing file is never touched. Writing goes on meanwhile. When this returns, the copy is on disk.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let to = to.to_owned();
        self.with(move |pool, source| copy(pool.path(), source, &to)).await
    }
}

fn copy(database: &Path, source: &Connection, to: &Path) -> Result<(), StoreError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(StoreError::BackupExists { path: to.to_owned() });
    }
    // The name is ours alone, so that two at a time cannot write into one file.
    let part = beside(to, &format!(".{}.part", std::process::id()));
    let failed = |reason: String| StoreError::Backup { path: to.to_owned(), reason };
    match OpenOptions::new().write(true).create_new(true).mode(0o640).open(&part) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(failed(format!("{} is in the way, left by an earlier attempt; remove it", part.display())));
        }
        Err(error) => return Err(failed(error.to_string())),
    }
    let outcome = fill(database, source, &part).and_then(|()| {
        sync(&part, to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => StoreError::BackupExists { path: to.to_owned() },
            _ => failed(error.to_string()),
        })
    });
    outcome.map_err(|error| {
        let error = match error {
            StoreError::BackupExists { .. } | StoreError::Backup { .. } | StoreError::Damaged { .. } => error,
            StoreError::Unwritable { detail, .. } => failed(detail),
            other => failed(other.to_string()),
        };
        discard(&part);
        error
    })
}

fn fill(database: &Path, source: &Connection, part: &Path) -> Result<(), StoreError> {
    let of_part = |error: rusqlite::Error| StoreError::of(part, &error);
    let mut copy = Connection::open(part).map_err(of_part)?;
    let backup = Backup::new(source, &mut copy).map_err(of_part)?;
    // All in one step, which is one read transaction: a copy of one moment, whatever is written meanwhile.
    let step = backup.step(-1).map_err(of_part)?;
    if step != StepResult::Done {
        return Err(StoreError::Unwritable { path: part.to_owned(), detail: format!("the copy stopped: {step:?}") });
    }
    drop(backup);
    // One file that stands by itself, without a log beside it.
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(of_part)?;
    check(database, &copy)?;
    copy.close().map_err(|(_, error)| of_part(error))
}

/// Removes a copy that failed, and what `SQLite` may have laid beside it.
fn discard(part: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = beside(part, suffix);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %file.display(), %error, "a part of a failed backup could not be removed");
            }
            _ => {}
        }
    }
}

/// Puts the copy on disk under its name, unless that name has come into use.
fn sync(part: &Path, to: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    match renameat_with(CWD, part, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Err(io::ErrorKind::AlreadyExists.into()),
        // File systems without it: a link is refused too where the name exists.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(part, to)?;
            fs::remove_file(part)?;
        }
        Err(error) => return Err(error.into()),
    }
    let folder: PathBuf = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    File::open(folder)?.sync_all()
}
