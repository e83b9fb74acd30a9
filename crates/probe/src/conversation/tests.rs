mod broken;
mod fingerprints;
mod further;
mod hostile;
mod quic;
mod second;
mod sighting;
mod starttls;

use super::*;
use crate::{DialerSettings, Identity};
use model::{Clock, SystemClock, Verdict};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

/// A server on loopback that counts its connections and goes with the test.
struct Server {
    endpoint: Endpoint,
    connections: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start<F, T>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve)
    }

    fn on<F, T>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(TcpStream) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { endpoint: Endpoint::tcp(LOOPBACK, port), connections, task: task.abort_handle() }
    }

    fn used(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn dialer() -> Dialer {
    let scope = Scope::new(
        vec![AssetScope { name: "home".into(), targets: vec!["127.0.0.1".parse().unwrap()], until: None }],
        model::AddressSet::default(),
    );
    let settings = DialerSettings {
        rate: "10k/s".parse().unwrap(),
        rate_per_host: "10k/s".parse().unwrap(),
        source: None,
        identity: Identity {
            sensor: "scan 1".into(),
            contact: Some("https://example.org/security".into()),
            version: "1.2.3".into(),
        },
    };
    Dialer::with_concurrency(ScopeHandle::new(scope), Arc::new(SystemClock), settings, 64)
}

/// Short, so that silence costs little.
fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        greeting: (Duration::from_millis(60), Duration::from_millis(60)),
        answer: (Duration::from_millis(800), Duration::from_secs(1)),
        whole: Duration::from_secs(6),
    }
}

async fn ask(server: &Server, prior: Option<(&str, bool)>) -> ServiceObservation {
    let prior_service = prior.map(|(name, _)| Service { name: name.into(), ..Service::default() });
    let roots = Roots::public();
    let ask = Ask {
        name: None,
        prior: prior_service.as_ref(),
        prior_tls: prior.is_some_and(|(_, tls)| tls),
        roots: &roots,
        timeouts: timeouts(),
    };
    let conversation = identify(&dialer(), server.endpoint, ask).await;
    assert_eq!(conversation.failure(), None);
    let observation = conversation.observation.unwrap();
    assert_eq!(conversation.ports.len(), usize::from(observation.connections), "each connection is evidence");
    assert_eq!(server.used(), usize::from(observation.connections));
    observation
}

fn service(observation: &ServiceObservation) -> &Service {
    observation.service.as_ref().unwrap_or_else(|| panic!("nothing recognised: {observation:?}"))
}

/// Says this, then reads until the other end leaves.
async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin, greeting: &[u8]) {
    _ = stream.write_all(greeting).await;
    let mut sink = [0; 512];
    while let Ok(1..) = stream.read(&mut sink).await {}
}

/// Reads a request up to its empty line.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut heard = Vec::new();
    let mut byte = [0; 1];
    while !heard.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte).await, Ok(1)) {
        heard.extend(byte);
    }
    String::from_utf8_lossy(&heard).into_owned()
}

async fn web(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let request = request(&mut stream).await;
    if !request.starts_with("GET / HTTP/1.1\r\n") {
        return;
    }
    assert!(request.contains("\r\nUser-Agent: perimeterd/1.2.3 (https://example.org/security)\r\n"), "{request}");
    let page = "<html><title>Hello</title></html>";
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
        page.len()
    );
    _ = stream.write_all((head + page).as_bytes()).await;
    _ = stream.shutdown().await;
}

