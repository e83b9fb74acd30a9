//! POP3 (RFC 1939): `+OK` and a greeting, perhaps with an APOP stamp.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    distribution,
    fingerprint::{self, Field},
    text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "pop3",
    speaker: Speaker::Server,
    ports: &[110, 995],
    request: None,
    parse,
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
    Parse::yes(service, Strength::Grammar, if refuses { Next::Nothing } else { Next::Farewell("QUIT\r\n") })
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
}
