//! QUIC (RFC 9000) as far as to the certificate. What TLS says in it comes encrypted, so it takes a whole handshake: one of version 1
//! that records and believes everything, and leaves.

mod hearing;

use super::{
    handshake::{Recorder, Session, server_name},
    second::{Modern, UNKNOWN},
};
use crate::{Dialer, dialer::Datagrams};
use bytes::{Bytes, BytesMut};
use hearing::Hearing;
use identify::{
    Roots,
    tls::{Alert, FlightReader},
};
use jiff::Timestamp;
use model::{Endpoint, LocalErrorKind, Outcome, Service, ServiceName, TlsObservation, TlsPosture};
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, EndpointConfig, Event, IdleTimeout,
    TransportConfig, VarInt,
    crypto::rustls::{HandshakeData, QuicClientConfig},
};
use scope::InScope;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

/// What is offered inside, the most likely first: a server that shares none of it has to refuse (RFC 9001 §8.1). HTTP/3 (RFC 9114), DNS
/// (RFC 9250), SMB, MQTT, and HTTP/0.9 as servers under test have it.
const PROTOCOLS: [&[u8]; 5] = [b"h3", b"doq", b"smb", b"mqtt", b"hq-interop"];
/// Datagrams at most there, the repetitions of what is lost among them, and back.
const MOST_SENT: usize = 48;
const MOST_RECEIVED: usize = 256;
/// Turns of the loop at most, whatever timers want.
const MOST_TURNS: usize = 2048;
/// What is held of a handshake whose beginning is still missing, in bytes: a long chain in the wrong order.
const MOST_HELD: usize = 64 * 1024;
/// All that a server may send beside, in bytes. Nobody has asked it anything.
const MOST_BESIDE: u32 = 16 * 1024;
/// The streams a server of HTTP/3 opens by itself (RFC 9114 §6.2): it may take it for an error that it cannot.
const STREAMS: u32 = 3;
/// For a complaint that we have no certificate, at least: it comes a round trip after the handshake (RFC 8446 §4.4.2.4).
const COMPLAINT: Duration = Duration::from_secs(1);
/// Something went as it should (RFC 9114 §8.1).
const NO_ERROR: u32 = 0x100;
/// An alert of TLS, its number in the last byte (RFC 9001 §4.8).
const ALERTS: std::ops::Range<u64> = 0x100..0x200;

/// Whom a handshake met.
#[derive(Debug)]
pub(super) enum Met {
    /// It showed a certificate, whatever became of it afterwards.
    Session(Box<Session>),
    /// It would not have us, and showed none: it knows nobody by the name it was asked for, or by none.
    Nameless,
    /// It would not have us, for another reason.
    Refused,
}

impl Met {
    /// What it showed, as an observation. One that refuses is no less one that speaks TLS.
    pub(super) fn observed(self, name: Option<&ServiceName>, roots: &Roots, now: Timestamp) -> TlsObservation {
        let is_bare = name.is_none();
        match self {
            Self::Session(session) => {
                let posture = TlsPosture {
                    client_auth: Modern::of(&session).client_auth,
                    stapled: Some(session.staple.is_some()),
                    staple: session.staple.as_deref().map(identify::read_staple),
                    name_required: is_bare.then_some(false),
                    ..TlsPosture::default()
                };
                TlsObservation { posture: Some(Box::new(posture)), ..session.judged(name, roots, now) }
            }
            Self::Nameless | Self::Refused => {
                let name_required = (is_bare && matches!(self, Self::Nameless)).then_some(true);
                let posture = name_required.map(|_| Box::new(TlsPosture { name_required, ..TlsPosture::default() }));
                TlsObservation { posture, ..TlsObservation::new(UNKNOWN, UNKNOWN) }
            }
        }
    }
}

/// Whether a handshake is of use: by what was said of its versions, if anything was, it knows version 1.
pub(super) fn is_ours(service: &Service) -> bool {
    let versions = service.facts.get("quic.versions");
    versions.is_none_or(|versions| versions.split(' ').any(|version| version == "1"))
}

