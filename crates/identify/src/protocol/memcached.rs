//! memcached: asked for its version, by TCP and by UDP, where eight bytes of frame stand before the same words.

use super::{Protocol, Speaker, named};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "memcache",
    speaker: Speaker::Client,
    ports: &[11211],
    request: Some(|_| WORDS.to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[b"VERSION 1.6.18\r\n", b"ERROR\r\nVERSION 1.6.18\r\n", b"ERROR\r\nERROR\r\n"],
};

pub(super) static BY_DATAGRAM: Protocol = Protocol {
    name: "memcache",
    speaker: Speaker::Client,
    ports: &[11211],
    request: Some(|_| [FRAME, WORDS].concat()),
    parse: parse_datagram,
    reply: None,
    #[cfg(test)]
    samples: &[b"pd\0\0\0\x01\0\0VERSION 1.6.18\r\n", b"pd\0\0\0\x01\0\0ERROR\r\n"],
};

pub(super) const WORDS: &[u8] = b"version\r\n";
/// Request `pd`, datagram 0 of 1.
const FRAME: &[u8] = b"pd\0\0\0\x01\0\0";
/// What it says to a command that it does not know.
pub(super) const ERROR: &[u8] = b"ERROR";

fn parse(received: Received<'_>) -> Parse {
    // Asked something else before, it has complained, of every line.
    let mut bytes = received.bytes;
    let mut complaints = 0;
    while let Some(rest) = bytes.strip_prefix(b"ERROR\r\n") {
        (bytes, complaints) = (rest, complaints + 1);
    }
    let complained = complaints > 0;
    let rest = Received { bytes, ..received };
    if complaints > 1 && bytes.is_empty() {
        return Parse::yes(named("memcache"), Strength::Weak, Next::Own);
    }
    if let Some(parse) = rest.lacks(b"VERSION ") {
        // Others say no more than that, and are not waited for.
        return if complained && bytes.is_empty() { Parse::No } else { parse };
    }
    match Reader::new(bytes).line() {
        None if bytes.len() < 64 => Parse::need_more(received),
        Some(line) => service(line)
            .map_or(Parse::No, |service| Parse::yes(service, Strength::Grammar, Next::Farewell(b"quit\r\n"))),
        None => Parse::No,
    }
}

fn parse_datagram(received: Received<'_>) -> Parse {
    let Some(words) = received.bytes.strip_prefix(FRAME) else { return Parse::No };
    let line = Reader::new(words).line();
    let found = match line {
        Some(ERROR) => Some(named("memcache")),
        Some(line) => service(line),
        None => None,
    };
    found.map_or(Parse::No, Parse::certain)
}

fn service(line: &[u8]) -> Option<Service> {
    let line = text::printable(line);
    let version = text::version(line.strip_prefix("VERSION ")?)?;
    let mut service = named("memcache");
    product::name(&mut service, "memcached", Some(version));
    service.banner = Some(line);
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version() {
        for (sample, parse) in
            [(PROTOCOL.samples[0], parse as fn(Received<'_>) -> Parse), (BY_DATAGRAM.samples[0], parse_datagram)]
        {
            let Parse::Yes(answer) = parse(Received::open(sample)) else { panic!() };
            assert_eq!(answer.service.version.as_deref(), Some("1.6.18"));
            assert_eq!(answer.service.cpe, ["cpe:2.3:a:memcached:memcached:1.6.18:*:*:*:*:*:*:*"]);
        }
        assert_eq!(parse(Received::ended(b"VERSION none\r\n")), Parse::No);
    }
}
