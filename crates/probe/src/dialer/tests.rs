use super::{socket::Close, tcp::CONNECTED, *};
use jiff::Timestamp;
use model::{AddressSet, ClosedReason, SystemClock, Target};
use scope::{AssetScope, Scope};
use socket2::Socket;
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACK6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// For things that must happen; far longer than they take.
const DEADLINE: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

fn scope_of(targets: &[&str]) -> Scope {
    let targets = targets.iter().map(|text| text.parse::<Target>().expect("a target")).collect();
    Scope::new(vec![AssetScope { name: "lab".into(), targets, until: None }], AddressSet::empty())
}

fn settings(rate: u32) -> DialerSettings {
    let rate = Rate::per_second(rate).expect("in range");
    let identity = Identity { sensor: "test".into(), contact: None, version: "0".into() };
    DialerSettings { rate, rate_per_host: rate, source: None, identity }
}

fn dialer() -> Dialer {
    let scope = ScopeHandle::new(scope_of(&["127.0.0.0/8", "::1"]));
    Dialer::with_concurrency(scope, Arc::new(SystemClock), settings(1_000_000), 512)
}

fn target(dialer: &Dialer, endpoint: Endpoint) -> InScope<Endpoint> {
    dialer.authorize(endpoint).expect("in scope")
}

/// A port on which nothing listens (it has just been given back).
async fn closed_port(ip: IpAddr) -> u16 {
    let listener = TcpListener::bind((ip, 0)).await.expect("binds");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn tells_open_from_refused() {
    let dialer = dialer();
    for ip in [LOOPBACK, LOOPBACK6] {
        let listener = TcpListener::bind((ip, 0)).await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let probed = dialer.probe(target(&dialer, Endpoint::tcp(ip, port)), SECOND).await;
        assert_eq!(probed.outcome, CONNECTED, "{ip}");
        assert!(probed.rtt.is_some_and(|rtt| rtt < SECOND));
        let probed = dialer.probe(target(&dialer, Endpoint::tcp(ip, closed_port(ip).await)), SECOND).await;
        assert_eq!(probed.outcome, Outcome::Closed(ClosedReason::Refused), "{ip}");
    }
    let counters = dialer.counters();
    assert_eq!((counters.attempts, counters.opens, counters.closed, counters.concurrency), (4, 2, 2, 0));
}

#[tokio::test]
async fn carries_a_conversation() {
    let dialer = dialer();
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("binds");
    let endpoint = Endpoint::tcp(LOOPBACK, listener.local_addr().expect("bound").port());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        stream.write_all(b"220 hello\r\n").await.expect("writes");
        let mut said = Vec::new();
        // The end in the ordinary way, not by a reset.
        stream.read_to_end(&mut said).await.expect("a clean end");
        said
    });
    let mut conn = dialer.connect(target(&dialer, endpoint), SECOND).await.expect("open");
    assert_eq!((conn.endpoint(), dialer.counters().concurrency), (endpoint, 1));
    let mut greeting = [0; 11];
    conn.read_exact(&mut greeting).await.expect("reads");
    conn.write_all(b"QUIT\r\n").await.expect("writes");
    drop(conn);
    let said = timeout(DEADLINE, server).await.expect("in time").expect("no panic");
    assert_eq!((greeting.as_slice(), said.as_slice()), (b"220 hello\r\n".as_slice(), b"QUIT\r\n".as_slice()));
    assert_eq!(dialer.counters().concurrency, 0);
}

#[tokio::test]
async fn a_question_for_liveness_ends_by_reset() {
    let dialer = dialer();
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("binds");
    let endpoint = Endpoint::tcp(LOOPBACK, listener.local_addr().expect("bound").port());
    assert!(dialer.probe(target(&dialer, endpoint), SECOND).await.outcome.is_open());
    let (mut stream, _) = timeout(DEADLINE, listener.accept()).await.expect("in time").expect("accepts");
    let end = timeout(DEADLINE, stream.read(&mut [0; 16])).await.expect("in time");
    assert_eq!(end.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
}

/// Where the kernel happens to choose the asked port as the source, TCP joins the socket to itself, and `connect()` succeeds.
#[tokio::test]
async fn a_connection_to_ourselves_is_never_open() {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("Linux");
    let low: u16 = range.split_whitespace().next().and_then(|port| port.parse().ok()).expect("a port");
    // An address of its own, so that no other test listens there.
    let ip = IpAddr::from([127, 0, 77, 1]);
    let mut settings = settings(1_000_000);
    settings.source = Some(ip);
    let scope = ScopeHandle::new(scope_of(&["127.0.77.1"]));
    let dialer = Dialer::with_concurrency(scope, Arc::new(SystemClock), settings, 512);
    for round in 0..20_000_u32 {
        // The kernel prefers ports of one parity, so both are asked.
        let port = low + 200 + u16::try_from(round % 2).expect("small");
        let probed = dialer.probe(target(&dialer, Endpoint::tcp(ip, port)), SECOND).await;
        assert_eq!(probed.outcome, Outcome::Closed(ClosedReason::Refused), "round {round}");
    }
}

#[test]
fn a_connection_to_itself_is_recognised() {
    let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&std::net::SocketAddr::from(([127, 0, 77, 2], 0)).into()).expect("binds");
    let own = socket.local_addr().expect("bound");
    socket.connect(&own).expect("TCP allows it");
    assert!(socket::is_connected_to_itself(&socket));
    let listener = std::net::TcpListener::bind((LOOPBACK, 0)).expect("binds");
    let other = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    other.connect(&listener.local_addr().expect("bound").into()).expect("connects");
    assert!(!socket::is_connected_to_itself(&other));
}

