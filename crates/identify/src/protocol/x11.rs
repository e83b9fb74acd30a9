//! X11 (X Window System Protocol, §8): a connection without authorization, which is mostly refused with a reason.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "x11",
    speaker: Speaker::Client,
    ports: &[6000, 6001, 6002, 6003],
    // Little-endian, version 11.0, no authorization.
    request: Some(|_| b"l\0\x0b\0\0\0\0\0\0\0\0\0".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\0\x16\x0b\0\0\0\x06\0No protocol specified\n\0\0",
        b"\x01\0\x0b\0\0\0\x0c\0\x98\xd3\xb8\0\0\0\x20\0\xff\xff\x1f\0\0\x01\0\0\x0a\0\xff\xff\x01\x02\0\0\x20\x20\x08\xff\0\0\0\0X.Org zorb\0\0\x01\x01\x20\0",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    let bytes = received.bytes;
    let sound = bytes.iter().zip(0..6).all(|(byte, at)| match at {
        0 => matches!(byte, 0..=2),
        1 => true,
        2 => *byte == 11,
        _ => *byte == 0,
    });
    if !sound {
        return Parse::No;
    }
    let mut reader = Reader::new(bytes);
    let (Some([state, length]), Some(_version), Some(words)) = (reader.array(), reader.u32(), reader.u16_le()) else {
        return Parse::need_more(received);
    };
    if usize::from(words) * 4 < usize::from(length) || words == 0 {
        return Parse::No;
    }
    let mut service = named("x11");
    if state == 1 {
        // The vendor's name stands behind 32 bytes, its length and the release among them.
        let mut fixed = Reader::new(reader.rest());
        let (Some(release), Some(_), Some(length)) = (fixed.u32_le(), fixed.take(12), fixed.u16_le()) else {
            return Parse::need_more(received);
        };
        let Some(vendor) = reader.rest().get(32..).and_then(|rest| rest.get(..usize::from(length))) else {
            return if length < 256 { Parse::need_more(received) } else { Parse::No };
        };
        let vendor = text::printable(vendor);
        note(&mut service, "x11.access", "open");
        note(&mut service, "x11.release", release.to_string());
        product::name(&mut service, &vendor, None);
        service.banner = Some(vendor);
        return Parse::certain(service);
    }
    // An authorization to be continued says nothing of its length.
    let length = if state == 2 { usize::from(words) * 4 } else { usize::from(length) };
    let Some(reason) = reader.take(length) else {
        return if length < 1024 { Parse::need_more(received) } else { Parse::No };
    };
    note(&mut service, "x11.access", "refused");
    service.banner = Some(text::printable(reason));
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_and_refused() {
        for (sample, access, banner) in
            [(PROTOCOL.samples[0], "refused", "No protocol specified"), (PROTOCOL.samples[1], "open", "X.Org zorb")]
        {
            let Parse::Yes(answer) = parse(Received::open(sample)) else { panic!() };
            assert_eq!(answer.service.facts["x11.access"], access);
            assert_eq!(answer.service.banner.as_deref(), Some(banner));
        }
    }
}
