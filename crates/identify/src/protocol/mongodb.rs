//! `MongoDB`'s wire protocol: asked for its build information, which needs no login. `OP_MSG` with one BSON document each way.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "mongodb",
    speaker: Speaker::Client,
    ports: &[27017, 27018, 27019],
    request: Some(|_| question()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x3a\0\0\0\x01\0\0\0pd\0\0\xdd\x07\0\0\0\0\0\0\0\x25\0\0\0\x02version\0\x07\0\0\x006.0.13\0\x01ok\0\0\0\0\0\0\0\xf0\x3f\0",
    ],
};

const ID: &[u8; 4] = b"pd\0\0";
const OP_MSG: u32 = 2013;

fn question() -> Vec<u8> {
    const DOCUMENT: &[u8] = b"\x23\0\0\0\x10buildInfo\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
    let rest = [ID.as_slice(), &[0; 4], &OP_MSG.to_le_bytes(), &[0; 5], DOCUMENT].concat();
    let length = u32::try_from(rest.len() + 4).unwrap_or_default();
    [length.to_le_bytes().as_slice(), &rest].concat()
}

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    let Some(length) = reader.u32_le() else {
        let small = received.bytes.get(2).is_none_or(|byte| *byte == 0);
        return if small { Parse::need_more(received) } else { Parse::No };
    };
    // Who asked is told his own number, and that comes at the ninth byte.
    let ours = received.bytes.get(8..).unwrap_or_default().iter().zip(ID).all(|(got, sent)| got == sent);
    if !(26..64 * 1024).contains(&length) || !ours {
        return Parse::No;
    }
    let enough = usize::try_from(length).unwrap_or(usize::MAX).min(12 * 1024);
    let Some(message) = received.bytes.get(..enough) else { return Parse::need_more(received) };
    let mut reader = Reader::new(message);
    reader.take(12);
    let (operation, _flags, section) = (reader.u32_le(), reader.u32_le(), reader.u8());
    if operation != Some(OP_MSG) || section != Some(0) {
        return Parse::No;
    }
    let mut service = named("mongodb");
    let fields = strings(reader.rest());
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    product::name(&mut service, "mongodb", field("version").and_then(text::version));
    if field("version").is_none() {
        note(&mut service, "mongodb.error", field("codeName").or(field("errmsg")).unwrap_or_default());
        // Others speak this protocol too.
        service.product = None;
        service.vendor = None;
        service.cpe.clear();
    }
    Parse::certain(service)
}

/// The fields of text at the top of a BSON document, as far as its elements are of kinds whose length is known.
fn strings(document: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader::new(document);
    reader.take(4);
    let mut fields = Vec::new();
    for _ in 0..64 {
        let Some((kind, name)) = reader.u8().filter(|kind| *kind != 0).zip(reader.until(0)) else { break };
        let skipped = match kind {
            0x02 => {
                let length = reader.u32_le().and_then(|length| usize::try_from(length).ok());
                let Some(value) = length.and_then(|length| reader.take(length)) else { break };
                let value = value.strip_suffix(b"\0").unwrap_or(value);
                fields.push((text::printable(name), text::printable(value)));
                continue;
            }
            // Documents and lists count their own length.
            0x03 | 0x04 => {
                let length = Reader::new(reader.rest()).u32_le().and_then(|length| usize::try_from(length).ok());
                length.filter(|length| *length >= 5)
            }
            0x01 | 0x09 | 0x11 | 0x12 => Some(8),
            0x07 => Some(12),
            0x08 => Some(1),
            0x0a => Some(0),
            0x10 => Some(4),
            _ => None,
        };
        if skipped.and_then(|length| reader.take(length)).is_none() {
            break;
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.version.as_deref(), Some("6.0.13"));
        assert_eq!(answer.service.product.as_deref(), Some("MongoDB"));
    }

    #[test]
    fn the_question_is_sound_and_no_answer() {
        let question = question();
        assert_eq!(question.len(), 56);
        assert_eq!(question[0], 56);
        assert_eq!(question[21], 35, "the document");
        assert_eq!(parse(Received::ended(&question)), Parse::No);
    }
}
