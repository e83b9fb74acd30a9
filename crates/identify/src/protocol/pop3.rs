//! POP3 (RFC 1939): `+OK` and a greeting, perhaps with an APOP stamp.

use super::{Protocol, Speaker, note};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    distribution,
    fingerprint::{self, Field},
    text,
};
use model::Service;
use std::collections::BTreeSet;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "pop3",
    speaker: Speaker::Server,
    ports: &[110, 995],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"+OK Dovecot (Debian) ready.\r\n",
        b"+OK POP3 server ready <1896.697170952@mail.example.org>\r\n",
        b"-ERR [SYS/TEMP] come back later\r\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    let Some(line) = reader.line() else {
        let begun = ["+OK ", "-ERR ["]
            .iter()
            .any(|prefix| received.may_become(prefix.as_bytes()) || received.bytes.starts_with(prefix.as_bytes()));
        return if begun && received.bytes.len() <= 512 { Parse::need_more(received) } else { Parse::No };
    };
    // RFC 3206's codes are POP3's alone; a bare `-ERR` is Redis' too.
    let refuses = line.starts_with(b"-ERR [SYS/") || line.starts_with(b"-ERR [IN-USE]");
    let rest = match line.strip_prefix(b"+OK") {
        Some(rest) if rest.is_empty() || rest.starts_with(b" ") => rest,
        _ if refuses => line,
        _ => return Parse::No,
    };
    let greeting = text::printable(rest);
    let mut service = Service { name: "pop3".into(), ..Service::default() };
    name(&mut service, &greeting);
    service.banner = Some(text::stable(&text::printable(line)));
    let next = match capabilities(&mut service, &mut reader) {
        _ if refuses => Next::Nothing,
        Told::Nothing => Next::Say(b"CAPA\r\n"),
        Told::Part if !received.ended => return Parse::NeedMore,
        Told::Part | Told::All => Next::Farewell(b"QUIT\r\n"),
    };
    Parse::yes(service, Strength::Grammar, next)
}

/// How much of the answer to CAPA has come.
enum Told {
    Nothing,
    Part,
    All,
}

/// The answer to CAPA (RFC 2449 §5): a line each, up to one with a point. IMPLEMENTATION (§6.9) is the server itself.
fn capabilities(service: &mut Service, reader: &mut Reader<'_>) -> Told {
    if reader.is_empty() {
        return Told::Nothing;
    }
    match reader.line() {
        Some(line) if line.starts_with(b"+OK") => {}
        Some(_) => return Told::All,
        None => return Told::Part,
    }
    let mut names = BTreeSet::new();
    for _ in 0..64 {
        let Some(line) = reader.line() else { return Told::Part };
        if line == b"." {
            break;
        }
        let line = text::printable(line);
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        if word.eq_ignore_ascii_case("IMPLEMENTATION") {
            note(service, "pop3.implementation", rest);
            if service.product.is_none() {
                name(service, rest);
            }
        }
        names.insert(word.to_ascii_uppercase());
    }
    note(service, "pop3.starttls", if names.contains("STLS") { "yes" } else { "no" });
    note(service, "pop3.capabilities", names.into_iter().collect::<Vec<_>>().join(" "));
    Told::All
}

/// POP3 and IMAP servers are the same programs.
pub(super) fn name(service: &mut Service, greeting: &str) {
    if !fingerprint::name(service, Field::PopGreeting, greeting) {
        return;
    }
    distribution::read(service, greeting);
    if let Some(version) = service.version.clone().filter(|version| version.contains("deb")) {
        distribution::package(service, &version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extraction() {
        for (line, product, banner) in [
            ("+OK Dovecot (Debian) ready.\r\n", Some("Dovecot"), "+OK Dovecot (Debian) ready."),
            ("+OK Dovecot ready. <4f.2@a>\r\n", Some("Dovecot"), "+OK Dovecot ready."),
            ("+OK hello\r\n", None, "+OK hello"),
        ] {
            let Parse::Yes(answer) = parse(Received::open(line.as_bytes())) else { panic!("{line}") };
            assert_eq!(answer.service.product.as_deref(), product);
            assert_eq!(answer.service.banner.as_deref(), Some(banner));
        }
        assert_eq!(parse(Received::open(b"-ERR wrong number of arguments\r\n")), Parse::No);
        assert_eq!(parse(Received::open(b"+OKAY\r\n")), Parse::No);
    }

    #[test]
    fn what_it_can() {
        let heard = b"+OK ready\r\n+OK\r\nUIDL\r\nSTLS\r\nIMPLEMENTATION Cyrus POP3 server v3.6.1\r\n";
        assert_eq!(parse(Received::open(heard)), Parse::NeedMore);
        let Parse::Yes(answer) = parse(Received::open(&[heard.as_slice(), b".\r\n"].concat())) else { panic!() };
        assert_eq!(answer.service.facts["pop3.capabilities"], "IMPLEMENTATION STLS UIDL");
        assert_eq!(answer.service.version.as_deref(), Some("3.6.1"));
        let Parse::Yes(answer) = parse(Received::open(b"+OK ready\r\n-ERR what?\r\n")) else { panic!() };
        assert_eq!(answer.next, Next::Farewell(b"QUIT\r\n"));
    }
}
