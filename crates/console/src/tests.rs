//! Both listeners over real sockets, with a made-up daemon and a real database.

use crate::{
    BoundTcp, BoundUnix, Console, ConsoleError, Control, ControlFuture, LaneView, ProfileView, RecipientView, Review,
    bind_tcp, bind_unix,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use inventory::HostState;
use jiff::Timestamp;
use model::{
    CheckState, Clock, Delivery, DeliveryStatus, Event, EventEndpoint, EventHost, EventType, Lane, LaneStatus,
    Severity, StatusReport, Transport,
};
use monitor::{Batch, Journal};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use store::Store;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, UnixListener, UnixStream},
    sync::broadcast,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        at(3600)
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_255_200 + seconds).expect("in range")
}

/// Remembers what it was asked to do.
#[derive(Debug)]
struct Fake {
    done: Mutex<Vec<String>>,
    ready: bool,
    events: broadcast::Sender<Event>,
}

impl Fake {
    fn note(&self, what: String) {
        self.done.lock().expect("not poisoned").push(what);
    }
}

impl Control for Fake {
    fn status(&self) -> ControlFuture<'_, StatusReport> {
        Box::pin(async { report() })
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn halt(&self) -> ControlFuture<'_, Result<(), String>> {
        Box::pin(async {
            self.note("halt".to_owned());
            Ok(())
        })
    }

    fn resume(&self) -> ControlFuture<'_, Result<(), String>> {
        Box::pin(async { Err("the disk is full".to_owned()) })
    }

    fn scan_now<'a>(&'a self, profile: &'a str) -> ControlFuture<'a, Result<String, String>> {
        Box::pin(async move {
            self.note(format!("scan {profile}"));
            Ok(format!("{profile} is being scanned"))
        })
    }

    fn review(&self, review: Review) -> ControlFuture<'_, Result<String, String>> {
        Box::pin(async move {
            let count = review.addresses.map_or_else(|| "all".to_owned(), |set| set.len().to_string());
            self.note(format!("review {count} {} by {}", review.withdraw, review.by));
            Ok("noted".to_owned())
        })
    }

    fn reload(&self) -> ControlFuture<'_, Result<String, String>> {
        Box::pin(async { Err("error: unknown key `colour`\n --> x.toml:3:1".to_owned()) })
    }

    fn notify_test<'a>(&'a self, recipient: &'a str) -> ControlFuture<'a, Result<Delivery, String>> {
        Box::pin(async move {
            match recipient {
                "soc" => Ok(Delivery::Delivered("250 queued".to_owned())),
                _ => Err(format!("there is no recipient `{recipient}`")),
            }
        })
    }

    fn backup<'a>(&'a self, path: &'a Path) -> ControlFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.note(format!("backup {}", path.display()));
            Ok(())
        })
    }

    fn profiles(&self) -> Vec<ProfileView> {
        let lanes = vec![LaneView { lane: Lane::Hot, every: "5m".to_owned() }];
        let (name, assets) = ("dmz".to_owned(), vec!["dmz".to_owned()]);
        vec![ProfileView { name, active: true, assets, rulesets: vec!["builtin:perimeter".to_owned()], lanes }]
    }

    fn recipients(&self) -> Vec<RecipientView> {
        vec![RecipientView {
            name: "soc".to_owned(),
            channel: "email".to_owned(),
            to: "soc@example.org".to_owned(),
            every: "5m".to_owned(),
            profiles: vec![],
            min_severity: Severity::HIGH,
        }]
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

fn report() -> StatusReport {
    StatusReport {
        sensor: "scan1".to_owned(),
        version: "0.1.0".to_owned(),
        mode: "connect".to_owned(),
        started: at(0),
        now: at(3600),
        state: CheckState::Ok,
        reasons: vec![],
        halted: false,
        hosts: 3,
        endpoints: 9,
        certificates: 1,
        events: 2,
        vantages: 1,
        lanes: vec![LaneStatus {
            profile: "dmz \"1\"".to_owned(),
            lane: Lane::Hot,
            period_s: 300.0,
            baseline_done: true,
            running: false,
            progress: 0.0,
            last_started: Some(at(10)),
            last_finished: Some(at(20)),
            lag_s: 1.5,
            coverage: 0.75,
            probes: 100,
            attempts: 120,
            loss: None,
            p_miss_random_loss: None,
            local_errors: 4,
        }],
        delivery: vec![DeliveryStatus {
            recipient: "soc".to_owned(),
            channel: "email".to_owned(),
            backlog: 7,
            oldest: Some(at(3000)),
            last_delivered: None,
            last_error: Some("451".to_owned()),
            next_try: None,
        }],
    }
}

fn event(number: i64) -> Event {
    let mut event = Event::new(EventType::PortOpen, at(number), &"scan1".into(), &number);
    event.host = Some(EventHost { ip: "192.0.2.7".parse().expect("an address"), names: vec![], os: None });
    event.endpoint = Some(EventEndpoint { transport: Transport::Tcp, port: 3389 });
    event
}

fn host(last: u8, ports: &[u16]) -> HostState {
    let endpoint = |port: &u16| {
        json!({
            "transport": "tcp", "port": port, "status": "open", "reason": "connected", "first_seen": at(0),
            "last_seen": at(1), "changed_at": at(0), "last_observed": at(1),
        })
    };
    let state = json!({
        "key": { "vantage": "scan1", "ip": format!("192.0.2.{last}") }, "up": true, "first_seen": at(0),
        "last_seen": at(1), "assets": ["dmz"], "tags": [], "value": 3,
        "endpoints": ports.iter().map(endpoint).collect::<Vec<_>>(),
    });
    serde_json::from_value(state).expect("a host")
}

/// A daemon of three hosts and two events, listening.
struct Running {
    folder: TempDir,
    fake: Arc<Fake>,
    store: Store,
    tcp: SocketAddr,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    async fn start() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(ready: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store =
            Store::open(&folder.path().join("p.db"), Arc::new(Stopped), &store::Options::default()).expect("opens");
        let batch = Batch {
            hosts: vec![host(7, &[22, 443]), host(8, &[22]), host(9, &[])],
            events: vec![event(1), event(2)],
            ..Batch::default()
        };
        store.commit(batch).await.expect("commits");
        let fake = Arc::new(Fake { done: Mutex::default(), ready, events: broadcast::Sender::new(2) });
        let control: Arc<dyn Control> = Arc::clone(&fake) as _;
        let console = Console::new(control, store.reader(), Arc::new(Stopped), vec!["scan1".to_owned()]);
        let shutdown = CancellationToken::new();
        let unix: BoundUnix = bind_unix(&folder.path().join("p.sock")).await.expect("binds");
        let public: BoundTcp = bind_tcp("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
        let tcp = public.local_addr().expect("bound");
        let tasks = vec![
            tokio::spawn(unix.serve(Arc::clone(&console), shutdown.clone())),
            tokio::spawn(public.serve(console, shutdown.clone())),
        ];
        Self { folder, fake, store, tcp, shutdown, tasks }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("p.sock")
    }

    async fn unix(&self, method: &str, target: &str, body: &str) -> (StatusCode, Value) {
        let stream = UnixStream::connect(self.socket()).await.expect("connects");
        let (status, text) = exchange(stream, method, target, "perimeterd", body).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, target: &str) -> (StatusCode, Value) {
        self.unix("GET", target, "").await
    }

    async fn tcp(&self, method: &str, target: &str, host: &str) -> (StatusCode, String) {
        let socket = TcpSocket::new_v4().expect("a socket");
        let stream = socket.connect(self.tcp).await.expect("connects");
        exchange(stream, method, target, host, "").await
    }

    async fn stop(self) -> PathBuf {
        let socket = self.socket();
        self.shutdown.cancel();
        for task in self.tasks {
            timeout(DEADLINE, task).await.expect("ends in time").expect("no panic");
        }
        socket
    }
}

async fn exchange<S>(stream: S, method: &str, target: &str, host: &str, body: &str) -> (StatusCode, String)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let exchange = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", host)
            .body(Full::new(Bytes::from(body.to_owned())))
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    };
    timeout(DEADLINE, exchange).await.expect("in time")
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("no message in {answer}"))
}

