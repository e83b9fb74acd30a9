mod corpus;

use super::*;
use crate::tls::NoRecord;
use proptest::prelude::*;

fn be(number: usize, width: usize) -> Vec<u8> {
    number.to_be_bytes()[8 - width..].to_vec()
}

fn sized(width: usize, body: &[u8]) -> Vec<u8> {
    [be(body.len(), width), body.to_vec()].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], sized(3, body)].concat()
}

fn record(kind: u8, version: u16, payload: &[u8]) -> Vec<u8> {
    [vec![kind], version.to_be_bytes().to_vec(), sized(2, payload)].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), sized(2, body)].concat()
}

fn hello(version: u16, cipher: u16, compression: u8, extensions: Option<&[u8]>) -> Vec<u8> {
    let fixed = [&version.to_be_bytes()[..], &[5; 32], &[0], &cipher.to_be_bytes(), &[compression]].concat();
    message(2, &[fixed, extensions.map(|body| sized(2, body)).unwrap_or_default()].concat())
}

fn certificate(ders: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = ders.iter().flat_map(|der| sized(3, der)).collect();
    message(11, &sized(3, &list))
}

const DONE: [u8; 4] = [14, 0, 0, 0];
const ECDHE: u16 = 0xc02f;
const DHE: u16 = 0x0033;
const RSA: u16 = 0x002f;
const ANON: u16 = 0x0018;
const EXPORT: u16 = 0x0003;
const PSK_DHE: u16 = 0x0090;

/// A whole flight of TLS 1.2 in one record.
fn whole() -> Vec<u8> {
    let extensions = [
        extension(0xff01, &[0]),
        extension(0, &[]),
        extension(15, &[1]),
        extension(16, &sized(2, &sized(1, b"h2"))),
        extension(5, &[]),
        extension(18, &sized(2, &[sized(2, &[1; 40]), sized(2, &[2; 50])].concat())),
        extension(23, &[]),
    ];
    let messages = [
        hello(0x0303, ECDHE, 0, Some(&extensions.concat())),
        certificate(&[b"leaf", b"intermediate"]),
        message(22, &[vec![1], sized(3, b"response")].concat()),
        message(12, &[vec![3, 0, 29], sized(1, &[4; 32]), vec![4, 1], sized(2, &[6; 256])].concat()),
        message(
            13,
            &[sized(1, &[1, 64]), sized(2, &[4, 1]), sized(2, &[sized(2, b"dn one"), sized(2, b"dn")].concat())]
                .concat(),
        ),
        DONE.to_vec(),
    ];
    record(22, 0x0303, &messages.concat())
}

fn read(bytes: &[u8]) -> ServerFlight {
    let mut reader = FlightReader::default();
    reader.feed(bytes);
    reader.finish().0
}

#[test]
fn a_whole_flight() {
    let flight = read(&whole());
    let hello = flight.hello.as_ref().expect("a hello");
    assert_eq!((hello.version, hello.cipher, hello.compression), (Version::TLS1_2, Cipher(ECDHE), 0));
    assert_eq!(hello.extensions, [0xff01, 0, 15, 16, 5, 18, 23]);
    assert!(hello.secure_renegotiation && hello.took_server_name && hello.extended_master_secret && !hello.resumes);
    assert_eq!((hello.heartbeat, hello.timestamps, hello.alpn.as_deref()), (Some(1), 2, Some(b"h2".as_slice())));
    assert_eq!(flight.certificates, [b"leaf".to_vec(), b"intermediate".to_vec()]);
    assert_eq!(flight.ocsp.as_deref(), Some(b"response".as_slice()));
    assert_eq!(flight.key_exchange, Some(KeyExchange::Group(29)));
    let client_auth = flight.client_auth.as_ref().expect("a request");
    assert_eq!(client_auth.kinds, [1, 64]);
    assert_eq!(client_auth.authorities, [b"dn one".to_vec(), b"dn".to_vec()]);
    assert_eq!(flight.end, Some(End::HelloDone));
    assert!(flight.speaks_tls() && flight.alerts.is_empty());
    assert_eq!(flight.profile().as_deref(), Some("0303,c02f,ff01-0-f-10-5-12-17,1d,h2"));
}

