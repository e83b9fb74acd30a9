//! RDP: a connection request of X.224 and its confirmation ([MS-RDPBCGR] §2.2.1.1 and §2.2.1.2).

use super::{Protocol, Speaker, named};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "ms-wbt-server",
    speaker: Speaker::Client,
    ports: &[3389],
    // TLS, CredSSP, and CredSSP with early authorization.
    request: Some(|_| vec![3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0x0b, 0, 0, 0]),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x1f\x08\x00\x02\x00\x00\x00",
        b"\x03\x00\x00\x09\x02\xf0\x80\x21\x80",
        b"\x03\x00\x00\x0b\x06\xd0\x00\x00\x12\x34\x00",
        b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x03\x00\x08\x00\x05\x00\x00\x00",
    ],
};

const ULTIMATUM: &[u8] = b"\x03\0\0\x09\x02\xf0\x80\x21\x80";

fn parse(received: Received<'_>) -> Parse {
    let header = [3, 0, 0];
    if !received.bytes.starts_with(&header) {
        return if received.may_become(&header) { Parse::NeedMore } else { Parse::No };
    }
    let mut reader = Reader::new(received.bytes);
    let (_, Some(length)) = (reader.take(3), reader.u8()) else { return Parse::need_more(received) };
    // What xrdp says to those who speak something else: an ultimatum of T.125, as if a session had been there.
    if received.bytes.starts_with(ULTIMATUM) {
        let mut service = named("ms-wbt-server");
        product::name(&mut service, "xrdp", None);
        return Parse::yes(service, Strength::Weak, Next::Again);
    }
    if length == 9 && received.may_become(ULTIMATUM) {
        return Parse::NeedMore;
    }
    if !matches!(length, 11 | 19) {
        return Parse::No;
    }
    let Some(packet) = reader.take(usize::from(length) - 4) else { return Parse::need_more(received) };
    // The length within, and a connection confirm.
    if packet.first() != Some(&(length - 5)) || packet.get(1) != Some(&0xd0) {
        return Parse::No;
    }
    let mut service = Service { name: "ms-wbt-server".into(), ..Service::default() };
    let security = match packet.get(7..) {
        Some([2, _, 8, 0, 1, ..]) => "TLS",
        Some([2, _, 8, 0, 2 | 8, ..]) => "CredSSP",
        Some([2, ..] | []) => "RDP",
        _ => "refused",
    };
    service.facts.insert("rdp.security".into(), security.into());
    Parse::yes(service, Strength::Structure, Next::Nothing)
}
