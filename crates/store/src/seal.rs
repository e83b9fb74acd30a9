//! What a clean end leaves beside the database: which file it was, and whether it was sound. A file that bears this seal is
//! as this program left it; any other (after a kill or a power cut, or put in its place by somebody) may be anything.
//!
//! The seal is broken before anything is written, so that none can outlive what it speaks of.

use crate::open::beside;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// How a database was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Left by a clean end, and nobody touched it since.
    Sound,
    Unknown,
    /// Found damaged before, and nobody has put it right since. What was found, in words.
    Damaged(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    #[serde(skip_serializing_if = "Option::is_none", default)]
    damage: Option<String>,
}

impl Seal {
    fn is_of(&self, file: &Metadata) -> bool {
        (self.inode, self.size, self.modified) == (file.ino(), file.size(), (file.mtime(), file.mtime_nsec()))
    }
}

pub(crate) fn standing(database: &Path) -> io::Result<Standing> {
    let seal = match fs::read(place(database)) {
        Ok(bytes) => serde_json::from_slice::<Seal>(&bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let file = fs::metadata(database)?;
    let Some(seal) = seal.filter(|seal| seal.is_of(&file)) else { return Ok(Standing::Unknown) };
    // What is in a log is newer than the seal.
    let is_whole = !fs::metadata(beside(database, "-wal")).is_ok_and(|log| log.len() > 0);
    Ok(match seal.damage {
        Some(damage) => Standing::Damaged(damage),
        None if is_whole => Standing::Sound,
        None => Standing::Unknown,
    })
}

/// From here on the file may become anything.
pub(crate) fn break_open(database: &Path) -> io::Result<()> {
    match fs::remove_file(place(database)) {
        Ok(()) => folder_of(database)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// To be called when nobody has the database open any more. A seal that a power cut takes away, whole or in part, costs a
/// check of the file, and nothing else.
pub(crate) fn put(database: &Path, damage: Option<String>) -> io::Result<()> {
    let file = fs::metadata(database)?;
    let (inode, size, modified) = (file.ino(), file.size(), (file.mtime(), file.mtime_nsec()));
    let seal = serde_json::to_vec(&Seal { inode, size, modified, damage })?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(place(database))?;
    file.write_all(&seal)
}

fn place(database: &Path) -> PathBuf {
    beside(database, ".seal")
}

fn folder_of(database: &Path) -> io::Result<File> {
    // The path was settled: it has a folder.
    File::open(database.parent().unwrap_or(Path::new("/")))
}
