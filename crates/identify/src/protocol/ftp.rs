//! FTP (RFC 959): the greeting. One that could be SMTP's too is told by what it makes of EHLO.

use super::{Protocol, Speaker, lmtp};
use crate::{
    answer::{Next, Parse, Received, Strength},
    distribution,
    fingerprint::{self, Field},
    reply::{self, Kind, Reply},
    text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "ftp",
    speaker: Speaker::Server,
    ports: &[21, 2121, 990],
    request: None,
    parse,
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
    let next = if greeting.code == 220 { Next::Farewell("QUIT\r\n") } else { Next::Nothing };
    Parse::yes(read(greeting), strength, next)
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
}