/// Shakes hands until `limit`, and says that we leave. The name goes into SNI; an address never does. `Err(Silent)`: nothing came of it.
pub(super) async fn shake(
    dialer: &Dialer,
    endpoint: InScope<Endpoint>,
    name: Option<&ServiceName>,
    limit: Instant,
) -> Result<Met, Outcome> {
    let peer = endpoint.get().socket_addr();
    let line = dialer.datagrams(endpoint).await?;
    let mut talk = Talk::begin(peer, name).ok_or(Outcome::LocalError(LocalErrorKind::Other))?;
    let end = talk.hold(&line, limit).await;
    talk.leave(&line).await;
    match (talk.session(&end), end) {
        (Some(session), _) => Ok(Met::Session(Box::new(session))),
        (None, Ok(Some(lost))) => match lost {
            lost if alert_of(&lost) == Some(Alert::UNRECOGNIZED_NAME) => Ok(Met::Nameless),
            ConnectionError::ConnectionClosed(_)
            | ConnectionError::ApplicationClosed(_)
            | ConnectionError::TransportError(_)
            | ConnectionError::VersionMismatch => Ok(Met::Refused),
            _ => Err(Outcome::Silent),
        },
        (None, Ok(None)) => Err(Outcome::Silent),
        (None, Err(outcome)) => Err(outcome),
    }
}

/// One handshake under way.
struct Talk {
    endpoint: quinn_proto::Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    peer: SocketAddr,
    recorder: Arc<Recorder>,
    hearing: Arc<Hearing>,
    sent: usize,
}

impl Talk {
    /// None where the library would not begin; nothing is sent yet.
    fn begin(peer: SocketAddr, name: Option<&ServiceName>) -> Option<Self> {
        let recorder = Arc::new(Recorder::default());
        let mut tls = recorder.config(&[&rustls::version::TLS13])?;
        tls.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        let hearing = Arc::new(Hearing::new(QuicClientConfig::try_from(tls).ok()?));
        let crypto: Arc<dyn quinn_proto::crypto::ClientConfig> = Arc::<Hearing>::clone(&hearing);
        let mut config = ClientConfig::new(crypto);
        config.transport_config(Arc::new(transport()));
        let mut endpoint = quinn_proto::Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None);
        let name = server_name(peer.ip(), name);
        let now = Instant::now().into_std();
        let (handle, connection) = endpoint.connect(now, config, peer, &name.to_str()).ok()?;
        Some(Self { endpoint, handle, connection, peer, recorder, hearing, sent: 0 })
    }

    /// Until the handshake is done, and a little longer where a certificate of ours was asked for. What ended it early, if it was that.
    async fn hold(&mut self, line: &Datagrams<'_>, limit: Instant) -> Result<Option<ConnectionError>, Outcome> {
        let (mut until, mut received) = (limit, 0);
        for _ in 0..MOST_TURNS {
            while let Some(event) = self.connection.poll() {
                match event {
                    Event::ConnectionLost { reason } => return Ok(Some(reason)),
                    Event::Connected if self.recorder.was_asked() => {
                        let wait = COMPLAINT.max(self.connection.rtt() * 3 / 2);
                        until = limit.min(Instant::now() + wait);
                    }
                    Event::Connected => {
                        // The end of the handshake leaves, so that it is none that was broken off.
                        self.send(line).await?;
                        return Ok(None);
                    }
                    _ => {}
                }
            }
            self.send(line).await?;
            // It took our having none for an answer.
            if self.connection.stats().frame_rx.handshake_done > 0 {
                return Ok(None);
            }
            let wake = self.connection.poll_timeout().map_or(until, |timer| Instant::from_std(timer).min(until));
            match line.receive(wake).await {
                Ok(_) if received >= MOST_RECEIVED => break,
                Ok(datagram) => {
                    received += 1;
                    self.take(&datagram);
                }
                Err(Outcome::Silent) if Instant::now() >= until => break,
                Err(Outcome::Silent) => self.connection.handle_timeout(Instant::now().into_std()),
                Err(outcome) => return Err(outcome),
            }
            self.pass_on();
        }
        Ok(None)
    }

    fn take(&mut self, datagram: &[u8]) {
        // What the endpoint itself would say to strangers is not sent.
        let mut unsent = Vec::new();
        let now = Instant::now().into_std();
        let event = self.endpoint.handle(now, self.peer, None, None, BytesMut::from(datagram), &mut unsent);
        if let Some(DatagramEvent::ConnectionEvent(handle, event)) = event
            && handle == self.handle
        {
            self.connection.handle_event(event);
        }
    }

    fn pass_on(&mut self) {
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
    }

    async fn send(&mut self, line: &Datagrams<'_>) -> Result<(), Outcome> {
        let mut datagram = Vec::new();
        while self.sent < MOST_SENT
            && self.connection.poll_transmit(Instant::now().into_std(), 1, &mut datagram).is_some()
        {
            line.send(&datagram).await?;
            datagram.clear();
            self.sent += 1;
        }
        Ok(())
    }

    /// `CONNECTION_CLOSE` (RFC 9000 §10.2). Where it does not arrive, the server forgets us by itself.
    async fn leave(&mut self, line: &Datagrams<'_>) {
        self.connection.close(Instant::now().into_std(), VarInt::from_u32(NO_ERROR), Bytes::new());
        self.sent = self.sent.min(MOST_SENT - 1);
        _ = self.send(line).await;
    }

    fn session(&self, end: &Result<Option<ConnectionError>, Outcome>) -> Option<Session> {
        let session = self.recorder.partly()?;
        let first = self.hearing.first();
        let mut reader = FlightReader::default();
        reader.feed(&first);
        let hello = reader.finish().0.hello;
        let agreed = self.connection.crypto_session().handshake_data();
        let agreed = agreed.and_then(|agreed| agreed.downcast::<HandshakeData>().ok());
        Some(Session {
            cipher: hello.map_or(session.cipher, |hello| hello.cipher.to_string()),
            alpn: agreed.and_then(|agreed| agreed.protocol).as_deref().map(identify::printable),
            refused: session.asked && matches!(end, Ok(Some(lost)) if alert_of(lost).is_some()),
            first,
            ..session
        })
    }
}