fn acceptor(versions: &[&'static rustls::SupportedProtocolVersion], client_certificate: bool) -> TlsAcceptor {
    acceptor_of(versions, client_certificate, b"http/1.1")
}

fn acceptor_of(
    versions: &[&'static rustls::SupportedProtocolVersion],
    client_certificate: bool,
    protocol: &[u8],
) -> TlsAcceptor {
    let certified = rcgen::generate_simple_self_signed(vec!["www.example.org".into()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = if client_certificate {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn servers_that_speak_first_take_one_connection() {
    for (greeting, name, product, version) in [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n".as_slice(), "ssh", Some("OpenSSH"), Some("9.2p1")),
        (b"220 (vsFTPd 3.0.3)\r\n", "ftp", Some("vsftpd"), Some("3.0.3")),
        (b"+OK Dovecot (Debian) ready.\r\n", "pop3", Some("Dovecot"), None),
        (b"* OK [CAPABILITY IMAP4rev1 STARTTLS] Dovecot ready.\r\n", "imap", Some("Dovecot"), None),
        (b"RFB 003.008\n", "rfb", None, None),
        (b"ZORB/1.4 ready\r\n", "unknown", None, None),
    ] {
        let server = Server::start(move |stream| greet(stream, greeting)).await;
        let observation = ask(&server, None).await;
        assert_eq!(service(&observation).name, name);
        assert_eq!(service(&observation).product.as_deref(), product);
        assert_eq!(service(&observation).version.as_deref(), version);
        assert_eq!(observation.connections, 1, "{name}");
    }
}

/// Answers EHLO and QUIT; everything else with this.
async fn lines(mut stream: TcpStream, greeting: &'static str, ehlo: &'static str) {
    _ = stream.write_all(greeting.as_bytes()).await;
    let mut stream = tokio::io::BufReader::new(stream);
    let mut line = String::new();
    while let Ok(1..) = tokio::io::AsyncBufReadExt::read_line(&mut stream, &mut line).await {
        let reply = match line.trim_end() {
            "EHLO scan-1" => ehlo,
            "QUIT" => "221 Bye\r\n",
            _ => "502 what?\r\n",
        };
        _ = stream.write_all(reply.as_bytes()).await;
        line.clear();
    }
}

#[tokio::test]
async fn ehlo_tells_more_and_tells_smtp_from_ftp() {
    for (greeting, ehlo, name, capabilities) in [
        (
            "220 mx ESMTP Postfix (Debian/GNU)\r\n",
            "250-mx\r\n250-STARTTLS\r\n250 8BITMIME\r\n",
            "smtp",
            Some("8BITMIME STARTTLS"),
        ),
        ("220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n", "smtp", Some("PIPELINING")),
        ("220 hello\r\n", "530 Please login with USER and PASS.\r\n", "ftp", None),
    ] {
        let server = Server::start(move |stream| lines(stream, greeting, ehlo)).await;
        let observation = ask(&server, None).await;
        assert_eq!(service(&observation).name, name, "{greeting}");
        assert_eq!(service(&observation).facts.get("smtp.capabilities").map(String::as_str), capabilities);
        assert_eq!(observation.connections, 1);
    }
}

#[tokio::test]
async fn a_late_greeting_is_still_heard() {
    let server = Server::start(|stream| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        greet(stream, b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
    })
    .await;
    let observation = ask(&server, None).await;
    assert_eq!((service(&observation).name.as_str(), observation.connections), ("ssh", 1));
}

#[tokio::test]
async fn http_takes_one_connection() {
    let server = Server::start(web).await;
    let first = ask(&server, None).await;
    assert_eq!(service(&first).product.as_deref(), Some("nginx"));
    assert_eq!(service(&first).facts["http.title"], "Hello");
    assert_eq!((first.connections, first.tls.is_none()), (1, true));
}

#[tokio::test]
async fn http_in_tls_takes_one_when_known() {
    for (versions, expect) in [(&BOTH[..1], "TLSv1.3"), (&BOTH[1..], "TLSv1.2")] {
        let acceptor = acceptor(versions, false);
        // One to learn that it is TLS, and one for the handshake.
        for (prior, connections) in [(None, 2), (Some(("http", true)), 1)] {
            let acceptor = acceptor.clone();
            let server = Server::start(move |stream| {
                let acceptor = acceptor.clone();
                async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        web(stream).await;
                    }
                }
            })
            .await;
            let observation = ask(&server, prior).await;
            assert_eq!(service(&observation).product.as_deref(), Some("nginx"));
            assert_eq!(observation.connections, connections);
            let tls = observation.tls.unwrap();
            assert_eq!((tls.version.as_str(), tls.alpn.as_deref()), (expect, Some("http/1.1")));
            assert!(tls.cipher.starts_with("TLS_"), "{}", tls.cipher);
            assert_eq!(tls.certificate.unwrap().sans, ["www.example.org"]);
            assert_eq!((tls.chain.len(), tls.verdicts), (1, vec![Verdict::SelfSigned, Verdict::TooLong]));
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_inside_tls() {
    let acceptor = acceptor(BOTH, false);
    let server = Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                greet(stream, b"* OK Dovecot ready.\r\n").await;
            }
        }
    })
    .await;
    let observation = ask(&server, Some(("imap", true))).await;
    assert_eq!((service(&observation).name.as_str(), observation.connections), ("imap", 1));
    assert!(observation.tls.is_some());
}

#[tokio::test]
async fn silence_inside_tls_is_tls() {
    let acceptor = acceptor(BOTH, false);
    let server = Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                greet(stream, b"").await;
            }
        }
    })
    .await;
    let observation = ask(&server, Some(("tls", true))).await;
    assert_eq!((service(&observation).name.as_str(), observation.connections), ("tls", 1));
}

