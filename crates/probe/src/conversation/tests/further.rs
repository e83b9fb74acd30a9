//! What is asked beyond the general question and a handshake: in how many connections, and never more than that.

use super::*;

/// Answers these questions (by how they begin) with these words, and takes everything else like this.
#[derive(Debug, Clone, Copy)]
struct Reticent {
    knows: &'static [(&'static [u8], &'static [u8])],
    otherwise: Otherwise,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Otherwise {
    Leaves,
    Resets,
    Waits,
}

async fn reticent(mut stream: TcpStream, server: Reticent) {
    let mut heard = vec![0; 2048];
    while let Ok(count @ 1..) = stream.read(&mut heard).await {
        let said = heard.get(..count).unwrap_or_default();
        match server.knows.iter().find(|(question, _)| said.starts_with(question)) {
            Some((_, answer)) => _ = stream.write_all(answer).await,
            None if server.otherwise == Otherwise::Waits => {}
            None if server.otherwise == Otherwise::Leaves => return,
            None => return stream.set_zero_linger().unwrap(),
        }
    }
}

const MEMCACHED: Reticent = Reticent {
    knows: &[
        (b"\x16\x03", b"ERROR\r\nERROR\r\nERROR\r\n"),
        (b"OPTIONS ", b"ERROR\r\nERROR\r\nERROR\r\n"),
        (b"version\r\n", b"VERSION 1.6.18\r\n"),
    ],
    otherwise: Otherwise::Leaves,
};
const EPMD_ALONE: Reticent =
    Reticent { knows: &[(b"\0\x1en", b"\0\0\x11\x11"), (b"\0\x01n", b"\0\0\x11\x11")], otherwise: Otherwise::Leaves };
const SOCKS: Reticent = Reticent {
    knows: &[(b"GET ", b"\x05\xff"), (b"\x16\x03", b"\x05\xff"), (b"\x05\x02", b"\x05\0")],
    otherwise: Otherwise::Leaves,
};
const DNS: Reticent =
    Reticent { knows: &[(b"\0\x1end", b"\0\x0cnd\x80\x05\0\0\0\0\0\0\0\0")], otherwise: Otherwise::Waits };
const IRC: Reticent = Reticent {
    knows: &[
        (b"PING\r\n", b":irc.example.org 461 * PING :Not enough parameters.\r\n"),
        (b"STARTTLS\r\n", b":irc.example.org 461 * PING :Not enough parameters.\r\n"),
    ],
    otherwise: Otherwise::Waits,
};
/// Reads lines, whatever stands in them.
const IRC_IN_LINES: Reticent = Reticent {
    knows: &[
        (b"\r\nPING\r\n", b":irc.example.org 461 * PING :Not enough parameters.\r\n"),
        (b"STARTTLS\r\n", b":irc.example.org 461 * PING :Not enough parameters.\r\n"),
    ],
    otherwise: Otherwise::Waits,
};
const GIT: Reticent = Reticent {
    knows: &[(b"001egit", b"0033ERR access denied or repository not exported: /")],
    otherwise: Otherwise::Resets,
};
const ZABBIX: Reticent =
    Reticent { knows: &[(b"ZBXD\x01", b"ZBXD\x01\x06\0\0\0\0\0\0\x006.0.14")], otherwise: Otherwise::Leaves };
const POSTGRESQL: Reticent = Reticent { knows: &[(b"\0\0\0\x08\x04\xd2\x16\x2f", b"N")], otherwise: Otherwise::Leaves };
const MOSQUITTO: Reticent = Reticent { knows: &[(b"\x10", b"\x20\x02\0\x05")], otherwise: Otherwise::Resets };
const LDAP: Reticent = Reticent {
    knows: &[(b"\x30", b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x32\x04\x00\x04\x00")],
    otherwise: Otherwise::Resets,
};
const XRDP: Reticent = Reticent {
    knows: &[(b"\x03\0\0\x13", b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x03\0\x08\0\x05\0\0\0")],
    otherwise: Otherwise::Resets,
};
const EPMD: Reticent = Reticent {
    knows: &[
        (b"\0\x1en", b"\0\0\x11\x11name rabbit at port 25672\n"),
        (b"\0\x01n", b"\0\0\x11\x11name rabbit at port 25672\n"),
    ],
    otherwise: Otherwise::Waits,
};
const RABBITMQ: Reticent = Reticent {
    knows: &[
        (b"GET ", b"AMQP\0\0\x09\x01"),
        (
            b"AMQP\0\0\x09\x01",
            b"\x01\0\0\0\0\0\x2f\0\x0a\0\x0a\0\x09\0\0\0\x13\x07versionS\0\0\0\x063.10.8\0\0\0\x05PLAIN\0\0\0\x05en_US\xce",
        ),
    ],
    otherwise: Otherwise::Leaves,
};
const REDIS: Reticent = Reticent {
    knows: &[
        (b"GET ", b"-ERR wrong number of arguments for 'get' command\r\n"),
        (b"INFO server\r\n", b"$35\r\n# Server\r\nredis_version:7.0.15\r\n\r\n\r\n"),
    ],
    otherwise: Otherwise::Leaves,
};

/// It hangs up on a web browser without a word, and on nobody else.
const REDIS_OF_TODAY: Reticent = Reticent {
    knows: &[
        (b"OPTIONS ", b"-ERR unknown command 'OPTIONS'\r\n-ERR unknown command 'Via:'\r\n"),
        (b"INFO server\r\n", b"$35\r\n# Server\r\nredis_version:7.0.15\r\n\r\n\r\n"),
        (b"\x16\x03", b""),
    ],
    otherwise: Otherwise::Leaves,
};

#[tokio::test]
async fn servers_that_understand_only_their_own_question() {
    let cases = [
        (MEMCACHED, "memcache", Some("1.6.18"), 4),
        (POSTGRESQL, "postgresql", None, 3),
        (EPMD_ALONE, "epmd", None, 5),
        (SOCKS, "socks", None, 2),
        (DNS, "domain", None, 2),
        (IRC, "irc", None, 5),
        (IRC_IN_LINES, "irc", None, 2),
        (GIT, "git", None, 6),
        (ZABBIX, "zabbix-agent", Some("6.0.14"), 6),
        (MOSQUITTO, "mqtt", None, 4),
        (LDAP, "ldap", None, 6),
        (XRDP, "ms-wbt-server", None, 6),
        (EPMD, "epmd", None, 3),
        (RABBITMQ, "amqp", None, 2),
        (REDIS, "redis", Some("7.0.15"), 2),
        (REDIS_OF_TODAY, "redis", Some("7.0.15"), 3),
    ];
    let asked = cases.into_iter().map(|(kind, name, version, most)| async move {
        let server = Server::start(move |stream| reticent(stream, kind)).await;
        let observation = ask(&server, None).await;
        assert_eq!(service(&observation).name, name);
        assert_eq!(service(&observation).version.as_deref(), version, "{name}");
        assert!(usize::from(observation.connections) <= most, "{name}: {observation:?}");
        // Known, it is asked its own question at once, and says the same.
        let server = Server::start(move |stream| reticent(stream, kind)).await;
        if name != "irc" {
            let again = ask(&server, Some((name, false))).await;
            assert_eq!(again.service, observation.service, "{name}");
            assert_eq!(again.connections, 1, "{name}");
        }
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test]
async fn whoever_understands_nothing_is_left_alone_after_six_connections() {
    let asked = [Otherwise::Leaves, Otherwise::Resets, Otherwise::Waits].map(|otherwise| async move {
        let began = tokio::time::Instant::now();
        let server = Server::start(move |stream| reticent(stream, Reticent { knows: &[], otherwise })).await;
        let observation = ask(&server, None).await;
        assert_eq!(observation.service, None);
        assert!(usize::from(observation.connections) <= MAX_CONNECTIONS, "{otherwise:?}: {observation:?}");
        assert!(observation.connections > 3, "{otherwise:?}: {observation:?}");
        assert!(began.elapsed() < Duration::from_secs(6), "{otherwise:?} took {:?}", began.elapsed());
    });
    futures_util::future::join_all(asked).await;
}

/// By the times that hold where nothing else is said, not by these tests' short ones.
#[tokio::test]
async fn silence_is_over_within_six_seconds() {
    let server = Server::start(|stream| greet(stream, b"")).await;
    let roots = Roots::public();
    let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: Timeouts::default() };
    let began = tokio::time::Instant::now();
    let conversation = identify(&dialer(), server.endpoint, ask).await;
    assert_eq!(conversation.observation.map(|observation| observation.service), Some(None));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(server.used() <= MAX_CONNECTIONS);
}

#[tokio::test]
async fn a_port_that_may_take_harm_is_only_listened_to() {
    for (port, greeting, name) in [(9107, b"".as_slice(), None), (9108, b"SSH-2.0-OpenSSH_9.2p1\r\n", Some("ssh"))] {
        // Somebody else may use the port: that is none of ours then.
        let Ok(listener) = TcpListener::bind((LOOPBACK, port)).await else { continue };
        let said = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            _ = stream.write_all(greeting).await;
            let mut said = Vec::new();
            _ = stream.read_to_end(&mut said).await;
            said
        });
        let roots = Roots::public();
        let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: timeouts() };
        let conversation = identify(&dialer(), Endpoint::tcp(LOOPBACK, port), ask).await;
        let observation = conversation.observation.unwrap();
        assert_eq!(observation.service.as_ref().map(|service| service.name.as_str()), name);
        assert_eq!(observation.connections, 1);
        assert_eq!(said.await.unwrap(), b"", "nothing is said to {port}");
    }
}

#[tokio::test]
async fn a_sites_picture_is_asked_for_on_the_same_connection() {
    let server = Server::start(|mut stream| async move {
        for (path, answer) in [
            ("/", "HTTP/1.1 200 OK\r\nServer: zorbd/1.4\r\nContent-Length: 5\r\n\r\nhello"),
            ("/favicon.ico", "HTTP/1.1 200 OK\r\nContent-Type: image/x-icon\r\nContent-Length: 3\r\n\r\nabc"),
        ] {
            let request = request(&mut stream).await;
            assert!(request.is_empty() || request.starts_with(&format!("GET {path} HTTP/1.1\r\nHost: ")), "{request}");
            _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let observation = ask(&server, None).await;
    assert_eq!(service(&observation).facts["http.favicon.md5"], "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!((service(&observation).product.as_deref(), observation.connections), (Some("zorbd"), 1));
}

#[tokio::test]
async fn a_fragile_port_is_told_nothing_unless_that_is_allowed() {
    let mut free = None;
    for port in [9112, 9113, 9114, 9115, 9116, 18_245, 20_547] {
        if let Ok(listener) = TcpListener::bind((LOOPBACK, port)).await {
            free = Some(listener);
            break;
        }
    }
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let server = Server::on(free.expect("one of them is free"), move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(request(&mut stream).await.len(), Ordering::SeqCst);
            _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    });
    let roots = Roots::public();
    let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: timeouts() };
    // It was no fragile port when its old TLS was met.
    let earlier = Some(Earlier { by_hand: true, ..Earlier::default() });
    let before = Before { earlier, ..Before::default() };
    identify_again(&dialer(), server.endpoint, Ask { prior_tls: true, ..ask }, before).await;
    assert_eq!(heard.load(Ordering::SeqCst), 0);
    for allowed in [false, true] {
        let dialer = dialer();
        if allowed {
            dialer.ask_fragile([server.endpoint.port].into_iter().collect());
        }
        let observation = identify(&dialer, server.endpoint, ask).await.observation.expect("it was open");
        assert_eq!(observation.service.is_some_and(|service| service.name == "http"), allowed);
        assert_eq!(heard.load(Ordering::SeqCst) > 0, allowed);
    }
}
