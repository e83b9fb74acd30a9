//! The second look: when it is due, what it brings, and what it saves where a modern handshake comes to nothing.

use super::*;
use jiff::SignedDuration;
use model::{ClientAuth, TlsObservation, TlsPosture};

async fn meet(server: &Server, prior: Option<(&str, bool)>, earlier: Option<Earlier>) -> ServiceObservation {
    let known = prior.map(|(name, _)| Service { name: name.into(), ..Service::default() });
    let roots = Roots::public();
    let prior_tls = prior.is_some_and(|(_, tls)| tls);
    let ask = Ask { name: None, prior: known.as_ref(), prior_tls, roots: &roots, timeouts: timeouts() };
    let before = server.used();
    let observation = identify_known(&dialer(), server.endpoint, ask, earlier).await.observation.unwrap();
    assert_eq!(server.used() - before, usize::from(observation.connections));
    observation
}

fn tls(observation: &ServiceObservation) -> &TlsObservation {
    observation.tls.as_ref().unwrap_or_else(|| panic!("no TLS: {observation:?}"))
}

fn posture(observation: &ServiceObservation) -> &TlsPosture {
    tls(observation).posture.as_ref().unwrap_or_else(|| panic!("no posture: {observation:?}"))
}

async fn secure_web(acceptor: TlsAcceptor) -> Server {
    Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                web(stream).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn it_is_due_on_first_sight_on_change_and_daily() {
    // Who proves to be of today is looked at when he is verified, unless he was known to be there. Both agree on an extended master
    // secret; who does not, among them all of old, is looked at at once.
    let of_tls_1_2 = secure_web(acceptor(&BOTH[1..], false)).await;
    let first = meet(&of_tls_1_2, None, None).await;
    assert_eq!((tls(&first).version.as_str(), first.connections), ("TLSv1.2", 2));
    assert!(posture(&first).at.is_none());
    let server = secure_web(acceptor(BOTH, false)).await;
    let stranger = meet(&server, None, None).await;
    assert_eq!((posture(&stranger).at, posture(&stranger).client_auth), (None, Some(ClientAuth::No)));
    assert_eq!((tls(&stranger).version.as_str(), stranger.connections), ("TLSv1.3", 2));
    let verified = meet(&server, Some(("http", true)), Some(Earlier::of(tls(&stranger)))).await;
    assert_eq!((posture(&verified).at.is_some(), verified.connections), (true, 2));

    let first = meet(&server, None, Some(Earlier::default())).await;
    let told = posture(&first);
    assert_eq!((told.client_auth, told.name_required, told.stapled), (Some(ClientAuth::No), Some(false), Some(false)));
    assert_eq!((told.heartbeat, told.compression, told.extended_master_secret), (Some(false), Some(false), Some(true)));
    assert!(told.profile.as_ref().is_some_and(|profile| profile.starts_with("tsp1:0304,13")), "{told:?}");
    assert_eq!((tls(&first).version.as_str(), first.connections), ("TLSv1.3", 3));

    let known = Some(("http", true));
    let looked = Earlier::of(tls(&first));
    assert!(looked.looked.is_some() && !looked.by_hand);
    let ago = |hours| looked.looked.map(|at| at - SignedDuration::from_hours(hours));
    let of = |certificates: &[_], hours| Earlier {
        certificates: certificates.to_vec(),
        looked: ago(hours),
        by_hand: false,
        agrees_on_nothing: false,
    };
    let shown = looked.certificates[0];
    let another = identify::sha256(b"another");
    for (earlier, connections, what) in [
        (looked.clone(), 1, "just looked at"),
        (of(&[shown], 22), 1, "looked at today"),
        (of(&[shown], 23), 2, "looked at yesterday"),
        (of(&[another, shown], 22), 1, "one of a balancer's"),
        (Earlier { looked: None, ..looked.clone() }, 2, "never looked at"),
        (of(&[another], 1), 2, "another certificate"),
        (of(&[another], 0), 1, "another certificate, a moment ago"),
    ] {
        let again = meet(&server, known, Some(earlier)).await;
        assert_eq!(again.connections, connections, "{what}");
        assert_eq!(posture(&again).at.is_some(), connections == 2, "{what}");
        assert_eq!((service(&again).name.as_str(), tls(&again).version.as_str()), ("http", "TLSv1.3"), "{what}");
    }
}

#[tokio::test]
async fn what_becomes_of_having_no_certificate() {
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let server = secure_web(acceptor(versions, true)).await;
        let observation = meet(&server, Some(("tls", true)), Some(Earlier::default())).await;
        assert_eq!(posture(&observation).client_auth, Some(ClientAuth::Required), "{versions:?}");
        assert!(tls(&observation).certificate.is_some());
        assert_eq!(observation.connections, 2);
    }
}

