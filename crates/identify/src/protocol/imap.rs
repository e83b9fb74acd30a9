//! IMAP (RFC 9051 §7.1): an untagged `OK`, `PREAUTH` or `BYE`, often with the capabilities.

use super::{Protocol, Speaker, note, pop3};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};
use model::Service;
use std::collections::BTreeSet;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "imap",
    speaker: Speaker::Server,
    ports: &[143, 993],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS LOGINDISABLED] Dovecot (Debian) ready.\r\n",
        b"* OK mail.example.org Cyrus IMAP 3.6.1-4+deb12u3 server ready\r\n",
        b"* BYE too many connections\r\n",
    ],
};

const GREETINGS: [&[u8]; 3] = [b"* OK ", b"* PREAUTH ", b"* BYE "];

fn parse(received: Received<'_>) -> Parse {
    let begins = GREETINGS.iter().any(|greeting| received.bytes.starts_with(greeting));
    if !begins {
        let may = GREETINGS.iter().any(|greeting| received.may_become(greeting));
        return if may { Parse::NeedMore } else { Parse::No };
    }
    let mut reader = Reader::new(received.bytes);
    let line = match reader.line() {
        Some(line) => line,
        None if received.ended => received.bytes,
        None if received.bytes.len() > 8192 => return Parse::No,
        None => return Parse::NeedMore,
    };
    let mut service = Service { name: "imap".into(), ..Service::default() };
    let capabilities = capabilities(line);
    let knows_id = capabilities.contains("ID");
    if !capabilities.is_empty() {
        let starttls = if capabilities.contains("STARTTLS") { "yes" } else { "no" };
        service.facts.insert("imap.starttls".into(), starttls.into());
        let list = capabilities.into_iter().collect::<Vec<_>>().join(" ");
        service.facts.insert("imap.capabilities".into(), text::printable(list.as_bytes()));
    }
    // The words after the bracketed code are the greeting proper.
    let code_end = line.iter().position(|&byte| byte == b']').filter(|_| line.contains(&b'['));
    let words = text::printable(code_end.and_then(|at| line.get(at + 1..)).unwrap_or(line));
    pop3::name(&mut service, &words);
    let status = line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let shown = if code_end.is_some() { format!("* {} {words}", text::printable(status)) } else { words };
    service.banner = Some(text::stable(&shown));
    let next = if line.starts_with(b"* BYE") { Next::Nothing } else { Next::Farewell(b"a2 LOGOUT\r\n") };
    if next == Next::Nothing || !knows_id {
        return Parse::yes(service, Strength::Grammar, next);
    }
    match identity(&mut service, &mut reader) {
        Told::Nothing => Parse::yes(service, Strength::Grammar, Next::Say(b"a1 ID NIL\r\n")),
        Told::Part if !received.ended => Parse::NeedMore,
        Told::Part | Told::All => Parse::yes(service, Strength::Grammar, next),
    }
}

/// How much of the answer to ID has come.
enum Told {
    Nothing,
    Part,
    All,
}

/// The answer to ID (RFC 2971 §3.3): pairs of quoted text in parentheses, or NIL.
fn identity(service: &mut Service, reader: &mut Reader<'_>) -> Told {
    if reader.is_empty() {
        return Told::Nothing;
    }
    for _ in 0..16 {
        let Some(line) = reader.line() else { return Told::Part };
        if line.starts_with(b"a1 ") {
            break;
        }
        let line = text::printable(line);
        let Some(list) = line.strip_prefix("* ID (") else { continue };
        let words: Vec<&str> = list.split('"').skip(1).step_by(2).take(32).collect();
        let value =
            |key: &str| words.chunks_exact(2).find(|pair| pair.first() == Some(&key)).and_then(|pair| pair.last());
        let (name, version) = (value("name"), value("version"));
        if let Some(name) = name {
            note(service, "imap.id", format!("{name} {}", version.copied().unwrap_or_default()));
            let says_more = service.product.is_none() || service.version.is_none();
            if says_more {
                let token = product::mentioned(name, SERVERS).unwrap_or(name);
                let version = version.and_then(|version| text::version(version));
                product::name(service, token, version.or(service.version.clone().as_deref()));
            }
        }
        note(service, "imap.os", value("os").copied().unwrap_or_default());
    }
    Told::All
}

/// Products that go by longer names in their `ID`.
const SERVERS: &[&str] = &["dovecot", "courier-imap", "courier", "cyrus"];

fn capabilities(line: &[u8]) -> BTreeSet<String> {
    const CODE: &[u8] = b"[CAPABILITY ";
    let Some(at) = line.windows(CODE.len()).position(|window| window.eq_ignore_ascii_case(CODE)) else {
        return BTreeSet::new();
    };
    let list = line.get(at + CODE.len()..).unwrap_or_default();
    let list = list.split(|&byte| byte == b']').next().unwrap_or_default();
    list.split(|&byte| byte == b' ')
        .take(64)
        .map(|word| text::printable(word).to_ascii_uppercase())
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extraction() {
        for (line, product, version, os, banner) in [
            (
                "* OK [CAPABILITY IMAP4rev1 STARTTLS IDLE] Dovecot (Debian) ready.\r\n",
                Some("Dovecot"),
                None,
                Some("Debian"),
                "* OK Dovecot (Debian) ready.",
            ),
            (
                "* OK a Cyrus IMAP 3.6.1-4+deb12u3 server ready\r\n",
                Some("Cyrus IMAP"),
                Some("3.6.1-4+deb12u3"),
                Some("Debian 12"),
                "* OK a Cyrus IMAP 3.6.1-4+deb12u3 server ready",
            ),
            ("* OK IMAP4rev1 Service Ready\r\n", None, None, None, "* OK IMAP4rev1 Service Ready"),
        ] {
            let Parse::Yes(answer) = parse(Received::open(line.as_bytes())) else { panic!("{line}") };
            assert_eq!(answer.service.product.as_deref(), product, "{line}");
            assert_eq!(answer.service.version.as_deref(), version, "{line}");
            assert_eq!(answer.service.os.map(|os| os.to_string()).as_deref(), os, "{line}");
            assert_eq!(answer.service.banner.as_deref(), Some(banner));
        }
    }

    #[test]
    fn identities() {
        let greeting = b"* OK [CAPABILITY IMAP4rev1 ID] ready\r\n".as_slice();
        let Parse::Yes(answer) = parse(Received::open(greeting)) else { panic!() };
        assert_eq!(answer.next, Next::Say(b"a1 ID NIL\r\n"));
        let told = [greeting, b"* ID (\"name\" \"Cyrus IMAPD\" \"version\" \"3.6.1\" \"os\" \"Linux\")\r\n"].concat();
        assert_eq!(parse(Received::open(&told)), Parse::NeedMore);
        let Parse::Yes(answer) = parse(Received::open(&[&told, b"a1 OK done\r\n".as_slice()].concat())) else {
            panic!()
        };
        assert_eq!(answer.next, Next::Farewell(b"a2 LOGOUT\r\n"));
        assert_eq!(answer.service.product.as_deref(), Some("Cyrus IMAP"));
        assert_eq!(answer.service.version.as_deref(), Some("3.6.1"));
        assert_eq!(answer.service.facts["imap.os"], "Linux");
    }
}
