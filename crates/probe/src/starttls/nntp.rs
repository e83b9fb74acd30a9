//! NNTP (RFC 4642 §2.2).

use super::{Stage, Taken, Turn, reading, refuse, say};

const ASKED: Stage = Stage::SECOND;

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage == Stage::MET {
        return say(heard.len(), "STARTTLS\r\n", ASKED);
    }
    let reply = reading::reply(heard)?;
    match (stage, reply.code) {
        (Stage::FRESH, 200 | 201) => say(reply.used, "STARTTLS\r\n", ASKED),
        (ASKED, 382) => Ok(Turn::Begin { used: reply.used }),
        _ => refuse(reply.declined()),
    }
}
