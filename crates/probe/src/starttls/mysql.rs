//! `MySQL` and `MariaDB`: the greeting's capabilities, then a short packet that is not answered.

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};
use identify::Reader;

const ASKED: Stage = Stage::SECOND;

const CLIENT_LONG_PASSWORD: u32 = 1;
const CLIENT_PROTOCOL_41: u32 = 0x0200;
const CLIENT_SSL: u16 = 0x0800;
const CLIENT_SECURE_CONNECTION: u32 = 0x8000;
/// The most we would take in one packet.
const MAX_PACKET: u32 = 1 << 24;
const UTF8: u8 = 33;

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage == ASKED {
        return Ok(Turn::Begin { used: 0 });
    }
    let mut reader = Reader::new(heard);
    let header = reading::take(&mut reader, 4)?;
    let &[low, middle, high, sequence] = header else { return Err(Turn::More) };
    let length = u32::from_le_bytes([low, middle, high, 0]);
    if sequence != 0 || !(3..=2048).contains(&length) {
        return refuse(Refusal::foreign(heard));
    }
    let mut greeting = Reader::new(reading::take(&mut reader, usize::try_from(length).unwrap_or(usize::MAX))?);
    match greeting.u8() {
        Some(10) => {}
        // Too many connections, or too many of ours that came to nothing.
        Some(0xff) => return refuse(Refusal::later(greeting.rest().get(2..).unwrap_or_default())),
        _ => return refuse(Refusal::foreign(heard)),
    }
    // Version, thread, half of the salt and its end.
    let capabilities = greeting.until(0).and_then(|_| greeting.take(13)).and_then(|_| greeting.u16_le());
    match capabilities {
        Some(capabilities) if capabilities & CLIENT_SSL != 0 => say(heard.len(), request(), ASKED),
        _ => refuse(Refusal::NotOffered),
    }
}

fn request() -> Vec<u8> {
    let capabilities = CLIENT_LONG_PASSWORD | CLIENT_PROTOCOL_41 | u32::from(CLIENT_SSL) | CLIENT_SECURE_CONNECTION;
    let mut request = vec![32, 0, 0, 1];
    request.extend(capabilities.to_le_bytes());
    request.extend(MAX_PACKET.to_le_bytes());
    request.push(UTF8);
    request.extend([0; 23]);
    request
}
