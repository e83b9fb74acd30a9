//! IKE version 2 (RFC 7296): the beginning of an association that is never made. Any answer names the protocol; one that takes
//! the proposal shows whose it is by its vendor ids.

use super::{Protocol, Speaker, named, note};
use crate::{Reader, answer::Parse};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "isakmp",
    speaker: Speaker::Client,
    ports: &[500],
    request: Some(|_| question()),
    parse: |received| message(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"perimetr\x11\x22\x33\x44\x55\x66\x77\x88\x29\x20\x22\x20\0\0\0\0\0\0\0\x24\0\0\0\x08\0\0\0\x0e",
        b"perimetr\0\0\0\0\0\0\0\0\x0b\x10\x05\0\0\0\0\0\0\0\0\x1c",
    ],
};

const SPI: &[u8; 8] = b"perimetr";
const SA: u8 = 33;
const KEY_EXCHANGE: u8 = 34;
const NONCE: u8 = 40;
const NOTIFY: u8 = 41;
const VENDOR: u8 = 43;

/// `IKE_SA_INIT`: AES-128-CBC, HMAC-SHA1 and SHA-256, group 14, with a public value and a nonce that nobody knows the secret of.
fn question() -> Vec<u8> {
    const TRANSFORMS: &[u8] = b"\x03\0\0\x0c\x01\0\0\x0c\x80\x0e\0\x80\
        \x03\0\0\x08\x02\0\0\x05\x03\0\0\x08\x02\0\0\x02\x03\0\0\x08\x03\0\0\x0c\x03\0\0\x08\x03\0\0\x02\0\0\0\x08\x04\0\0\x0e";
    let length = |bytes: usize| u16::try_from(bytes + 4).unwrap_or_default().to_be_bytes();
    let proposal = [&[0, 0], length(TRANSFORMS.len() + 4).as_slice(), &[1, 1, 0, 6], TRANSFORMS].concat();
    let association = [&[KEY_EXCHANGE, 0], length(proposal.len()).as_slice(), &proposal].concat();
    // Any number below the prime will do: its first byte is not 0xff.
    let public: Vec<u8> = (1..=255).chain([7]).collect();
    let exchange = [&[NONCE, 0], length(public.len() + 4).as_slice(), &[0, 14, 0, 0], &public].concat();
    let nonce = [&[0, 0], length(32).as_slice(), b"perimeterd says nobody and means"].concat();
    let payloads = [association, exchange, nonce].concat();
    let whole = u32::try_from(28 + payloads.len()).unwrap_or_default();
    [SPI.as_slice(), &[0; 8], &[SA, 0x20, 34, 0x08], &[0; 4], &whole.to_be_bytes(), &payloads].concat()
}

fn message(bytes: &[u8]) -> Option<Service> {
    const RESPONSE: u8 = 0x20;
    let mut reader = Reader::new(bytes.strip_prefix(SPI)?);
    reader.take(8)?;
    let [mut next, version, exchange, flags] = reader.array()?;
    let _id = reader.u32()?;
    let length = reader.u32()?;
    let whole = usize::try_from(length).ok()? == bytes.len();
    let mut service = named("isakmp");
    match version >> 4 {
        // Not as long as it says is not what such a server sends.
        2 if whole && exchange == 34 && flags & RESPONSE != 0 => note(&mut service, "ike.version", "2"),
        // A version that knows nothing of the second says so (RFC 2408 §3.14).
        1 if whole && exchange == 5 => {
            note(&mut service, "ike.version", "1");
            return Some(service);
        }
        _ => return None,
    }
    let mut vendors = Vec::new();
    for _ in 0..16 {
        let Some((following, length)) = reader.u16().map(|head| head >> 8).zip(reader.u16()) else { break };
        let Some(contents) = usize::from(length).checked_sub(4).and_then(|length| reader.take(length)) else { break };
        match next {
            NOTIFY => {
                // Errors come below 16384 (RFC 7296 §3.10.1); the others come with every answer.
                let kind = contents.get(2..4).and_then(|kind| Reader::new(kind).u16());
                if let Some(kind) = kind.filter(|kind| *kind < 16384) {
                    note(&mut service, "ike.error", kind.to_string());
                }
            }
            VENDOR => vendors.extend(vendor(contents)),
            SA => note(&mut service, "ike.proposal", "accepted"),
            _ => {}
        }
        next = u8::try_from(following).ok()?;
        if next == 0 {
            break;
        }
    }
    vendors.sort_unstable();
    vendors.dedup();
    note(&mut service, "ike.vendors", vendors.join(", "));
    Some(service)
}

/// Vendor ids that are words, or begin with them.
fn vendor(id: &[u8]) -> Option<String> {
    let text: Vec<u8> = id.iter().copied().take_while(u8::is_ascii_graphic).collect();
    (text.len() >= 5).then(|| String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_sound_and_no_answer() {
        let question = question();
        assert_eq!(question.get(24..28), Some(u32::try_from(question.len()).unwrap().to_be_bytes().as_slice()));
        let mut reader = Reader::new(&question[28..]);
        let mut kinds = vec![SA];
        while let (Some(next), Some(_), Some(length)) = (reader.u8(), reader.u8(), reader.u16()) {
            assert!(reader.take(usize::from(length) - 4).is_some());
            kinds.push(next);
        }
        assert_eq!(kinds, [SA, KEY_EXCHANGE, NONCE, 0]);
        assert_eq!(message(&question), None);
    }

    #[test]
    fn answers() {
        let service = message(PROTOCOL.samples[0]).unwrap();
        assert_eq!((service.facts["ike.version"].as_str(), service.facts["ike.error"].as_str()), ("2", "14"));
        assert_eq!(message(PROTOCOL.samples[1]).unwrap().facts["ike.version"], "1");
        let payloads = b"\x00\x00\x00\x0estrongSwan";
        let head = [SPI.as_slice(), &[9; 8], &[VENDOR, 0x20, 34, RESPONSE_FLAG], &[0; 7], &[42]].concat();
        assert_eq!(message(&[head.as_slice(), payloads].concat()).unwrap().facts["ike.vendors"], "strongSwan");
    }

    const RESPONSE_FLAG: u8 = 0x20;
}