/// Set in the process that has hardly any file descriptors.
const FEW: &str = "PERIMETERD_TEST_FEW_DESCRIPTORS";

/// Runs itself again under a limit of 20 descriptors, where every one of them is taken.
#[test]
fn out_of_descriptors_is_never_closed() {
    if std::env::var_os(FEW).is_some() {
        return few_descriptors();
    }
    let this = std::env::current_exe().expect("a path");
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 20 && exec \"$0\" --exact dialer::tests::out_of_descriptors_is_never_closed"])
        .arg(this)
        .env(FEW, "1")
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn few_descriptors() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let scope = ScopeHandle::new(scope_of(&["127.0.0.1"]));
        let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("binds");
        let open = Endpoint::tcp(LOOPBACK, listener.local_addr().expect("bound").port());
        let by_limit = Dialer::new(scope.clone(), Arc::new(SystemClock), settings(100_000));
        assert!((1..=10).contains(&by_limit.concurrency()), "{}", by_limit.concurrency());
        let dialer = Dialer::with_concurrency(scope, Arc::new(SystemClock), settings(100_000), 512);
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        // For good: our trouble, and said to be.
        let probed = dialer.probe(target(&dialer, open), SECOND).await;
        assert_eq!(probed.outcome, Outcome::LocalError(LocalErrorKind::Descriptors));
        assert_eq!(dialer.counters().concurrency_limit, 1);
        // For a moment: the question waits, and is answered.
        let give_back = async {
            sleep(SHORTAGE_WAIT).await;
            taken.clear();
        };
        let (probed, ()) = tokio::join!(dialer.probe(target(&dialer, open), SECOND), give_back);
        assert_eq!(probed.outcome, CONNECTED);
        let closed = target(&dialer, Endpoint::tcp(LOOPBACK, closed_port(LOOPBACK).await));
        let all = futures_util::future::join_all((0..600).map(|_| dialer.probe(closed, SECOND))).await;
        assert!(all.iter().all(|probed| probed.outcome == Outcome::Closed(ClosedReason::Refused)));
    });
}

#[tokio::test]
async fn a_datagram_is_answered_refused_or_not() {
    let dialer = dialer();
    for ip in [LOOPBACK, LOOPBACK6] {
        let server = UdpSocket::bind((ip, 0)).await.expect("binds");
        let endpoint = Endpoint::udp(ip, server.local_addr().expect("bound").port());
        let echo = tokio::spawn(async move {
            let mut buffer = vec![0; 2048];
            for _ in 0..2 {
                let (length, from) = server.recv_from(&mut buffer).await.expect("receives");
                // 60,000 bytes and none: both are replies.
                let reply = if length == 0 { Vec::new() } else { vec![7; 60_000] };
                server.send_to(&reply, from).await.expect("sends");
            }
            // A third question finds nobody reading, but the port is open: silence.
            server
        });
        let ask = |payload: &'static [u8], wait| dialer.datagram(target(&dialer, endpoint), payload, wait);
        assert_eq!(ask(b"who are you", DEADLINE).await, Ok(vec![7; 60_000]), "{ip}");
        assert_eq!(ask(b"", DEADLINE).await, Ok(Vec::new()), "{ip}");
        let server = timeout(DEADLINE, echo).await.expect("in time").expect("no panic");
        assert_eq!(ask(b"anybody", Duration::from_millis(50)).await, Err(Outcome::Silent), "{ip}");
        drop(server);
        assert_eq!(ask(b"gone", DEADLINE).await, Err(Outcome::Closed(ClosedReason::PortUnreachable)), "{ip}");
    }
    assert_eq!(dialer.counters().concurrency, 0);
}

