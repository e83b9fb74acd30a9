//! The way to a certificate by QUIC, against a server of the same library, and against what is none.

use super::*;
use bytes::BytesMut;
use model::{ClientAuth, TlsObservation};
use quinn_proto::{
    DatagramEvent, EndpointConfig, ServerConfig,
    crypto::rustls::{HandshakeData, QuicServerConfig},
};
use rustls::{RootCertStore, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};
use tokio::{
    net::UdpSocket,
    time::{Instant as Clocked, timeout_at as until},
};

const NAME: &str = "www.example.org";

/// Certificate and key, made once.
static OURS: LazyLock<(CertificateDer<'static>, Vec<u8>)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    (made.cert.der().clone(), made.signing_key.serialize_der())
});

/// What a server is set up for.
#[derive(Clone, Copy, Default)]
struct Setting {
    wants_certificate: bool,
    protocol: &'static [u8],
}

fn configured(setting: Setting) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let config = if setting.wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(OURS.0.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        config.with_client_cert_verifier(verifier)
    } else {
        config.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(OURS.1.clone()).unwrap();
    let mut config = config.with_single_cert(vec![OURS.0.clone()], key).unwrap();
    config.alpn_protocols = vec![setting.protocol.to_vec()];
    ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).unwrap()))
}

/// What a server noted: how many left in order, and the names they asked for.
#[derive(Default)]
struct Noted {
    left: AtomicUsize,
    names: Mutex<Vec<Option<String>>>,
}

/// Speaks QUIC to whoever comes.
async fn serve(socket: UdpSocket, setting: Setting, noted: Arc<Noted>) {
    let config = Arc::new(configured(setting));
    let mut endpoint =
        quinn_proto::Endpoint::new(Arc::new(EndpointConfig::default()), Some(Arc::clone(&config)), false, None);
    let mut connections = HashMap::new();
    let (mut buffer, mut out) = (vec![0; 2048], Vec::new());
    loop {
        let soon = Clocked::now() + Duration::from_millis(20);
        if let Ok(Ok((length, from))) = until(soon, socket.recv_from(&mut buffer)).await {
            let now = Clocked::now().into_std();
            let datagram = BytesMut::from(&buffer[..length]);
            match endpoint.handle(now, from, None, None, datagram, &mut out) {
                Some(DatagramEvent::NewConnection(incoming)) => {
                    match endpoint.accept(incoming, now, &mut out, None) {
                        Ok((handle, connection)) => {
                            connections.insert(handle, (connection, from));
                        }
                        // It has nothing to talk about with them, and says so.
                        Err(_) => {
                            socket.send_to(&out, from).await.unwrap();
                        }
                    }
                }
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some((connection, _)) = connections.get_mut(&handle) {
                        connection.handle_event(event);
                    }
                }
                Some(DatagramEvent::Response(_)) => {
                    socket.send_to(&out, from).await.unwrap();
                }
                None => {}
            }
            out.clear();
        }
        for (handle, (connection, from)) in &mut connections {
            connection.handle_timeout(Clocked::now().into_std());
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = endpoint.handle_event(*handle, event) {
                    connection.handle_event(event);
                }
            }
            while let Some(event) = connection.poll() {
                if matches!(event, quinn_proto::Event::Connected) {
                    let told = connection.crypto_session().handshake_data().unwrap();
                    let told = told.downcast::<HandshakeData>().unwrap().server_name;
                    noted.names.lock().unwrap().push(told);
                }
                let closed = quinn_proto::ConnectionError::LocallyClosed;
                if let quinn_proto::Event::ConnectionLost { reason } = event
                    && reason != closed
                {
                    noted.left.fetch_add(1, Ordering::SeqCst);
                }
            }
            while connection.poll_transmit(Clocked::now().into_std(), 1, &mut out).is_some() {
                socket.send_to(&out, *from).await.unwrap();
                out.clear();
            }
        }
    }
}

struct Peer {
    endpoint: Endpoint,
    noted: Arc<Noted>,
    task: AbortHandle,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    async fn start<T>(serve: impl FnOnce(UdpSocket, Arc<Noted>) -> T) -> Self
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::udp(LOOPBACK, socket.local_addr().unwrap().port());
        let noted = Arc::<Noted>::default();
        let task = tokio::spawn(serve(socket, Arc::clone(&noted))).abort_handle();
        Self { endpoint, noted, task }
    }

    async fn quic(setting: Setting) -> Self {
        Self::start(|socket, noted| serve(socket, setting, noted)).await
    }

    /// As one that is known for QUIC.
    async fn ask(&self, name: Option<&ServiceName>, versions: &str, prior_tls: bool) -> Conversation {
        let facts = [("quic.versions".to_owned(), versions.to_owned())].into();
        let prior = Service { name: "quic".into(), facts, ..Service::default() };
        let roots = Roots::public();
        let ask = Ask { name, prior: Some(&prior), prior_tls, roots: &roots, timeouts: timeouts() };
        let dialer = match name {
            None => dialer(),
            Some(name) => named(name),
        };
        identify_known(&dialer, self.endpoint, ask, None).await
    }

    async fn shows(&self) -> TlsObservation {
        let talk = self.ask(None, "1", false).await;
        assert_eq!(talk.ports[0].outcome, Outcome::Open(OpenReason::Reply));
        let heard = talk.observation.unwrap();
        assert_eq!((service(&heard).name.as_str(), &heard.name), ("quic", &None));
        heard.tls.unwrap()
    }
}

