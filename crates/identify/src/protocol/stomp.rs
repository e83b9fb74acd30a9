//! STOMP 1.2: a CONNECT, and a frame that accepts or refuses it.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Parse, Received},
    product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "stomp",
    speaker: Speaker::Client,
    ports: &[61613, 61614],
    request: Some(|_| b"CONNECT\naccept-version:1.0,1.1,1.2\nhost:/\n\n\0".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"CONNECTED\nserver:RabbitMQ/3.10.8\nsession:session-4711\nversion:1.2\n\n\0",
        b"ERROR\nmessage:Bad CONNECT\ncontent-type:text/plain\n\nAccess refused\n\0",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    const COMMANDS: [&[u8]; 2] = [b"CONNECTED", b"ERROR"];
    let mut reader = Reader::new(received.bytes);
    let Some(command) = reader.line() else {
        let may = COMMANDS.iter().any(|command| received.bytes == *command || received.may_become(command));
        return if may { Parse::need_more(received) } else { Parse::No };
    };
    if !COMMANDS.contains(&command) {
        return Parse::No;
    }
    let mut service = named("stomp");
    for count in 0..32 {
        let Some(line) = reader.line() else {
            // A header that has begun, or none at all: others say ERROR too, and nothing else.
            let begun = received.bytes.len() < 4096 && plausible(reader.rest());
            return if begun && !(reader.is_empty() && command == b"ERROR") {
                Parse::need_more(received)
            } else {
                Parse::No
            };
        };
        if line.is_empty() && count > 0 {
            note(&mut service, "stomp.session", if command == b"ERROR" { "refused" } else { "accepted" });
            return Parse::certain(service);
        }
        let said = text::printable(line);
        let Some((key, value)) = said.split_once(':').filter(|_| plausible(line)) else { return Parse::No };
        match key {
            "server" => {
                let (name, version) = value.split_once('/').unwrap_or((value, ""));
                product::name(&mut service, name, text::version(version));
            }
            "version" => note(&mut service, "stomp.version", value),
            _ => {}
        }
    }
    Parse::No
}

/// The name of a header.
fn plausible(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.product.as_deref(), Some("RabbitMQ"));
        assert_eq!(answer.service.version.as_deref(), Some("3.10.8"));
        assert_eq!(parse(Received::ended(b"ERROR\r\n")), Parse::No);
        assert_eq!(parse(Received::open(b"ERROR\r\nERROR\r\n")), Parse::No);
    }
}
