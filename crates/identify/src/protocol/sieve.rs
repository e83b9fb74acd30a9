//! `ManageSieve` (RFC 5804 §1.7): its capabilities, each in a line of quoted words, then `OK`.

use super::{Protocol, Speaker, pop3};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "sieve",
    speaker: Speaker::Server,
    ports: &[4190, 2000],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n\"SIEVE\" \"fileinto reject\"\r\n\"STARTTLS\"\r\n\"VERSION\" \"1.0\"\r\nOK \"Dovecot ready.\"\r\n",
        b"\"IMPLEMENTATION\" \"Cyrus timsieved v3.6.1\"\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    let begins = |start: &[u8]| received.bytes.to_ascii_uppercase().starts_with(start);
    if !begins(START) {
        return if received.may_become(START) { Parse::NeedMore } else { Parse::No };
    }
    let mut reader = Reader::new(received.bytes);
    let mut service = Service { name: "sieve".into(), ..Service::default() };
    let mut starttls = "no";
    for _ in 0..64 {
        let Some(line) = reader.line() else {
            return if received.bytes.len() < 8192 { Parse::need_more(received) } else { Parse::No };
        };
        let upper = line.to_ascii_uppercase();
        if upper.starts_with(START) {
            let said = text::printable(line.get(START.len()..).unwrap_or_default());
            pop3::name(&mut service, &said);
            service.banner = Some(text::stable(said.trim_matches([' ', '"'])));
        } else if upper.starts_with(b"\"STARTTLS\"") {
            starttls = "yes";
        } else if upper.starts_with(b"OK") {
            service.facts.insert("sieve.starttls".into(), starttls.into());
            return Parse::yes(service, Strength::Structure, Next::Farewell(b"LOGOUT\r\n"));
        } else if !upper.starts_with(b"\"") {
            return Parse::No;
        }
    }
    Parse::No
}

const START: &[u8] = b"\"IMPLEMENTATION\"";
