//! Microsoft SQL Server: pre-login ([MS-TDS] §2.2.6.5), whose answer carries the version.

use super::{Protocol, Speaker};
use crate::{
    Reader,
    answer::{Next, Parse, Received, Strength},
    product,
};
use model::Service;

pub(super) static PROTOCOL: Protocol = Protocol {
    name: "ms-sql-s",
    speaker: Speaker::Client,
    ports: &[1433],
    request: Some(|_| QUESTION.to_vec()),
    parse,
    reply: None,
    #[cfg(test)]
    samples: &[
        b"\x04\x01\x00\x1a\x00\x00\x01\x00\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff\x10\x00\x03\xe8\x00\x00\x01",
    ],
};

/// A last packet of pre-login: version 15, encryption wanted, any instance, no thread, no MARS.
const QUESTION: [u8; 47] = [
    0x12, 1, 0, 47, 0, 0, 0, 0, 0, 0, 26, 0, 6, 1, 0, 32, 0, 1, 2, 0, 33, 0, 1, 3, 0, 34, 0, 4, 4, 0, 38, 0, 1, 0xff,
    15, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
];

fn parse(received: Received<'_>) -> Parse {
    let expected = [4, 1];
    let mut reader = Reader::new(received.bytes);
    if !received.bytes.starts_with(&expected) {
        return if received.may_become(&expected) { Parse::NeedMore } else { Parse::No };
    }
    let (_, Some(length)) = (reader.take(2), reader.u16()) else { return Parse::need_more(received) };
    if !(20..2048).contains(&length) {
        return Parse::No;
    }
    let Some(packet) = reader.take(usize::from(length) - 4) else { return Parse::need_more(received) };
    // Behind spid, packet number and window: the options, the version first, in six bytes.
    let options = packet.get(4..).unwrap_or_default();
    let mut first = Reader::new(options);
    let (Some(0), Some(offset), Some(6)) = (first.u8(), first.u16(), first.u16()) else { return Parse::No };
    let version = options.get(usize::from(offset)..).and_then(|rest| rest.first_chunk::<4>());
    let Some(&[major, minor, high, low]) = version else { return Parse::No };
    let mut service = Service { name: "ms-sql-s".into(), ..Service::default() };
    let version = format!("{major}.{minor}.{}", u16::from_be_bytes([high, low]));
    product::name(&mut service, "SQL Server", Some(&version));
    service.vendor = Some("Microsoft".into());
    Parse::yes(service, Strength::Structure, Next::Nothing)
}
