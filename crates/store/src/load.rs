//! Reading hosts back in, many at a time.

use crate::column::from_json;
use inventory::HostState;
use rusqlite::Connection;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

/// Hosts in a piece. Few, because the memory of small things is got and let go faster than that of large ones.
const PIECE: usize = 32;

/// Pieces that may wait to be parsed.
const WAITING: usize = 64;

/// Threads that parse at most: beyond it they would wait for what takes the hosts. Reading from the disk is one more.
const PARSERS: usize = 4;

/// Hosts as they are stored, one behind the other.
#[derive(Debug, Default)]
struct Piece {
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

/// Gives every host to `hosts`, in no particular order: that of addresses would be read from all over the file.
pub(crate) fn hosts<H>(connection: &Connection, hosts: &mut H) -> rusqlite::Result<()>
where
    H: Extend<HostState> + Send,
{
    let parsers = thread::available_parallelism().map_or(1, |cores| cores.get().min(PARSERS));
    let (pieces, to_parse) = sync_channel(WAITING);
    let (to_parse, hosts) = (Arc::new(Mutex::new(to_parse)), &Mutex::new(hosts));
    thread::scope(|scope| {
        let parser = |_| {
            let to_parse = Arc::clone(&to_parse);
            scope.spawn(move || parse(&to_parse, hosts))
        };
        let parsers: Vec<_> = (0..parsers).map(parser).collect();
        // When the parsers give up, whoever reads must notice.
        drop(to_parse);
        let read = read(connection, |piece| {
            // A parser ends early only where something cannot be read, and then it says so.
            pieces.send(piece).is_ok() && !parsers.iter().any(thread::ScopedJoinHandle::is_finished)
        });
        drop(pieces);
        // Each is waited for, whatever the others said.
        parsers
            .into_iter()
            .fold(read, |said, parser| said.and(parser.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
    })
}

/// Parses what comes until nothing more does. Only one at a time hands over.
fn parse<H: Extend<HostState>>(to_parse: &Mutex<Receiver<Piece>>, hosts: &Mutex<&mut H>) -> rusqlite::Result<()> {
    while let Some(piece) = next(to_parse) {
        let parsed: Vec<HostState> = piece.texts().map(|text| from_json(text, 0)).collect::<rusqlite::Result<_>>()?;
        hosts.lock().unwrap_or_else(PoisonError::into_inner).extend(parsed);
    }
    Ok(())
}

fn next(to_parse: &Mutex<Receiver<Piece>>) -> Option<Piece> {
    to_parse.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// In the order in which they lie in the file.
fn read(connection: &Connection, mut give: impl FnMut(Piece) -> bool) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("SELECT state FROM host NOT INDEXED")?;
    let mut rows = statement.query([])?;
    let mut piece = Piece::default();
    while let Some(row) = rows.next()? {
        piece.text.push_str(row.get_ref(0)?.as_str()?);
        piece.ends.push(piece.text.len());
        if piece.ends.len() == PIECE && !give(std::mem::take(&mut piece)) {
            return Ok(());
        }
    }
    give(piece);
    Ok(())
}

impl Piece {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).filter_map(|(begin, end)| self.text.get(begin..*end))
    }
}
