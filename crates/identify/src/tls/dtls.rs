//! DTLS 1.0 and 1.2 (RFC 4347, RFC 6347) as far as they are spoken in the clear: a hello in one datagram, the cookie that a server wants
//! to be shown, and its flight, put together from fragments that come in any order, twice, or not at all.

#[cfg(test)]
mod tests;

use super::{
    flight::{FlightReader, ServerFlight},
    hello::Hello,
    record::Record,
    version::Version,
};
use crate::Reader;
use std::collections::BTreeMap;

/// Reads what a server sends, datagram by datagram. Total on hostile bytes, and bounded: it holds at most
/// [`DtlsReader::MAX_HELD`] bytes of unfinished messages.
#[derive(Debug, Clone, Default)]
pub struct DtlsReader {
    flight: FlightReader,
    cookie: Option<Vec<u8>>,
    /// The number of the message that is to be read next; none before the server's hello has come.
    next: Option<u16>,
    parts: BTreeMap<u16, Parts>,
    is_dtls: bool,
}

/// A handshake message that has not come as a whole, or before its turn.
#[derive(Debug, Clone)]
struct Parts {
    kind: u8,
    body: Vec<u8>,
    /// What is there of it: from, to, in order, not touching each other.
    there: Vec<(usize, usize)>,
}

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;
const MAX_MESSAGE: usize = 64 * 1024;
const MAX_MESSAGES: usize = 16;
/// Pieces of a message that do not touch each other.
const MAX_PIECES: usize = 64;

/// A hello as a datagram: the second time with the cookie that was asked for. Servers that keep no state take no fragments, so it
/// has to be one. `number` is that of the record, and another one each time (§4.1): some drop what they take for a repetition even if
/// it comes from somebody else.
pub fn datagram(hello: &Hello, cookie: &[u8], number: u8) -> Vec<u8> {
    let body = hello.to_body(cookie);
    let message_number = u8::from(!cookie.is_empty());
    let length = body.len().to_be_bytes();
    let length = length.last_chunk::<3>().copied().unwrap_or_default();
    let mut message = vec![CLIENT_HELLO];
    message.extend_from_slice(&length);
    message.extend_from_slice(&[0, message_number, 0, 0, 0]);
    message.extend_from_slice(&length);
    message.extend_from_slice(&body);
    record(Record::HANDSHAKE, hello.record, number, &message)
}

/// Says that we leave, so that the other end does not send its flight again and again.
pub fn farewell(number: u8) -> Vec<u8> {
    const USER_CANCELED: u8 = 90;
    record(Record::ALERT, Version::DTLS1_2, number, &[2, USER_CANCELED])
}

fn record(kind: u8, version: Version, number: u8, payload: &[u8]) -> Vec<u8> {
    let mut record = vec![kind];
    record.extend_from_slice(&version.0.to_be_bytes());
    // Epoch and number.
    record.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, number]);
    record.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
    record.extend_from_slice(payload);
    record
}

/// The version of a record that begins these bytes, and the kind of its handshake message, where it is one of a handshake or an
/// alert that nobody has encrypted.
pub(crate) fn first_record(bytes: &[u8]) -> Option<(Version, Option<u8>)> {
    let mut reader = Reader::new(bytes);
    let (kind, version, payload) = next_record(&mut reader)?;
    match kind {
        Record::HANDSHAKE => payload.first().map(|kind| (version, Some(*kind))).filter(|_| payload.len() >= 12),
        Record::ALERT => matches!(payload, [1 | 2, _]).then_some((version, None)),
        _ => None,
    }
}

/// Of those in the clear. None: it is none, or there is no more.
fn next_record<'a>(reader: &mut Reader<'a>) -> Option<(u8, Version, &'a [u8])> {
    let (kind, version) = (reader.u8()?, Version(reader.u16()?));
    let epoch = reader.u16()?;
    let _number = reader.take(6)?;
    let length = reader.u16()?;
    let payload = reader.take(usize::from(length))?;
    (version.is_dtls() && epoch == 0).then_some((kind, version, payload))
}

impl DtlsReader {
    /// Of unfinished messages.
    pub const MAX_HELD: usize = 192 * 1024;

    /// Takes a datagram that has come. What is no DTLS in it is left out.
    pub fn feed(&mut self, datagram: &[u8]) {
        let mut reader = Reader::new(datagram);
        while let Some((kind, _, payload)) = next_record(&mut reader) {
            self.is_dtls = true;
            match kind {
                Record::HANDSHAKE => self.read_fragments(payload),
                Record::ALERT => self.pass_on(Record::ALERT, payload),
                _ => {}
            }
        }
    }

