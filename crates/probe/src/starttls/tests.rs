//! Each protocol's way, on bytes; and over streams, cut into the smallest pieces.

use super::{Protocol, Refusal, Stage, Turn, Words, resume, turn, upgrade};
use proptest::prelude::*;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::Instant,
};

const WORDS: Words<'_> = Words { helo: "scan1", domain: "example.org" };

/// What passes between a server that upgrades and us: alternately from it and from us, beginning with the server.
fn dialogues() -> Vec<(&'static str, Protocol, Vec<&'static [u8]>)> {
    let xmpp_features: &[u8] = b"<?xml version='1.0'?><stream:stream from='example.org' id='1' version='1.0' \
        xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'><stream:features>\
        <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
    vec![
        (
            "smtp",
            Protocol::Smtp,
            vec![
                b"220-mx ESMTP\r\n220 no bulk mail\r\n",
                b"EHLO scan1\r\n",
                b"250-mx\r\n250-PIPELINING\r\n250-starttls\r\n250 8BITMIME\r\n",
                b"STARTTLS\r\n",
                b"220 2.0.0 Ready to start TLS\r\n",
            ],
        ),
        (
            "lmtp",
            Protocol::Lmtp,
            vec![
                b"220 mail Dovecot ready.\r\n",
                b"LHLO scan1\r\n",
                b"250-mail\r\n250-STARTTLS\r\n250 8BITMIME\r\n",
                b"STARTTLS\r\n",
                b"220 2.0.0 Begin TLS negotiation now.\r\n",
            ],
        ),
        ("pop3", Protocol::Pop3, vec![b"+OK ready <1.2@mx>\r\n", b"STLS\r\n", b"+OK Begin TLS negotiation now.\r\n"]),
        (
            "imap",
            Protocol::Imap,
            vec![
                b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n",
                b"p1 STARTTLS\r\n",
                b"* OK still here\r\np1 OK Begin TLS negotiation now.\r\n",
            ],
        ),
        (
            "sieve",
            Protocol::ManageSieve,
            vec![
                b"\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n\"SIEVE\" \"fileinto\"\r\n\"STARTTLS\"\r\nOK \"ready.\"\r\n",
                b"STARTTLS\r\n",
                b"OK \"Begin TLS negotiation now.\"\r\n",
            ],
        ),
        (
            "ftp",
            Protocol::Ftp,
            vec![b"220 (vsFTPd 3.0.3)\r\n", b"AUTH TLS\r\n", b"234 Proceed with negotiation.\r\n"],
        ),
        (
            "ftp-old",
            Protocol::Ftp,
            vec![
                b"120 in a minute\r\n220 here\r\n",
                b"AUTH TLS\r\n",
                b"504 what?\r\n",
                b"AUTH SSL\r\n",
                b"334 go on\r\n",
            ],
        ),
        ("nntp", Protocol::Nntp, vec![b"200 news ready\r\n", b"STARTTLS\r\n", b"382 Continue\r\n"]),
        (
            "xmpp-client",
            Protocol::XmppClient,
            vec![
                b"",
                b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                  to='example.org' version='1.0'>",
                xmpp_features,
                b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
                b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            ],
        ),
        (
            "xmpp-server",
            Protocol::XmppServer,
            vec![
                b"",
                b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                  to='example.org' version='1.0'>",
                xmpp_features,
                b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
                b"<proceed xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"></proceed>",
            ],
        ),
        (
            "ldap",
            Protocol::Ldap,
            vec![
                b"",
                b"\x30\x1d\x02\x01\x02\x77\x18\x80\x161.3.6.1.4.1.1466.20037",
                b"\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
            ],
        ),
        (
            "irc",
            Protocol::Irc,
            vec![
                b"",
                b"STARTTLS\r\n",
                b":irc NOTICE * :*** Looking up your hostname...\r\nPING :42\r\n",
                b"PONG :42\r\n",
                b":irc 670 * :STARTTLS successful, go ahead with TLS handshake\r\n",
            ],
        ),
        ("postgresql", Protocol::PostgreSql, vec![b"", b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"S"]),
        ("mysql", Protocol::MySql, vec![MYSQL, b"\x20\x00\x00\x01\x01\x8a\x00\x00\x00\x00\x00\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"]),
        (
            "ms-sql-s",
            Protocol::SqlServer,
            vec![b"", &super::sql_server::QUESTION, b"\x04\x01\x00\x1a\x00\x00\x01\x00\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff\x10\x00\x03\xe8\x00\x00\x01"],
        ),
        (
            "ms-wbt-server",
            Protocol::Rdp,
            vec![b"", &super::rdp::QUESTION, b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x1f\x08\x00\x08\x00\x00\x00"],
        ),
        (
            "telnet",
            Protocol::Telnet,
            vec![b"\xff\xfd\x18\xff\xfd\x2e", b"\xff\xfb\x2e\xff\xfa\x2e\x01\xff\xf0", b"\xff\xfa\x2e\x01\xff\xf0"],
        ),
        (
            "telnet-asked",
            Protocol::Telnet,
            vec![
                b"\xff\xfd\x18\xff\xfd\x20",
                b"\xff\xfb\x2e",
                b"\xff\xfd\x2e",
                b"\xff\xfa\x2e\x01\xff\xf0",
                b"\xff\xfa\x2e\x01\xff\xf0",
            ],
        ),
        (
            "rfb",
            Protocol::Vnc,
            vec![
                b"RFB 003.008\n",
                b"RFB 003.008\n",
                b"\x02\x01\x13",
                b"\x13",
                b"\x00\x02",
                b"\x00\x02",
                b"\x00\x02\x00\x00\x01\x01\x00\x00\x01\x04",
                b"\x00\x00\x01\x04",
                b"\x01",
            ],
        ),
    ]
}

const MYSQL: &[u8] =
    b"\x4a\x00\x00\x00\x0a8.0.36-0ubuntu0.22.04.1\x00\x07\x00\x00\x00abcdefgh\x00\xff\xff\x08\x02\x00\xff\xc1\x15\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00stuvwxyz1234\x00mysql";

/// Plays the server's part in pieces of that size, checks ours, and then speaks TLS' first byte.
async fn play(mut server: DuplexStream, dialogue: Vec<&'static [u8]>, piece: usize) {
    for (index, words) in dialogue.into_iter().enumerate() {
        if index % 2 == 0 {
            for piece in words.chunks(piece) {
                server.write_all(piece).await.unwrap();
            }
        } else {
            let mut heard = vec![0; words.len()];
            server.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard.escape_ascii().to_string(), words.escape_ascii().to_string());
        }
    }
    // The hello that follows, in whatever it is packed.
    let mut hello = vec![0; 5];
    server.read_exact(&mut hello[..1]).await.unwrap();
    if hello[0] == super::sql_server::PRE_LOGIN {
        let mut header = [0; 7];
        server.read_exact(&mut header).await.unwrap();
        assert_eq!(header, [1, 0, 13, 0, 0, 0, 0]);
        server.read_exact(&mut hello).await.unwrap();
        server.write_all(b"\x04\x01\x00\x08\0\0\0\0\x12\x01\x00\x0a\0\0\0\0he").await.unwrap();
        server.write_all(b"\x04\x01\x00\x0b\0\0\0\0llo").await.unwrap();
    } else {
        server.read_exact(&mut hello[1..]).await.unwrap();
        server.write_all(b"hello").await.unwrap();
    }
    assert_eq!(hello, b"HELLO");
}

