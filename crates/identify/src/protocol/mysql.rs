//! `MySQL` and `MariaDB`: the greeting of protocol 10, or the refusal before it.

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
    name: "mysql",
    speaker: Speaker::Server,
    ports: &[3306, 3307],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x4a\x00\x00\x00\x0a8.0.36-0ubuntu0.22.04.1\x00\x07\x00\x00\x00abcdefgh\x00\xff\xf7\x08\x02\x00\xff\xc1\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x60\x00\x00\x00\x0a5.5.5-10.11.6-MariaDB-0+deb12u1\x00\x07\x00\x00\x00abcdefgh\x00\xfe\xf7",
        b"\x20\x00\x00\x00\xff\x6a\x04Host 'x' is not allowed to connect",
        b"\x37\x00\x00\x00\xff\x6a\x04L'h\xc3\xb4te 'x' n'est pas authoris\xc3\xa9 \xc3\xa0 se connecter",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    let header = reader.u24_le().zip(reader.u8());
    let Some((length, sequence)) = header else {
        // Too short to refute, but a first packet is small: its third length byte is zero.
        let small = received.bytes.get(2).is_none_or(|&byte| byte == 0);
        return if small { Parse::need_more(received) } else { Parse::No };
    };
    if sequence != 0 || !(8..=1024).contains(&length) {
        return Parse::No;
    }
    match reader.u8() {
        None => Parse::need_more(received),
        Some(10) => match reader.until(0) {
            Some(version) if plausible(version) => match reader.array::<13>() {
                // Thread id, first part of the salt, and its terminator.
                Some([.., 0]) => Parse::yes(greeting(version), Strength::Structure, Next::Nothing),
                Some(_) => Parse::No,
                None => Parse::need_more(received),
            },
            None if reader.rest().len() < 64 => Parse::need_more(received),
            _ => Parse::No,
        },
        Some(0xff) => match reader.u16_le() {
            None => Parse::need_more(received),
            // In the language that the server was told to speak.
            Some(1000..=3999) if reader.rest().iter().all(|byte| *byte >= b' ' && *byte != 0x7f) => {
                let message = text::printable(reader.rest());
                let mut service = Service { name: "mysql".into(), ..Service::default() };
                fingerprint::name(&mut service, Field::MysqlError, &message);
                Parse::yes(service, Strength::Structure, Next::Nothing)
            }
            Some(_) => Parse::No,
        },
        Some(_) => Parse::No,
    }
}

fn plausible(version: &[u8]) -> bool {
    version.first().is_some_and(u8::is_ascii_digit) && version.len() < 64 && version.iter().all(u8::is_ascii_graphic)
}

/// `MariaDB` hides behind a `MySQL` 5.5.5 for old replicas.
fn greeting(version: &[u8]) -> Service {
    let banner = text::printable(version);
    let mut service = Service { name: "mysql".into(), ..Service::default() };
    let real = banner.strip_prefix("5.5.5-").unwrap_or(&banner);
    fingerprint::name(&mut service, Field::MysqlVersion, &banner);
    distribution::read(&mut service, real);
    if service.os.is_some() {
        distribution::package(&mut service, real);
    }
    service.banner = Some(banner);
    service
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extraction() {
        for (version, product, number, os) in [
            ("8.0.36-0ubuntu0.22.04.1", "MySQL", "8.0.36", Some("Ubuntu 22.04")),
            ("5.5.5-10.11.6-MariaDB-0+deb12u1", "MariaDB", "10.11.6", Some("Debian 12")),
            ("8.4.2", "MySQL", "8.4.2", None),
        ] {
            let service = greeting(version.as_bytes());
            assert_eq!(service.product.as_deref(), Some(product));
            assert_eq!(service.version.as_deref(), Some(number));
            assert_eq!(service.os.map(|os| os.to_string()).as_deref(), os);
        }
    }
}
