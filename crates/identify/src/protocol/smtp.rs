//! SMTP (RFC 5321): the greeting, and after it the reply to EHLO.

use super::{Protocol, Speaker, lmtp};
use crate::{
    answer::{Next, Parse, Received, Strength},
    distribution,
    fingerprint::{self, Field},
    reply::{self, Kind, Reply},
    text,
};
use model::Service;
use std::collections::BTreeSet;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "smtp",
    speaker: Speaker::Server,
    ports: &[25, 587, 2525, 465],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"220 mail.example.org ESMTP Postfix (Debian/GNU)\r\n",
        b"220 mx.example.org ESMTP Exim 4.96 Sat, 21 Nov 2026 18:40:00 +0000\r\n",
        b"220-mail.example.org ESMTP\r\n220 no bulk mail\r\n",
        b"554 mail.example.org ESMTP not accepting messages\r\n",
        b"220 mail.example.org\r\n250-mail.example.org\r\n250-PIPELINING\r\n250 STARTTLS\r\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    let Some(replies) = reply::replies(received) else { return Parse::No };
    let Some((greeting, rest)) = replies.split_first() else {
        return if reply::may_begin(received) { Parse::NeedMore } else { Parse::No };
    };
    if !matches!(greeting.code, 220 | 421 | 554) {
        return Parse::No;
    }
    if !greeting.complete {
        return Parse::need_more(received);
    }
    let kind = reply::kind(greeting);
    if lmtp::is_spoken(greeting, rest) {
        return Parse::No;
    }
    let ehlo = rest.iter().find(|reply| reply.code == 250);
    match (kind, ehlo) {
        (Kind::Ftp, _) | (Kind::Unclear, None) => Parse::No,
        (_, Some(ehlo)) if !ehlo.complete && !received.ended => Parse::NeedMore,
        (_, ehlo) => {
            let next = match (greeting.code, rest) {
                (220, []) => Next::Ehlo,
                (220, _) => Next::Farewell(b"QUIT\r\n"),
                _ => Next::Nothing,
            };
            Parse::yes(read(greeting, ehlo), Strength::Grammar, next)
        }
    }
}

fn read(greeting: &Reply<'_>, ehlo: Option<&Reply<'_>>) -> Service {
    let mut service = Service { name: "smtp".into(), ..Service::default() };
    let first = text::printable(greeting.lines.first().copied().unwrap_or_default());
    fingerprint::name(&mut service, Field::SmtpGreeting, &first);
    distribution::read(&mut service, &first);
    service.banner = Some(text::stable(&format!("{} {first}", greeting.code)));
    if let Some(ehlo) = ehlo {
        // The first line is the host and its chatter. A capability's parameters may change (SIZE), its name does not.
        let names: BTreeSet<String> = ehlo.lines.iter().skip(1).filter_map(|line| keyword(line)).collect();
        if !names.is_empty() {
            let starttls = if names.contains("STARTTLS") { "yes" } else { "no" };
            service.facts.insert("smtp.starttls".into(), starttls.into());
            let list = names.into_iter().collect::<Vec<_>>().join(" ");
            service.facts.insert("smtp.capabilities".into(), text::printable(list.as_bytes()));
        }
    }
    service
}

fn keyword(line: &[u8]) -> Option<String> {
    let line = text::printable(line);
    let word = line.split([' ', '=']).next().filter(|word| !word.is_empty())?;
    Some(word.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extraction() {
        for (line, product, version, os) in [
            ("220 mail.example.org ESMTP Postfix (Debian/GNU)\r\n", Some("Postfix"), None, Some("Debian")),
            ("220 a ESMTP Exim 4.96 Sat, 21 Nov 2026 18:40:00 +0000\r\n", Some("Exim"), Some("4.96"), None),
            (
                "220 a ESMTP Sendmail 8.17.1.9/8.17.1.9/Debian-2; Sat, 21 Nov 2026 18:40:00 GMT\r\n",
                Some("Sendmail"),
                Some("8.17.1.9"),
                Some("Debian"),
            ),
            (
                "220 a Microsoft ESMTP MAIL Service, Version: 10.0.14393.4169 ready at Sat\r\n",
                Some("Microsoft ESMTP"),
                Some("10.0.14393.4169"),
                Some("Windows"),
            ),
            ("220 a ESMTP OpenSMTPD\r\n", Some("OpenSMTPD"), None, None),
            ("220 a ESMTP\r\n", None, None, None),
        ] {
            let Parse::Yes(answer) = parse(Received::open(line.as_bytes())) else { panic!("{line}") };
            assert_eq!(answer.service.product.as_deref(), product, "{line}");
            assert_eq!(answer.service.version.as_deref(), version, "{line}");
            assert_eq!(answer.service.os.map(|os| os.to_string()).as_deref(), os, "{line}");
            assert_eq!(answer.next, Next::Ehlo);
        }
    }

    #[test]
    fn capabilities() {
        let greeting = b"220 a ESMTP Postfix\r\n250-a\r\n250-SIZE 1024\r\n250-AUTH=PLAIN\r\n";
        assert_eq!(parse(Received::open(greeting)), Parse::NeedMore);
        let whole = [greeting.as_slice(), b"250-STARTTLS\r\n250 8BITMIME\r\n"].concat();
        let Parse::Yes(answer) = parse(Received::open(&whole)) else { panic!() };
        assert_eq!(answer.service.facts["smtp.capabilities"], "8BITMIME AUTH SIZE STARTTLS");
        assert_eq!(answer.service.facts["smtp.starttls"], "yes");
        assert_eq!(answer.next, Next::Farewell(b"QUIT\r\n"));
    }

    #[test]
    fn the_time_of_day_is_no_change() {
        let banner = |line: &[u8]| match parse(Received::open(line)) {
            Parse::Yes(answer) => answer.service,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            banner(b"220 a ESMTP Exim 4.96 Sat, 21 Nov 2026 18:40:00 +0000\r\n"),
            banner(b"220 a ESMTP Exim 4.96 Sun, 1 Feb 2027 01:02:03 +0100\r\n"),
        );
    }
}