fn limit() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test(start_paused = true)]
async fn every_protocol_comes_to_where_tls_begins() {
    let mut seen = Vec::new();
    for (name, protocol, dialogue) in dialogues() {
        for piece in [1, 7, 4096] {
            let (client, server) = duplex(16 * 1024);
            let played = tokio::spawn(play(server, dialogue.clone(), piece));
            let mut upgraded = upgrade(client, protocol, &WORDS, limit())
                .await
                .unwrap_or_else(|refused| panic!("{name}: {}", refused.why));
            upgraded.write_all(b"HELLO").await.unwrap();
            upgraded.flush().await.unwrap();
            let mut heard = [0; 5];
            upgraded.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"hello", "{name}");
            played.await.unwrap();
        }
        seen.push(protocol);
    }
    assert!(Protocol::ALL.iter().all(|protocol| seen.contains(protocol)), "each has its dialogue");
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_it_was_recognised_goes_on() {
    let first = |name: &str| dialogues().into_iter().find(|(is, ..)| *is == name).unwrap().2;
    for (name, heard) in [
        ("smtp", 3),
        ("pop3", 1),
        ("imap", 1),
        ("sieve", 1),
        ("ftp", 1),
        ("nntp", 1),
        ("xmpp-client", 3),
        ("postgresql", 3),
        ("mysql", 1),
        ("ms-sql-s", 3),
        ("ms-wbt-server", 3),
        ("telnet", 1),
        ("rfb", 1),
        ("irc", 1),
        ("ldap", 1),
    ] {
        let protocol = Protocol::by_name(name).unwrap();
        let dialogue = first(name);
        // The server's words so far, and what is left.
        let so_far: Vec<u8> = dialogue[..heard].iter().step_by(2).copied().flatten().copied().collect();
        let mut rest = vec![b"".as_slice()];
        rest.extend(&dialogue[heard..]);
        let (client, server) = duplex(16 * 1024);
        let played = tokio::spawn(play(server, rest, 4096));
        let mut upgraded = resume(client, protocol, so_far, &WORDS, limit())
            .await
            .unwrap_or_else(|refused| panic!("{name}: {}", refused.why));
        upgraded.write_all(b"HELLO").await.unwrap();
        upgraded.flush().await.unwrap();
        played.await.unwrap();
    }
}