#[tokio::test]
async fn lists_filter_and_page() {
    let running = Running::start().await;
    let addresses = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| item["ip"].as_str().expect("an address").to_owned()).collect()
    };
    for (target, expect) in [
        ("/api/v1/hosts", &["192.0.2.7", "192.0.2.8", "192.0.2.9"][..]),
        ("/api/v1/hosts?ip=192.0.2.8/31", &["192.0.2.8", "192.0.2.9"]),
        ("/api/v1/hosts?port=443", &["192.0.2.7"]),
        ("/api/v1/hosts?asset=nowhere", &[]),
        ("/api/v1/services?port=22", &["192.0.2.7", "192.0.2.8"]),
        ("/api/v1/endpoints", &["192.0.2.7", "192.0.2.7", "192.0.2.8"]),
    ] {
        let (status, page) = running.get(target).await;
        assert_eq!(
            (status, addresses(&page)),
            (StatusCode::OK, expect.iter().map(ToString::to_string).collect()),
            "{target}"
        );
    }
    for list in ["hosts", "services", "endpoints"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        for _ in 0..5 {
            let (_, page) = running.get(&format!("/api/v1/{list}?limit=1{after}")).await;
            seen.extend(addresses(&page));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", next.replace('|', "%7C")),
                None => break,
            }
        }
        assert_eq!(seen.len(), 3, "{list}: {seen:?}");
    }
    // A page that a filter thins out still leads on.
    let (_, page) = running.get("/api/v1/hosts?port=22&limit=1").await;
    let next = page["next"].as_str().expect("another page").replace('|', "%7C");
    let (_, page) = running.get(&format!("/api/v1/hosts?port=22&limit=1&after={next}")).await;
    assert_eq!(addresses(&page), ["192.0.2.8"]);
    running.stop().await;
}

