//! Telnet: option 46, `START_TLS`, as the draft of Altman and others has it.

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};

const OFFERED: Stage = Stage::SECOND;
const FOLLOWS: Stage = Stage::THIRD;

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;
const START_TLS: u8 = 46;

const AGREED: [u8; 6] = [IAC, SB, START_TLS, 1, IAC, SE];

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    let said = |word: u8| reading::find(heard, &[IAC, word, START_TLS]).is_some();
    if stage == FOLLOWS {
        return match reading::find(heard, &AGREED) {
            Some(at) => Ok(Turn::Begin { used: at + AGREED.len() }),
            None if said(DONT) || said(WONT) => refuse(Refusal::NotOffered),
            None => Err(Turn::More),
        };
    }
    if said(DO) {
        let mut words = AGREED.to_vec();
        if stage != OFFERED {
            words.splice(..0, [IAC, WILL, START_TLS]);
        }
        // It may have said its part of what follows already.
        let at = reading::find(heard, &[IAC, DO, START_TLS]).unwrap_or(0);
        return say(at + 3, words, FOLLOWS);
    }
    if said(DONT) || said(WONT) {
        return refuse(Refusal::NotOffered);
    }
    match stage {
        OFFERED => Err(Turn::More),
        _ if heard.is_empty() => Err(Turn::More),
        _ if heard.first() != Some(&IAC) && stage == Stage::FRESH => refuse(Refusal::foreign(heard)),
        // Nothing of it yet: we ask, and it has to answer (RFC 854).
        _ => say(heard.len(), [IAC, WILL, START_TLS], OFFERED),
    }
}