#[tokio::test]
async fn a_scope_replaced_between_leave_and_packet_holds_it_back() {
    let scope = ScopeHandle::new(scope_of(&["127.0.0.0/8"]));
    let dialer = Dialer::with_concurrency(scope.clone(), Arc::new(SystemClock), settings(1_000), 16);
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let (tcp, udp) = (target(&dialer, Endpoint::tcp(LOOPBACK, port)), target(&dialer, Endpoint::udp(LOOPBACK, port)));
    scope.replace(scope_of(&["127.0.0.2"]));
    let refused = Outcome::NotProbed(NotProbed::OutOfScope);
    assert_eq!(dialer.probe(tcp, SECOND).await.outcome, refused);
    assert_eq!(dialer.connect(tcp, SECOND).await.expect_err("held back"), refused);
    assert_eq!(dialer.datagram(udp, b"x", SECOND).await, Err(refused));
    assert_eq!((dialer.counters().attempts, dialer.counters().not_probed), (0, 3));
    assert!(dialer.authorize(Endpoint::tcp(LOOPBACK, port)).is_err());
}

/// A listener whose queue is full: Linux drops further SYNs, so a connection to it stays under way.
async fn unanswered() -> (Endpoint, socket2::Socket, Vec<TcpStream>) {
    let listener = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    listener.bind(&std::net::SocketAddr::from((LOOPBACK, 0)).into()).expect("binds");
    listener.listen(0).expect("listens");
    let to = listener.local_addr().expect("bound").as_socket().expect("an address");
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        match timeout(Duration::from_millis(300), socket.connect(to)).await {
            Ok(stream) => waiting.push(stream.expect("connects")),
            Err(_) => return (Endpoint::tcp(to.ip(), to.port()), listener, waiting),
        }
    }
    panic!("the queue never fills");
}

#[tokio::test]
async fn silence_is_silence() {
    let dialer = dialer();
    let (endpoint, _listener, _waiting) = unanswered().await;
    let probed = dialer.probe(target(&dialer, endpoint), Duration::from_millis(200)).await;
    assert_eq!(probed, Probed { outcome: Outcome::Silent, rtt: None });
    let conn = dialer.connect(target(&dialer, endpoint), Duration::from_millis(200)).await;
    assert_eq!(conn.expect_err("nobody answers"), Outcome::Silent);
    assert_eq!(dialer.counters().silent, 2);
}

#[tokio::test]
async fn a_repeated_syn_is_charged_when_it_leaves() {
    let dialer = dialer();
    let (endpoint, _listener, _waiting) = unanswered().await;
    dialer.reconfigure(settings(1));
    tokio::time::pause();
    let later = async {
        sleep(Duration::from_millis(1100)).await;
        dialer.0.pacer.reserve().saturating_duration_since(Instant::now())
    };
    let (probed, wait) = tokio::join!(dialer.probe(target(&dialer, endpoint), 5 * SECOND), later);
    assert_eq!(probed.outcome, Outcome::Silent);
    // The turn after the first SYN came at one second; the repeated SYN took it.
    assert!(wait >= Duration::from_millis(800), "{wait:?}");
}

#[tokio::test]
async fn halting_drops_what_is_under_way_and_lets_nothing_leave() {
    let dialer = dialer();
    let (endpoint, _listener, _waiting) = unanswered().await;
    let halted = Outcome::NotProbed(NotProbed::Halted);
    let question = tokio::spawn({
        let dialer = dialer.clone();
        async move { dialer.probe(target(&dialer, endpoint), DEADLINE).await.outcome }
    });
    while dialer.counters().attempts == 0 {
        tokio::task::yield_now().await;
    }
    dialer.halt(true);
    assert_eq!(timeout(SECOND, question).await.expect("within a second").expect("no panic"), halted);
    let attempts = dialer.counters().attempts;
    let closed = target(&dialer, Endpoint::tcp(LOOPBACK, closed_port(LOOPBACK).await));
    assert_eq!(dialer.probe(closed, SECOND).await.outcome, halted);
    assert_eq!(dialer.datagram(target(&dialer, Endpoint::udp(LOOPBACK, 9)), b"", SECOND).await, Err(halted));
    assert_eq!((dialer.counters().attempts, dialer.is_halted()), (attempts, true));
    timeout(SECOND, dialer.halted()).await.expect("at once");
    dialer.halt(false);
    assert_eq!(dialer.probe(closed, SECOND).await.outcome, Outcome::Closed(ClosedReason::Refused));
}

