//! Redis and Valkey: asked what they are, which they tell to everybody where no password is set. They are also known by how
//! they refuse a question that was meant for a web server.

use super::{Protocol, Speaker, named, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    distribution, product, text,
};

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "redis",
    speaker: Speaker::Client,
    ports: &[6379],
    request: Some(|_| b"INFO server\r\n".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"-ERR wrong number of arguments for 'get' command\r\n",
        b"-ERR unknown command 'OPTIONS', with args beginning with: 'sip:192.0.2.7' 'SIP/2.0' \r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n",
        b"-ERR unknown command '0%'\r\n+PONG\r\n",
        b"-ERR unknown command 'Via:', with args beginning with: \r\n-NOAUTH Authentication required.\r\n",
        b"$62\r\n# Server\r\nredis_version:7.0.15\r\nos:Linux 6.1.0 x86_64\r\nport:0\r\n\r\n",
    ],
};

const QUIT: Next = Next::Farewell(b"QUIT\r\n");

fn parse(received: Received<'_>) -> Parse {
    const REFUSALS: [(&str, &str, Next); 4] = [
        (COMPLAINTS[0], "no", Next::Own),
        (COMPLAINTS[1], "no", Next::Own),
        ("-NOAUTH ", "required", QUIT),
        ("-DENIED Redis ", "protected mode", Next::Nothing),
    ];
    // Asked something else before, it has complained of that, line by line.
    let told = after_complaints(received.bytes);
    let received = if told.is_empty() { received } else { Received { bytes: told, ..received } };
    if received.bytes.first() == Some(&b'$') {
        return bulk(received);
    }
    let begun = |prefix: &str| received.bytes.starts_with(prefix.as_bytes());
    let Some((_, authentication, next)) = REFUSALS.iter().find(|(prefix, ..)| begun(prefix)) else {
        let may = REFUSALS.iter().any(|(prefix, ..)| received.may_become(prefix.as_bytes()));
        return if may { Parse::NeedMore } else { Parse::No };
    };
    let Some(line) = Reader::new(received.bytes).line() else {
        return if received.bytes.len() < 1024 { Parse::need_more(received) } else { Parse::No };
    };
    let mut service = named("redis");
    service.banner = Some(text::printable(line));
    note(&mut service, "redis.authentication", *authentication);
    Parse::yes(service, Strength::Grammar, *next)
}

const COMPLAINTS: [&str; 2] = ["-ERR wrong number of arguments for '", "-ERR unknown command "];

/// What follows complaints, and answers to a `PING` among them, where something else does.
fn after_complaints(bytes: &[u8]) -> &[u8] {
    let is_complaint = |bytes: &[u8]| COMPLAINTS.iter().any(|prefix| bytes.starts_with(prefix.as_bytes()));
    let mut reader = Reader::new(bytes);
    let mut rest = bytes;
    while is_complaint(rest) || (rest.len() < bytes.len() && rest.starts_with(b"+PONG\r")) {
        if reader.line().is_none() {
            break;
        }
        rest = reader.rest();
    }
    let is_answer = [b"$".as_slice(), b"-NOAUTH ", b"-DENIED "].iter().any(|prefix| rest.starts_with(prefix));
    if is_answer { rest } else { &[] }
}

/// A bulk string with the section `Server`.
fn bulk(received: Received<'_>) -> Parse {
    const TITLE: &[u8] = b"# Server\r\n";
    let mut reader = Reader::new(received.bytes);
    let Some(head) = reader.line() else {
        let digits = received.bytes.iter().skip(1).all(|byte| byte.is_ascii_digit() || *byte == b'\r');
        return if digits && received.bytes.len() < 8 { Parse::need_more(received) } else { Parse::No };
    };
    let length = head.get(1..).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
    let titled = reader.rest().iter().zip(TITLE).all(|(got, expect)| got == expect);
    let Some(length) = length.filter(|length| (TITLE.len()..8192).contains(length) && titled) else { return Parse::No };
    let Some(section) = reader.take(length) else { return Parse::need_more(received) };
    let field = |name: &str| {
        let line = section.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()));
        line.and_then(|rest| rest.strip_prefix(b":")).map(text::printable)
    };
    let mut service = named("redis");
    // Valkey goes on giving the version of Redis that it is compatible with.
    match field("valkey_version") {
        Some(version) => product::name(&mut service, "valkey", text::version(&version)),
        None => product::name(&mut service, "redis", field("redis_version").as_deref().and_then(text::version)),
    }
    note(&mut service, "redis.authentication", "no");
    note(&mut service, "redis.mode", field("redis_mode").or(field("server_mode")).unwrap_or_default());
    if let Some(system) = field("os") {
        distribution::read(&mut service, &system);
        note(&mut service, "redis.os", system);
    }
    Parse::yes(service, Strength::Structure, QUIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_tells_everybody() {
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[6])) else { panic!() };
        assert_eq!(answer.service.product.as_deref(), Some("Redis"));
        assert_eq!(answer.service.version.as_deref(), Some("7.0.15"));
        assert_eq!(answer.service.os.unwrap().family, "linux");
        let late = [PROTOCOL.samples[4], PROTOCOL.samples[6]].concat();
        let Parse::Yes(answer) = parse(Received::open(&late)) else { panic!() };
        assert_eq!((answer.service.version.as_deref(), answer.next), (Some("7.0.15"), QUIT));
        let Parse::Yes(answer) = parse(Received::open(PROTOCOL.samples[5])) else { panic!() };
        assert_eq!(answer.service.facts["redis.authentication"], "required");
        let valkey = b"$58\r\n# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.0.1\r\na:b\r\n\r\n";
        let Parse::Yes(answer) = parse(Received::open(valkey)) else { panic!() };
        assert_eq!(answer.service.product.as_deref(), Some("Valkey"));
        assert_eq!(answer.service.version.as_deref(), Some("8.0.1"));
    }
}
