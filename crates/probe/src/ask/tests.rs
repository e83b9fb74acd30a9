use super::*;
use crate::{DialerSettings, Identity};
use model::{AddressSet, ClosedReason, Rate, SystemClock};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn dialer() -> Dialer {
    let asset = AssetScope { name: "lab".into(), targets: vec!["127.0.0.0/8".parse().expect("a target")], until: None };
    let rate = Rate::per_second(1_000_000).expect("in range");
    let identity = Identity { sensor: "test".into(), contact: None, version: "0".into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    let scope = ScopeHandle::new(Scope::new(vec![asset], AddressSet::empty()));
    Dialer::with_concurrency(scope, Arc::new(SystemClock), settings, 64)
}

fn options(attempts: u8, retry_refused: u8, spacing: Duration) -> AskOptions {
    AskOptions {
        attempts,
        timeout: Duration::from_millis(50),
        retry_refused,
        spacing,
        pace: None,
        udp: Arc::new(|_| Some(b"?".to_vec())),
    }
}

/// Bound, and not listening: refused until it does.
fn quiet_socket() -> (TcpSocket, Endpoint) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((LOOPBACK, 0).into()).expect("binds");
    let endpoint = Endpoint::tcp(LOOPBACK, socket.local_addr().expect("bound").port());
    (socket, endpoint)
}

#[tokio::test]
async fn a_refusal_is_asked_again_as_often_as_wanted() {
    let (_socket, endpoint) = quiet_socket();
    for again in [0, 2] {
        let dialer = dialer();
        let found = ask(&dialer, vec![endpoint], &options(1, again, Duration::ZERO)).await;
        assert_eq!(found[0].observation.outcome, Outcome::Closed(ClosedReason::Refused));
        assert_eq!((found[0].observation.attempts, dialer.counters().attempts), (1 + again, u64::from(1 + again)));
    }
}

/// As when something injects a RST for the first connection.
#[tokio::test]
async fn an_open_answer_counts_above_an_earlier_refusal() {
    let (socket, endpoint) = quiet_socket();
    let dialer = dialer();
    let options = options(1, 3, Duration::from_millis(20));
    let opens = async {
        while dialer.counters().closed == 0 {
            tokio::task::yield_now().await;
        }
        socket.listen(8).expect("listens")
    };
    let (found, _listener) = tokio::join!(ask(&dialer, vec![endpoint], &options), opens);
    assert!(found[0].observation.outcome.is_open());
    assert_eq!((found[0].observation.attempts, found[0].observation.refused), (2, 1));
    // Nothing was lost.
    assert!(!found[0].observation.is_late());
}

#[tokio::test]
async fn a_datagrams_refusal_is_definite() {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.expect("binds");
    let endpoint = Endpoint::udp(LOOPBACK, socket.local_addr().expect("bound").port());
    drop(socket);
    let found = ask(&dialer(), vec![endpoint], &options(1, 3, Duration::ZERO)).await;
    assert_eq!(found[0].observation.outcome, Outcome::Closed(ClosedReason::PortUnreachable));
    assert_eq!(found[0].observation.attempts, 1);
}

#[tokio::test]
async fn each_attempt_comes_from_another_port() {
    let dialer = dialer();
    // By TCP, three questions to a server that accepts.
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("binds");
    let endpoint = Endpoint::tcp(LOOPBACK, listener.local_addr().expect("bound").port());
    let once = options(1, 0, Duration::ZERO);
    let mut ports = BTreeSet::new();
    for _ in 0..3 {
        let (found, accepted) = tokio::join!(ask(&dialer, vec![endpoint], &once), listener.accept());
        assert!(found[0].observation.outcome.is_open());
        ports.insert(accepted.expect("accepts").1.port());
    }
    assert_eq!(ports.len(), 3);
    // By UDP, four to one that is silent. Their ports are random, so two may be the same by chance.
    let server = UdpSocket::bind((LOOPBACK, 0)).await.expect("binds");
    let endpoint = Endpoint::udp(LOOPBACK, server.local_addr().expect("bound").port());
    let found = ask(&dialer, vec![endpoint], &options(4, 0, Duration::ZERO)).await;
    assert_eq!((found[0].observation.outcome, found[0].observation.attempts), (Outcome::Silent, 4));
    let mut ports = BTreeSet::new();
    for _ in 0..4 {
        ports.insert(server.recv_from(&mut [0; 8]).await.expect("a question").1.port());
    }
    assert!(ports.len() >= 3, "{ports:?}");
}
