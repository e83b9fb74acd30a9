//! rsync's daemon: `@RSYNCD: 31.0`.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    text,
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
    let service = Service { name: "rsync".into(), banner: Some(text::printable(line)), ..Service::default() };
    Parse::yes(service, Strength::Structure, Next::Nothing)
}
