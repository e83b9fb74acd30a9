//! The files a configuration points to: secrets and certificates.

use crate::Secret;
use std::{
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// Larger than this is not what it should be.
const MOST_SECRET: u64 = 64 * 1024;
const MOST_CERTIFICATES: u64 = 16 * 1024 * 1024;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileFault {
    #[error("{path} does not exist")]
    Missing { path: String },
    #[error("cannot read {path}: {reason}")]
    Unreadable { path: String, reason: io::Error },
    #[error("{path} is not a file")]
    NotFile { path: String },
    #[error("{path} can be read by everybody on this machine (mode {mode:04o}); `chmod o-rwx` it")]
    Exposed { path: String, mode: u32 },
    #[error("{path} is not a folder")]
    NotFolder { path: String },
    #[error("{path} holds no file that ends in .{ending}")]
    Without { path: String, ending: &'static str },
    #[error("{path} is empty")]
    Empty { path: String },
    #[error("{path} is larger than {most} bytes")]
    TooLarge { path: String, most: u64 },
    #[error("{path} holds more than one line of text")]
    NotOneLine { path: String },
    #[error("{path} holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate { path: String },
}

/// Reads a secret: one line, of which the line's end is not part.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, FileFault> {
    let shown = path.display().to_string();
    let (bytes, mode) = read(path, MOST_SECRET)?;
    // Whoever is not owner or group must have no access at all.
    if mode & 0o007 != 0 {
        return Err(FileFault::Exposed { path: shown, mode: mode & 0o7777 });
    }
    let text = String::from_utf8(bytes).map_err(|_| FileFault::NotOneLine { path: shown.clone() })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(FileFault::Empty { path: shown });
    }
    if text.chars().any(char::is_control) {
        return Err(FileFault::NotOneLine { path: shown });
    }
    Ok(Secret(text.to_owned()))
}

/// Sees whether a file holds certificates. What they are is for those who use them.
pub(crate) fn read_certificates(path: &Path) -> Result<(), FileFault> {
    let (bytes, _) = read(path, MOST_CERTIFICATES)?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if bytes.windows(begin.len()).any(|window| window == begin) {
        return Ok(());
    }
    Err(FileFault::NoCertificate { path: path.display().to_string() })
}

/// Sees whether a file is there and can be opened. What it says is for those who use it.
pub(crate) fn look_at(path: &Path) -> Result<(), FileFault> {
    let unreadable = |reason| unreadable(path, reason);
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileFault::NotFile { path: path.display().to_string() });
    }
    fs::File::open(path).map(drop).map_err(unreadable)
}

/// Sees whether a folder holds files of an ending.
pub(crate) fn look_for(path: &Path, ending: &'static str) -> Result<(), FileFault> {
    let unreadable = |reason| unreadable(path, reason);
    let shown = || path.display().to_string();
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err(FileFault::NotFolder { path: shown() });
    }
    for entry in fs::read_dir(path).map_err(unreadable)? {
        if entry.map_err(unreadable)?.path().extension().is_some_and(|found| found == ending) {
            return Ok(());
        }
    }
    Err(FileFault::Without { path: shown(), ending })
}

fn unreadable(path: &Path, reason: io::Error) -> FileFault {
    let path = path.display().to_string();
    match reason.kind() {
        io::ErrorKind::NotFound => FileFault::Missing { path },
        _ => FileFault::Unreadable { path, reason },
    }
}

/// The bytes and the mode, from one opened file, so that they belong together.
fn read(path: &Path, most: u64) -> Result<(Vec<u8>, u32), FileFault> {
    let shown = || path.display().to_string();
    let unreadable = |reason| unreadable(path, reason);
    // A FIFO would keep us waiting for ever: look before opening.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileFault::NotFile { path: shown() });
    }
    let file = fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(FileFault::TooLarge { path: shown(), most });
    }
    Ok((bytes, mode))
}