#[tokio::test]
async fn a_server_that_wants_our_certificate_still_shows_its_own() {
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let acceptor = acceptor(versions, true);
        let server = Server::start(move |stream| {
            let acceptor = acceptor.clone();
            async move { drop(acceptor.accept(stream).await) }
        })
        .await;
        let observation = ask(&server, Some(("tls", true))).await;
        assert_eq!(service(&observation).name, "tls");
        assert!(observation.tls.unwrap().certificate.is_some());
    }
}

#[tokio::test]
async fn a_server_of_other_protocols_still_shows_its_certificate() {
    let acceptor = acceptor_of(BOTH, false, b"h2");
    let server = Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                greet(stream, b"").await;
            }
        }
    })
    .await;
    let observation = ask(&server, Some(("tls", true))).await;
    assert_eq!((service(&observation).name.as_str(), observation.connections), ("tls", 2));
    assert!(observation.tls.unwrap().certificate.is_some());
}

#[tokio::test]
async fn plain_http_on_a_tls_port_leads_to_tls() {
    let acceptor = acceptor(BOTH, false);
    let server = Server::start(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut first = [0; 1];
            if !matches!(stream.peek(&mut first).await, Ok(1)) {
                return;
            }
            if first == [0x16] {
                if let Ok(stream) = acceptor.accept(stream).await {
                    web(stream).await;
                }
                return;
            }
            request(&mut stream).await;
            let refusal =
                b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\nThe plain HTTP request was sent to HTTPS port";
            _ = stream.write_all(refusal).await;
        }
    })
    .await;
    let observation = ask(&server, None).await;
    assert_eq!(service(&observation).facts["http.status"], "200");
    assert!(observation.tls.is_some());
    assert_eq!(observation.connections, 2);
}

