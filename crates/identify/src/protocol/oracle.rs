//! Oracle's listener (TNS): asked for its version, it refuses with a description that has it as a number.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "oracle-tns",
    speaker: Speaker::Client,
    ports: &[1521, 1526],
    request: Some(|_| question()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x00\x44\x00\x00\x04\x00\x00\x00\x22\x00\x00\x38(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR=1189)(EMFI=4))",
        b"\x00\x20\x00\x00\x02\x00\x00\x00\x01\x36\x00\x00\x08\x00\x7f\xff\x01\x00\x00\x00\x00\x20\x61\x41\x00\x00\x00\x00\x00\x00\x00\x00",
    ],
};

const HEAD: u16 = 58;
const DATA: &[u8] = b"(CONNECT_DATA=(COMMAND=version))";

/// A CONNECT packet: version 3.14, compatible with 3.0; the data stand behind 58 bytes of header.
fn question() -> Vec<u8> {
    let length = u16::try_from(DATA.len()).unwrap_or_default();
    let mut packet = (HEAD + length).to_be_bytes().to_vec();
    packet.extend([0, 0, 1, 0, 0, 0, 0x01, 0x3a, 0x01, 0x2c, 0, 0, 0x08, 0, 0x7f, 0xff, 0x86, 0x0e, 0, 0, 1, 0]);
    packet.extend(length.to_be_bytes());
    packet.extend(HEAD.to_be_bytes());
    packet.resize(usize::from(HEAD), 0);
    packet.extend(DATA);
    packet
}

fn parse(received: Received<'_>) -> Parse {
    const ACCEPT: u8 = 2;
    const REFUSE: u8 = 4;
    const REDIRECT: u8 = 5;
    let mut reader = Reader::new(received.bytes);
    let Some(length) = reader.u16() else {
        let short = received.bytes.first().is_none_or(|high| *high < 8);
        return if short { Parse::need_more(received) } else { Parse::No };
    };
    let head = received.bytes.get(2..8).unwrap_or_else(|| received.bytes.get(2..).unwrap_or_default());
    let sound = head.iter().zip(0..).all(|(byte, at)| match at {
        2 => matches!(*byte, ACCEPT | REFUSE | REDIRECT),
        3 => true,
        _ => *byte == 0,
    });
    if !(12..2048).contains(&length) || !sound {
        return Parse::No;
    }
    let Some(packet) = received.bytes.get(..usize::from(length)) else { return Parse::need_more(received) };
    let said = text::printable(packet.get(8..).unwrap_or_default());
    let describes = said.contains("(DESCRIPTION=") || said.contains("(ADDRESS=");
    let accepts = packet.get(4) == Some(&ACCEPT) && matches!(packet.get(8..10), Some([1, 0x2c..=0x45]));
    if !describes && !accepts {
        return Parse::No;
    }
    let mut service = named("oracle-tns");
    if let Some(number) = text::after(&said, "(VSNNUM=").and_then(number) {
        product::name(&mut service, "oracle tns listener", Some(&version(number)));
    }
    if let Some(code) = text::after(&said, "(ERR=").and_then(number) {
        note(&mut service, "oracle.error", code.to_string());
    }
    Parse::certain(service)
}

fn number(text: &str) -> Option<u32> {
    text.split(')').next()?.parse().ok()
}

/// Five numbers in 8, 4, 8, 4 and 8 bits up to release 12; five in 8, 8, 4, 4 (as 8) and 8 from 18 on.
fn version(number: u32) -> String {
    let part = |shift: u32, mask: u32| number >> shift & mask;
    let major = part(24, 0xff);
    if major >= 18 {
        format!("{major}.{}.{}.{}.{}", part(16, 0xff), part(12, 0xf), part(4, 0xff), part(0, 0xf))
    } else {
        format!("{major}.{}.{}.{}.{}", part(20, 0xf), part(12, 0xff), part(8, 0xf), part(0, 0xff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (number, expect) in [(318_767_104, "19.0.0.0.0"), (186_647_552, "11.2.0.4.0"), (169_870_592, "10.2.0.5.0")]
        {
            assert_eq!(version(number), expect);
        }
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.version.as_deref(), Some("19.0.0.0.0"));
    }

    #[test]
    fn the_question_is_as_long_as_it_says() {
        let question = question();
        assert_eq!(usize::from(u16::from_be_bytes([question[0], question[1]])), question.len());
        assert!(question[58..].starts_with(b"(CONNECT_DATA="));
    }
}
