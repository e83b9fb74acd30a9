use super::*;
use crate::tls::End;
use proptest::prelude::*;

/// Of a record.
const HEADER: usize = 13;
/// What a path takes in one piece, nearly everywhere, less the headers below.
const MAX_HELLO: usize = 1452;

fn hello() -> Hello {
    Hello::broad(Version::DTLS1_2, [7; 32]).server_name(Some("www.a-rather-long-name-for-a-host.example.org"))
}

/// A fragment of a message, as a record of its own.
fn fragment(kind: u8, number: u8, whole: &[u8], from: usize, to: usize) -> Vec<u8> {
    let u24 = |number: usize| number.to_be_bytes()[5..].to_vec();
    let header = [vec![kind], u24(whole.len()), vec![0, number], u24(from), u24(to - from)].concat();
    record(Record::HANDSHAKE, Version::DTLS1_2, number, &[&header, &whole[from..to]].concat())
}

/// A hello without extensions, a chain of one, and the end.
fn messages() -> Vec<(u8, Vec<u8>)> {
    let server_hello = [&[0xfe, 0xfd][..], &[1; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let certificate: Vec<u8> = (0..3000_usize).map(|byte| byte.to_be_bytes()[7]).collect();
    let chain = [&[0, 0x0b, 0xbb, 0, 0x0b, 0xb8][..], &certificate].concat();
    vec![(SERVER_HELLO, server_hello), (11, chain), (14, Vec::new())]
}

#[test]
fn a_hello_is_one_datagram_with_any_cookie() {
    let without = datagram(&hello(), &[], 0);
    let with = datagram(&hello(), &[9; 255], 7);
    assert!(with.len() <= MAX_HELLO, "{} bytes", with.len());
    assert_eq!(&without[..HEADER], &[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, without[11], without[12]]);
    let length = usize::from(u16::from_be_bytes([without[11], without[12]]));
    assert_eq!(without.len(), HEADER + length);
    assert_eq!(&without[HEADER + 4..HEADER + 9], &[0, 0, 0, 0, 0], "the first message, from its beginning");
    assert_eq!(&without[HEADER + 12..HEADER + 14], &[0xfe, 0xfd]);
    assert_eq!((with[10], with[HEADER + 5]), (7, 1), "the second message, in a record of its own");
    assert!(with.windows(256).any(|part| part[0] == 255 && part[1..] == [9; 255]));
}

#[test]
fn the_cookie_is_told_once_and_fragments_come_in_any_order() {
    let mut reader = DtlsReader::default();
    let request = [&[0xfe, 0xff, 4][..], b"abcd"].concat();
    reader.feed(&fragment(HELLO_VERIFY_REQUEST, 0, &request, 0, request.len()));
    assert_eq!((reader.take_cookie(), reader.take_cookie()), (Some(b"abcd".to_vec()), None));
    let mut datagrams = Vec::new();
    for (number, (kind, body)) in (1..).zip(messages()) {
        // Pieces that overlap, and one twice.
        let cuts: Vec<usize> = (0..body.len()).step_by(500).collect();
        for from in cuts {
            datagrams.push(fragment(kind, number, &body, from.saturating_sub(20), (from + 500).min(body.len())));
        }
        datagrams.push(fragment(kind, number, &body, 0, body.len().min(10)));
    }
    datagrams.reverse();
    for datagram in &datagrams {
        assert_eq!(reader.flight().end, None);
        reader.feed(datagram);
    }
    let flight = reader.finish();
    assert_eq!(flight.end, Some(End::HelloDone));
    assert_eq!(flight.version(), Some(Version::DTLS1_2));
    assert_eq!(flight.certificates.iter().map(Vec::len).collect::<Vec<_>>(), [3000]);
}

#[test]
fn an_alert_ends_it_and_what_is_encrypted_or_something_else_says_nothing() {
    let mut reader = DtlsReader::default();
    let mut encrypted = record(Record::ALERT, Version::DTLS1_2, 0, &[2, 40]);
    encrypted[4] = 1;
    for other in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &encrypted, &[], &[22, 0xfe]] {
        reader.feed(other);
        assert_eq!(reader.flight(), &ServerFlight::default());
    }
    assert!(!reader.is_dtls());
    reader.feed(&record(Record::ALERT, Version::DTLS1_0, 0, &[2, 40]));
    assert_eq!(reader.flight().end, Some(End::Refused));
}

#[test]
fn memory_is_bounded_whatever_is_announced() {
    let mut reader = DtlsReader::default();
    for number in 0..=255 {
        let whole = vec![0; MAX_MESSAGE];
        for from in (0..MAX_MESSAGE).step_by(512) {
            reader.feed(&fragment(11, number, &whole, from, from + 1));
        }
    }
    let held: usize = reader.parts.values().map(|parts| parts.body.len()).sum();
    let pieces: usize = reader.parts.values().map(|parts| parts.there.len()).sum();
    assert!(held <= DtlsReader::MAX_HELD && pieces <= MAX_MESSAGES * MAX_PIECES, "{held} bytes, {pieces} pieces");
    assert_eq!(reader.flight().end, None);
}

proptest! {
    /// Nothing that comes makes it panic, and a flight is read whatever comes before it.
    #[test]
    fn nothing_makes_it_panic(garbage in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
                              cut in 0_usize..400, flip in 0_usize..200) {
        let mut reader = DtlsReader::default();
        for bytes in &garbage {
            reader.feed(bytes);
        }
        for (number, (kind, body)) in (0..).zip(messages()) {
            let mut whole = fragment(kind, number, &body, 0, body.len());
            if let Some(byte) = whole.get_mut(flip + HEADER) {
                *byte ^= 0x55;
            }
            reader.feed(&whole[..whole.len().saturating_sub(cut)]);
            reader.feed(&whole);
        }
        prop_assert!(reader.finish().certificates.len() <= 64);
    }
}

/// What holds of any datagrams, each with its length before it: they are read within bounds.
fn check(bytes: &[u8]) -> ServerFlight {
    let mut reader = DtlsReader::default();
    let mut rest = bytes;
    while let [high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (datagram, further) = after.split_at(length);
        reader.feed(datagram);
        let held: usize = reader.parts.values().map(|parts| parts.body.len()).sum();
        assert!(held <= DtlsReader::MAX_HELD && reader.parts.len() <= MAX_MESSAGES);
        rest = further;
    }
    reader.finish()
}

#[test]
fn the_corpus_is_read_and_so_is_what_is_like_it() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/datagrams");
    let mut whole = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is committed") {
        let path = entry.expect("a folder can be read").path();
        let bytes = std::fs::read(&path).expect("a file can be read");
        let flight = check(&bytes);
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        assert_eq!(flight.end == Some(End::HelloDone), name.starts_with("flight"), "{name}");
        whole += usize::from(flight.end == Some(End::HelloDone));
        for at in 0..bytes.len() {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 0xff;
            check(&spoilt);
            check(&bytes[..at]);
        }
    }
    assert_eq!(whole, 3);
}
