//! The simple services of old: echo (RFC 862), chargen (RFC 864), daytime (RFC 867), ident (RFC 1413), finger (RFC 1288).

use super::{Asking, Protocol, Speaker, http, named, text_line};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    text,
};

pub(super) static ECHO: Protocol = Protocol {
    name: "echo",
    speaker: Speaker::Client,
    ports: &[7],
    request: Some(http::request),
    parse: echo,
    reply: None,
    #[cfg(test)]
    samples: &[b"GET / HTTP/1.1\r\nHost: 192.0.2.7\r\nUser-Agent: perimeterd/1\r\n"],
};

pub(super) static CHARGEN: Protocol = Protocol {
    name: "chargen",
    speaker: Speaker::Server,
    ports: &[19],
    request: None,
    parse: chargen,
    reply: None,
    #[cfg(test)]
    samples: &[b"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n"],
};

pub(super) static DAYTIME: Protocol = Protocol {
    name: "daytime",
    speaker: Speaker::Server,
    ports: &[13],
    request: None,
    parse: daytime,
    reply: None,
    #[cfg(test)]
    samples: &[b"Sat Nov 21 18:40:00 2026\r\n", b"21 NOV 2026 18:40:00 CET\r\n"],
};

pub(super) static IDENT: Protocol = Protocol {
    name: "auth",
    speaker: Speaker::Client,
    ports: &[113],
    request: Some(|_| b"1 , 1\r\n".to_vec()),
    parse: ident,
    reply: None,
    #[cfg(test)]
    samples: &[b"1 , 1 : ERROR : NO-USER\r\n", b"0, 0 : ERROR : INVALID-PORT\r\n"],
};

pub(super) static FINGER: Protocol = Protocol {
    name: "finger",
    speaker: Speaker::Client,
    ports: &[79],
    request: Some(|_: &Asking<'_>| b"\r\n".to_vec()),
    parse: finger,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"Login     Name       Tty      Idle  Login Time   Office     Office Phone\r\n",
        b"No one logged on.\r\n",
        b"finger: GET: no such user.\r\n",
    ],
};

/// Our own question comes back.
fn echo(received: Received<'_>) -> Parse {
    received
        .lacks(b"GET / HTTP/1.1\r\nHost: ")
        .unwrap_or_else(|| Parse::yes(named("echo"), Strength::Grammar, Next::Nothing))
}

/// 72 printable characters in their order, which turns around at the last.
fn chargen(received: Received<'_>) -> Parse {
    let line = received.bytes.get(..72).unwrap_or(received.bytes);
    let follows = |pair: &[u8]| match pair {
        [b'~', next] => matches!(next, b' ' | b'!'),
        [byte @ 0x20..0x7e, next] => byte + 1 == *next,
        _ => false,
    };
    if !line.windows(2).all(follows) || line.first().is_some_and(|byte| !(0x20..0x7f).contains(byte)) {
        return Parse::No;
    }
    if line.len() < 72 {
        return Parse::need_more(received);
    }
    Parse::yes(named("chargen"), Strength::Structure, Next::Nothing)
}

/// A line that is nothing but a date and a time.
fn daytime(received: Received<'_>) -> Parse {
    let Some(line) = Reader::new(received.bytes).line() else { return text_line::unfinished(received) };
    let said = text::printable(line);
    let has_clock = said.split(' ').any(|word| word.matches(':').count() == 2 && word.len() == 8);
    if said.len() > 64 || !has_clock || !text::stable(&said).is_empty() {
        return Parse::No;
    }
    Parse::yes(named("daytime"), Strength::Grammar, Next::Nothing)
}

/// Two ports, and why there is no name for them.
fn ident(received: Received<'_>) -> Parse {
    let Some(line) = Reader::new(received.bytes).line() else { return text_line::unfinished(received) };
    let said = text::printable(line);
    let fields: Vec<&str> = said.split(':').map(str::trim).collect();
    let ports =
        |text: &str| text.split(',').count() == 2 && text.split(',').all(|port| port.trim().parse::<u16>().is_ok());
    match fields.as_slice() {
        [pair, "ERROR" | "USERID", ..] if ports(pair) => Parse::yes(named("auth"), Strength::Grammar, Next::Nothing),
        _ => Parse::No,
    }
}

fn finger(received: Received<'_>) -> Parse {
    let Some(line) = Reader::new(received.bytes).line() else { return text_line::unfinished(received) };
    let said = text::printable(line);
    let is_list = said.starts_with("Login ") && text::has_word(&said, "Name") && text::has_word(&said, "Tty");
    if !is_list && said != "No one logged on." && !(said.starts_with("finger: ") && said.contains("no such user")) {
        return Parse::No;
    }
    Parse::yes(named("finger"), Strength::Grammar, Next::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_with_a_time_is_no_daytime() {
        for line in ["ZORB ready at 18:40:00\r\n", "18\r\n", "hello\r\n", "\r\n"] {
            assert_eq!(daytime(Received::ended(line.as_bytes())), Parse::No, "{line}");
        }
        assert!(matches!(daytime(Received::open(DAYTIME.samples[0])), Parse::Yes(_)));
    }
}
