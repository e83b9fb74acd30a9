//! `OpenWire`, `ActiveMQ`'s protocol: the broker begins with its wire format.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "openwire",
    speaker: Speaker::Server,
    ports: &[61616, 61617],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\0\0\0\x49\x01ActiveMQ\0\0\0\x0c\x01\0\0\0\x34\0\0\0\x02\x00\x0fProviderVersion\x09\x00\x065.17.2\x00\x0cProviderName\x09\x00\x08ActiveMQ",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const MARK: &[u8] = b"\x01ActiveMQ";
    let mut reader = Reader::new(received.bytes);
    let Some(length) = reader.u32() else {
        let small = received.bytes.iter().take(2).all(|byte| *byte == 0);
        return if small { Parse::need_more(received) } else { Parse::No };
    };
    let marked = reader.rest().iter().zip(MARK).all(|(got, mark)| got == mark);
    if !(16..4096).contains(&length) || !marked {
        return Parse::No;
    }
    let Some(frame) = usize::try_from(length).ok().and_then(|length| reader.take(length)) else {
        return Parse::need_more(received);
    };
    let mut service = named("openwire");
    if let Some(version) = frame.get(9..).and_then(|rest| Reader::new(rest).u32()) {
        note(&mut service, "openwire.version", version.to_string());
    }
    let version = value(frame, b"ProviderVersion").map(text::printable);
    if value(frame, b"ProviderName").is_none_or(|name| name == b"ActiveMQ") {
        product::name(&mut service, "activemq", version.as_deref().and_then(text::version));
    }
    note(&mut service, "openwire.platform", value(frame, b"PlatformDetails").unwrap_or_default());
    Parse::certain(service)
}

/// The text under a key of the map of properties.
fn value<'a>(frame: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    const STRING: u8 = 9;
    let at = frame.windows(key.len()).position(|window| window == key)?;
    let mut reader = Reader::new(frame.get(at + key.len()..)?);
    (reader.u8()? == STRING).then_some(())?;
    let length = reader.u16()?;
    reader.take(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.product.as_deref(), Some("Apache ActiveMQ"));
        assert_eq!(answer.service.version.as_deref(), Some("5.17.2"));
    }
}
