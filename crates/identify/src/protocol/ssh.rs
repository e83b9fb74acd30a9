//! SSH (RFC 4253 §4.2): the server's identification line, after any number of other lines; and its host key.

pub mod exchange;

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
    name: "ssh",
    speaker: Speaker::Server,
    ports: &[22, 2222, 22222],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        b"SSH-2.0-dropbear_2022.83\r\n",
        b"SSH-1.99-Cisco-1.25\n",
        b"Unauthorised use is prohibited\r\nSSH-2.0-OpenSSH_8.4\r\n",
        b"SSH-2.0-OpenSSH_for_Windows_9.5\r\n",
    ],
};

/// RFC 4253 allows lines before the identification; more than this is something else.
const MAX_LINES: usize = 32;

fn parse(received: Received<'_>) -> Parse {
    let mut reader = Reader::new(received.bytes);
    for number in 0..MAX_LINES {
        let Some(line) = reader.line() else {
            let rest = Received { bytes: reader.rest(), ended: received.ended };
            let begun = rest.bytes.starts_with(b"SSH-") && rest.bytes.len() <= 255;
            return match () {
                () if begun && received.ended => identification(rest.bytes),
                () if begun || (number == 0 && rest.may_become(b"SSH-")) => Parse::NeedMore,
                () => Parse::No,
            };
        };
        if line.starts_with(b"SSH-") {
            return identification(line);
        }
    }
    Parse::No
}

fn identification(line: &[u8]) -> Parse {
    let banner = text::printable(line);
    let Some((_, software)) = banner.strip_prefix("SSH-").and_then(|rest| rest.split_once('-')) else {
        return Parse::No;
    };
    let comment = software.split_once(' ').map_or("", |(_, comment)| comment);
    let mut service = Service { name: "ssh".into(), ..Service::default() };
    fingerprint::name(&mut service, Field::SshBanner, software);
    distribution::read(&mut service, comment);
    // `9.2p1` and `Debian-2+deb12u3` make the package version `9.2p1-2+deb12u3`.
    if let (Some(version), Some((_, revision))) = (service.version.clone(), comment.split_once('-'))
        && ["Debian-", "Ubuntu-", "Raspbian-"].iter().any(|vendor| comment.starts_with(vendor))
    {
        distribution::package(&mut service, &format!("{version}-{revision}"));
    }
    let next =
        if ["SSH-2.0-", "SSH-1.99-"].iter().any(|new| banner.starts_with(new)) { Next::HostKey } else { Next::Nothing };
    service.banner = Some(banner);
    Parse::yes(service, Strength::Structure, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extraction() {
        for (line, product, version, os, package) in [
            (
                "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
                "OpenSSH",
                Some("9.2p1"),
                Some("Debian 12"),
                Some("9.2p1-2+deb12u3"),
            ),
            (
                "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.4\r\n",
                "OpenSSH",
                Some("9.6p1"),
                Some("Ubuntu 24.04"),
                Some("9.6p1-3ubuntu13.4"),
            ),
            ("SSH-2.0-OpenSSH_9.3 FreeBSD-20230316\r\n", "OpenSSH", Some("9.3"), Some("FreeBSD"), None),
            ("SSH-2.0-OpenSSH_for_Windows_9.5\r\n", "OpenSSH", Some("9.5"), Some("Windows"), None),
            ("SSH-2.0-dropbear_2022.83\r\n", "Dropbear", Some("2022.83"), None, None),
            ("SSH-2.0-Cisco-1.25\n", "Cisco", Some("1.25"), None, None),
            ("SSH-2.0-Go\r\n", "Go", None, None, None),
        ] {
            let Parse::Yes(answer) = parse(Received::open(line.as_bytes())) else { panic!("{line}") };
            assert_eq!(answer.next, Next::HostKey, "{line}");
            assert_eq!(answer.service.product.as_deref(), Some(product), "{line}");
            assert_eq!(answer.service.version.as_deref(), version, "{line}");
            assert_eq!(answer.service.os.map(|os| os.to_string()).as_deref(), os, "{line}");
            assert_eq!(answer.service.facts.get("package.version").map(String::as_str), package, "{line}");
            assert_eq!(answer.service.banner.as_deref(), Some(line.trim_end()));
        }
    }

    #[test]
    fn the_first_version_shows_no_key() {
        let Parse::Yes(answer) = parse(Received::open(b"SSH-1.5-Cisco-1.25\n")) else { panic!("SSH 1") };
        assert_eq!((answer.next, answer.service.product.as_deref()), (Next::Nothing, Some("Cisco")));
    }
}