/// A recorded server of old: it refuses whoever offers TLS 1.3, and says to others what it said then.
async fn recorded(flight: &'static [u8]) -> Server {
    Server::start(move |mut stream| async move {
        let mut hello = vec![0; 4096];
        let Ok(count) = stream.read(&mut hello).await else { return };
        let offers = |extension: [u8; 2]| hello[..count].windows(2).any(|two| two == extension);
        let says: &[u8] = match hello[0] {
            22 if offers([0, 43]) && !offers([0, 15]) => b"\x15\x03\x01\x00\x02\x02\x46",
            22 => flight,
            // To whoever does not speak TLS.
            _ => b"\x15\x03\x01\x00\x02\x02\x0a",
        };
        greet(stream, says).await;
    })
    .await
}

const OLD: &[u8] = include_bytes!("../../../../identify/fuzz/corpus/flight/real-openssl-tls-1.0-dhe");

#[tokio::test]
async fn a_server_of_old_shows_its_certificate_and_is_verified_by_hand() {
    let server = recorded(OLD).await;
    let first = meet(&server, None, None).await;
    let shown = tls(&first);
    assert_eq!(shown.version, "TLSv1.0");
    assert!(shown.cipher.starts_with("TLS_DHE_RSA_"), "{}", shown.cipher);
    assert_eq!(shown.certificate.as_ref().map(|leaf| leaf.sans.clone()), Some(vec!["real.example.org".to_owned()]));
    assert!(shown.verdicts.contains(&Verdict::SelfSigned));
    assert_eq!((posture(&first).client_auth, service(&first).name.as_str()), (Some(ClientAuth::No), "tls"));
    assert_eq!(first.connections, 3);

    let earlier = Earlier::of(shown);
    assert!(earlier.by_hand);
    let again = meet(&server, Some(("tls", true)), Some(earlier)).await;
    assert_eq!(again.connections, 1);
    assert_eq!(tls(&again).certificate, shown.certificate);
    assert_eq!(tls(&again).version, "TLSv1.0");
}

/// It was old, and is modern now: the hand-made hello is refused, and the handshake works.
#[tokio::test]
async fn who_has_become_modern_is_seen_so() {
    let server = secure_web(acceptor(&BOTH[..1], false)).await;
    let earlier = Earlier { by_hand: true, ..Earlier::default() };
    let observation = meet(&server, Some(("tls", true)), Some(earlier)).await;
    assert_eq!((tls(&observation).version.as_str(), service(&observation).name.as_str()), ("TLSv1.3", "http"));
    assert_eq!(observation.connections, 2);
    assert!(!Earlier::of(tls(&observation)).by_hand);
}

#[tokio::test]
async fn who_answers_to_a_name_only_says_so() {
    let server = Server::start(|mut stream| async move {
        let mut hello = [0; 4096];
        if let Ok(1..) = stream.read(&mut hello).await {
            greet(stream, b"\x15\x03\x03\x00\x02\x02\x70").await;
        }
    })
    .await;
    let observation = meet(&server, None, None).await;
    assert_eq!(posture(&observation).name_required, Some(true));
    assert_eq!((tls(&observation).version.as_str(), tls(&observation).certificate.is_none()), ("unknown", true));
    assert_eq!(observation.connections, 2, "the port told that it is TLS, and TLS told that it wants a name");
    assert!(!Earlier::of(tls(&observation)).by_hand);
}

#[tokio::test]
async fn who_refuses_what_is_offered_inside_is_not_offered_it_again() {
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
    let first = meet(&server, Some(("tls", true)), Some(Earlier::default())).await;
    assert_eq!(first.connections, 3, "refused, taken, and looked at");
    let again = meet(&server, Some(("tls", true)), Some(Earlier::of(tls(&first)))).await;
    assert_eq!((again.connections, tls(&again).certificate.is_some()), (1, true));
}

/// A server of TLS 1.0 that answers to its own name only, be it asked in a modern way or not.
#[tokio::test]
async fn a_name_is_asked_for_by_hand_where_that_was_the_way_to_the_wish_for_it() {
    let server = Server::start(|mut stream| async move {
        let mut hello = vec![0; 4096];
        let Ok(count) = stream.read(&mut hello).await else { return };
        let has = |part: &[u8]| hello[..count].windows(part.len()).any(|window| window == part);
        let says: &[u8] = match hello[0] {
            22 if has(&[0, 43]) && !has(&[0, 15]) => b"\x15\x03\x01\x00\x02\x02\x46",
            22 if has(b"localhost.example.org") => OLD,
            _ => b"\x15\x03\x01\x00\x02\x02\x70",
        };
        greet(stream, says).await;
    })
    .await;
    let bare = meet(&server, Some(("tls", true)), Some(Earlier::default())).await;
    assert_eq!((posture(&bare).name_required, bare.connections), (Some(true), 2));
    assert!(!Earlier::of(tls(&bare)).by_hand, "a server without a name may become modern");
    let (name, roots) = ("localhost.example.org".parse().unwrap(), Roots::public());
    let known = Service { name: "tls".into(), ..Service::default() };
    let ask = Ask { name: Some(&name), prior: Some(&known), prior_tls: true, roots: &roots, timeouts: timeouts() };
    let named = identify_learnt(&dialer(), server.endpoint, ask, Some(Earlier::elsewhere(tls(&bare)))).await;
    let named = named.observation.unwrap();
    assert_eq!((named.connections, tls(&named).certificate.is_some()), (1, true));
}
