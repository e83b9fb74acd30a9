use super::*;
use crate::Reader;
use proptest::prelude::*;

/// What stands in a hello, read back.
#[derive(Debug, Default)]
struct Shown {
    record: u16,
    version: u16,
    ciphers: Vec<u16>,
    compressions: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
    length: usize,
}

fn vector<'a>(reader: &mut Reader<'a>, width: usize) -> &'a [u8] {
    let length = reader.take(width).expect("a length").iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    reader.take(length).expect("all of it")
}

fn read(record: &[u8]) -> Shown {
    let mut reader = Reader::new(record);
    assert_eq!(reader.u8(), Some(22));
    let record = reader.u16().expect("a version");
    let message = vector(&mut reader, 2);
    assert!(reader.is_empty());
    let mut reader = Reader::new(message);
    assert_eq!(reader.u8(), Some(1));
    let mut body = Reader::new(vector(&mut reader, 3));
    assert!(reader.is_empty());
    let mut shown =
        Shown { record, version: body.u16().expect("a version"), length: message.len(), ..Shown::default() };
    assert_eq!(body.take(32).expect("random"), [7; 32]);
    assert!(vector(&mut body, 1).len() <= 32);
    let mut ciphers = Reader::new(vector(&mut body, 2));
    shown.ciphers = std::iter::from_fn(|| ciphers.u16()).collect();
    shown.compressions = vector(&mut body, 1).to_vec();
    if !body.is_empty() {
        let mut extensions = Reader::new(vector(&mut body, 2));
        while !extensions.is_empty() {
            let kind = extensions.u16().expect("a kind");
            shown.extensions.push((kind, vector(&mut extensions, 2).to_vec()));
        }
    }
    assert!(body.is_empty());
    shown
}

impl Shown {
    fn extension(&self, kind: u16) -> Option<&[u8]> {
        self.extensions.iter().find(|(known, _)| *known == kind).map(|(_, body)| body.as_slice())
    }
}

#[test]
fn every_version_is_said_as_servers_expect_it() {
    for (version, record, inside, extensions, heartbeat, signatures) in [
        (Version::SSL3, 0x0300, 0x0300, false, false, false),
        (Version::TLS1_0, 0x0301, 0x0301, true, true, false),
        (Version::TLS1_1, 0x0301, 0x0302, true, true, false),
        (Version::TLS1_2, 0x0301, 0x0303, true, true, true),
        (Version::TLS1_3, 0x0301, 0x0303, true, false, true),
    ] {
        let shown = read(&Hello::broad(version, [7; 32]).to_record());
        assert_eq!((shown.record, shown.version), (record, inside), "{version}");
        assert_eq!(shown.extension(extension::HEARTBEAT).is_some(), heartbeat, "{version}");
        assert_eq!(shown.extension(extension::SIGNATURE_ALGORITHMS).is_some(), signatures, "{version}");
        assert_eq!(!shown.extensions.is_empty(), extensions, "{version}");
        assert_eq!(shown.ciphers.contains(&0x00ff), !extensions, "{version}: it takes no renegotiation without proof");
        assert_eq!(shown.extension(extension::SERVER_NAME), None);
        let offered = shown.extension(extension::SUPPORTED_VERSIONS);
        assert_eq!(offered, (version == Version::TLS1_3).then_some([2, 3, 4].as_slice()), "{version}");
    }
}

#[test]
fn tls_1_3_is_offered_without_the_groups_that_it_has_done_away_with() {
    let groups = |version| {
        let shown = read(&Hello::broad(version, [7; 32]).to_record());
        let body = shown.extension(extension::SUPPORTED_GROUPS).expect("groups").to_vec();
        body.chunks_exact(2).skip(1).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect::<Vec<_>>()
    };
    for (group, in_tls_1_2, in_tls_1_3) in [
        (29, true, true),
        (23, true, true),
        (25, true, true),
        (30, true, true),
        // Brainpool's curves: their numbers of before TLS 1.3, and those within it (RFC 8734).
        (26, true, false),
        (28, true, false),
        (31, true, true),
        (256, true, true),
        // secp256k1, secp192r1, sect163k1.
        (22, true, false),
        (19, true, false),
        (1, true, false),
    ] {
        assert_eq!(groups(Version::TLS1_2).contains(&group), in_tls_1_2, "{group}");
        assert_eq!(groups(Version::TLS1_3).contains(&group), in_tls_1_3, "{group}");
    }
}

