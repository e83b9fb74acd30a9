//! Multicast DNS asked by unicast (RFC 6762 §5.5, RFC 6763 §9): which kinds of service are offered.

use super::{Protocol, Speaker, named, note};
use crate::{Reader, answer::Parse, text};
use model::Service;
use std::collections::BTreeSet;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "mdns",
    speaker: Speaker::Client,
    ports: &[5353],
    request: Some(|_| QUESTION.to_vec()),
    parse: |received| message(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"md\x84\0\0\x01\0\x01\0\0\0\0\x09_services\x07_dns-sd\x04_udp\x05local\0\0\x0c\0\x01\xc0\x0c\0\x0c\0\x01\0\0\0\x0a\0\x0d\x05_http\x04_tcp\xc0\x23",
    ],
};

/// `_services._dns-sd._udp.local PTR`, the answer wanted by unicast.
const QUESTION: &[u8] = b"md\0\0\0\x01\0\0\0\0\0\0\x09_services\x07_dns-sd\x04_udp\x05local\0\0\x0c\x80\x01";

fn message(bytes: &[u8]) -> Option<Service> {
    const PTR: u16 = 12;
    let mut reader = Reader::new(bytes);
    let (id, flags) = (reader.array::<2>()?, reader.u16()?);
    // One that takes us for another speaker of multicast answers with number 0.
    let ours = id == *b"md" || id == [0, 0];
    (ours && flags & 0xf800 == 0x8000).then_some(())?;
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    (questions <= 1 && (1..=64).contains(&answers)).then_some(())?;
    reader.take(4)?;
    let asked = Reader::new(QUESTION.get(12..)?).until(0)?;
    let mut kinds = BTreeSet::new();
    let mut is_answer = false;
    for _ in 0..questions {
        is_answer |= reader.until(0)? == asked;
        reader.take(4)?;
    }
    for _ in 0..answers {
        // A pointer, or the name written out.
        match reader.rest().first()? {
            0xc0..=0xff => _ = reader.u16()?,
            _ => is_answer |= reader.until(0)? == asked,
        }
        let kind = reader.u16()?;
        reader.take(6)?;
        let length = reader.u16()?;
        let mut data = Reader::new(reader.take(usize::from(length))?);
        if kind == PTR
            && let Some(first) = data.u8().and_then(|length| data.take(usize::from(length)))
        {
            kinds.insert(text::printable(first).trim_start_matches('_').to_owned());
        }
    }
    is_answer.then_some(())?;
    let mut service = named("mdns");
    note(&mut service, "mdns.services", kinds.into_iter().collect::<Vec<_>>().join(" "));
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered() {
        assert_eq!(message(PROTOCOL.samples[0]).unwrap().facts["mdns.services"], "http");
        assert_eq!(message(QUESTION), None);
    }
}