#[tokio::test]
async fn events_come_in_both_orders() {
    let running = Running::start().await;
    for (target, expect) in [
        ("/api/v1/events", &[1, 2][..]),
        ("/api/v1/events?newest=true", &[2, 1]),
        ("/api/v1/events?newest=true&limit=1", &[2]),
        ("/api/v1/events?newest=true&after=2", &[1]),
        ("/api/v1/events?after=1", &[2]),
        ("/api/v1/events?type=PORT_CLOSED", &[]),
        ("/api/v1/events?type=PORT_OPEN,PORT_CLOSED&ip=192.0.2.7&port=3389&severity=3", &[1, 2]),
        ("/api/v1/events?severity=5", &[]),
        ("/api/v1/events?since=1h", &[1, 2]),
        ("/api/v1/events?since=59m", &[]),
    ] {
        let (status, page) = running.get(target).await;
        let seqs: Vec<i64> =
            page["items"].as_array().expect("items").iter().filter_map(|e| e["seq"].as_i64()).collect();
        assert_eq!((status, seqs.as_slice()), (StatusCode::OK, expect), "{target}");
    }
    running.stop().await;
}

#[tokio::test]
async fn everything_else_that_is_read() {
    let running = Running::start().await;
    let (status, found) = running.get("/api/v1/hosts/192.0.2.7").await;
    assert_eq!((status, &found["host"]["key"]["ip"]), (StatusCode::OK, &json!("192.0.2.7")));
    assert_eq!(found["events"].as_array().map(Vec::len), Some(2));
    let (status, found) = running.get("/api/v1/status").await;
    assert_eq!((status, serde_json::from_value(found).ok()), (StatusCode::OK, Some(report())));
    for list in ["software", "certificates?expiring=30d", "alerts", "profiles", "recipients"] {
        let (status, page) = running.get(&format!("/api/v1/{list}")).await;
        assert!(status == StatusCode::OK && page["items"].is_array(), "{list}: {page}");
    }
    assert_eq!(running.get("/api/v1/recipients").await.1["items"][0]["name"], "soc");
    for (target, expect, part) in [
        ("/api/v1/hosts/192.0.2.99", StatusCode::NOT_FOUND, "nothing is known about 192.0.2.99"),
        ("/api/v1/hosts/www", StatusCode::BAD_REQUEST, "`www` is not an address"),
        ("/api/v1/hosts?colour=red", StatusCode::BAD_REQUEST, "no parameter `colour`"),
        ("/api/v1/hosts?after=x", StatusCode::BAD_REQUEST, "after"),
        ("/api/v1/hosts?at=1h&os=linux", StatusCode::BAD_REQUEST, "no parameter `os`"),
        ("/api/v1/diff?to=1h", StatusCode::BAD_REQUEST, "`from` is missing"),
        ("/api/v1/diff?from=1h&to=2h", StatusCode::BAD_REQUEST, "not before"),
        ("/api/v1/diff?from=soon", StatusCode::BAD_REQUEST, "neither a time"),
        ("/api/v1/hosts/www/history", StatusCode::BAD_REQUEST, "`www` is not an address"),
        ("/api/v1/certificates/abc/history", StatusCode::BAD_REQUEST, "SHA-256"),
        ("/api/v1/events?after=x", StatusCode::BAD_REQUEST, "not a sequence number"),
        ("/api/v1/profiles?limit=1", StatusCode::BAD_REQUEST, "no parameter"),
        ("/api/v1/nothing", StatusCode::NOT_FOUND, "nothing here"),
        ("/metrics", StatusCode::NOT_FOUND, "nothing here"),
        ("/api/v1/halt", StatusCode::METHOD_NOT_ALLOWED, "POST"),
    ] {
        let (status, answer) = running.get(target).await;
        assert!(status == expect && message(&answer).contains(part), "{target}: {status} {answer}");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_past_is_read() {
    let running = Running::start().await;
    // A host that was not there, comes with a port, and is lost.
    let mut host = running.store.load().await.expect("loads").hosts.remove(0);
    host.key.ip = "198.51.100.7".parse().expect("an address");
    (host.up, host.lost_since, host.first_seen, host.last_seen) = (true, None, at(100), at(100));
    host.endpoints.truncate(1);
    host.endpoints[0].status = store::PortStatus::Open;
    host.endpoints[0].changed_at = at(100);
    running.store.commit(Batch { hosts: vec![host.clone()], ..Batch::default() }).await.expect("commits");
    (host.up, host.lost_since) = (false, Some(at(200)));
    running.store.commit(Batch { hosts: vec![host], ..Batch::default() }).await.expect("commits");
    let count = |page: &Value| page["items"].as_array().map(Vec::len);
    for (seconds, expect) in [(99, 0), (100, 1), (199, 1), (200, 0)] {
        for list in ["hosts", "services"] {
            let (status, page) = running.get(&format!("/api/v1/{list}?ip=198.51.100.7&at={}", at(seconds))).await;
            assert_eq!((status, count(&page)), (StatusCode::OK, Some(expect)), "{list} at {seconds}: {page}");
        }
    }
    let (_, page) = running.get(&format!("/api/v1/diff?ip=198.51.100.7&from={}&to={}", at(50), at(150))).await;
    let kinds: Vec<_> = page["items"].as_array().expect("items").iter().map(|item| item["kind"].clone()).collect();
    assert_eq!(kinds, ["host-appeared", "port-opened"]);
    let (_, history) = running.get("/api/v1/hosts/198.51.100.7/history").await;
    assert_eq!(history["up"][0]["ending"], "lost");
    assert_eq!(history["services"].as_array().map(Vec::len), Some(1));
    // Page by page gives the same.
    let all = running.get(&format!("/api/v1/hosts?at={}", at(150))).await.1;
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let page = running.get(&format!("/api/v1/hosts?at={}&limit=1{after}", at(150))).await.1;
        pages.extend(page["items"].as_array().expect("items").clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(Some(&pages), all["items"].as_array());
    running.stop().await;
}

#[tokio::test]
async fn the_daemon_does_what_it_is_asked() {
    let running = Running::start().await;
    for (target, body, expect, part) in [
        ("halt", "", StatusCode::OK, "stopped"),
        ("resume", "{}", StatusCode::UNPROCESSABLE_ENTITY, "disk is full"),
        ("reload", "{}", StatusCode::UNPROCESSABLE_ENTITY, "colour"),
        ("scan-now", r#"{"profile":"dmz"}"#, StatusCode::OK, "dmz is being scanned"),
        ("hosts/approve", r#"{"targets":["192.0.2.0/24","192.0.2.9"]}"#, StatusCode::OK, "noted"),
        ("hosts/approve", r#"{"all":true,"withdraw":true,"by":"anna"}"#, StatusCode::OK, "noted"),
        ("hosts/approve", "{}", StatusCode::BAD_REQUEST, "which hosts"),
        ("hosts/approve", r#"{"targets":["192.0.2.9"],"all":true}"#, StatusCode::BAD_REQUEST, "not both"),
        ("hosts/approve", r#"{"targets":["www.example.org"]}"#, StatusCode::BAD_REQUEST, "host name"),
        ("hosts/approve", r#"{"all":true,"by":"a\nb"}"#, StatusCode::BAD_REQUEST, "one line"),
        ("scan-now", "{}", StatusCode::BAD_REQUEST, "profile"),
        ("scan-now", "nonsense", StatusCode::BAD_REQUEST, "body"),
        ("notify-test", r#"{"recipient":"soc"}"#, StatusCode::OK, "250 queued"),
        ("notify-test", r#"{"recipient":"nobody"}"#, StatusCode::UNPROCESSABLE_ENTITY, "no recipient"),
        ("backup", r#"{"path":"/srv/b.db"}"#, StatusCode::OK, "/srv/b.db"),
        ("backup", r#"{"path":"b.db"}"#, StatusCode::BAD_REQUEST, "not absolute"),
        ("halt", r#"{"why":"x"}"#, StatusCode::BAD_REQUEST, "why"),
    ] {
        let (status, answer) = running.unix("POST", &format!("/api/v1/{target}"), body).await;
        assert!(status == expect && answer.to_string().contains(part), "{target}: {status} {answer}");
    }
    let done = running.fake.done.lock().expect("not poisoned").clone();
    assert_eq!(
        done,
        ["halt", "scan dmz", "review 256 false by operator", "review all true by anna", "backup /srv/b.db"]
    );
    let many = format!("{{\"targets\":[{}]}}", vec!["\"192.0.2.7\""; 20_000].join(","));
    assert_eq!(running.unix("POST", "/api/v1/hosts/approve", &many).await.0, StatusCode::OK);
    let long = format!("{{\"profile\":\"{}\"}}", "x".repeat(100_000));
    let (status, _) = running.unix("POST", "/api/v1/scan-now", &long).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    running.stop().await;
}

#[tokio::test]
async fn tcp_serves_health_and_metrics_and_nothing_else() {
    let running = Running::start().await;
    let local = running.tcp.to_string();
    assert_eq!(running.tcp("GET", "/healthz", &local).await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(running.tcp("GET", "/readyz", "scan1:8321").await, (StatusCode::OK, "ready\n".to_owned()));
    for (method, target, host, expect) in [
        ("GET", "/api/v1/status", local.as_str(), StatusCode::NOT_FOUND),
        ("GET", "/api/v1/hosts", &local, StatusCode::NOT_FOUND),
        ("POST", "/api/v1/halt", &local, StatusCode::NOT_FOUND),
        ("GET", "/", &local, StatusCode::NOT_FOUND),
        ("POST", "/metrics", &local, StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/metrics", "attacker.example", StatusCode::MISDIRECTED_REQUEST),
        ("GET", "/api/v1/hosts", "attacker.example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        assert_eq!(running.tcp(method, target, host).await.0, expect, "{method} {target} {host}");
    }
    assert!(running.fake.done.lock().expect("not poisoned").is_empty());
    running.stop().await;
}

#[tokio::test]
async fn readiness_is_the_daemons() {
    let running = Running::start_with(false).await;
    assert_eq!(running.tcp("GET", "/readyz", "127.0.0.1").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(running.tcp("GET", "/healthz", "127.0.0.1").await.0, StatusCode::OK);
    running.stop().await;
}

#[tokio::test]
async fn metrics_tell_the_state() {
    let running = Running::start().await;
    let (status, text) = running.tcp("GET", "/metrics", "localhost").await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        r#"perimeterd_build_info{version="0.1.0",mode="connect"} 1"#,
        "perimeterd_hosts 3.0",
        "perimeterd_endpoints 9.0",
        "perimeterd_halted 0.0",
        r#"perimeterd_lane_coverage_ratio{profile="dmz \"1\"",lane="hot"} 0.75"#,
        r#"perimeterd_lane_lag_seconds{profile="dmz \"1\"",lane="hot"} 1.5"#,
        r#"perimeterd_lane_last_pass_attempts{profile="dmz \"1\"",lane="hot"} 120.0"#,
        r#"perimeterd_lane_last_pass_local_errors{profile="dmz \"1\"",lane="hot"} 4.0"#,
        r#"perimeterd_delivery_backlog{recipient="soc",channel="email"} 7.0"#,
        r#"perimeterd_delivery_oldest_seconds{recipient="soc",channel="email"} 600.0"#,
        r#"perimeterd_events_total{type="PORT_OPEN"} 2"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    // Unknown is not nought.
    assert!(!text.contains("perimeterd_lane_loss_ratio{"));
    running.store.commit(Batch { events: vec![event(3)], ..Batch::default() }).await.expect("commits");
    let (_, text) = running.tcp("GET", "/metrics", "localhost").await;
    assert!(text.contains(r#"perimeterd_events_total{type="PORT_OPEN"} 3"#), "{text}");
    running.stop().await;
}

/// Reads a stream until `count` ids have come.
async fn ids(stream: &mut UnixStream, count: usize) -> Vec<u64> {
    let mut text = String::new();
    let read = async {
        loop {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.expect("reads");
            assert!(read > 0, "the stream ended after {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
            let ids: Vec<u64> = whole.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
            if ids.len() >= count {
                return ids;
            }
        }
    };
    timeout(DEADLINE, read).await.expect("in time")
}

async fn open_stream(running: &Running, target: &str, header: &str) -> UnixStream {
    let mut stream = UnixStream::connect(running.socket()).await.expect("connects");
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    stream
}

#[tokio::test]
async fn the_stream_has_no_gap() {
    let running = Running::start().await;
    let mut resumed = open_stream(&running, "/api/v1/stream", "Last-Event-ID: 1\r\n").await;
    assert_eq!(ids(&mut resumed, 1).await, [2]);
    // Ten events at once through a channel of two: what it drops is read from the store.
    for number in 3..13 {
        running.store.commit(Batch { events: vec![event(number)], ..Batch::default() }).await.expect("commits");
    }
    for number in 3..13 {
        let sequence = u64::try_from(number).ok();
        running.fake.events.send(Event { seq: sequence, ..event(number) }).expect("somebody listens");
    }
    assert_eq!(ids(&mut resumed, 10).await, (3..13).collect::<Vec<u64>>());
    let mut from_start = open_stream(&running, "/api/v1/stream?after=0", "").await;
    assert_eq!(ids(&mut from_start, 12).await, (1..13).collect::<Vec<u64>>());
    let (status, answer) = running.get("/api/v1/stream?colour=red").await;
    assert!(status == StatusCode::BAD_REQUEST && message(&answer).contains("colour"), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn the_socket_is_guarded_and_cleaned_up() {
    let running = Running::start().await;
    let socket = running.socket();
    let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(matches!(bind_unix(&socket).await, Err(ConsoleError::InUse(path)) if path == socket));
    // It still serves.
    assert_eq!(running.get("/api/v1/status").await.0, StatusCode::OK);
    let folder = running.folder.path().to_owned();
    assert_eq!(
        std::fs::read_dir(&folder)
            .expect("a folder")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().contains("sock"))
            .count(),
        1
    );
    let socket = running.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).expect("binds"));
    assert!(stale.exists());
    let bound = bind_unix(&stale).await.expect("replaces it");
    assert!(stale.exists());
    // A daemon whose start fails further on leaves nothing behind.
    drop(bound);
    assert!(!stale.exists());
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").expect("written");
    assert!(matches!(bind_unix(&file).await, Err(ConsoleError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "precious");
    let nowhere = folder.path().join("no/such/folder/x.sock");
    let error = bind_unix(&nowhere).await.expect_err("no folder");
    assert!(error.to_string().contains("x.sock"), "{error}");
    let taken = bind_tcp("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
    let address = taken.local_addr().expect("bound");
    let error = bind_tcp(address).await.expect_err("taken");
    assert!(error.to_string().contains("another `listen`"), "{error}");
}

#[tokio::test]
async fn a_slow_or_greedy_peer_is_cut_off() {
    let running = Running::start().await;
    let mut stream = UnixStream::connect(running.socket()).await.expect("connects");
    let head = format!("GET /api/v1/status HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(64 * 1024));
    // The server may hang up before it has read all of it.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("in time");
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    running.stop().await;
}
