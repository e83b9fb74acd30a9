//! A line of text that no other parser claims: kept as it is, as weak evidence. Where it begins like a greeting of SMTP or
//! FTP, EHLO will tell which; a bare `ERROR` is memcached's way to say that it does not know a command.

use super::{Protocol, Speaker, memcached};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "unknown",
    speaker: Speaker::Server,
    ports: &[],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[b"ZORB/1.4 ready\r\n", b"220 hello\r\n"],
};

fn parse(received: Received<'_>) -> Parse {
    let Some(line) = Reader::new(received.bytes).line() else {
        return unfinished(received);
    };
    if line.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() < 3 || !line.iter().all(|&byte| is_text(byte)) {
        return Parse::No;
    }
    let banner = text::stable(&text::printable(line));
    let next = match line {
        _ if line.starts_with(b"220 ") || line.starts_with(b"220-") => Next::Ehlo,
        memcached::ERROR => Next::Say(memcached::WORDS),
        _ => Next::Nothing,
    };
    let service = Service { name: "unknown".into(), banner: Some(banner), ..Service::default() };
    Parse::yes(service, Strength::Weak, next)
}

/// A line may still become of it.
pub(super) fn unfinished(received: Received<'_>) -> Parse {
    let readable = received.bytes.iter().all(|&byte| is_text(byte)) && received.bytes.len() < 1024;
    if readable { Parse::need_more(received) } else { Parse::No }
}

fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | 0x1b) || byte >= 0x80
}
