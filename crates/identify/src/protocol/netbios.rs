//! `NetBIOS` name service (RFC 1002 §4.2.17): the node status of whoever is asked, with its names and its hardware address.

use super::{Protocol, Speaker, named, note};
use crate::{Reader, answer::Parse, product, text};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "netbios-ns",
    speaker: Speaker::Client,
    ports: &[137],
    request: Some(|_| QUESTION.to_vec()),
    parse: |received| message(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"nb\x84\0\0\0\0\x01\0\0\0\0\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01\0\0\0\0\0\x53\x02FILES          \x00\x04\0WORKGROUP      \x00\x84\0\x02\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ],
};

const ID: &[u8] = b"nb";
/// NBSTAT of `*`, in the encoding of two letters a character.
const QUESTION: &[u8] = b"nb\0\0\0\x01\0\0\0\0\0\0\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01";

fn message(bytes: &[u8]) -> Option<Service> {
    const NBSTAT: u16 = 0x21;
    const GROUP: u16 = 0x8000;
    let mut reader = Reader::new(bytes.strip_prefix(ID)?);
    let (flags, _questions, answers) = (reader.u16()?, reader.u16()?, reader.u16()?);
    (flags & 0xf800 == 0x8000 && answers == 1).then_some(())?;
    reader.take(4)?;
    // The name that was asked for, in its 34 bytes.
    reader.take(34)?;
    (reader.u16()? == NBSTAT).then_some(())?;
    reader.take(6)?;
    let _length = reader.u16()?;
    let mut service = named("netbios-ns");
    let mut suffixes = Vec::new();
    for _ in 0..reader.u8()?.min(32) {
        let (name, suffix, flags) = (reader.take(15)?, reader.u8()?, reader.u16()?);
        suffixes.push(suffix);
        let fact = match (suffix, flags & GROUP != 0) {
            (0, false) => "netbios.computer",
            (0, true) => "netbios.workgroup",
            _ => continue,
        };
        if !service.facts.contains_key(fact) {
            note(&mut service, fact, name);
        }
    }
    let address = reader.array::<6>();
    // nmbd alone has no address to tell, and always the three names of a workstation, a messenger and a server.
    if address == Some([0; 6]) && [0, 3, 0x20].iter().all(|suffix| suffixes.contains(suffix)) {
        product::name(&mut service, "samba", None);
    }
    if let Some(address) = address.filter(|address| *address != [0; 6]) {
        let address: Vec<String> = address.iter().map(|byte| format!("{byte:02x}")).collect();
        note(&mut service, "netbios.mac", address.join(":"));
    }
    service.banner = service.facts.get("netbios.computer").map(|name| text::printable(name.as_bytes()));
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_address() {
        let service = message(PROTOCOL.samples[0]).unwrap();
        assert_eq!(service.facts["netbios.computer"], "FILES");
        assert_eq!(service.facts["netbios.workgroup"], "WORKGROUP");
        assert_eq!(service.facts["netbios.mac"], "02:00:00:00:00:07");
        assert_eq!(message(QUESTION), None);
    }
}