#[test]
fn key_exchanges() {
    let dh = |prime: &[u8]| [sized(2, prime), sized(2, &[2]), sized(2, &[9; 8])].concat();
    let prime = [&[0, 0, 0x3f][..], &[1; 63]].concat();
    for (cipher, body, expect) in [
        (ECDHE, vec![3, 0, 23, 65], Some(KeyExchange::Group(23))),
        (ECDHE, vec![1, 4, 0, 0xff, 1, 1], Some(KeyExchange::ExplicitCurve { bits: 24 })),
        (ECDHE, vec![2, 0, 163], Some(KeyExchange::ExplicitCurve { bits: 163 })),
        (ECDHE, vec![9, 0, 163], None),
        (DHE, dh(&[0xff; 128]), Some(KeyExchange::Dh { prime: vec![0xff; 128], bits: 1024 })),
        (ANON, dh(&prime), Some(KeyExchange::Dh { prime: prime[2..].to_vec(), bits: 510 })),
        (DHE, dh(&[]), Some(KeyExchange::Dh { prime: Vec::new(), bits: 0 })),
        (DHE, vec![0xff, 0xff, 1], None),
        (
            PSK_DHE,
            [sized(2, b"hint"), dh(&[0x80; 64])].concat(),
            Some(KeyExchange::Dh { prime: vec![0x80; 64], bits: 512 }),
        ),
        (EXPORT, [sized(2, &[0x80; 64]), sized(2, &[1, 0, 1])].concat(), Some(KeyExchange::Rsa { bits: 512 })),
        (RSA, sized(2, &[0x80; 64]), None),
        (0xfafa, dh(&[0xff; 128]), None),
    ] {
        let bytes = record(22, 0x0301, &[hello(0x0301, cipher, 0, None), message(12, &body), DONE.to_vec()].concat());
        let flight = read(&bytes);
        assert_eq!(flight.key_exchange, expect, "{cipher:04x} {body:02x?}");
        assert_eq!(flight.end, Some(End::HelloDone));
    }
}

#[test]
fn before_tls_1_2_a_request_names_no_signatures() {
    for version in [0x0300, 0x0301, 0x0302] {
        let request = message(13, &[sized(1, &[1]), sized(2, &sized(2, b"dn"))].concat());
        let flight = read(&record(22, version, &[hello(version, RSA, 1, None), request, DONE.to_vec()].concat()));
        assert_eq!(flight.client_auth, Some(ClientAuth { kinds: vec![1], authorities: vec![b"dn".to_vec()] }));
        let hello = flight.hello.expect("a hello");
        assert_eq!((hello.version, hello.compression, hello.secure_renegotiation), (Version(version), 1, false));
    }
}

#[test]
fn endings() {
    let tls13 = [extension(43, &[3, 4]), extension(51, &[0, 29, 0, 0])].concat();
    let mut retry = hello(0x0303, 0x1301, 0, Some(&[extension(43, &[3, 4]), extension(51, &[0, 24])].concat()));
    retry[6..38].copy_from_slice(&[
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ]);
    let long = [vec![11, 0xff, 0xff, 0xff], vec![0; 100]].concat();
    for (bytes, end, tls) in [
        (record(22, 0x0303, &hello(0x0303, 0x1301, 0, Some(&tls13))), Some(End::Encrypted), true),
        (record(22, 0x0303, &retry), Some(End::Encrypted), true),
        (record(21, 0x0300, &[2, 40]), Some(End::Refused), true),
        (record(21, 0x0301, &[1, 0]), Some(End::Refused), true),
        (record(21, 0x0303, &[1, 112]), None, true),
        (record(21, 0x0303, &[3, 112]), Some(End::Malformed), false),
        (record(22, 0x0303, &[hello(0x0303, RSA, 0, None), long].concat()), Some(End::Malformed), true),
        (record(22, 0x0303, &certificate(&[b"leaf"])), Some(End::Malformed), false),
        (record(22, 0x0303, &[0, 0, 0, 0]), None, false),
        (record(23, 0x0303, b"secret"), Some(End::Malformed), false),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Some(End::NotTls), false),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(), Some(End::NotTls), false),
        (vec![0x16, 3, 3, 0xff, 0xff, 2], Some(End::NotTls), false),
        (vec![0x16, 2], Some(End::NotTls), false),
        (vec![0x80, 3, 0, 0, 1], Some(End::Refused), false),
        (vec![0x80, 3, 7, 0, 1], Some(End::NotTls), false),
        (vec![0x80], None, false),
        (Vec::new(), None, false),
    ] {
        let flight = read(&bytes);
        assert_eq!((flight.end, flight.speaks_tls()), (end, tls), "{bytes:02x?}");
    }
    let flight = read(&record(22, 0x0303, &hello(0x0303, 0x1301, 0, Some(&tls13))));
    let hello = flight.hello.expect("a hello");
    assert_eq!((hello.version, hello.group, hello.retry), (Version::TLS1_3, Some(29), false));
    assert!(read(&record(22, 0x0303, &retry)).hello.is_some_and(|hello| hello.retry && hello.group == Some(24)));
}

