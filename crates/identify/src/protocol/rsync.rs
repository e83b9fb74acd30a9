//! rsync's daemon: `@RSYNCD: 31.0`.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product, text,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "rsync",
    speaker: Speaker::Server,
    ports: &[873],
    request: None,
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[b"@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\n", b"@RSYNCD: 30.0\n"],
};

fn parse(received: Received<'_>) -> Parse {
    const START: &[u8] = b"@RSYNCD: ";
    if !received.bytes.starts_with(START) {
        return if received.may_become(START) { Parse::NeedMore } else { Parse::No };
    }
    let Some(line) = Reader::new(received.bytes).line() else {
        return if received.bytes.len() < 256 { Parse::need_more(received) } else { Parse::No };
    };
    let mut service = Service { name: "rsync".into(), banner: Some(text::printable(line)), ..Service::default() };
    if is_its_own(line.get(START.len()..).unwrap_or_default()) {
        product::name(&mut service, "rsync", None);
    }
    Parse::yes(service, Strength::Structure, Next::Nothing)
}

/// The others that speak it (OpenBSD's among them) stayed at protocol 27: rsync itself alone has 30 and above, with a number behind
/// a point.
fn is_its_own(said: &[u8]) -> bool {
    let version: Vec<u8> = said.iter().copied().take_while(|byte| *byte != b' ').collect();
    let Some((protocol, _)) = std::str::from_utf8(&version).ok().and_then(|version| version.split_once('.')) else {
        return false;
    };
    protocol.parse::<u8>().is_ok_and(|protocol| protocol >= 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rsync_itself_has_the_later_protocols() {
        for (line, expect) in [
            (b"@RSYNCD: 31.0 sha512 md5\n".as_slice(), Some("rsync")),
            (b"@RSYNCD: 30.0\n", Some("rsync")),
            (b"@RSYNCD: 27\n", None),
            (b"@RSYNCD: 29\n", None),
        ] {
            let Parse::Yes(answer) = parse(Received::open(line)) else { panic!("{}", line.escape_ascii()) };
            assert_eq!(answer.service.product.as_deref(), expect, "{}", line.escape_ascii());
        }
    }
}
