//! The fields of an answer, from what was heard and what the parsers made of it: the same for every set of rules, and for an
//! answer that was kept.

use super::Field;
use crate::{Received, reply};
use model::Service;

/// The most values of one answer that rules look at.
const MOST: usize = 64;

/// Field and value, as they came. What protocols put around a value is taken off; the parsers have seen to it that the bytes
/// are that protocol's.
pub(crate) fn fields(service: &Service, heard: &[u8]) -> Vec<(Field, Vec<u8>)> {
    let mut found = match service.name.as_str() {
        "ssh" => after_identification(heard),
        "http" => http(service, heard),
        "smtp" => greeting(Field::SmtpGreeting, heard),
        "lmtp" => greeting(Field::LmtpGreeting, heard),
        "ftp" => greeting(Field::FtpGreeting, heard),
        "nntp" => greeting(Field::NntpGreeting, heard),
        "pop3" => line_after(Field::PopGreeting, heard, &[b"+OK ", b"+OK", b"-ERR "]),
        "imap" => line_after(Field::ImapGreeting, heard, &[b"* OK ", b"* PREAUTH ", b"* BYE "]),
        "sieve" => line_after(Field::SieveGreeting, heard, &[b"\"IMPLEMENTATION\" "]),
        "telnet" => vec![(Field::TelnetText, telnet(heard))],
        "unknown" => line_after(Field::Line, heard, &[b""]),
        "mysql" => banner(if service.product.is_some() { Field::MysqlVersion } else { Field::MysqlError }, service),
        "domain" => banner(Field::DnsVersion, service),
        "snmp" => banner(Field::SnmpDescription, service),
        "sip" => banner(Field::SipServer, service),
        "rtsp" => banner(Field::RtspServer, service),
        "ldap" => vec![(Field::LdapResult, heard.to_vec())],
        _ => Vec::new(),
    };
    found.retain(|(_, value)| !value.is_empty());
    found.truncate(MOST);
    found
}

/// What stands after `SSH-2.0-`.
fn after_identification(heard: &[u8]) -> Vec<(Field, Vec<u8>)> {
    let line = lines(heard).find(|line| line.starts_with(b"SSH-"));
    let value = line.and_then(|line| line.splitn(3, |byte| *byte == b'-').nth(2));
    value.map(|value| (Field::SshBanner, value.to_vec())).into_iter().collect()
}

/// The lines of a greeting without their codes: all of them in one, and where there are several, each.
fn greeting(field: Field, heard: &[u8]) -> Vec<(Field, Vec<u8>)> {
    let replies = reply::replies(Received::ended(heard)).unwrap_or_default();
    let Some(first) = replies.first() else { return Vec::new() };
    let all = (field, first.lines.join(b"\r\n".as_slice()));
    let each = first.lines.iter().take(8).map(|line| (field, line.to_vec()));
    std::iter::once(all).chain(each.filter(|_| first.lines.len() > 1)).collect()
}

fn line_after(field: Field, heard: &[u8], starts: &[&[u8]]) -> Vec<(Field, Vec<u8>)> {
    let line = lines(heard).next().unwrap_or_default();
    let value = starts.iter().find_map(|start| line.strip_prefix(*start));
    value.map(|value| (field, value.to_vec())).into_iter().collect()
}

/// What the parser kept of an answer in binary.
fn banner(field: Field, service: &Service) -> Vec<(Field, Vec<u8>)> {
    service.banner.iter().map(|banner| (field, banner.clone().into_bytes())).collect()
}

fn http(service: &Service, heard: &[u8]) -> Vec<(Field, Vec<u8>)> {
    let mut found = Vec::new();
    for line in lines(heard).skip(1).take_while(|line| !line.is_empty()) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_ascii());
        let field = match name.to_ascii_lowercase().as_slice() {
            b"server" => Field::HttpServer,
            b"set-cookie" => Field::HttpCookie,
            b"www-authenticate" => Field::HttpAuth,
            b"x-powered-by" => Field::HttpPoweredBy,
            _ => continue,
        };
        found.push((field, value.to_vec()));
    }
    // The server's own name first, then what stands behind it.
    found.sort_by_key(|(field, _)| *field);
    for (field, fact) in [(Field::HttpTitle, "http.title"), (Field::HttpFavicon, "http.favicon.md5")] {
        found.extend(service.facts.get(fact).map(|value| (field, value.clone().into_bytes())));
    }
    found
}

/// A distinguished name as Recog's patterns expect it, `CN=a,OU=b,O=c\, Inc.,L=d,ST=e,C=f`: in that order whatever the
/// certificate's own, commas within values behind a backslash. `name` is as in [`model::Certificate::subject`].
pub(crate) fn distinguished(name: &str) -> Vec<u8> {
    const ORDER: [&str; 9] = ["SERIALNUMBER", "CN", "OU", "O", "POSTALCODE", "STREET", "L", "ST", "C"];
    let is_kind =
        |kind: &str| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let mut attributes: Vec<String> = Vec::new();
    for part in name.split(", ") {
        match (part.split_once('='), attributes.last_mut()) {
            // What does not begin an attribute goes on with the one before.
            (None, Some(open)) => *open = format!("{open}\\, {part}"),
            (Some((kind, _)), Some(open)) if !is_kind(kind) => *open = format!("{open}\\, {part}"),
            _ => attributes.push(part.to_owned()),
        }
    }
    let rank = |attribute: &String| {
        let kind = attribute.split('=').next().unwrap_or_default().to_ascii_uppercase();
        ORDER.iter().position(|known| *known == kind).unwrap_or(0)
    };
    attributes.sort_by_key(rank);
    attributes.join(",").into_bytes()
}

