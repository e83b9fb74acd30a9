//! TFTP (RFC 1350): asked for a file that is not there. It answers from another port.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "tftp",
    speaker: Speaker::Client,
    ports: &[69],
    request: Some(|_| b"\0\x01perimeterd-does-not-exist\0octet\0".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[b"\0\x05\0\x01File not found\0", b"\0\x05\0\0permission denied\0"],
};

fn parse(received: Received<'_>) -> Parse {
    const ERROR: u16 = 5;
    const DATA: u16 = 3;
    let mut reader = Reader::new(received.bytes);
    let mut service = named("tftp");
    match (reader.u16(), reader.u16()) {
        (Some(ERROR), Some(0..=8)) => {
            let Some(reason) = reader.until(0).filter(|_| reader.is_empty()) else { return Parse::No };
            // Every server words it in its own way.
            service.banner = Some(text::printable(reason)).filter(|reason| !reason.is_empty());
        }
        // It has such a file, or makes one up.
        (Some(DATA), Some(1)) if reader.rest().len() <= 512 => note(&mut service, "tftp.file", "sent"),
        _ => return Parse::No,
    }
    Parse::yes(service, Strength::Grammar, Next::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says() {
        let Parse::Yes(answer) = parse(Received::ended(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.banner.as_deref(), Some("File not found"));
        assert_eq!(parse(Received::ended(b"\0\x05\0\x63x\0")), Parse::No);
    }
}
