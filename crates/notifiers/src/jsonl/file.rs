//! A file that only ever holds whole lines, whatever fails in between.

use super::deliver::Sink;
use std::{
    fs::{File, Metadata, OpenOptions, metadata},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

/// How far back from the end the beginning of a broken line is looked for. Our lines are far shorter.
const LOOK_BACK: u64 = 1 << 20;
/// How every line of ours begins.
const BEGINNING: &[u8] = b"{\"schema\":";

pub(super) struct LineFile {
    path: PathBuf,
    open: Option<File>,
}

impl LineFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// The file, opened again where the path leads to another one since (rotation) or its end is not known to be whole.
    fn current(&mut self) -> io::Result<File> {
        if let Some(open) = self.open.take()
            && let (Ok(ours), Ok(there)) = (open.metadata(), metadata(&self.path))
            && (ours.dev(), ours.ino()) == (there.dev(), there.ino())
        {
            return Ok(open);
        }
        match metadata(&self.path) {
            // Opening a pipe would wait for its reader.
            Ok(there) if !(there.is_file() || there.file_type().is_char_device()) => {
                return Err(io::Error::other("it is neither a file nor a device"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&self.path)?;
        if file.metadata()?.is_file() {
            mend(&mut file)?;
        }
        Ok(file)
    }
}

impl Sink for LineFile {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut file = self.current()?;
        let before: Option<Metadata> = file.metadata().ok().filter(Metadata::is_file);
        let written = file.write_all(lines).and_then(|()| match &before {
            Some(_) => file.sync_data(),
            None => Ok(()),
        });
        match (&written, before) {
            (Ok(()), _) => self.open = Some(file),
            // Give back what half a batch took; should that fail too, `mend` sees to it at the next opening.
            (Err(_), Some(before)) => {
                if let Err(error) = file.set_len(before.len()) {
                    tracing::debug!(path = %self.path.display(), %error, "half a batch is left at the end of the file");
                }
            }
            (Err(_), None) => {}
        }
        written
    }
}

/// Makes the file end with a whole line. A last line without its end is cut off where it is the broken beginning of one of ours
/// (its digest will be repeated), and ended where it is anything else.
fn mend(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LOOK_BACK);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(LOOK_BACK).read_to_end(&mut tail)?;
    let line = tail.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    if line.is_empty() {
        return Ok(());
    }
    let seen_from_its_beginning = start == 0 || line.len() < tail.len();
    let ours = seen_from_its_beginning && (line.starts_with(BEGINNING) || BEGINNING.starts_with(line));
    if ours && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err() {
        let broken = u64::try_from(line.len()).unwrap_or(u64::MAX);
        return file.set_len(length.saturating_sub(broken));
    }
    file.write_all(b"\n")
}
