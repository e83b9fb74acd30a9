//! Microsoft SQL Server: pre-login ([MS-TDS] §2.2.6.5), after which TLS is spoken inside packets of the same kind.

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};
use identify::Reader;

const ASKED: Stage = Stage::SECOND;
/// Packet types: pre-login, and a server's answer.
pub(super) const PRE_LOGIN: u8 = 0x12;
pub(super) const RESPONSE: u8 = 0x04;
pub(super) const HEADER: usize = 8;

const ENCRYPTION: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const END: u8 = 0xff;

/// The question: version, encryption (wanted), no instance, no thread, no MARS.
pub(crate) const QUESTION: [u8; 47] = [
    PRE_LOGIN, 1, 0, 47, 0, 0, 0, 0, // a last packet of 47 bytes
    0, 0, 26, 0, 6, // version
    ENCRYPTION, 0, 32, 0, 1, // encryption
    2, 0, 33, 0, 1, // instance
    3, 0, 34, 0, 4, // thread
    4, 0, 38, 0, 1,   // MARS
    END, //
    15, 0, 0, 0, 0, 0, // 15.0
    1, // encryption on
    0, // any instance
    0, 0, 0, 0, // thread nought
    0, // no MARS
];

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage == Stage::FRESH {
        return say(heard.len(), QUESTION, ASKED);
    }
    let mut reader = Reader::new(heard);
    let kind = reading::byte(&mut reader)?;
    if kind != RESPONSE {
        return refuse(Refusal::foreign(heard));
    }
    let (_status, length) = (reading::byte(&mut reader)?, reader.u16().ok_or(Turn::More)?);
    let Some(rest) = usize::from(length).checked_sub(4).filter(|rest| (5..4096).contains(rest)) else {
        return refuse(Refusal::foreign(heard));
    };
    let packet = reading::take(&mut reader, rest)?;
    // Spid, packet number and window are nobody's business here.
    let options = packet.get(4..).unwrap_or_default();
    match option(options, ENCRYPTION) {
        Some(&[NOT_SUPPORTED, ..]) => refuse(Refusal::NotOffered),
        Some(&[0 | 1 | 3, ..]) => Ok(Turn::Begin { used: usize::from(length) }),
        _ => refuse(Refusal::foreign(heard)),
    }
}

/// The value of a pre-login option.
fn option(options: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(options);
    loop {
        let token = reader.u8().filter(|token| *token != END)?;
        let (offset, length) = (reader.u16()?, reader.u16()?);
        if token == wanted {
            return options.get(usize::from(offset)..)?.get(..usize::from(length));
        }
    }
}
