//! `ManageSieve` (RFC 5804 §2.2): capabilities line by line, then a status.

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};

const ASKED: Stage = Stage::SECOND;

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    let mut used = 0;
    let mut offered = false;
    loop {
        let (line, length) = reading::line(heard.get(used..).unwrap_or_default())?;
        used += length;
        let upper = line.to_ascii_uppercase();
        let is = |word: &[u8]| upper == word || upper.starts_with(&[word, b" "].concat());
        if is(b"OK") || upper.starts_with(b"OK(") {
            return match stage {
                ASKED => Ok(Turn::Begin { used }),
                _ if offered => say(heard.len(), "STARTTLS\r\n", ASKED),
                _ => refuse(Refusal::NotOffered),
            };
        }
        if upper.starts_with(b"BYE") {
            return refuse(Refusal::later(line));
        }
        if upper.starts_with(b"NO") {
            return refuse(Refusal::declined(line));
        }
        if stage == ASKED || !line.starts_with(b"\"") {
            return refuse(Refusal::foreign(line));
        }
        offered |= upper.starts_with(b"\"STARTTLS\"");
    }
}
