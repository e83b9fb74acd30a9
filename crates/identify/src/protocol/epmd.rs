//! Erlang's port mapper: asked for the names of its nodes. Its answer begins with its own port.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "epmd",
    speaker: Speaker::Client,
    ports: &[4369],
    // NAMES_REQ.
    request: Some(|_| b"\0\x01n".to_vec()),
    parse,
    reply: Some(reply),
    #[cfg(test)]
    samples: &[b"\0\0\x11\x11name rabbit at port 25672\n"],
};

/// To who asked, a port alone means that there is no node.
pub(super) fn reply(received: Received<'_>) -> Parse {
    match received.bytes {
        [0, 0, 1..=255, _] if received.ended => Parse::yes(named("epmd"), Strength::Grammar, Next::Nothing),
        _ => parse(received),
    }
}

fn parse(received: Received<'_>) -> Parse {
    const NODE: &[u8] = b"name ";
    let bytes = received.bytes;
    let rest = bytes.get(4..).unwrap_or_default();
    if bytes.iter().take(2).any(|byte| *byte != 0) || !rest.iter().zip(NODE).all(|(got, expect)| got == expect) {
        return Parse::No;
    }
    let mut reader = Reader::new(rest);
    let Some(line) = reader.line() else {
        return if bytes.len() < 512 { Parse::need_more(received) } else { Parse::No };
    };
    let mut names: Vec<String> = Vec::new();
    let mut next = Some(line);
    while let Some(line) = next.filter(|_| names.len() < 32) {
        let line = text::printable(line);
        let Some((name, _)) = line.strip_prefix("name ").and_then(|rest| rest.split_once(" at port ")) else { break };
        names.push(name.to_owned());
        next = reader.line();
    }
    if names.is_empty() {
        return Parse::No;
    }
    names.sort();
    let mut service = named("epmd");
    note(&mut service, "erlang.nodes", names.join(" "));
    Parse::certain(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[0])) else { panic!() };
        assert_eq!(answer.service.facts["erlang.nodes"], "rabbit");
        assert!(matches!(reply(Received::ended(b"\0\0\x11\x11")), Parse::Yes(_)));
        assert_eq!(parse(Received::ended(b"\0\0\x11\x11")), Parse::No);
    }
}