/// What comes of a server that says this and then waits, in a dialogue from the start.
async fn refusal(protocol: Protocol, server_says: &[u8]) -> Refusal {
    let (client, mut server) = duplex(64 * 1024);
    server.write_all(server_says).await.unwrap();
    match upgrade(client, protocol, &WORDS, limit()).await {
        Ok(_) => panic!("{protocol:?} took {} for an agreement", server_says.escape_ascii()),
        Err(refused) => {
            let ended = matches!(refused.why, Refusal::Closed | Refusal::Broken(_) | Refusal::Silent);
            assert_eq!(refused.stream.is_some(), !ended);
            refused.why
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_agreement() {
    use Protocol::*;
    use Refusal::{Anonymous, Declined, Later, NotOffered, PlainText, Silent, TooMuch, UnknownName};
    let declined = |words: &str| Declined(words.to_owned());
    let later = |words: &str| Later(words.to_owned());
    let plain = |words: &str| PlainText(words.to_owned());
    let (flood, noise) = (vec![b'2'; 20_000], vec![0xff; 20_000]);
    let cases: Vec<(Protocol, &[u8], Refusal)> = vec![
        (Smtp, b"220 a\r\n250-a\r\n250 PIPELINING\r\n", NotOffered),
        (Smtp, b"554 not you\r\n", declined("554 not you")),
        (Smtp, b"220 a\r\n250-a\r\n250 STARTTLS\r\n454 not now\r\n", later("454 not now")),
        // Plain text after the agreement: a server that could not load its key, or somebody in the middle.
        (Smtp, b"220 a\r\n250-a\r\n250 STARTTLS\r\n220 go\r\n250 hello\r\n", plain("250 hello")),
        (Ftp, b"220 a\r\n530 Please login with USER and PASS.\r\n", declined("530 Please login with USER and PASS.")),
        (
            Ftp,
            b"220 a\r\n234 Proceed.\r\n500 OOPS: SSL: cannot load RSA key\r\n",
            plain("500 OOPS: SSL: cannot load RSA key"),
        ),
        (Ftp, b"220 a\r\n504 no\r\n500 no\r\n", declined("500 no")),
        (Pop3, b"+OK\r\n-ERR Unknown command.\r\n", declined("-ERR Unknown command.")),
        (Pop3, b"+OK\r\n+OK go\r\n+OK injected\r\n", plain("+OK injected")),
        (Imap, b"* OK [CAPABILITY IMAP4rev1] a\r\n", NotOffered),
        (Imap, b"* PREAUTH a\r\n", NotOffered),
        (ManageSieve, b"\"IMPLEMENTATION\" \"a\"\r\nOK\r\n", NotOffered),
        (Nntp, b"200 a\r\n580 no\r\n", declined("580 no")),
        (Irc, b":irc 691 * :no\r\n", declined(":irc 691 * :no")),
        (Irc, b":irc 421 * STARTTLS :Unknown command\r\n", declined(":irc 421 * STARTTLS :Unknown command")),
        (XmppClient, b"<stream:stream from='a'><stream:features><mechanisms/></stream:features>", NotOffered),
        (XmppClient, b"<stream:stream from='a' version='1.0'><stream:features/>", NotOffered),
        (
            XmppServer,
            b"<?xml version='1.0'?><stream:stream id='1' from='chat.example.org'><stream:error>\
              <host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
            UnknownName(Some("chat.example.org".to_owned())),
        ),
        (Ldap, b"\x30\x11\x02\x01\x02\x78\x0c\x0a\x01\x02\x04\x00\x04\x05no\x20ssl", declined("result 2: no ss")),
        (PostgreSql, b"N", NotOffered),
        (PostgreSql, b"SN", plain("N")),
        (MySql, b"\x20\x00\x00\x00\xff\x6a\x04Host 'x' is not allowed to co", later("Host 'x' is not allowed to co")),
        (
            SqlServer,
            b"\x04\x01\x00\x1a\x00\x00\x01\x00\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff\x10\x00\x03\xe8\x00\x00\x02",
            NotOffered,
        ),
        (Rdp, b"\x03\x00\x00\x0b\x06\xd0\x00\x00\x12\x34\x00", NotOffered),
        (
            Rdp,
            b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x03\x00\x08\x00\x02\x00\x00\x00",
            declined("TLS is not allowed by the server"),
        ),
        (Telnet, b"\xff\xfd\x18\xff\xfe\x2e", NotOffered),
        (Vnc, b"RFB 003.003\n\x00\x00\x00\x02", NotOffered),
        (Vnc, b"RFB 003.003\n\x00\x00\x00\x00\x00\x00\x00\x08too many", later("too many")),
        (Ftp, b"421 too many\r\n", later("421 too many")),
        (Pop3, b"-ERR [SYS/TEMP] later\r\n", later("-ERR [SYS/TEMP] later")),
        (Imap, b"* BYE too many\r\n", later("* BYE too many")),
        (Vnc, b"RFB 003.008\n\x01\x02", NotOffered),
        (Vnc, b"RFB 003.008\n\x02\x02\x12", Anonymous),
        (Vnc, b"RFB 003.008\n\x00\x00\x00\x00\x03bad", later("bad")),
        (Smtp, b"", Silent),
        (Smtp, &flood, Refusal::Foreign("2".repeat(120))),
        (Telnet, &noise, TooMuch),
    ];
    for (protocol, says, expect) in cases {
        let why = refusal(protocol, says).await;
        match (&why, &expect) {
            // Whatever it began with is not what it should be; how much of it is shown does not matter.
            (Refusal::Foreign(_), Refusal::Foreign(_)) => {}
            _ => assert_eq!(why, expect, "{protocol:?}: {}", says.escape_ascii()),
        }
    }
    // Somebody else's words.
    for protocol in Protocol::ALL.into_iter().filter(|protocol| *protocol != Irc) {
        let why = refusal(protocol, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert!(matches!(why, Refusal::Foreign(_)), "{protocol:?}: {why:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_up_is_no_decision() {
    for protocol in Protocol::ALL {
        let (client, server) = duplex(64);
        drop(server);
        let refused = upgrade(client, protocol, &WORDS, limit()).await.expect_err("nobody is there");
        assert!(matches!(refused.why, Refusal::Closed | Refusal::Broken(_)), "{protocol:?}: {}", refused.why);
        assert!(refused.stream.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn packets_without_end_or_content_are_refused() {
    let hostile: [&[u8]; 2] = [b"\x04\x01\x00\x07\0\0\0\0", &b"\x04\x01\x00\x08\0\0\0\0".repeat(64)];
    for words in hostile {
        let (client, mut server) = duplex(64 * 1024);
        server.write_all(dialogues()[14].2[2]).await.unwrap();
        let mut upgraded = upgrade(client, Protocol::SqlServer, &WORDS, limit()).await.expect("it agrees");
        server.write_all(words).await.unwrap();
        assert!(read_some(&mut upgraded).await.is_err());
    }
}

async fn read_some(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<usize> {
    stream.read(&mut [0; 16]).await
}

#[test]
fn an_answer_to_the_question_it_was_recognised_by() {
    let met = |heard: &[u8]| turn(Protocol::Irc, Stage::MET, heard, &WORDS);
    let agreed = b":irc NOTICE * :hello\r\n:irc 670 * :STARTTLS successful\r\n";
    assert_eq!(met(agreed), Turn::Begin { used: agreed.len() });
    assert!(matches!(met(b":irc 421 * STARTTLS :Unknown command\r\n"), Turn::Refused(Refusal::Declined(_))));
    assert!(matches!(met(b":irc NOTICE * :hello\r\n"), Turn::Say { .. }), "it has not been asked");
}

#[test]
fn names() {
    for protocol in Protocol::ALL {
        assert_eq!(Protocol::by_name(protocol.as_str()), Some(protocol));
    }
    assert_eq!(Protocol::by_name("http"), None);
}

// Hostile bytes.

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/starttls")
}

/// In the corpus the first byte is the protocol, the second the stage, and the rest what was heard.
fn entries() -> Vec<(String, Vec<u8>)> {
    let mut entries = Vec::new();
    for (name, protocol, dialogue) in dialogues() {
        let number = Protocol::ALL.iter().position(|other| *other == protocol).and_then(|at| u8::try_from(at).ok());
        for (step, words) in dialogue.iter().step_by(2).enumerate().filter(|(_, words)| !words.is_empty()) {
            // What is said first by a server is heard at the first stage, the rest one stage later each.
            let stage = if step == 0 { 0 } else { u8::try_from(step).unwrap() + 1 };
            let bytes = [&[number.unwrap(), stage], *words].concat();
            entries.push((format!("{name}-{step}"), bytes));
        }
    }
    let hostile: [(&str, Protocol, u8, &[u8]); 8] = [
        ("ldap-length-without-end", Protocol::Ldap, 2, b"\x30\x84\xff\xff\xff\xff\x02\x01\x02"),
        ("ldap-indefinite", Protocol::Ldap, 2, b"\x30\x80\x02\x01\x02"),
        ("ms-sql-s-offset-beyond", Protocol::SqlServer, 2, b"\x04\x01\x00\x0f\0\0\0\0\x01\xff\xff\xff\xff\xff\0"),
        ("rfb-reason-without-end", Protocol::Vnc, 2, b"\x00\xff\xff\xff\xff"),
        ("rfb-many-kinds", Protocol::Vnc, 4, b"\x00\xff\x00\x00"),
        ("mysql-huge", Protocol::MySql, 0, b"\xff\xff\xff\x00\x0a"),
        ("ms-wbt-server-short", Protocol::Rdp, 2, b"\x03\x00\x00\x04"),
        (
            "xmpp-open-quote",
            Protocol::XmppClient,
            2,
            b"<stream:stream from='a><stream:error><host-unknown/></stream:error>",
        ),
    ];
    for (name, protocol, stage, words) in hostile {
        let number = Protocol::ALL.iter().position(|other| *other == protocol).and_then(|at| u8::try_from(at).ok());
        entries.push((format!("hostile-{name}"), [&[number.unwrap(), stage], words].concat()));
    }
    entries
}

/// Nothing may panic, nothing may be used that was not heard, and who is refused says why in a few printable words.
fn check_total(protocol: Protocol, stage: Stage, heard: &[u8]) {
    match turn(protocol, stage, heard, &WORDS) {
        Turn::More => {}
        Turn::Say { used, words, .. } => assert!(used <= heard.len() && words.len() < 512),
        Turn::Begin { used } => assert!(used <= heard.len()),
        Turn::Refused(why) => {
            let told = why.to_string();
            assert!(told.chars().count() < 400 && !told.chars().any(char::is_control), "{told:?}");
        }
    }
}

fn check_entry(entry: &[u8]) {
    let [protocol, stage, heard @ ..] = entry else { return };
    let protocol = Protocol::ALL[usize::from(*protocol) % Protocol::ALL.len()];
    check_total(protocol, Stage(stage % 7), heard);
}

/// With `PERIMETERD_WRITE_CORPUS` set, what is missing is written.
#[test]
fn the_corpus_is_complete_and_read() {
    let write = std::env::var_os("PERIMETERD_WRITE_CORPUS").is_some();
    for (name, bytes) in entries() {
        let path = folder().join(&name);
        if write {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let kept = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(kept, bytes, "{name} is what it is called");
    }
    let mut count = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        check_entry(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= entries().len());
}

proptest! {
    #[test]
    fn arbitrary_bytes(
        protocol in proptest::sample::select(&Protocol::ALL[..]),
        stage in 0_u8..7,
        heard in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        check_total(protocol, Stage(stage), &heard);
    }

    #[test]
    fn mutants_of_the_corpus(
        pick in any::<proptest::sample::Index>(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<proptest::sample::Index>(),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = pick.get(&entries()).1.clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes.extend(tail);
        check_entry(&bytes);
    }
}
