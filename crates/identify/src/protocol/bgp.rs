//! BGP (RFC 4271 §4): a router that is not told who calls opens, or says why it does not.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
};
use std::net::Ipv4Addr;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "bgp",
    speaker: Speaker::Server,
    ports: &[179],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\x15\x03\x06\x05",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\x1d\x01\x04\xfd\xe8\0\xb4\xc0\0\x02\x07\0",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const OPEN: u8 = 1;
    const NOTIFICATION: u8 = 3;
    if let Some(parse) = received.lacks(&[0xff; 16]) {
        return parse;
    }
    let mut reader = Reader::new(received.bytes);
    reader.take(16);
    let (Some(length), Some(kind)) = (reader.u16(), reader.u8()) else { return Parse::need_more(received) };
    if !(21..512).contains(&length) || !matches!(kind, OPEN | NOTIFICATION) {
        return Parse::No;
    }
    let Some(message) = reader.take(usize::from(length) - 19) else { return Parse::need_more(received) };
    let mut message = Reader::new(message);
    let mut service = named("bgp");
    if kind == NOTIFICATION {
        let (Some(code @ 1..=8), Some(detail)) = (message.u8(), message.u8()) else { return Parse::No };
        note(&mut service, "bgp.notification", format!("{code}/{detail}"));
        return Parse::certain(service);
    }
    let (Some(4), Some(system), Some(_hold), Some(router)) =
        (message.u8(), message.u16(), message.u16(), message.array::<4>())
    else {
        return Parse::No;
    };
    note(&mut service, "bgp.as", system.to_string());
    note(&mut service, "bgp.router", Ipv4Addr::from(router).to_string());
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_and_refuses() {
        for (sample, fact, value) in
            [(PROTOCOL.samples[0], "bgp.notification", "6/5"), (PROTOCOL.samples[1], "bgp.as", "65000")]
        {
            let Parse::Yes(answer) = parse(Received::open(sample)) else { panic!() };
            assert_eq!(answer.service.facts[fact], value);
        }
    }
}
