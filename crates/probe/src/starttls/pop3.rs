//! POP3 (RFC 2595 §4).

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};

const ASKED: Stage = Stage::SECOND;

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage == Stage::MET {
        return say(heard.len(), "STLS\r\n", ASKED);
    }
    let (line, used) = reading::line(heard)?;
    match stage {
        Stage::FRESH if line.starts_with(b"-ERR") => refuse(Refusal::later(line)),
        _ if line.starts_with(b"-ERR") => refuse(Refusal::declined(line)),
        _ if !line.starts_with(b"+OK") => refuse(Refusal::foreign(line)),
        Stage::FRESH => say(used, "STLS\r\n", ASKED),
        _ => Ok(Turn::Begin { used }),
    }
}
