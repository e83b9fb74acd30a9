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

/// Hosts in a piece.
const PIECE: usize = 2_048;

/// Threads that parse. Reading from the disk is a third.
const PARSERS: usize = 2;

/// Gives every host to `take`, in pieces; within a piece, and from piece to piece, in the order of addresses.
///
/// One thread reads, others parse; no more than a few pieces wait between them.
pub(crate) fn hosts(connection: &Connection, mut take: impl FnMut(Vec<HostState>) + Send) -> rusqlite::Result<()> {
    let (texts, to_parse) = sync_channel::<(usize, Vec<String>)>(PARSERS);
    let (pieces, parsed) = sync_channel::<(usize, rusqlite::Result<Vec<HostState>>)>(PARSERS);
    let to_parse = Arc::new(Mutex::new(to_parse));
    thread::scope(|scope| {
        for _ in 0..PARSERS {
            let (to_parse, pieces) = (Arc::clone(&to_parse), pieces.clone());
            scope.spawn(move || {
                while let Some((number, texts)) = next(&to_parse) {
                    let hosts = texts.iter().map(|text| from_json(text, 0)).collect();
                    // Whoever gathers has given up where nobody listens.
                    if pieces.send((number, hosts)).is_err() {
                        return;
                    }
                }
            });
        }
        // When the parsers give up, whoever reads must notice.
        drop((to_parse, pieces));
        let gather = scope.spawn(move || gather(&parsed, &mut take));
        let read = read(connection, |number, piece| texts.send((number, piece)).is_ok());
        drop(texts);
        let gathered = gather.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read.and(gathered)
    })
}

fn next(queue: &Mutex<Receiver<(usize, Vec<String>)>>) -> Option<(usize, Vec<String>)> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn read(connection: &Connection, mut give: impl FnMut(usize, Vec<String>) -> bool) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("SELECT state FROM host ORDER BY address, vantage")?;
    let mut rows = statement.query([])?;
    let (mut number, mut piece) = (0, Vec::with_capacity(PIECE));
    while let Some(row) = rows.next()? {
        piece.push(row.get(0)?);
        if piece.len() == PIECE {
            if !give(number, std::mem::replace(&mut piece, Vec::with_capacity(PIECE))) {
                return Ok(());
            }
            number += 1;
        }
    }
    give(number, piece);
    Ok(())
}

/// Puts the pieces in order: one that is early waits.
fn gather(
    parsed: &Receiver<(usize, rusqlite::Result<Vec<HostState>>)>,
    take: &mut impl FnMut(Vec<HostState>),
) -> rusqlite::Result<()> {
    let mut early = std::collections::BTreeMap::new();
    let mut due = 0;
    for (number, hosts) in parsed {
        early.insert(number, hosts?);
        while let Some(hosts) = early.remove(&due) {
            take(hosts);
            due += 1;
        }
    }
    Ok(())
}
