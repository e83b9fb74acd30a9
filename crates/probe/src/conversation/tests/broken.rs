//! Connections that break on the way, and what may be concluded from them.

use super::*;
use std::collections::VecDeque;

/// What a server does with one connection, in the order in which they come.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Speaks TLS and HTTP in it; says to those who do not that they should.
    Web,
    /// The same, but not why it complains.
    CurtWeb,
    /// HTTP in the clear, and nothing else.
    PlainWeb,
    /// Says this once it was spoken to, and resets.
    Resets(&'static [u8]),
    /// Says this once it was spoken to, and no more.
    Stalls(&'static [u8]),
    /// Leaves in order once it was spoken to.
    Leaves,
    /// As a `Web` whose handshakes end with a reset.
    BrokenTls,
    /// As a `Web` that never answers a handshake.
    SilentTls,
    /// Completes the handshake and resets.
    ResetsInside,
    Ssh(&'static str),
    /// A `Web` that says hello and leaves if HTTP is offered in the handshake.
    LosesItOverOffers,
}
use Does::{
    BrokenTls, CurtWeb, Leaves, LosesItOverOffers, PlainWeb, Resets, ResetsInside, SilentTls, Ssh, Stalls, Web,
};

const REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 61\r\n\r\n";

async fn reset(mut stream: TcpStream, words: &[u8]) {
    let mut heard = [0; 4096];
    _ = stream.read(&mut heard).await;
    _ = stream.write_all(words).await;
    if !words.is_empty() {
        // The words must arrive before the reset sweeps them away: the other end reads at once, or hangs up.
        let mut more = [0; 1];
        _ = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut more)).await;
    }
    stream.set_zero_linger().unwrap();
}

async fn act(mut stream: TcpStream, does: Does, acceptor: TlsAcceptor) {
    let mut first = [0; 1];
    match does {
        Resets(words) => return reset(stream, words).await,
        Stalls(words) => {
            _ = stream.peek(&mut first).await;
            return greet(stream, words).await;
        }
        Leaves => {
            let mut heard = [0; 4096];
            _ = stream.read(&mut heard).await;
            return;
        }
        Ssh(banner) => return greet(stream, banner.as_bytes()).await,
        Web | CurtWeb | PlainWeb | BrokenTls | SilentTls | ResetsInside | LosesItOverOffers => {}
    }
    if !matches!(stream.peek(&mut first).await, Ok(1)) {
        return;
    }
    match (first == [0x16], does) {
        (true, Web) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                web(stream).await;
            }
        }
        (true, LosesItOverOffers) => {
            let mut hello = [0; 4096];
            let count = stream.peek(&mut hello).await.unwrap_or_default();
            if hello[..count].windows(8).any(|word| word == b"http/1.1") {
                _ = stream.read(&mut hello).await;
                _ = stream.write_all(b"\x16\x03\x03\x00\x7a\x02\x00").await;
            } else if let Ok(stream) = acceptor.accept(stream).await {
                web(stream).await;
            }
        }
        (true, BrokenTls | CurtWeb) => reset(stream, b"").await,
        (true, ResetsInside) => {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut heard = [0; 4096];
                _ = stream.read(&mut heard).await;
                stream.get_ref().0.set_zero_linger().unwrap();
            }
        }
        (true, _) => greet(stream, b"").await,
        (false, PlainWeb) => web(stream).await,
        (false, _) => {
            request(&mut stream).await;
            let why = if matches!(does, CurtWeb) { "" } else { "The plain HTTP request was sent to HTTPS port" };
            _ = stream.write_all(format!("{REFUSAL}{why:61}").as_bytes()).await;
        }
    }
}

/// Does with each connection what is listed, and with all later ones the last of the list.
async fn serve(list: &[Does]) -> Server {
    let acceptor = acceptor(BOTH, false);
    let left = Arc::new(std::sync::Mutex::new(VecDeque::from(list.to_vec())));
    Server::start(move |stream| {
        let mut left = left.lock().unwrap();
        let does = if left.len() > 1 { left.pop_front() } else { left.front().copied() };
        act(stream, does.unwrap(), acceptor.clone())
    })
    .await
}

