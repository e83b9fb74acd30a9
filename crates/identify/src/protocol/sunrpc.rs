//! ONC RPC (RFC 5531) and its portmapper (RFC 1833): asked for the list of programs, by TCP and by UDP.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
};
use model::Service;
use std::collections::BTreeSet;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "sunrpc",
    speaker: Speaker::Client,
    ports: &[111],
    request: Some(|_| [&MARK.to_be_bytes(), CALL].concat()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x80\0\0\x30perp\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\x86\xa0\0\0\0\x02\0\0\0\x06\0\0\0\x6f\0\0\0\0",
        b"\x80\0\0\x14perp\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x05",
    ],
};

pub(super) static BY_DATAGRAM: Protocol = Protocol {
    name: "sunrpc",
    speaker: Speaker::Client,
    ports: &[111],
    request: Some(|_| CALL.to_vec()),
    parse: |received| message(received.bytes).map_or(Parse::No, Parse::certain),
    reply: None,
    #[cfg(test)]
    samples: &[
        b"perp\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\x86\xa3\0\0\0\x04\0\0\0\x11\0\0\x08\x01\0\0\0\0",
    ],
};

const ID: &[u8] = b"perp";
/// Call of program 100000 version 2, procedure 4 (DUMP), without credentials.
const CALL: &[u8] = b"perp\0\0\0\0\0\0\0\x02\0\x01\x86\xa0\0\0\0\x02\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// A last fragment of forty bytes (RFC 5531 §11).
const MARK: u32 = 0x8000_0028;

fn parse(received: Received<'_>) -> Parse {
    let bytes = received.bytes;
    let begun = bytes.first().is_none_or(|byte| *byte == 0x80)
        && bytes.get(1).is_none_or(|byte| *byte == 0)
        && bytes.get(4..).unwrap_or_default().iter().zip(ID).all(|(got, sent)| got == sent);
    if !begun {
        return Parse::No;
    }
    let mut reader = Reader::new(bytes);
    let Some(mark) = reader.u32() else { return Parse::need_more(received) };
    let length = usize::try_from(mark & 0x7fff_ffff).unwrap_or(usize::MAX);
    if !(20..=15 * 1024).contains(&length) {
        return Parse::No;
    }
    match reader.take(length) {
        None => Parse::need_more(received),
        Some(reply) => message(reply).map_or(Parse::No, Parse::certain),
    }
}

fn message(bytes: &[u8]) -> Option<Service> {
    const REPLY: u32 = 1;
    let mut reader = Reader::new(bytes.strip_prefix(ID)?);
    let (kind, denied) = (reader.u32()?, reader.u32()?);
    (kind == REPLY && denied <= 1).then_some(())?;
    let mut service = named("sunrpc");
    if denied == 1 {
        // Mismatch or a failed authentication.
        (reader.u32()? <= 1).then_some(())?;
        return Some(service);
    }
    // Who answers, and whether it went well.
    let (_flavour, length, state) = (reader.u32()?, reader.u32()?, reader.u32()?);
    (length == 0 && state <= 5).then_some(())?;
    let mut programs = BTreeSet::new();
    for _ in 0..256 {
        let Some(1) = reader.u32() else { break };
        let (Some(program), Some(version)) = (reader.u32(), reader.u32()) else { break };
        reader.take(8);
        programs.insert(match name(program) {
            Some(name) => format!("{name}/{version}"),
            None => format!("{program}/{version}"),
        });
    }
    let list = programs.into_iter().collect::<Vec<_>>().join(" ");
    note(&mut service, "rpc.programs", list);
    Some(service)
}

/// Programs by IANA's registry of RPC program numbers.
fn name(program: u32) -> Option<&'static str> {
    Some(match program {
        100_000 => "portmapper",
        100_001 => "rstatd",
        100_002 => "rusersd",
        100_003 => "nfs",
        100_004 => "ypserv",
        100_005 => "mountd",
        100_007 => "ypbind",
        100_011 => "rquotad",
        100_021 => "nlockmgr",
        100_024 => "status",
        100_227 => "nfs_acl",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs() {
        for (sample, list) in [(PROTOCOL.samples[0], "portmapper/2"), (PROTOCOL.samples[1], "")] {
            let Parse::Yes(answer) = parse(Received::open(sample)) else { panic!() };
            assert_eq!(answer.service.facts.get("rpc.programs").map_or("", String::as_str), list);
        }
        assert_eq!(message(BY_DATAGRAM.samples[0]).unwrap().facts["rpc.programs"], "nfs/4");
        assert_eq!(CALL.len(), 40);
        assert_eq!(message(CALL), None, "our own question echoed");
    }
}