    /// What the server has shown so far.
    pub fn flight(&self) -> &ServerFlight {
        self.flight.flight()
    }

    /// The cookie that was asked for last, once.
    pub fn take_cookie(&mut self) -> Option<Vec<u8>> {
        self.cookie.take()
    }

    /// Something of it was DTLS.
    pub fn is_dtls(&self) -> bool {
        self.is_dtls
    }

    pub fn finish(self) -> ServerFlight {
        self.flight.finish().0
    }

    fn read_fragments(&mut self, payload: &[u8]) {
        let mut reader = Reader::new(payload);
        while let Some(fragment) = Fragment::read(&mut reader) {
            if fragment.kind == HELLO_VERIFY_REQUEST {
                self.cookie = fragment.cookie().map(<[u8]>::to_vec).or(self.cookie.take());
                continue;
            }
            self.keep(&fragment);
        }
        self.read_whole();
    }

    fn keep(&mut self, fragment: &Fragment<'_>) {
        let is_past = self.next.is_some_and(|next| fragment.number < next);
        let held: usize = self.parts.values().map(|parts| parts.body.len()).sum();
        let is_new = !self.parts.contains_key(&fragment.number);
        let is_too_much = self.parts.len() >= MAX_MESSAGES || held + fragment.length > Self::MAX_HELD;
        if is_past || fragment.length > MAX_MESSAGE || (is_new && is_too_much) {
            return;
        }
        let parts = self.parts.entry(fragment.number).or_insert_with(|| Parts {
            kind: fragment.kind,
            body: vec![0; fragment.length],
            there: Vec::new(),
        });
        if parts.kind == fragment.kind && parts.body.len() == fragment.length {
            parts.put(fragment.offset, fragment.bytes);
        }
    }

    /// Messages in their order, as far as they are whole.
    fn read_whole(&mut self) {
        loop {
            let next = self.next.or_else(|| {
                let hello = self.parts.iter().find(|(_, parts)| parts.kind == SERVER_HELLO && parts.is_whole());
                hello.map(|(number, _)| *number)
            });
            let Some(number) = next.filter(|number| self.parts.get(number).is_some_and(Parts::is_whole)) else {
                return;
            };
            let Some(parts) = self.parts.remove(&number) else { return };
            self.next = Some(number.saturating_add(1));
            self.parts.retain(|other, _| *other > number);
            let length = parts.body.len().to_be_bytes();
            let mut message = vec![parts.kind];
            message.extend_from_slice(length.last_chunk::<3>().map_or(&[], |length| length.as_slice()));
            message.extend_from_slice(&parts.body);
            self.pass_on(Record::HANDSHAKE, &message);
        }
    }

    /// As TLS would have it: messages are the same but for their headers.
    fn pass_on(&mut self, kind: u8, payload: &[u8]) {
        for piece in payload.chunks(1 << 14) {
            let mut record = vec![kind];
            record.extend_from_slice(&Version::TLS1_2.0.to_be_bytes());
            record.extend_from_slice(&u16::try_from(piece.len()).unwrap_or_default().to_be_bytes());
            record.extend_from_slice(piece);
            self.flight.feed(&record);
        }
    }
}

/// RFC 6347 §4.2.2.
struct Fragment<'a> {
    kind: u8,
    /// Of the whole message.
    length: usize,
    number: u16,
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let u24 = |[a, b, c]: [u8; 3]| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let kind = reader.u8()?;
        let length = u24(reader.array()?);
        let number = reader.u16()?;
        let (offset, part) = (u24(reader.array()?), u24(reader.array()?));
        let bytes = reader.take(part)?;
        (offset + part <= length).then_some(Self { kind, length, number, offset, bytes })
    }

    /// §4.2.1.
    fn cookie(&self) -> Option<&'a [u8]> {
        let mut reader = Reader::new(self.bytes);
        let (_version, length) = (reader.u16()?, reader.u8()?);
        reader.take(usize::from(length)).filter(|cookie| !cookie.is_empty())
    }
}

impl Parts {
    fn is_whole(&self) -> bool {
        self.body.is_empty() || self.there == [(0, self.body.len())]
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        let Some(place) = self.body.get_mut(offset..end) else { return };
        if bytes.is_empty() || self.there.len() >= MAX_PIECES {
            return;
        }
        place.copy_from_slice(bytes);
        self.there.push((offset, end));
        self.there.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(self.there.len());
        for &(from, to) in &self.there {
            match merged.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => merged.push((from, to)),
            }
        }
        self.there = merged;
    }
}
