//! A relay that writes down every byte of both sides, and what of it are heartbeats.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// The bytes of one connection.
#[derive(Debug, Default, Clone)]
pub(crate) struct Talk {
    pub(crate) ours: Vec<u8>,
    pub(crate) theirs: Vec<u8>,
}

pub(crate) type Talks = Arc<Mutex<Vec<Talk>>>;

/// Passes on what comes, and writes it down in its place.
fn pass(mut from: TcpStream, mut to: TcpStream, talks: &Talks, at: usize, ours: bool) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut talks = talks.lock().unwrap_or_else(PoisonError::into_inner);
        let talk = &mut talks[at];
        if ours { &mut talk.ours } else { &mut talk.theirs }.extend_from_slice(&buffer[..count]);
        drop(talks);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Either may be gone already.
    let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}

/// A relay from that place to that server; ends with the process, in a network that ends before.
pub(crate) fn relay(near: SocketAddr, server: SocketAddr, talks: &Talks) -> SocketAddr {
    let listener = TcpListener::bind(near).expect("a port is free");
    let address = listener.local_addr().expect("bound");
    let talks = Arc::clone(talks);
    thread::spawn(move || {
        for near in listener.incoming() {
            let Ok(near) = near else { return };
            #[expect(clippy::disallowed_methods, reason = "the test's own relay to the test's own server")]
            let Ok(far) = TcpStream::connect(server) else { return };
            let at = {
                let mut talks = talks.lock().unwrap_or_else(PoisonError::into_inner);
                talks.push(Talk::default());
                talks.len() - 1
            };
            let (near_too, far_too) = (near.try_clone().expect("a socket"), far.try_clone().expect("a socket"));
            let (there, back) = (Arc::clone(&talks), Arc::clone(&talks));
            thread::spawn(move || pass(near, far, &there, at, true));
            thread::spawn(move || pass(far_too, near_too, &back, at, false));
        }
    });
    address
}

/// The records of a stream; panics where it is none of records.
pub(crate) fn records(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut records = Vec::new();
    while let [kind, 3, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!(rest.len() >= length, "a record is cut off");
        records.push((*kind, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "{} bytes are no record", bytes.len());
    records
}

pub(crate) const HEARTBEAT: u8 = 24;

/// Our own side begins with hellos of SSL 2.0 at times, which are no records.
pub(crate) fn records_of_ours(talk: &Talk) -> Vec<(u8, Vec<u8>)> {
    if talk.ours.first().is_some_and(|byte| byte & 0x80 != 0) { Vec::new() } else { records(&talk.ours) }
}

/// Every heartbeat that went either way: what we sent in it, and the padding that came back.
pub(crate) fn secrets(talks: &[Talk]) -> Vec<Vec<u8>> {
    let mut secrets = Vec::new();
    for talk in talks {
        let heartbeats = |records: Vec<(u8, Vec<u8>)>| records.into_iter().filter(|(kind, _)| *kind == HEARTBEAT);
        let sent = heartbeats(records_of_ours(talk)).map(|(_, request)| request[3..].to_vec());
        secrets.extend(sent);
        // A server that has nothing to hide may speak in the clear, and end in the middle of a word.
        if records_of_ours(talk).iter().any(|(kind, _)| *kind == HEARTBEAT) {
            secrets.extend(heartbeats(records(&talk.theirs)).map(|(_, answer)| answer[3 + 4096..].to_vec()));
        }
    }
    secrets
}