/// The name of a service and whether in TLS, as known or as concluded.
type Who = Option<(&'static str, bool)>;
const NOBODY: Who = None;
const HTTPS: Who = Some(("http", true));
const HTTP: Who = Some(("http", false));
const SSH: Who = Some(("ssh", false));

/// What is concluded: nothing, or the name of the service (`-` for none recognised) and whether in TLS.
async fn conclude(list: &[Does], prior: Who) -> (Option<(String, bool)>, usize) {
    let server = serve(list).await;
    let known = prior.map(|(name, _)| Service { name: name.into(), ..Service::default() });
    let roots = Roots::public();
    let prior_tls = prior.is_some_and(|(_, tls)| tls);
    let ask = Ask { name: None, prior: known.as_ref(), prior_tls, roots: &roots, timeouts: timeouts() };
    let conversation = identify(&dialer(), server.endpoint, ask).await;
    assert_eq!(conversation.failure(), None);
    assert_eq!(conversation.ports.len(), server.used(), "each connection is evidence");
    let concluded = conversation.observation.map(|seen| {
        let name = seen.service.map_or("-".to_owned(), |service| service.name);
        (name, seen.tls.is_some())
    });
    (concluded, server.used())
}

#[tokio::test]
async fn what_breaks_is_asked_again_and_concludes_nothing_by_itself() {
    let cases: &[(&[Does], Who, Who)] = &[
        // A server of TLS whose first handshake comes to nothing.
        (&[BrokenTls, Web], HTTPS, Some(("http", true))),
        (&[SilentTls, Web], HTTPS, Some(("http", true))),
        (&[SilentTls, SilentTls, Web], HTTPS, Some(("http", true))),
        (&[Web, BrokenTls, Web], NOBODY, Some(("http", true))),
        (&[Web, SilentTls, Web], NOBODY, Some(("http", true))),
        (&[Resets(b""), Web], HTTPS, Some(("http", true))),
        (&[ResetsInside, Web], HTTPS, Some(("http", true))),
        (&[Resets(b"\x16\x03\x03\x00\x7a\x02\x00"), Web], HTTPS, Some(("http", true))),
        // And one whose handshakes all do.
        (&[BrokenTls], HTTPS, None),
        (&[SilentTls], HTTPS, None),
        (&[BrokenTls], NOBODY, None),
        (&[SilentTls], NOBODY, None),
        (&[CurtWeb], HTTPS, None),
        (&[ResetsInside], HTTPS, None),
        (&[Resets(b"\x16\x03\x03\x00\x7a\x02\x00")], HTTPS, None),
        (&[Resets(b"")], HTTPS, None),
        // In the clear.
        (&[Resets(b""), PlainWeb], HTTP, Some(("http", false))),
        (&[Resets(b"HTTP/1.1 200 OK\r\nSer"), PlainWeb], HTTP, Some(("http", false))),
        (&[Resets(b"HT"), PlainWeb], HTTP, Some(("http", false))),
        (&[Stalls(b"HT"), PlainWeb], HTTP, Some(("http", false))),
        (&[Resets(b"")], HTTP, None),
        (&[Resets(b"HTTP/1"), Resets(b"")], HTTP, None),
        (&[Stalls(b"HTTP/1")], HTTP, None),
        (&[Resets(b"")], SSH, None),
        // Always at the same word: that is its way to end.
        (&[Resets(b"HTTP/1.0 200 OK\r\nServer: cam\r\n\r\nx")], HTTP, Some(("http", false))),
        // What is really so.
        (&[Leaves], HTTP, Some(("-", false))),
        (&[Stalls(b"")], HTTP, Some(("-", false))),
        (&[Stalls(b"")], HTTPS, Some(("-", false))),
        (&[Leaves], HTTPS, Some(("-", false))),
        (&[Resets(b"")], NOBODY, Some(("-", false))),
        (&[PlainWeb], HTTPS, Some(("http", false))),
        (&[Web], HTTP, Some(("http", true))),
    ];
    let asked = cases.iter().map(|&(list, prior, expect)| async move {
        let (concluded, connections) = conclude(list, prior).await;
        let expect = expect.map(|(name, tls)| (name.to_owned(), tls));
        assert_eq!(concluded, expect, "{list:?}, known as {prior:?}");
        assert!(connections <= MAX_CONNECTIONS, "{list:?}: {connections} connections");
    });
    futures_util::future::join_all(asked).await;
}

/// Behind a balancer each connection may reach another machine: what one of them said goes with nothing of another's.
#[tokio::test]
async fn one_answer_is_of_one_connection() {
    let list = [Resets(b"SSH-2.0-OpenSSH_9.2p1"), Ssh("SSH-2.0-dropbear_2022.83\r\n")];
    let server = serve(&list).await;
    let observation = ask(&server, None).await;
    assert_eq!(service(&observation).product.as_deref(), Some("Dropbear"));
    assert_eq!(service(&observation).banner.as_deref(), Some("SSH-2.0-dropbear_2022.83"));
    let list = [Ssh("SSH-2.0-OpenSSH_9.2p1\r\n"), Ssh("SSH-2.0-dropbear_2022.83\r\n")];
    let server = serve(&list).await;
    let observation = ask(&server, Some(("http", true))).await;
    assert_eq!(service(&observation).banner.as_deref(), Some("SSH-2.0-dropbear_2022.83"), "of the last alone");
    assert!(observation.tls.is_none());
}

#[tokio::test]
async fn who_breaks_off_over_an_offer_is_asked_again_without_one() {
    let server = serve(&[LosesItOverOffers]).await;
    let observation = ask(&server, None).await;
    let tls = observation.tls.as_ref().expect("TLS");
    assert_eq!(
        (service(&observation).name.as_str(), tls.version.as_str(), tls.alpn.as_deref()),
        ("http", "TLSv1.3", None)
    );
    // In the clear, with the offer, and without it.
    assert_eq!(observation.connections, 3);
}
