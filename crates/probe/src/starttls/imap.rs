//! IMAP (RFC 9051 §6.2.1).

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};

const ASKED: Stage = Stage::SECOND;
const TAG: &[u8] = b"p1 ";

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage == ASKED { answer(heard) } else { greeting(heard) }
}

fn greeting(heard: &[u8]) -> Taken {
    let (line, _) = reading::line(heard)?;
    let upper = line.to_ascii_uppercase();
    if upper.starts_with(b"* BYE") {
        return refuse(Refusal::later(line));
    }
    if upper.starts_with(b"* PREAUTH") {
        // Too late for it (RFC 9051 §6.2.1).
        return refuse(Refusal::NotOffered);
    }
    if !upper.starts_with(b"* OK") {
        return refuse(Refusal::foreign(line));
    }
    let lists = reading::find(&upper, b"[CAPABILITY ").is_some();
    if lists && reading::find(&upper, b"STARTTLS").is_none() {
        return refuse(Refusal::NotOffered);
    }
    say(heard.len(), [TAG, b"STARTTLS\r\n"].concat(), ASKED)
}

fn answer(heard: &[u8]) -> Taken {
    let mut used = 0;
    loop {
        let (line, length) = reading::line(heard.get(used..).unwrap_or_default())?;
        used += length;
        match line.strip_prefix(TAG).map(<[u8]>::to_ascii_uppercase) {
            Some(status) if status.starts_with(b"OK") => return Ok(Turn::Begin { used }),
            Some(_) => return refuse(Refusal::declined(line)),
            None if line.starts_with(b"* BYE") => return refuse(Refusal::later(line)),
            None if line.starts_with(b"*") => {}
            None => return refuse(Refusal::foreign(line)),
        }
    }
}
