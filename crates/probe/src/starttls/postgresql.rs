//! `PostgreSQL`: `SSLRequest`, answered by one byte.

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};
use identify::Reader;

const ASKED: Stage = Stage::SECOND;
/// A length of eight bytes and the code 1234.5679, which no version of the protocol has.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage == Stage::FRESH {
        return say(heard.len(), SSL_REQUEST, ASKED);
    }
    let mut reader = Reader::new(heard);
    match reading::byte(&mut reader)? {
        b'S' => Ok(Turn::Begin { used: 1 }),
        b'N' => refuse(Refusal::NotOffered),
        // An error message, from those older than TLS and from some poolers.
        b'E' => refuse(Refusal::declined(heard.get(5..).unwrap_or_default())),
        _ => refuse(Refusal::foreign(heard)),
    }
}
