//! STUN (RFC 8489): a binding request; the answer often names its software.

use super::{Protocol, Speaker, named};
use crate::{Reader, answer::Parse, product, text};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "stun",
    speaker: Speaker::Client,
    ports: &[3478, 19302],
    request: Some(|_| [b"\0\x01\0\0\x21\x12\xa4\x42".as_slice(), ID].concat()),
    parse: |received| message(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x01\x01\0\x24\x21\x12\xa4\x42perimeterd!!\0\x20\0\x08\0\x01\x11\x22\xe1\x12\xa6\x4b\x80\x22\0\x14Coturn-4.6.1 'Gorst'",
        b"\x01\x11\0\0\x21\x12\xa4\x42perimeterd!!",
    ],
};

const ID: &[u8] = b"perimeterd!!";

fn message(bytes: &[u8]) -> Option<Service> {
    const SOFTWARE: u16 = 0x8022;
    let mut reader = Reader::new(bytes);
    // Success or error to a binding request.
    let (kind, length, cookie) = (reader.u16()?, reader.u16()?, reader.u32()?);
    let is_answer = matches!(kind, 0x0101 | 0x0111) && cookie == 0x2112_a442 && reader.take(ID.len())? == ID;
    (is_answer && usize::from(length) == reader.rest().len()).then_some(())?;
    let mut service = named("stun");
    for _ in 0..32 {
        let (Some(kind), Some(length)) = (reader.u16(), reader.u16()) else { break };
        let Some(value) = reader.take(usize::from(length)) else { break };
        reader.take(usize::from(length).next_multiple_of(4) - usize::from(length));
        if kind == SOFTWARE {
            let said = text::printable(value);
            // `Coturn-4.6.1 'Gorst'`.
            if let Some((name, rest)) = said.split_once(['-', '/']) {
                product::name(&mut service, name, text::version(rest));
            }
            service.banner = Some(said);
        }
    }
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software() {
        let service = message(PROTOCOL.samples[0]).unwrap();
        assert_eq!((service.product.as_deref(), service.version.as_deref()), (Some("coturn"), Some("4.6.1")));
    }
}
