//! `MySQL`'s X protocol: frames of Protobuf. A server notices us at once, and tells its capabilities to whoever asks.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "mysqlx",
    speaker: Speaker::Client,
    ports: &[33060],
    request: Some(|_| CAPABILITIES_GET.to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x05\0\0\0\x0b\x08\x05\x1a\0",
        b"\x1c\0\0\0\x02\x0a\x19authentication.mechanisms",
        b"\x05\0\0\0\x0b\x08\x05\x1a\0\x1c\0\0\0\x02\x0a\x19authentication.mechanisms",
    ],
};

const CAPABILITIES_GET: &[u8] = b"\x01\0\0\0\x01";
/// A notice that a connection is served, and nothing else.
const HELLO: &[u8] = b"\x05\0\0\0\x0b\x08\x05\x1a\0";

fn parse(received: Received<'_>) -> Parse {
    const CAPABILITIES: u8 = 2;
    // The first field is a capability, and one of these is among them.
    const NAMES: [&[u8]; 4] = [b"tls", b"authentication.mechanisms", b"doc.formats", b"client."];
    let (bytes, greeted) = match received.bytes.strip_prefix(HELLO) {
        Some(rest) => (rest, true),
        None => (received.bytes, false),
    };
    let mut service = named("mysqlx");
    product::name(&mut service, "mysql", None);
    if greeted && bytes.is_empty() {
        return Parse::yes(service, Strength::Structure, Next::Say(CAPABILITIES_GET));
    }
    let mut reader = Reader::new(bytes);
    let (Some(length), Some(kind)) = (reader.u32_le(), reader.u8()) else {
        let hopes =
            greeted || received.may_become(HELLO) || bytes.get(2..).unwrap_or_default().iter().all(|byte| *byte == 0);
        return if hopes { Parse::need_more(received) } else { Parse::No };
    };
    if !greeted && received.may_become(HELLO) {
        return Parse::NeedMore;
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let shape = reader.rest().first().is_none_or(|field| *field == 0x0a);
    if kind != CAPABILITIES || !(8..4096).contains(&length) || !shape {
        return if greeted { Parse::certain(service) } else { Parse::No };
    }
    let Some(message) = reader.take(length - 1) else { return Parse::need_more(received) };
    let has = |name: &[u8]| message.windows(name.len()).any(|window| window == name);
    if !NAMES.iter().any(|name| has(name)) {
        return Parse::No;
    }
    note(&mut service, "mysqlx.tls", if has(b"tls") { "yes" } else { "no" });
    Parse::certain(service)
}
