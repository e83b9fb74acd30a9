//! FTP (RFC 959): the greeting. One that could be SMTP's too is told by what it makes of EHLO.

use super::{Protocol, Speaker, lmtp, note};
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
    name: "ftp",
    speaker: Speaker::Server,
    ports: &[21, 2121, 990],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"220 (vsFTPd 3.0.3)\r\n",
        b"220 ProFTPD 1.3.8 Server (Debian) [::ffff:192.0.2.7]\r\n",
        b"220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\r\n220-You are user number 1 of 50 allowed.\r\n220 You will be disconnected after 15 minutes of inactivity.\r\n",
        b"421 Too many FTP connections\r\n",
        b"220 Welcome\r\n530 Please login with USER and PASS.\r\n",
    ],
};

fn parse(received: Received<'_>) -> Parse {
    let Some(replies) = reply::replies(received) else { return Parse::No };
    let Some((greeting, rest)) = replies.split_first() else {
        return if reply::may_begin(received) { Parse::NeedMore } else { Parse::No };
    };
    if !matches!(greeting.code, 120 | 220 | 421 | 530) {
        return Parse::No;
    }
    if !greeting.complete {
        return Parse::need_more(received);
    }
    if lmtp::is_spoken(greeting, rest) {
        return Parse::No;
    }
    // A server that does not know EHLO, or wants a login first, is no SMTP server.
    let refuses_ehlo = greeting.code == 220 && matches!(rest.first().map(|reply| reply.code), Some(500..=504 | 530));
    let strength = match reply::kind(greeting) {
        Kind::Ftp => Strength::Grammar,
        Kind::Unclear if refuses_ehlo => Strength::Grammar,
        _ => return Parse::No,
    };
    // What came of EHLO first, where that was said.
    let told = rest.get(usize::from(refuses_ehlo)..).and_then(<[_]>::first);
    let next = match (greeting.code, told) {
        (220, None) => Next::Say(b"FEAT\r\n"),
        (220, Some(reply)) if !reply.complete && !received.ended => return Parse::NeedMore,
        (220, Some(_)) => Next::Farewell(b"QUIT\r\n"),
        _ => Next::Nothing,
    };
    let mut service = read(greeting);
    if let Some(features) = told.filter(|reply| reply.code == 211) {
        // RFC 2389 §3.2: a line each, between the first and the last.
        let between = features.lines.get(1..features.lines.len().saturating_sub(1)).unwrap_or_default();
        let names: BTreeSet<String> = between
            .iter()
            .take(64)
            .filter_map(|line| text::printable(line).split(' ').next().map(str::to_ascii_uppercase))
            .collect();
        note(&mut service, "ftp.features", names.into_iter().collect::<Vec<_>>().join(" "));
    }
    Parse::yes(service, strength, next)
}

fn read(greeting: &Reply<'_>) -> Service {
    let mut service = Service { name: "ftp".into(), ..Service::default() };
    let lines: Vec<String> = greeting.lines.iter().take(8).map(|line| text::printable(line)).collect();
    if let Some(line) = lines.iter().find(|line| fingerprint::name(&mut service, Field::FtpGreeting, line)) {
        distribution::read(&mut service, line);
    }
    let first = lines.first().map_or("", String::as_str);
    service.banner = Some(text::stable(&format!("{} {first}", greeting.code)));
    service
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extraction() {
        for (line, product, version, os) in [
            ("220 (vsFTPd 3.0.3)\r\n", Some("vsftpd"), Some("3.0.3"), None),
            ("220 ProFTPD 1.3.8 Server (Debian) [192.0.2.7]\r\n", Some("ProFTPD"), Some("1.3.8"), Some("Debian")),
            ("220-- Welcome to Pure-FTPd [TLS] --\r\n220 done\r\n", Some("Pure-FTPd"), None, None),
            ("220-FileZilla Server 1.7.0\r\n220 hi\r\n", Some("FileZilla Server"), Some("1.7.0"), None),
            ("220 Microsoft FTP Service\r\n", Some("Microsoft FTP Service"), None, Some("Windows")),
            ("220 printer FTP server ready\r\n", None, None, None),
        ] {
            let Parse::Yes(answer) = parse(Received::open(line.as_bytes())) else { panic!("{line}") };
            assert_eq!(answer.service.product.as_deref(), product, "{line}");
            assert_eq!(answer.service.version.as_deref(), version, "{line}");
            assert_eq!(answer.service.os.map(|os| os.to_string()).as_deref(), os, "{line}");
        }
        assert_eq!(parse(Received::open(b"220 hello\r\n")), Parse::No);
    }

    #[test]
    fn features() {
        let heard = b"220 (vsFTPd 3.0.3)\r\n211-Features:\r\n UTF8\r\n AUTH TLS\r\n";
        assert_eq!(parse(Received::open(heard)), Parse::NeedMore);
        let whole = [heard.as_slice(), b"211 End\r\n"].concat();
        let Parse::Yes(answer) = parse(Received::open(&whole)) else { panic!() };
        assert_eq!(answer.service.facts["ftp.features"], "AUTH UTF8");
        assert_eq!(answer.next, Next::Farewell(b"QUIT\r\n"));
    }
}
