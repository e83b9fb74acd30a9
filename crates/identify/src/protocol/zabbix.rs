//! Zabbix's agent: asked for its version, which it tells those it is configured to tell.

use super::{Protocol, Speaker, named};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "zabbix-agent",
    speaker: Speaker::Client,
    ports: &[10050],
    request: Some(|_| b"ZBXD\x01\x0d\0\0\0\0\0\0\0agent.version".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"ZBXD\x01\x06\0\0\0\0\0\0\x006.0.14",
        b"ZBXD\x01\x28\0\0\0\0\0\0\0ZBX_NOTSUPPORTED\0Unsupported item key.\0\0",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    if let Some(parse) = received.lacks(b"ZBXD\x01") {
        return parse;
    }
    let mut reader = Reader::new(received.bytes);
    reader.take(5);
    let Some(length) = reader.u64_le() else { return Parse::need_more(received) };
    // The upper half is reserved, or the size before compression.
    let length = usize::try_from(length & 0xffff_ffff).unwrap_or(usize::MAX);
    if length > 4096 {
        return Parse::No;
    }
    let Some(value) = reader.take(length) else { return Parse::need_more(received) };
    let value = text::printable(value);
    // An echo frames it like that too.
    if value == "agent.version" {
        return Parse::No;
    }
    let mut service = named("zabbix-agent");
    if value.starts_with("ZBX_") {
        return Parse::yes(service, Strength::Structure, Next::Again);
    }
    product::name(&mut service, "zabbix agent", text::version(&value));
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.version.as_deref(), Some("6.0.14"));
    }
}
