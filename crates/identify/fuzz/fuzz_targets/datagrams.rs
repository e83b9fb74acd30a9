//! Any datagrams a server of DTLS may send, each with its length before it in two bytes. Nothing of it may panic or take long, and no
//! more is held than is allowed.

#![no_main]

use identify::tls::DtlsReader;
use libfuzzer_sys::fuzz_target;
use std::hint::black_box;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = DtlsReader::default();
    let mut rest = bytes;
    while let [high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (datagram, further) = after.split_at(length);
        reader.feed(datagram);
        black_box(reader.take_cookie());
        rest = further;
    }
    black_box(reader.finish().profile());
});
