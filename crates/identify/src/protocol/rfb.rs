//! RFB, VNC's protocol (RFC 6143 §7.1.1): twelve bytes of version.

use super::{Protocol, Speaker};
use crate::{
    answer::{Next, Parse, Received, Strength},
    text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "rfb",
    speaker: Speaker::Server,
    ports: &[5900, 5901, 5902, 5903],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[b"RFB 003.008\n", b"RFB 003.889\n"],
};

fn parse(received: Received<'_>) -> Parse {
    let Some(line) = received.bytes.first_chunk::<12>() else {
        let begun = received.may_become(b"RFB ") || received.bytes.starts_with(b"RFB ");
        return if begun { Parse::need_more(received) } else { Parse::No };
    };
    let digits =
        |range: std::ops::Range<usize>| line.get(range).is_some_and(|digits| digits.iter().all(u8::is_ascii_digit));
    let shaped = line.starts_with(b"RFB ")
        && digits(4..7)
        && line.get(7) == Some(&b'.')
        && digits(8..11)
        && line.ends_with(b"\n");
    if !shaped {
        return Parse::No;
    }
    let service = Service { name: "rfb".into(), banner: Some(text::printable(line)), ..Service::default() };
    Parse::yes(service, Strength::Structure, Next::Nothing)
}
