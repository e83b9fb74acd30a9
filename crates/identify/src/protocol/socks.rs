//! SOCKS 5 (RFC 1928): two bytes that mean something only to who has asked; nothing is asked of the proxy itself.

use super::{Protocol, Speaker, named, note};
use crate::answer::{Next, Parse, Received, Strength};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "socks",
    speaker: Speaker::Client,
    ports: &[1080, 9050],
    // Without authentication, or with a name and a password.
    request: Some(|_| b"\x05\x02\0\x02".to_vec()),
    parse,
    reply: Some(reply),
    #[cfg(test)]
    samples: &[b"\x05\xff"],
};

/// To somebody who speaks something else: no method of yours will do. That is all it says.
fn parse(received: Received<'_>) -> Parse {
    match received.bytes {
        [5, 0xff] if received.ended => Parse::yes(named("socks"), Strength::Weak, Next::Again),
        [5] | [5, 0xff] => Parse::need_more(received),
        _ => Parse::No,
    }
}

fn reply(received: Received<'_>) -> Parse {
    let authentication = match received.bytes {
        [5, 0] => "none",
        [5, 2] => "password",
        [5, 0xff] => "other",
        [5] => return Parse::need_more(received),
        _ => return Parse::No,
    };
    let mut service = named("socks");
    note(&mut service, "socks.version", "5");
    note(&mut service, "socks.authentication", authentication);
    Parse::yes(service, Strength::Grammar, Next::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_bytes_are_an_answer() {
        for (bytes, expect) in
            [(b"\x05\0".as_slice(), Some("none")), (b"\x05\xff", Some("other")), (b"\x05\0\0", None), (b"", None)]
        {
            let found = match reply(Received::ended(bytes)) {
                Parse::Yes(answer) => Some(answer.service.facts["socks.authentication"].clone()),
                _ => None,
            };
            assert_eq!(found.as_deref(), expect);
        }
    }
}