#[tokio::test]
async fn what_says_nothing_useful_is_nothing_and_ends() {
    async fn junk(mut stream: TcpStream) {
        _ = stream.write_all(&[0, 1, 2, 0xfe, 0x80, 0x90, 7, 7, 7, 7]).await;
        greet(stream, b"").await;
    }
    async fn drip(mut stream: TcpStream) {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    async fn flood(mut stream: TcpStream) {
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    }
    let servers = [
        ("silent", Server::start(|stream| greet(stream, b"")).await),
        ("closes", Server::start(|stream| async move { drop(stream) }).await),
        ("junk", Server::start(junk).await),
        ("drip", Server::start(drip).await),
        ("flood", Server::start(flood).await),
    ];
    let asked = servers.iter().map(|(what, server)| async move {
        let began = tokio::time::Instant::now();
        let observation = ask(server, None).await;
        assert_eq!(observation.service, None, "{what}");
        let is_bounded = usize::from(observation.connections) <= MAX_CONNECTIONS;
        assert!(observation.tls.is_none() && is_bounded, "{what}: {observation:?}");
        assert!(began.elapsed() < Duration::from_secs(7), "{what} took {:?}", began.elapsed());
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test]
async fn a_changed_server_is_recognised_anew() {
    let server = Server::start(web).await;
    let observation = ask(&server, Some(("ssh", false))).await;
    assert_eq!((service(&observation).name.as_str(), observation.connections), ("http", 1));
    let server = Server::start(|stream| greet(stream, b"SSH-2.0-OpenSSH_9.2p1\r\n")).await;
    let observation = ask(&server, Some(("http", true))).await;
    assert_eq!(
        (service(&observation).name.as_str(), observation.connections),
        ("ssh", 2),
        "it said so to the handshake, and is asked for its key in the clear"
    );
}

#[tokio::test]
async fn dns_over_tcp_when_known() {
    let server = Server::start(|mut stream| async move {
        let mut question = [0; 32];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        let mut answer = question.to_vec();
        answer[4] = 0x80; // a response
        answer[5] = 0x05; // refused
        _ = stream.write_all(&answer).await;
        greet(stream, b"").await;
    })
    .await;
    let observation = ask(&server, Some(("domain", false))).await;
    assert_eq!((service(&observation).name.as_str(), observation.connections), ("domain", 1));
}

#[tokio::test]
async fn outside_the_scope_nothing_is_said() {
    let server = Server::start(|stream| greet(stream, b"SSH-2.0-OpenSSH_9.2p1\r\n")).await;
    let roots = Roots::public();
    let name: ServiceName = "www.example.org".parse().unwrap();
    let base = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: timeouts() };
    let elsewhere = Endpoint::tcp("127.0.0.2".parse().unwrap(), server.endpoint.port);
    for (endpoint, ask) in [(elsewhere, base), (server.endpoint, Ask { name: Some(&name), ..base })] {
        let conversation = identify(&dialer(), endpoint, ask).await;
        assert_eq!(conversation.failure(), Some(Outcome::NotProbed(NotProbed::OutOfScope)));
        assert!(conversation.observation.is_none());
    }
    assert_eq!(server.used(), 0);
}

/// An SSH server that says one thing after each thing it hears.
async fn ssh(mut stream: TcpStream, said: Vec<&'static [u8]>, pause: Duration) {
    let mut heard = [0; 4096];
    for words in said {
        if stream.write_all(words).await.is_err() || !matches!(stream.read(&mut heard).await, Ok(1..)) {
            return;
        }
    }
    tokio::time::sleep(pause).await;
}

/// Whatever becomes of the exchange of keys, the identification counts, on one connection and in time.
#[tokio::test]
async fn an_ssh_server_that_shows_no_key_is_still_one() {
    const BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n";
    let forever = Duration::from_hours(1);
    for (what, said, pause) in [
        ("hangs up", vec![BANNER], Duration::ZERO),
        ("says nothing more", vec![BANNER], forever),
        ("speaks no binary", vec![BANNER, b"Protocol mismatch.\r\n".as_slice()], forever),
        (
            "leaves properly",
            vec![BANNER, b"\0\0\0\x14\x06\x01\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice()],
            forever,
        ),
        ("drowns us", vec![BANNER, &[0x7f; 4096], &[0x7f; 4096]], forever),
        ("begins a packet and stops", vec![BANNER, b"\0\0\x10\0\x04\x14".as_slice()], forever),
    ] {
        let server = Server::start(move |stream| ssh(stream, said.clone(), pause)).await;
        let began = tokio::time::Instant::now();
        let observation = ask(&server, None).await;
        assert_eq!((service(&observation).name.as_str(), observation.connections), ("ssh", 1), "{what}");
        assert_eq!(service(&observation).version.as_deref(), Some("9.2p1"), "{what}");
        assert_eq!(service(&observation).ssh_key, None, "{what}");
        // Of `timeouts()`: one answer's time, and some for the goodbye.
        assert!(began.elapsed() < Duration::from_secs(3), "{what} took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn waiting_for_a_turn_is_no_time_of_the_servers() {
    let server = Server::start(|stream| greet(stream, b"SSH-2.0-OpenSSH_9.2p1\r\n")).await;
    let dialer = dialer();
    let rate = "2/s".parse().unwrap();
    dialer.reconfigure(DialerSettings { rate_per_host: rate, ..DialerSettings::clone(&dialer.settings()) });
    let target = dialer.authorize(Endpoint::tcp(LOOPBACK, 1)).unwrap();
    dialer.probe(target, Duration::from_secs(1)).await;
    let timeouts = Timeouts { whole: Duration::from_millis(100), ..timeouts() };
    let roots = Roots::public();
    let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts };
    let conversation = identify(&dialer, server.endpoint, ask).await;
    assert_eq!(service(&conversation.observation.unwrap()).name, "ssh");
}

#[tokio::test]
async fn a_closed_port_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::tcp(LOOPBACK, listener.local_addr().unwrap().port());
    drop(listener);
    let roots = Roots::public();
    let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: timeouts() };
    let conversation = identify(&dialer(), endpoint, ask).await;
    assert_eq!(conversation.failure(), Some(Outcome::Closed(model::ClosedReason::Refused)));
    assert!(conversation.observation.is_none());
}

#[tokio::test]
async fn a_halt_and_a_scope_without_the_server_end_it_at_once() {
    let halt = |dialer: &Dialer| dialer.halt(true);
    let exclude = |dialer: &Dialer| dialer.scope().replace(scope::Scope::new(Vec::new(), model::AddressSet::empty()));
    for end in [halt, exclude] {
        let server = Server::start(|stream| greet(stream, b"")).await;
        let dialer = dialer();
        let roots = Roots::public();
        let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: Timeouts::default() };
        let ending = async {
            while server.used() == 0 {
                tokio::task::yield_now().await;
            }
            end(&dialer);
            tokio::time::Instant::now()
        };
        let (conversation, ended) = tokio::join!(identify(&dialer, server.endpoint, ask), ending);
        assert!(ended.elapsed() < Duration::from_millis(500));
        assert!(conversation.observation.is_none(), "what was not asked is not known");
        assert_eq!(conversation.ports.len(), 1, "but it was open");
    }
}

#[tokio::test]
async fn datagrams() {
    assert_eq!(udp_payload(9), None);
    let at = SystemClock.now();
    for (port, name) in [(53, "domain"), (123, "ntp"), (161, "snmp")] {
        let question = udp_payload(port).unwrap();
        let endpoint = Endpoint::udp(LOOPBACK, port);
        assert_eq!(identify_datagram(endpoint, &question, at).service, None, "an echo is no answer");
        let mut answer = question.clone();
        match port {
            53 => answer[2..4].copy_from_slice(&[0x80, 0x05]),
            123 => {
                answer[0] = 0x24;
                answer.copy_within(40..48, 24);
            }
            _ => {
                let pdu = answer.iter().rposition(|&byte| byte == 0xa0).unwrap();
                answer[pdu] = 0xa8;
            }
        }
        let observation = identify_datagram(endpoint, &answer, at);
        assert_eq!(observation.service.map(|service| service.name).as_deref(), Some(name));
        assert_eq!(observation.connections, 0);
    }
}

#[tokio::test]
async fn a_datagram_is_asked_again() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::udp(LOOPBACK, socket.local_addr().unwrap().port());
    let answering = async {
        let mut buffer = [0; 64];
        let (_, from) = socket.recv_from(&mut buffer).await.unwrap();
        socket.send_to(b"\x70\x64\x80\x05\0\0\0\0\0\0\0\0", from).await.unwrap();
    };
    let dialer = dialer();
    let (conversation, ()) = tokio::join!(identify_udp(&dialer, endpoint, timeouts()), answering);
    assert_eq!(conversation.observation.unwrap().service.unwrap().name, "domain");
    assert_eq!(conversation.ports[0].outcome, Outcome::Open(OpenReason::Reply));
}
