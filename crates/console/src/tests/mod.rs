//! Both listeners over real sockets, with a made-up daemon and a real database.

mod act;
mod fake;
mod lists;
mod past;
mod probes;
mod public;
mod read;
mod socket;
mod stream;

use crate::{BoundTcp, BoundUnix, Console, Control, bind_tcp, bind_unix};
use fake::Fake;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use inventory::HostState;
use jiff::Timestamp;
use model::{Clock, Event, EventEndpoint, EventHost, EventType, Transport};
use monitor::{Batch, Journal};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use store::Store;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, UnixStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

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
        let fake = Arc::new(Fake::new(ready));
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
