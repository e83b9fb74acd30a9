//! Servers that mean harm: each is heard within bounded time and memory, and what is told of it can be shown anywhere.

use super::*;

/// What may be taken of one connection: what is read of it, and what the kernel and TLS hold in between.
const MOST_TAKEN: usize = 16 << 20;

/// Sends this again and again until the other end has had enough; gives how much it took.
async fn pour(mut stream: impl AsyncRead + AsyncWrite + Unpin, first: &[u8], again: &[u8], taken: &AtomicUsize) {
    let block = again.repeat((1 << 16) / again.len().max(1));
    let mut sent = stream.write(first).await.unwrap_or_default();
    while let Ok(count @ 1..) = stream.write(&block).await {
        sent += count;
        if sent > 4 * MOST_TAKEN {
            break;
        }
    }
    taken.fetch_max(sent, Ordering::SeqCst);
}

async fn heard(server: &Server) -> ServiceObservation {
    let roots = Roots::public();
    let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: timeouts() };
    let began = tokio::time::Instant::now();
    let conversation = identify(&dialer(), server.endpoint, ask).await;
    assert!(began.elapsed() < timeouts().whole + Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(server.used() <= MAX_CONNECTIONS, "{} connections", server.used());
    let observation = conversation.observation.expect("it was connected to");
    if let Some(service) = &observation.service {
        let texts = service.facts.values().chain(&service.banner).chain(&service.product).chain(&service.version);
        for text in texts {
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert!(text.chars().count() <= 256, "{} characters", text.chars().count());
        }
        assert!(service.facts.len() <= 64, "{} facts", service.facts.len());
    }
    let kept = observation.heard.as_ref().map_or(0, |heard| heard.bytes.len());
    assert!(kept <= model::Heard::MOST, "{kept} bytes kept");
    observation
}

#[tokio::test]
async fn endless_answers_are_left() {
    let gigabyte = "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\nContent-Type: text/html\r\n\r\n";
    let bomb =
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html\r\n\r\n";
    for (first, again) in [
        (&b""[..], &b"A"[..]),
        (b"220 ", b"mail"),
        (b"220-hello\r\n", b"220-hello again\r\n"),
        (b"SSH-2.0-", b"x"),
        (b"", b"not yet the identification\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Header: ", b"value"),
        (gigabyte.as_bytes(), b"<title>page</title>"),
        (bomb.as_bytes(), b"10\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xed\xc1\x01\x01\x00\x00\r\n"),
        (b"* OK ", b"\xff\xfe"),
        (b"\x16\x03\x03\x40\x00", b"\x02\x00\x3f\xfc"),
        (b"\xff\xfd\x18", b"\xff\xfd\x18"),
    ] {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let server = Server::start(move |stream| {
            let count = Arc::clone(&count);
            async move { pour(stream, first, again, &count).await }
        })
        .await;
        heard(&server).await;
        let taken = taken.load(Ordering::SeqCst);
        assert!(taken <= MOST_TAKEN, "{:?} was taken {taken} bytes of", String::from_utf8_lossy(first));
    }
}

#[tokio::test]
async fn one_byte_at_a_time_is_waited_for_no_longer_than_anybody() {
    for text in [
        "220 mail.example.org ESMTP ready when you are\r\n",
        "HTTP/1.1 200 OK\r\nServer: slow\r\n\r\n",
        "SSH-2.0-slow\r\n",
    ] {
        let server = Server::start(move |mut stream| async move {
            for byte in text.bytes().cycle() {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        })
        .await;
        heard(&server).await;
    }
}

#[tokio::test]
async fn escapes_and_broken_text_come_out_printable() {
    let page = b"HTTP/1.1 200 OK\r\nServer: \x1b]0;owned\x07nginx\xff\xfe\r\nX-Powered-By: \x1b[2J\xc2\x9b31m\r\n\
        Set-Cookie: \x1b[1mid=1\r\nContent-Length: 90\r\n\r\n<title>\x1b]52;c;cm0gLXJmIC8=\x07\xe2\x80\xaegnp.exe \
        \xf0\x28\x8c\x28</title><meta name=\"generator\" content=\"\x9b\x1b[31mx\">      ";
    let greetings: [&[u8]; 6] = [
        page,
        b"SSH-2.0-Open\x1b[31mSSH_9.2p1 \xc2\x9b\r\n",
        b"220 \x1b[2Jmail\x08\x08 ESMTP \xff\xfe\r\n",
        b"* OK \x1b]8;;http://evil.example/\x07click\x1b]8;;\x07\r\n",
        b"\x00\x00\x00\x00\x1b\x1b\x1b\xe2\x80\xae\r\n",
        b"-ERR \x7f\x80\x81 \xed\xa0\x80\r\n",
    ];
    for greeting in greetings {
        let server = Server::start(move |stream| greet(stream, greeting)).await;
        heard(&server).await;
    }
}

/// TLS within TLS within TLS: what is inside the first is no reason to go on.
#[tokio::test]
async fn tls_within_tls_is_not_followed() {
    let hello = [&[0x16, 3, 3, 0, 4, 2, 0, 0, 0][..], &[0x15, 3, 3, 0, 2, 2, 40]].concat();
    let hello: &'static [u8] = Vec::leak(hello.repeat(512));
    let server = Server::start(move |mut stream| async move {
        // A server that answers everything by more handshakes of its own.
        let mut buffer = [0; 1024];
        while let Ok(1..) = stream.read(&mut buffer).await {
            if stream.write_all(hello).await.is_err() {
                return;
            }
        }
    })
    .await;
    heard(&server).await;
}
