//! IMAP (RFC 9051 §7.1): an untagged `OK`, `PREAUTH` or `BYE`, often with the capabilities.

use super::{Protocol, Speaker, pop3};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    text,
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
    let next = if line.starts_with(b"* BYE") { Next::Nothing } else { Next::Farewell(b"a1 LOGOUT\r\n") };
    Parse::yes(service, Strength::Grammar, next)
}

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
}