/// By which alert the other end has ended it.
fn alert_of(lost: &ConnectionError) -> Option<u8> {
    let ConnectionError::ConnectionClosed(close) = lost else { return None };
    let code = u64::from(close.error_code);
    ALERTS.contains(&code).then(|| u8::try_from(code & 0xff).unwrap_or_default())
}

/// Datagrams of the size that every path takes (RFC 9000 §14), and little room for anything but a handshake.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false)
        .allow_spin(false)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(30_000))))
        .crypto_buffer_size(MOST_HELD)
        .stream_receive_window(VarInt::from_u32(MOST_BESIDE))
        .receive_window(VarInt::from_u32(MOST_BESIDE))
        .datagram_receive_buffer_size(None)
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS));
    transport
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handshake_begins_with_either_kind_of_address() {
        for peer in ["192.0.2.7:443", "[2001:db8::7]:443"] {
            let mut talk = Talk::begin(peer.parse().expect("an address"), None).expect(peer);
            let mut datagram = Vec::new();
            assert!(talk.connection.poll_transmit(Instant::now().into_std(), 1, &mut datagram).is_some());
            assert_eq!(datagram.len(), 1200, "one datagram, as every path takes it");
            assert!(talk.connection.poll_transmit(Instant::now().into_std(), 1, &mut Vec::new()).is_none());
        }
    }

    #[test]
    fn only_version_1_is_spoken() {
        for (versions, expect) in
            [(Some("1 2"), true), (Some("2 ff00001d"), false), (Some("00000011"), false), (None, true)]
        {
            let facts = versions.map(|versions| ("quic.versions".to_owned(), versions.to_owned()));
            assert_eq!(is_ours(&Service { facts: facts.into_iter().collect(), ..Service::default() }), expect);
        }
    }
}