#[test]
fn a_name_is_asked_for_and_an_address_never() {
    for (name, expect) in [
        (Some("www.example.org"), Some("www.example.org")),
        (Some("www.example.org."), Some("www.example.org")),
        (Some("_dmarc.example.org"), Some("_dmarc.example.org")),
        (Some("192.0.2.7"), None),
        (Some("2001:db8::1"), None),
        (Some(""), None),
        (Some("white space"), None),
        (None, None),
    ] {
        let shown = read(&Hello::broad(Version::TLS1_2, [7; 32]).server_name(name).to_record());
        let said = shown.extension(extension::SERVER_NAME).map(|body| {
            let mut reader = Reader::new(body);
            let mut list = Reader::new(vector(&mut reader, 2));
            assert_eq!(list.u8(), Some(0));
            String::from_utf8(vector(&mut list, 2).to_vec()).expect("a name")
        });
        assert_eq!(said.as_deref(), expect, "{name:?}");
    }
}

#[test]
fn what_is_switched_off_is_left_out() {
    let mut hello = Hello::broad(Version::TLS1_2, [7; 32]).only(|cipher| cipher.is(cipher::Class::Export));
    hello.heartbeat = false;
    hello.compression = false;
    hello.fallback = true;
    hello.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let shown = read(&hello.to_record());
    assert_eq!(shown.extension(extension::HEARTBEAT), None);
    assert_eq!(shown.compressions, [0]);
    assert_eq!(shown.ciphers.last(), Some(&0x5600));
    assert_eq!(shown.ciphers.len(), cipher::of(cipher::Class::Export).count() + 1);
    assert_eq!(shown.extension(extension::ALPN), Some(b"\x00\x0c\x02h2\x08http/1.1".as_slice()));
    let all = read(&Hello::broad(Version::TLS1_2, [7; 32]).to_record());
    assert_eq!(all.compressions, [1, 0]);
    assert_eq!(all.extension(extension::HEARTBEAT), Some([1].as_slice()));
    assert!(all.length < 1400, "one packet: {}", all.length);
}

#[test]
fn ssl_2() {
    let hello = ssl2_hello(Ssl2Cipher::all().take(2), [9; 16]);
    assert_eq!(hello.get(..11), Some([0x80, 31, 1, 0, 2, 0, 6, 0, 0, 0, 16].as_slice()));
    assert_eq!(hello.get(11..17), Some([1, 0, 0x80, 2, 0, 0x80].as_slice()));
    assert_eq!(hello.get(17..), Some([9; 16].as_slice()));
}

proptest! {
    #[test]
    fn any_hello_reads_back_and_avoids_the_lengths_that_hang(
        count in 0_usize..400,
        groups in proptest::collection::vec(any::<u16>(), 0..60),
        alpn in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..4),
        session in proptest::collection::vec(any::<u8>(), 0..64),
        name in "[a-z.-]{0,280}",
        version in 0x0300_u16..=0x0304,
        flags in any::<u8>(),
    ) {
        let flag = |bit: u8| flags & 1 << bit != 0;
        let mut hello = Hello::broad(Version(version), [7; 32]).server_name(Some(&name));
        hello.ciphers.truncate(count);
        let ciphers = hello.ciphers.len();
        (hello.groups, hello.alpn, hello.session_id) = (groups, alpn, session);
        (hello.fallback, hello.heartbeat, hello.timestamps) = (flag(0), flag(1), flag(2));
        (hello.status_request, hello.session_ticket, hello.renegotiation_info) = (flag(3), flag(4), flag(5));
        let shown = read(&hello.to_record());
        prop_assert_eq!(shown.ciphers.len(), ciphers + usize::from(flag(0)) + usize::from(flag(5) && version == 0x0300));
        prop_assert!(version == 0x0300 || !(256..512).contains(&shown.length), "{}", shown.length);
        let kinds: std::collections::HashSet<_> = shown.extensions.iter().map(|(kind, _)| kind).collect();
        prop_assert_eq!(kinds.len(), shown.extensions.len());
    }
}
