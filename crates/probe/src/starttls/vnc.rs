//! VNC (RFC 6143 §7.1): security type 19, `VeNCrypt` 0.2, and of its kinds those with X.509 certificates.

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};
use identify::Reader;

const TYPES: Stage = Stage::SECOND;
const VERSION: Stage = Stage::THIRD;
const KINDS: Stage = Stage::FOURTH;
const CHOSEN: Stage = Stage::FIFTH;
const DECIDED: Stage = Stage::SIXTH;

const TLS_ANONYMOUS: u8 = 18;
const VENCRYPT: u8 = 19;
/// With a certificate, and then: nothing, VNC's password, a plain one, SASL.
const X509: [u32; 4] = [260, 261, 262, 264];

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    let mut reader = Reader::new(heard);
    match stage {
        Stage::FRESH | Stage::MET => {
            let line = reading::take(&mut reader, 12)?;
            let minor = line.strip_prefix(b"RFB 003.").and_then(|rest| rest.strip_suffix(b"\n"));
            match minor {
                // In version 3.3 the server decides. It is also what servers say to those they have had enough of.
                Some(b"003" | b"005") => say(12, "RFB 003.003\n", DECIDED),
                Some(b"007") => say(12, "RFB 003.007\n", TYPES),
                Some(_) => say(12, "RFB 003.008\n", TYPES),
                None if line.starts_with(b"RFB 00") => say(12, "RFB 003.008\n", TYPES),
                None => refuse(Refusal::foreign(heard)),
            }
        }
        TYPES => {
            let count = reading::byte(&mut reader)?;
            if count == 0 {
                return reason(&mut reader);
            }
            let types = reading::take(&mut reader, usize::from(count))?;
            if types.contains(&VENCRYPT) {
                say(heard.len(), [VENCRYPT], VERSION)
            } else if types.contains(&TLS_ANONYMOUS) {
                refuse(Refusal::Anonymous)
            } else {
                refuse(Refusal::NotOffered)
            }
        }
        VERSION => match reading::take(&mut reader, 2)? {
            [0, 0 | 1] => refuse(Refusal::NotOffered),
            _ => say(2, [0, 2], KINDS),
        },
        KINDS => {
            if reading::byte(&mut reader)? != 0 {
                return refuse(Refusal::Declined("it does not speak VeNCrypt 0.2".to_owned()));
            }
            let count = reading::byte(&mut reader)?;
            let mut kinds = Vec::new();
            for _ in 0..count {
                kinds.push(reader.u32().ok_or(Turn::More)?);
            }
            match X509.iter().find(|kind| kinds.contains(kind)) {
                Some(kind) => say(heard.len(), kind.to_be_bytes(), CHOSEN),
                None if kinds.iter().any(|kind| matches!(kind, 257..=259 | 263)) => refuse(Refusal::Anonymous),
                None => refuse(Refusal::NotOffered),
            }
        }
        DECIDED => match reader.u32().ok_or(Turn::More)? {
            0 => reason(&mut reader),
            _ => refuse(Refusal::NotOffered),
        },
        _ => match reading::byte(&mut reader)? {
            1 => Ok(Turn::Begin { used: 1 }),
            _ => refuse(Refusal::Declined("it cannot begin TLS now".to_owned())),
        },
    }
}

/// Why it turns us away, which it does after too many of those that did not log in.
fn reason(reader: &mut Reader<'_>) -> Taken {
    let length = reader.u32().ok_or(Turn::More)?.min(512);
    let words = reading::take(reader, usize::try_from(length).unwrap_or(512))?;
    refuse(Refusal::later(words))
}
