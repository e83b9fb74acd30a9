//! LDAP (RFC 4511 §4.14): an extended operation.

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};
use identify::Reader;

const ASKED: Stage = Stage::SECOND;
const OID: &[u8] = b"1.3.6.1.4.1.1466.20037";
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const ENUMERATED: u8 = 0x0a;
const OCTETS: u8 = 0x04;
/// `[APPLICATION 24]`, an `ExtendedResponse`.
const EXTENDED_RESPONSE: u8 = 0x78;

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage != ASKED {
        return say(heard.len(), request(), ASKED);
    }
    let mut reader = Reader::new(heard);
    loop {
        if reader.rest().first().is_some_and(|tag| *tag != SEQUENCE) {
            return refuse(Refusal::foreign(reader.rest()));
        }
        let Some(mut message) = reader.expect(SEQUENCE).map(Reader::new) else {
            // Lengths that are none never come to an end: a header takes six bytes at most.
            let sound = length_may_be(reader.rest());
            return if sound { Err(Turn::More) } else { refuse(Refusal::foreign(reader.rest())) };
        };
        let Some(operation) = message.expect(INTEGER).and_then(|_| message.element()) else {
            return refuse(Refusal::foreign(heard));
        };
        // What is left of answers to questions before.
        if operation.tag != EXTENDED_RESPONSE {
            continue;
        }
        let mut response = Reader::new(operation.contents);
        let Some(code) = response.expect(ENUMERATED) else { return refuse(Refusal::foreign(heard)) };
        let told = response.expect(OCTETS).and_then(|_| response.expect(OCTETS)).unwrap_or_default();
        return match code {
            [0] => Ok(Turn::Begin { used: heard.len() - reader.rest().len() }),
            [code, ..] => {
                let told = reading::excerpt(told);
                refuse(Refusal::Declined(format!("result {code}{}{told}", if told.is_empty() { "" } else { ": " })))
            }
            [] => refuse(Refusal::foreign(heard)),
        };
    }
}

fn request() -> Vec<u8> {
    // LDAPMessage { messageID 2, [APPLICATION 23] { [0] OID } }; the first message may have been another question.
    let mut request = vec![SEQUENCE, 0x1d, INTEGER, 1, 2, 0x77, 0x18, 0x80, 0x16];
    request.extend(OID);
    request
}

/// A definite length in short form or in up to four bytes, and no more than anybody would answer with.
fn length_may_be(element: &[u8]) -> bool {
    let mut reader = Reader::new(element);
    match (reader.u8(), reader.u8()) {
        (_, None | Some(0..=0x7f)) => true,
        (_, Some(long @ 0x81..=0x84)) => {
            let digits = reader.take(usize::from(long & 0x7f)).unwrap_or_default();
            digits.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)) < super::upgrade::MOST_HEARD
        }
        _ => false,
    }
}