/// The text between Telnet's commands (RFC 854): three bytes with an option, two without, more in a subnegotiation.
fn telnet(heard: &[u8]) -> Vec<u8> {
    const IAC: u8 = 0xff;
    const SUB_BEGIN: u8 = 0xfa;
    let mut text = Vec::new();
    let mut bytes = heard.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != IAC {
            text.push(byte);
            continue;
        }
        match bytes.next() {
            Some(IAC) => text.push(IAC),
            Some(0xfb..=0xfe) => _ = bytes.next(),
            // It ends with IAC SE; where that is missing, all the rest is option.
            Some(SUB_BEGIN) => _ = bytes.by_ref().skip_while(|byte| *byte != IAC).nth(1),
            _ => {}
        }
    }
    text.trim_ascii().to_vec()
}

fn lines(heard: &[u8]) -> impl Iterator<Item = &[u8]> {
    heard.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_give_values_or_none(
            heard in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xff), Just(b'\n'), Just(b'-'), Just(b':')], 0..300),
            name in prop_oneof![Just("ssh"), Just("http"), Just("smtp"), Just("ftp"), Just("pop3"), Just("telnet"), Just("unknown")],
        ) {
            let service = Service { name: name.into(), ..Service::default() };
            let found = fields(&service, &heard);
            prop_assert!(found.len() <= MOST && found.iter().all(|(_, value)| !value.is_empty()));
        }
    }

    #[test]
    fn distinguished_names_in_recogs_order() {
        for (name, expect) in [
            ("C=TW, ST=HsinChu, O=DrayTek Corp., CN=Vigor Router", "CN=Vigor Router,O=DrayTek Corp.,ST=HsinChu,C=TW"),
            ("O=VMware, Inc., CN=a", "CN=a,O=VMware\\, Inc."),
            ("O=a, b & c=d, CN=e", "CN=e,O=a\\, b & c=d"),
            ("CN=a, OU=1, OU=2", "CN=a,OU=1,OU=2"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8(distinguished(name)).unwrap(), expect);
        }
    }

    #[test]
    fn values_without_what_stands_around_them() {
        let http = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; path=/\r\nserver:  Zorb/1 \r\nX-Odd\r\n\r\nServer: no\r\n";
        for (name, heard, expect) in [
            (
                "ssh",
                b"Hello\r\nSSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".as_slice(),
                vec![(Field::SshBanner, "OpenSSH_9.2p1 Debian-2")],
            ),
            ("smtp", b"220 mx ESMTP Exim 4.96\r\n250 a\r\n", vec![(Field::SmtpGreeting, "mx ESMTP Exim 4.96")]),
            (
                "ftp",
                b"220-One\r\n220 Two\r\n",
                vec![(Field::FtpGreeting, "One\r\nTwo"), (Field::FtpGreeting, "One"), (Field::FtpGreeting, "Two")],
            ),
            ("pop3", b"+OK ready\r\n", vec![(Field::PopGreeting, "ready")]),
            ("imap", b"* OK ready\r\n", vec![(Field::ImapGreeting, "ready")]),
            (
                "telnet",
                b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0\r\nlogin:\xff\xff",
                vec![(Field::TelnetText, "\r\nlogin:\u{ff}")],
            ),
            ("http", http, vec![(Field::HttpServer, "Zorb/1"), (Field::HttpCookie, "a=1; path=/")]),
            ("unknown", b"ZORB ready\n", vec![(Field::Line, "ZORB ready")]),
            ("rsync", b"@RSYNCD: 31.0\n", vec![]),
            ("smtp", b"\xff\xff", vec![]),
        ] {
            let service = Service { name: name.into(), ..Service::default() };
            let found: Vec<(Field, String)> = fields(&service, heard)
                .into_iter()
                .map(|(field, value)| (field, value.into_iter().map(char::from).collect()))
                .collect();
            let expect: Vec<(Field, String)> =
                expect.into_iter().map(|(field, value)| (field, value.trim_start().to_owned())).collect();
            assert_eq!(found, expect, "{name}");
        }
    }

    #[test]
    fn what_sip_and_rtsp_servers_call_themselves_is_a_field() {
        let sip = b"SIP/2.0 200 OK\r\nServer: Zorb PBX 7.1\r\nContent-Length: 0\r\n\r\n".as_slice();
        let rtsp = b"RTSP/1.0 200 OK\r\nServer: Zorbcam/2.1\r\nPublic: PLAY\r\n\r\n".as_slice();
        for (heard, field, value) in [(sip, Field::SipServer, "Zorb PBX 7.1"), (rtsp, Field::RtspServer, "Zorbcam/2.1")]
        {
            let crate::Parse::Yes(answer) = crate::classify(model::Transport::Tcp, Received::ended(heard)) else {
                panic!("no answer")
            };
            assert_eq!(fields(&answer.service, heard), [(field, value.as_bytes().to_vec())]);
        }
    }
}