/// The kernel would repeat its SYN.
#[tokio::test]
async fn a_scope_that_excludes_it_drops_a_connection_under_way() {
    let scope = ScopeHandle::new(scope_of(&["127.0.0.0/8"]));
    let dialer = Dialer::with_concurrency(scope.clone(), Arc::new(SystemClock), settings(1_000), 16);
    let (endpoint, _listener, _waiting) = unanswered().await;
    let question = tokio::spawn({
        let dialer = dialer.clone();
        async move { dialer.probe(target(&dialer, endpoint), DEADLINE).await.outcome }
    });
    while dialer.counters().attempts == 0 {
        tokio::task::yield_now().await;
    }
    // Another scope that has it goes on.
    scope.replace(scope_of(&["127.0.0.1"]));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!question.is_finished());
    scope.replace(scope_of(&["127.0.0.2"]));
    let dropped = timeout(SECOND, question).await.expect("within a second").expect("no panic");
    assert_eq!(dropped, Outcome::NotProbed(NotProbed::OutOfScope));
}

#[tokio::test]
async fn whoever_waits_for_a_turn_is_halted_too() {
    let scope = ScopeHandle::new(scope_of(&["127.0.0.1"]));
    let dialer = Dialer::with_concurrency(scope, Arc::new(SystemClock), settings(1), 16);
    let closed = target(&dialer, Endpoint::tcp(LOOPBACK, closed_port(LOOPBACK).await));
    assert!(dialer.probe(closed, SECOND).await.outcome.is_answer());
    let halting = async {
        tokio::task::yield_now().await;
        dialer.halt(true);
    };
    let (late, ()) = tokio::join!(dialer.probe(closed, SECOND), halting);
    assert_eq!(late.outcome, Outcome::NotProbed(NotProbed::Halted));
    assert_eq!(dialer.counters().attempts, 1);
}

#[tokio::test]
async fn keeps_to_its_ceiling() {
    let scope = ScopeHandle::new(scope_of(&["127.0.0.0/8"]));
    let dialer = Dialer::with_concurrency(scope, Arc::new(SystemClock), settings(200), 64);
    let port = closed_port(LOOPBACK).await;
    let begun = Instant::now();
    for _ in 0..62 {
        dialer.probe(target(&dialer, Endpoint::tcp(LOOPBACK, port)), SECOND).await;
    }
    // 62 turns of 5 ms, the first two at once.
    assert!(begun.elapsed() >= Duration::from_millis(295), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn few_places_are_taken_in_turn() {
    let scope = ScopeHandle::new(scope_of(&["127.0.0.0/8"]));
    let dialer = Dialer::with_concurrency(scope, Arc::new(SystemClock), settings(100_000), 2);
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("binds");
    let endpoint = Endpoint::tcp(LOOPBACK, listener.local_addr().expect("bound").port());
    let all = futures_util::future::join_all((0..50).map(|_| dialer.probe(target(&dialer, endpoint), DEADLINE)));
    let all = timeout(DEADLINE, all).await.expect("in time");
    assert!(all.iter().all(|probed| probed.outcome.is_open()), "{all:?}");
}

#[test]
fn a_source_is_only_used_where_it_fits() {
    let address = |text: &str| text.parse::<std::net::SocketAddr>().expect("an address");
    for (source, to, bound) in [
        ("127.0.0.5", "127.0.0.1:9", Some("127.0.0.5")),
        ("192.0.2.1", "127.0.0.1:9", None),
        ("192.0.2.1", "[::1]:9", None),
        ("::1", "127.0.0.1:9", None),
        ("::1", "[::1]:9", Some("::1")),
    ] {
        let source = source.parse().expect("an address");
        let socket = socket::stream(address(to), Some(source), Close::Reset, SECOND).expect("a socket");
        let local = socket.local_addr().expect("an address").as_socket().map(|local| local.ip());
        let expect = bound.map_or_else(
            || if address(to).is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() },
            |ip| ip.parse().expect("an address"),
        );
        assert_eq!(local, Some(expect), "{source} → {to}");
    }
    // One that this machine does not have.
    let failure = socket::datagram(address("192.0.2.9:9"), Some("192.0.2.1".parse().expect("an address")));
    assert_eq!(failure.expect_err("not ours").outcome(), Outcome::LocalError(LocalErrorKind::NoRoute));
}

#[tokio::test]
async fn settings_change_while_running() {
    let dialer = dialer();
    let mut other = settings(50);
    other.identity.sensor = "renamed".into();
    dialer.reconfigure(other.clone());
    assert_eq!((dialer.counters().rate, dialer.identity()), (other.rate, other.identity));
    assert!(dialer.clock().now() > Timestamp::UNIX_EPOCH);
}
