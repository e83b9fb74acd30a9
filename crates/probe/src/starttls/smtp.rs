//! SMTP (RFC 3207), and LMTP (RFC 2033), which differs in its first word.

use super::{Refusal, Stage, Taken, Turn, Words, reading, refuse, say};

const HELLO: Stage = Stage::SECOND;
const ASKED: Stage = Stage::THIRD;

pub(super) fn turn(stage: Stage, heard: &[u8], words: &Words<'_>, hello: &str) -> Taken {
    let hello = |used| say(used, format!("{hello} {}\r\n", words.helo), HELLO);
    match stage {
        Stage::FRESH => {
            let greeting = reading::reply(heard)?;
            if greeting.code == 220 { hello(greeting.used) } else { refuse(greeting.declined()) }
        }
        // The greeting, and what came of EHLO if that was said and understood.
        Stage::MET => {
            let rest = reading::reply(heard).ok().and_then(|greeting| heard.get(greeting.used..));
            match rest.map(reading::reply) {
                Some(Ok(ehlo)) if ehlo.code == 250 => offered(&ehlo, heard.len()),
                _ => hello(heard.len()),
            }
        }
        HELLO => {
            let ehlo = reading::reply(heard)?;
            if ehlo.code == 250 { offered(&ehlo, ehlo.used) } else { refuse(ehlo.declined()) }
        }
        _ => {
            let reply = reading::reply(heard)?;
            if reply.code == 220 { Ok(Turn::Begin { used: reply.used }) } else { refuse(reply.declined()) }
        }
    }
}

fn offered(ehlo: &reading::Reply<'_>, used: usize) -> Taken {
    if ehlo.offers(b"STARTTLS") { say(used, "STARTTLS\r\n", ASKED) } else { refuse(Refusal::NotOffered) }
}