/// A name that is not known is said by a warning, and the flight goes on.
#[test]
fn a_warning_is_no_end() {
    let flight = read(&[record(21, 0x0303, &[1, 112]), whole()].concat());
    assert!(flight.alerted(Alert::UNRECOGNIZED_NAME));
    assert_eq!((flight.end, flight.certificates.len()), (Some(End::HelloDone), 2));
}

#[test]
fn ssl_2() {
    let body = [&[4, 0, 1, 0, 2, 0, 4, 0, 6, 0, 16][..], b"cert", &[1, 0, 0x80, 7, 0, 0xc0], &[8; 16]].concat();
    let bytes = [vec![0x80, u8::try_from(body.len()).expect("short")], body].concat();
    let flight = read(&bytes);
    let names: Vec<_> = flight.ssl2.iter().flat_map(|hello| &hello.ciphers).map(ToString::to_string).collect();
    assert_eq!(names, ["SSL_CK_RC4_128_WITH_MD5", "SSL_CK_DES_192_EDE3_CBC_WITH_MD5"]);
    assert_eq!(flight.certificates, [b"cert".to_vec()]);
    assert_eq!((flight.version(), flight.end), (Some(Version::SSL2), Some(End::HelloDone)));
    for cut in 1..bytes.len() {
        assert_eq!(read(&bytes[..cut]).end, None, "{cut}");
    }
}

/// What follows is for whoever goes on with the connection.
#[test]
fn what_follows_the_end_is_left() {
    let mut reader = FlightReader::default();
    let beat = record(Record::HEARTBEAT, 0x0303, b"\x02\x00\x03abc");
    reader.feed(&[whole(), beat.clone()].concat());
    reader.feed(&beat);
    assert_eq!(reader.rest(), [beat.clone(), beat].concat());
    let (_, mut records) = reader.finish();
    for _ in 0..2 {
        let record = records.take().expect("records").expect("a whole one");
        assert_eq!((record.kind, record.payload.as_slice()), (Record::HEARTBEAT, b"\x02\x00\x03abc".as_slice()));
    }
    assert_eq!(records.take(), Ok(None));
    records.feed(b"500 OOPS: vsf_sysutil_recv_peek");
    assert_eq!(records.take(), Err(NoRecord));
}

/// Whoever talks without end is not listened to without end.
#[test]
fn endless_talk_is_bounded() {
    let piece = record(22, 0x0303, &[0, 0, 0, 0].repeat(1000));
    let plain = [b'a'; 1000];
    for (piece, end) in [(piece.as_slice(), End::Malformed), (plain.as_slice(), End::NotTls)] {
        let mut reader = FlightReader::default();
        for _ in 0..200 {
            reader.feed(piece);
        }
        assert_eq!(reader.flight().end, Some(end));
        assert!(reader.rest().len() <= FlightReader::MAX_BYTES);
    }
    let many = [hello(0x0303, RSA, 0, None), certificate(&vec![b"der".as_slice(); 5000]), DONE.to_vec()].concat();
    let records: Vec<u8> = many.chunks(16_000).flat_map(|piece| record(22, 0x0303, piece)).collect();
    let flight = read(&records);
    assert_eq!((flight.certificates.len(), flight.end), (64, Some(End::HelloDone)));
}

proptest! {
    /// The pieces it comes in, and those the server cuts it into, change nothing.
    #[test]
    fn pieces_change_nothing(pieces in proptest::collection::vec(1_usize..40, 1..60), fragment in 1_usize..300) {
        let bytes: Vec<u8> = whole()[5..].chunks(fragment).flat_map(|part| record(22, 0x0303, part)).collect();
        let mut reader = FlightReader::default();
        let mut rest = bytes.as_slice();
        for piece in pieces.into_iter().cycle() {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            reader.feed(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(reader.flight(), &read(&whole()));
    }

    #[test]
    fn any_bytes_are_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0_usize..400) {
        corpus::check(&bytes);
        let mut damaged = whole();
        let at = at % damaged.len();
        damaged.splice(at..(at + bytes.len()).min(whole().len()), bytes.iter().copied());
        corpus::check(&damaged);
    }
}
