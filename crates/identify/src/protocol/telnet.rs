//! Telnet (RFC 854): option negotiation.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "telnet",
    speaker: Speaker::Server,
    ports: &[23, 2323],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[b"\xff\xfd\x18\xff\xfd\x20", b"\xff\xfb\x01"],
};

fn parse(received: Received<'_>) -> Parse {
    const IAC: u8 = 0xff;
    let mut reader = Reader::new(received.bytes);
    match (reader.u8(), reader.u8(), reader.u8()) {
        // WILL, WONT, DO, DONT and an option that has been assigned.
        (Some(IAC), Some(0xfb..=0xfe), Some(0..=49 | 200)) => {
            Parse::yes(Service { name: "telnet".into(), ..Service::default() }, Strength::Structure, Next::Nothing)
        }
        (Some(IAC), None | Some(0xfb..=0xfe), None) => Parse::need_more(received),
        _ => Parse::No,
    }
}
