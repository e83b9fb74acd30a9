//! IRC: `STARTTLS` before registration, answered by numeric 670 or 691 (`IRCv3`, the tls capability).

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};

const ASKED: Stage = Stage::SECOND;

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    // Where it was recognised by what it made of the same question, that was the answer.
    let answered = stage == Stage::MET && heard.split(|byte| *byte == b'\n').any(is_answer);
    if stage != ASKED && !answered {
        return say(heard.len(), "STARTTLS\r\n", ASKED);
    }
    let mut used = 0;
    loop {
        let (line, length) = reading::line(heard.get(used..).unwrap_or_default())?;
        used += length;
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let mut word = words.next().unwrap_or_default();
        if word.starts_with(b":") {
            word = words.next().unwrap_or_default();
        }
        match word {
            b"670" => return Ok(Turn::Begin { used }),
            b"PING" => {
                let token = words.next().unwrap_or_default();
                return say(used, [b"PONG ", token, b"\r\n"].concat(), ASKED);
            }
            // Unknown command, not registered, too early or too late, failed: all a no.
            b"691" | b"421" | b"451" | b"462" | b"ERROR" => return refuse(Refusal::declined(line)),
            // Looking up hosts and idents, and what else servers chat about.
            b"NOTICE" | b"CAP" | b"" => {}
            numeric if numeric.len() == 3 && numeric.iter().all(u8::is_ascii_digit) => {}
            _ => return refuse(Refusal::foreign(line)),
        }
    }
}

fn is_answer(line: &[u8]) -> bool {
    let words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty() && !word.starts_with(b":"));
    words.take(1).any(|word| matches!(word, b"670" | b"691" | b"421" | b"451" | b"462"))
}
