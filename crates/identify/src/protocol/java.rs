//! What speaks Java's own protocols: AJP 1.3 of servlet containers, RMI, and the debugger's JDWP.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};

pub(super) static AJP: Protocol = Protocol {
    name: "ajp13",
    speaker: Speaker::Client,
    ports: &[8009],
    // CPing.
    request: Some(|_| b"\x12\x34\0\x01\x0a".to_vec()),
    parse: |received| exactly(received, b"AB\0\x01\x09", "ajp13"),
    reply: None,
    #[cfg(test)]
    samples: &[b"AB\0\x01\x09"],
};

pub(super) static RMI: Protocol = Protocol {
    name: "rmiregistry",
    speaker: Speaker::Client,
    ports: &[1099, 1098],
    // Java Remote Method Protocol version 2, as a stream.
    request: Some(|_| b"JRMI\0\x02\x4b".to_vec()),
    parse: rmi,
    reply: None,
    #[cfg(test)]
    samples: &[b"\x4e\0\x09192.0.2.9\0\0\xc3\x50", b"\x4e\x00\x0bscanner.lan\0\0\xc3\x50"],
};

pub(super) static JDWP: Protocol = Protocol {
    name: "jdwp",
    speaker: Speaker::Client,
    ports: &[5005, 8787],
    request: Some(|_| HANDSHAKE.to_vec()),
    parse: jdwp,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"JDWP-Handshake",
        b"JDWP-Handshake\0\0\0\x2b\0\0\0\x01\x80\0\0\0\0\0\x04Java\0\0\0\x01\0\0\0\x08\0\0\0\x0617.0.9\0\0\0\x02VM",
    ],
};

const HANDSHAKE: &[u8] = b"JDWP-Handshake";
/// Command 1, `VirtualMachine.Version`.
const VERSION: &[u8] = b"\0\0\0\x0b\0\0\0\x01\0\x01\x01";

fn exactly(received: Received<'_>, expect: &[u8], name: &str) -> Parse {
    received.lacks(expect).unwrap_or_else(|| Parse::certain(named(name)))
}

/// `ProtocolAck`: our own address and port as the server sees them.
fn rmi(received: Received<'_>) -> Parse {
    if let Some(parse) = received.lacks(b"\x4e\0") {
        return parse;
    }
    let mut reader = Reader::new(received.bytes);
    reader.take(1);
    let Some(length) = reader.u16() else { return Parse::need_more(received) };
    let host = reader.rest().get(..usize::from(length)).unwrap_or(reader.rest());
    let shaped = (3..=253).contains(&length)
        && host.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'%'));
    if !shaped {
        return Parse::No;
    }
    let (Some(_), Some(port)) = (reader.take(usize::from(length)), reader.rest().first_chunk::<4>()) else {
        return Parse::need_more(received);
    };
    let is_port = port.starts_with(&[0, 0]) && reader.rest().len() == port.len();
    if is_port { Parse::certain(named("rmiregistry")) } else { Parse::No }
}

/// The handshake comes back, which an echo does too; so the version is asked for.
fn jdwp(received: Received<'_>) -> Parse {
    const REPLY: u8 = 0x80;
    if let Some(parse) = received.lacks(HANDSHAKE) {
        return parse;
    }
    let mut service = named("jdwp");
    let mut reader = Reader::new(received.bytes.get(HANDSHAKE.len()..).unwrap_or_default());
    if reader.is_empty() {
        return Parse::yes(service, Strength::Grammar, Next::Say(VERSION));
    }
    let Some(length) = reader.u32() else { return Parse::need_more(received) };
    if !(11..4096).contains(&length) {
        return Parse::No;
    }
    let Some(reply) = usize::try_from(length - 4).ok().and_then(|length| reader.take(length)) else {
        return Parse::need_more(received);
    };
    if reply.get(4) != Some(&REPLY) {
        return Parse::No;
    }
    let mut reader = Reader::new(reply.get(7..).unwrap_or_default());
    let mut text = || {
        let length = reader.u32().and_then(|length| usize::try_from(length).ok())?;
        reader.take(length).map(text::printable)
    };
    let _description = text();
    reader.take(8);
    let mut text = || {
        let length = reader.u32().and_then(|length| usize::try_from(length).ok())?;
        reader.take(length).map(text::printable)
    };
    let (version, machine) = (text(), text());
    product::name(&mut service, "java", version.as_deref().and_then(text::version));
    note(&mut service, "java.vm", machine.unwrap_or_default());
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debugger_is_no_echo() {
        let Parse::Yes(answer) = jdwp(Received::open(JDWP.samples[0])) else { panic!() };
        assert_eq!(answer.next, Next::Say(VERSION));
        assert_eq!(jdwp(Received::open(&[HANDSHAKE, VERSION].concat())), Parse::No);
        let Parse::Yes(answer) = jdwp(Received::open(JDWP.samples[1])) else { panic!() };
        assert_eq!(answer.service.version.as_deref(), Some("17.0.9"));
        assert_eq!(answer.service.facts["java.vm"], "VM");
    }
}
