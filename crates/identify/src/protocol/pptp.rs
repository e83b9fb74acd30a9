//! PPTP (RFC 2637): a request to start a control connection, and the reply with host name, vendor and firmware.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "pptp",
    speaker: Speaker::Client,
    ports: &[1723],
    request: Some(|_| question()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\0\x9c\0\x01\x1a\x2b\x3c\x4d\0\x02\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\0\x01\0\x01local\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0linux\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ],
};

const LENGTH: usize = 156;
/// Length, control message, magic cookie.
const HEAD: &[u8] = b"\0\x9c\0\x01\x1a\x2b\x3c\x4d\0";

fn question() -> Vec<u8> {
    // Start-Control-Connection-Request: version 1.0, any framing, any bearer, no channels.
    let mut packet = [HEAD, b"\x01\0\0\x01\0\0\0\0\0\0\x03\0\0\0\x03\0\0\0\0"].concat();
    packet.resize(28, 0);
    packet.extend(b"perimeterd");
    packet.resize(LENGTH, 0);
    packet
}

fn parse(received: Received<'_>) -> Parse {
    if let Some(parse) = received.lacks(&[HEAD, &[2]].concat()) {
        return parse;
    }
    let Some(packet) = received.bytes.get(..LENGTH) else { return Parse::need_more(received) };
    let mut reader = Reader::new(packet);
    reader.take(26);
    let Some(firmware) = reader.u16() else { return Parse::No };
    let mut text =
        || reader.take(64).and_then(|field| Reader::new(field).until(0)).map(text::printable).unwrap_or_default();
    let (host, vendor) = (text(), text());
    let mut service = named("pptp");
    note(&mut service, "pptp.host", host);
    note(&mut service, "pptp.firmware", firmware.to_string());
    note(&mut service, "pptp.vendor", vendor);
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.facts["pptp.vendor"], "linux");
        assert_eq!(answer.service.facts["pptp.host"], "local");
        assert_eq!(answer.service.facts["pptp.firmware"], "1");
        assert_eq!((question().len(), parse(Received::ended(&question()))), (LENGTH, Parse::No));
    }
}