impl Peer {
    /// What they asked for, as soon as the one who came has said that he leaves.
    async fn names_of_who_left(&self) -> Vec<Option<String>> {
        let limit = Clocked::now() + Duration::from_secs(10);
        while self.noted.left.load(Ordering::SeqCst) == 0 {
            assert!(Clocked::now() < limit, "it was not told that we leave");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.noted.left.load(Ordering::SeqCst), 1);
        self.noted.names.lock().unwrap().clone()
    }
}

/// A dialer that may ask by this name.
fn named(name: &ServiceName) -> Dialer {
    let dialer = dialer();
    let targets = vec!["127.0.0.1".parse().unwrap(), NAME.parse().unwrap()];
    let scope =
        Scope::new(vec![AssetScope { name: "home".into(), targets, until: None }], model::AddressSet::default());
    let until = SystemClock.now() + jiff::SignedDuration::from_hours(1);
    let lease = scope::Lease { asset: "home".into(), name: name.clone(), addresses: vec![LOOPBACK], until };
    dialer.scope().replace(scope.with_leases(vec![lease]));
    dialer
}

#[tokio::test]
async fn the_certificate_is_shown_and_we_leave_in_order() {
    let peer = Peer::quic(Setting { protocol: b"h3", ..Setting::default() }).await;
    let tls = peer.shows().await;
    assert_eq!(tls.chain, [OURS.0.to_vec()]);
    assert_eq!((tls.version.as_str(), tls.alpn.as_deref()), ("TLSv1.3", Some("h3")));
    assert!(["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"].contains(&&*tls.cipher), "{}", tls.cipher);
    let posture = tls.posture.unwrap();
    assert_eq!((posture.client_auth, posture.stapled), (Some(ClientAuth::No), Some(false)));
    assert_eq!((posture.name_required, posture.at), (Some(false), None));
    assert!(tls.verdicts.contains(&Verdict::SelfSigned), "{:?}", tls.verdicts);
    assert_eq!(peer.names_of_who_left().await, [None], "an address is nobody's name");
}

#[tokio::test]
async fn who_wants_a_certificate_of_ours_shows_its_own() {
    let peer = Peer::quic(Setting { protocol: b"doq", wants_certificate: true }).await;
    let tls = peer.shows().await;
    assert_eq!((tls.chain.len(), tls.alpn.as_deref()), (1, Some("doq")));
    assert_eq!(tls.posture.unwrap().client_auth, Some(ClientAuth::Required));
}

#[tokio::test]
async fn who_refuses_is_no_less_there() {
    let peer = Peer::quic(Setting { protocol: b"something-else", ..Setting::default() }).await;
    let tls = peer.shows().await;
    assert_eq!((tls.version.as_str(), tls.certificate, tls.posture), ("unknown", None, None));
}

#[tokio::test]
async fn a_version_that_we_do_not_speak_is_left_alone() {
    let peer = Peer::quic(Setting { protocol: b"h3", ..Setting::default() }).await;
    let talk = peer.ask(None, "2 ff00001d", false).await;
    assert!(talk.observation.is_none_or(|heard| heard.tls.is_none()));
    assert_eq!(peer.noted.left.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn silence_and_noise_are_no_sign_that_a_certificate_has_gone() {
    let noises: [&'static [u8]; 4] =
        [b"", b"\xc0\0\0\0\x01", &[0xff; 1200], b"\x80\0\0\0\0\x08sensor-1\x08perimetr\0\0\0\x01"];
    for noise in noises {
        let peer = Peer::start(|socket, _| async move {
            let mut buffer = vec![0; 2048];
            while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
                // Also many at once.
                for _ in 0..if noise.is_empty() { 0 } else { 300 } {
                    _ = socket.send_to(noise, from).await;
                }
            }
        })
        .await;
        let begun = Clocked::now();
        let talk = peer.ask(None, "1", true).await;
        let speaks = |heard: &ServiceObservation| heard.service.as_ref().is_some_and(|service| service.name == "quic");
        assert!(!talk.observation.as_ref().is_some_and(speaks), "{talk:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn halting_ends_a_handshake_at_once() {
    let peer = Peer::start(|_socket, _| std::future::pending()).await;
    let dialer = dialer();
    let prior = Service { name: "quic".into(), ..Service::default() };
    let roots = Roots::public();
    let ask = Ask { name: None, prior: Some(&prior), prior_tls: true, roots: &roots, timeouts: Timeouts::default() };
    let begun = Clocked::now();
    let halting = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        dialer.halt(true);
    };
    let (talk, ()) = tokio::join!(identify_known(&dialer, peer.endpoint, ask, None), halting);
    assert!(talk.observation.is_none() && begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_name_is_told_and_only_by_quic() {
    let name: ServiceName = NAME.parse().unwrap();
    let peer = Peer::quic(Setting { protocol: b"h3", ..Setting::default() }).await;
    let heard = peer.ask(Some(&name), "1", true).await.observation.unwrap();
    let tls = heard.tls.unwrap();
    assert_eq!((heard.name.as_ref(), tls.chain.len()), (Some(&name), 1));
    assert!(!tls.verdicts.contains(&Verdict::NameMismatch), "{:?}", tls.verdicts);
    assert_eq!(peer.names_of_who_left().await, [Some(NAME.to_owned())]);
    // Where it is silent to the name, nothing is said under it.
    let silent = Peer::start(|_socket, _| std::future::pending()).await;
    let talk = silent.ask(Some(&name), "1", true).await;
    assert!(talk.observation.is_none() && talk.ports.is_empty());
}
