//! Microsoft's RPC (C706 §12.6.4, [MS-RPCE]): a bind to the endpoint mapper that brings NTLM's first message along, and the
//! acknowledgement with the challenge.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    ntlm,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "epmap",
    speaker: Speaker::Client,
    ports: &[135, 593],
    request: Some(|_| [BIND, &ntlm::NEGOTIATE].concat()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x05\0\x0c\x03\x10\0\0\0\x20\0\0\0\x01\0\0\0\xb8\x10\xb8\x10\x01\x00\x00\x00\x04\x00135\0\0\0",
        b"\x05\0\x0d\x03\x10\0\0\0\x18\0\0\0\x01\0\0\0\x04\0\x00\x00\x00\x00\x00\x00",
    ],
};

/// Connection-oriented, version 5.0, little-endian; one context: the endpoint mapper in NDR; then a security trailer.
const BIND: &[u8] = b"\x05\0\x0b\x03\x10\0\0\0\x78\0\x28\0\x01\0\0\0\
    \xb8\x10\xb8\x10\0\0\0\0\x01\0\0\0\0\0\x01\0\
    \x08\x83\xaf\xe1\x1f\x5d\xc9\x11\x91\xa4\x08\0\x2b\x14\xa0\xfa\x03\0\0\0\
    \x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\0\x2b\x10\x48\x60\x02\0\0\0\
    \x0a\x02\0\0\0\0\0\0";

fn parse(received: Received<'_>) -> Parse {
    const ACKNOWLEDGED: u8 = 12;
    const REFUSED: u8 = 13;
    let mut reader = Reader::new(received.bytes);
    if let Some(parse) = received.lacks(b"\x05\0") {
        return parse;
    }
    let (Some([_, _, kind, _flags]), Some([format, ..]), Some(length)) =
        (reader.array(), reader.array::<4>(), reader.u16_le())
    else {
        let begun = matches!(received.bytes.get(2), None | Some(&(ACKNOWLEDGED | REFUSED)));
        return if begun && received.bytes.len() > 2 { Parse::need_more(received) } else { beginning(received) };
    };
    let sensible = matches!(kind, ACKNOWLEDGED | REFUSED) && format == 0x10 && (24..4096).contains(&length);
    if !sensible {
        return Parse::No;
    }
    let Some(packet) = received.bytes.get(..usize::from(length)) else { return Parse::need_more(received) };
    let mut service = named("epmap");
    note(&mut service, "rpc.bind", if kind == ACKNOWLEDGED { "accepted" } else { "refused" });
    if let Some(challenge) = ntlm::challenge(packet) {
        challenge.tell(&mut service);
    }
    if service.os.is_some() {
        service.vendor = Some("Microsoft".into());
        service.product = Some("Windows RPC".into());
    }
    Parse::certain(service)
}

/// Two bytes are not enough to refute it, and little enough to wait for.
fn beginning(received: Received<'_>) -> Parse {
    if received.bytes.len() <= 2 { Parse::need_more(received) } else { Parse::No }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntlm::tests::sample;

    #[test]
    fn the_question_is_as_long_as_it_says() {
        assert_eq!(BIND.len() + ntlm::NEGOTIATE.len(), 0x78);
    }

    #[test]
    fn the_build_comes_with_the_acknowledgement() {
        let token = sample((10, 0, 14393), &[(1, "APP")]);
        let mut packet = PROTOCOL.samples[0].to_vec();
        packet.extend(token);
        packet[8] = u8::try_from(packet.len()).unwrap();
        let Parse::Yes(answer) = parse(Received::open(&packet)) else { panic!() };
        assert_eq!(answer.service.os.map(|os| os.to_string()).as_deref(), Some("Windows 10.0.14393"));
        assert_eq!(answer.service.facts["ntlm.computer"], "APP");
    }
}
