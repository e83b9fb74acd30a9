//! IRC (RFC 2812 §2.3): lines with a server's name, a number or a notice. Asked for TLS, which joins nothing and which every
//! server has an answer to, be it that it does not know the word.

use super::{Protocol, Speaker, named};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "irc",
    speaker: Speaker::Client,
    ports: &[6667, 6665, 6666, 6668, 6669, 194, 6697, 7000],
    // Within TLS nobody goes over to it, and some say nothing at all to that.
    request: Some(|asking| if asking.tls { b"PING\r\n".to_vec() } else { b"STARTTLS\r\n".to_vec() }),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b":irc.example.org NOTICE * :*** Looking up your hostname...\r\n",
        b"NOTICE AUTH :*** Processing connection to irc.example.org\r\n",
        b":irc.example.org CAP * LS :multi-prefix sasl tls\r\n",
        b":irc.example.org 451 * :Connection not registered\r\n",
        b"ERROR :\"This is IRC\"\r\n",
    ],
};

/// A command without what belongs to it, of which every server complains, known or not.
pub(super) static OPENING: Protocol = Protocol {
    name: "irc",
    speaker: Speaker::Client,
    ports: &[],
    request: Some(|_| b"PING\r\n".to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[b":irc.example.org 461 * PING :Not enough parameters.\r\n"],
};

/// Those who turn somebody away before they have a name for him.
const ERROR: &[u8] = b"ERROR :";

fn parse(received: Received<'_>) -> Parse {
    if received.bytes.starts_with(ERROR) && received.bytes.ends_with(b"\r\n") {
        let mut service = named("irc");
        name_by_words(&mut service, received.bytes);
        // What one program alone says needs no proof.
        let is_certain = service.product.is_some();
        let (strength, next) =
            if is_certain { (Strength::Grammar, Next::Nothing) } else { (Strength::Weak, Next::Again) };
        return Parse::yes(service, strength, next);
    }
    let Some(line) = Reader::new(received.bytes).line() else {
        let begun = received.bytes.starts_with(b":")
            || received.may_become(b"NOTICE AUTH ")
            || received.bytes.starts_with(b"NOTICE AUTH ");
        let text = received.bytes.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r'));
        let begun = begun || received.may_become(ERROR) || received.bytes.starts_with(ERROR);
        return if begun && text && received.bytes.len() < 512 { Parse::need_more(received) } else { Parse::No };
    };
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    let (server, command) = match words.as_slice() {
        [prefix, command, _, ..] => match prefix.strip_prefix(b":") {
            Some(server) => (Some(server), *command),
            None if (*prefix, *command) == (b"NOTICE", b"AUTH") => (None, *prefix),
            None => return Parse::No,
        },
        _ => return Parse::No,
    };
    let numeric = command.len() == 3 && command.iter().all(u8::is_ascii_digit);
    let has_name = server.is_none_or(|server| !server.is_empty() && server.iter().all(u8::is_ascii_graphic));
    if !has_name || !(numeric || matches!(command, b"NOTICE" | b"CAP")) {
        return Parse::No;
    }
    let mut service = Service { name: "irc".into(), ..Service::default() };
    if let Some(server) = server {
        service.facts.insert("irc.server".into(), text::printable(server));
    }
    name_by_words(&mut service, line);
    Parse::yes(service, Strength::Grammar, Next::Farewell(b"QUIT\r\n"))
}

/// Complaints that one program alone words like this. Most others say "Not enough parameters" and "You have not registered", without
/// a full stop.
const WORDS: [(&str, &[u8]); 5] = [
    ("bitlbee", b":BitlBee-IRCd initialized, please go on"),
    ("inspircd", b":Not enough parameters."),
    ("inspircd", b":You have not registered."),
    ("ngircd", b":Connection not registered"),
    ("ngircd", b"ERROR :\"Oops, HTTP request received? This is IRC!\""),
];

fn name_by_words(service: &mut Service, line: &[u8]) {
    let line = line.trim_ascii_end();
    if let Some((token, _)) = WORDS.iter().find(|(_, words)| line.ends_with(words)) {
        product::name(service, token, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_tell_programs_apart() {
        for (line, expect) in [
            (":irc.example.org 461 * PING :Not enough parameters.\r\n", Some("InspIRCd")),
            (":irc.example.org 461 * PING :Not enough parameters\r\n", None),
            (":irc.example.org 451 * :Connection not registered\r\n", Some("ngIRCd")),
            (":localhost NOTICE * :BitlBee-IRCd initialized, please go on\r\n", Some("BitlBee")),
            (":irc.example.org 451 PING :You have not registered\r\n", None),
            ("ERROR :\"Oops, HTTP request received? This is IRC!\"\r\n", Some("ngIRCd")),
            ("ERROR :\"This is IRC\"\r\n", None),
        ] {
            let Parse::Yes(answer) = parse(Received::ended(line.as_bytes())) else { panic!("{line}") };
            assert_eq!(answer.service.product.as_deref(), expect, "{line}");
        }
    }
}
