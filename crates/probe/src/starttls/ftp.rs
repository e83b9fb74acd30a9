//! FTP (RFC 4217 §4): `AUTH TLS`, and `AUTH SSL` for those that know only the older word.

use super::{Stage, Taken, Turn, reading, refuse, say};

const ASKED: Stage = Stage::SECOND;
const ASKED_AGAIN: Stage = Stage::THIRD;

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage == Stage::MET {
        return say(heard.len(), "AUTH TLS\r\n", ASKED);
    }
    let reply = reading::reply(heard)?;
    match (stage, reply.code) {
        // "Ready in so many minutes": the greeting proper is still to come.
        (Stage::FRESH, 120) => say(reply.used, "", Stage::FRESH),
        (Stage::FRESH, 220) => say(reply.used, "AUTH TLS\r\n", ASKED),
        // 334 is what those answered that were written before the standard was.
        (ASKED | ASKED_AGAIN, 234) | (ASKED_AGAIN, 334) => Ok(Turn::Begin { used: reply.used }),
        // It does not know that mechanism.
        (ASKED, 504) => say(reply.used, "AUTH SSL\r\n", ASKED_AGAIN),
        _ => refuse(reply.declined()),
    }
}
