//! RDP: a connection request of X.224 that offers TLS and what builds upon it ([MS-RDPBCGR] §2.2.1.1 and §2.2.1.2).

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};
use identify::Reader;

const ASKED: Stage = Stage::SECOND;
/// TPKT, X.224 connection request without a cookie, and the protocols: TLS, `CredSSP`, `CredSSP` with early authorization.
pub(crate) const QUESTION: [u8; 19] = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0x0b, 0, 0, 0];
const CONFIRM: u8 = 0xd0;

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage == Stage::FRESH {
        return say(heard.len(), QUESTION, ASKED);
    }
    let mut reader = Reader::new(heard);
    if reading::byte(&mut reader)? != 3 {
        return refuse(Refusal::foreign(heard));
    }
    let (_reserved, length) = (reading::byte(&mut reader)?, reader.u16().ok_or(Turn::More)?);
    let Some(rest) = usize::from(length).checked_sub(4).filter(|rest| (7..512).contains(rest)) else {
        return refuse(Refusal::foreign(heard));
    };
    let mut packet = Reader::new(reading::take(&mut reader, rest)?);
    let fixed = packet.take(7).unwrap_or_default();
    if fixed.get(1) != Some(&CONFIRM) {
        return refuse(Refusal::foreign(heard));
    }
    match *packet.rest() {
        [2, _, 8, 0, 1 | 2 | 8, 0, 0, 0, ..] => Ok(Turn::Begin { used: usize::from(length) }),
        // Nothing negotiated, or nothing but RDP's own encryption: no certificate of this kind.
        [] | [2, _, 8, 0, ..] => refuse(Refusal::NotOffered),
        [3, _, 8, 0, code, ..] => refuse(Refusal::Declined(match code {
            2 => "TLS is not allowed by the server".to_owned(),
            3 => "the server has no certificate".to_owned(),
            code => format!("negotiation failure {code}"),
        })),
        _ => refuse(Refusal::foreign(heard)),
    }
}
