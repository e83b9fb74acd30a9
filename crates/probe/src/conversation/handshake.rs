//! A TLS handshake that records what it is shown. Nothing is refused: judging comes later and elsewhere.

use super::{dialogue::is_break, tee::Tee};
use identify::{Assessment, Roots, Served};
use jiff::Timestamp;
use model::{ServiceName, TlsObservation};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, DistinguishedName, SignatureScheme,
    SupportedProtocolVersion,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::{
    net::IpAddr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What a handshake showed.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) version: String,
    pub(super) cipher: String,
    pub(super) alpn: Option<String>,
    /// DER, leaf first.
    pub(super) chain: Vec<Vec<u8>>,
    /// It asked for a certificate of ours.
    pub(super) asked: bool,
    /// An alert of its ended the handshake after that.
    pub(super) refused: bool,
    /// The answer of its authority that it stapled (OCSP, DER).
    pub(super) staple: Option<Vec<u8>>,
    /// What it said first, as it was on the wire.
    pub(super) first: Vec<u8>,
}

impl Session {
    /// As an observation, with what the certificate is worth under the name it was asked for.
    pub(super) fn judged(self, name: Option<&ServiceName>, roots: &Roots, now: Timestamp) -> TlsObservation {
        let name = name.map(ServiceName::as_str);
        let served = Served { chain: &self.chain, name, staple: self.staple.as_deref() };
        let Assessment { certificate, verdicts, presented, path, .. } = identify::assess(served, roots, now);
        TlsObservation {
            alpn: self.alpn,
            certificate,
            verdicts,
            presented,
            path: path.map(Box::new),
            chain: self.chain,
            ..TlsObservation::new(self.version, self.cipher)
        }
    }
}

/// How a handshake ended.
pub(super) enum Shaken<S> {
    Session(Session, Box<TlsStream<Tee<S>>>),
    /// It speaks TLS and would not have us (it wants a certificate of ours, another version, another name); what it showed
    /// until then.
    Partly(Option<Session>),
    /// It speaks TLS, and knows no host by the name it was asked for, or wants to be asked for one (RFC 6066 §3).
    Nameless,
    /// It speaks TLS, but none of the protocols we offered inside it (RFC 7301 §3.2): worth another try that offers none.
    OtherProtocols,
    /// It said hello and left without a word more, and protocols were offered inside: there are servers that break over an offer
    /// which they are not set up for.
    Midway,
    /// It does not speak TLS; what it said instead.
    Plain(Vec<u8>),
    /// It began to speak TLS and stopped in the middle, by failure or for want of time; what it showed until then.
    Cut(Option<Session>),
    /// The connection failed before it had said a word.
    Broken,
    /// It let the time pass without a word that was understood.
    Silent,
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Shakes hands until `limit`. The name goes into SNI; an address never does (RFC 6066 §3).
pub(super) async fn shake<S>(stream: S, ip: IpAddr, name: Option<&ServiceName>, alpn: bool, limit: Instant) -> Shaken<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let recorder = Arc::new(Recorder::default());
    let Some(mut config) = recorder.config(&[&rustls::version::TLS13, &rustls::version::TLS12]) else {
        return Shaken::Plain(Vec::new());
    };
    if alpn {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    let name = server_name(ip, name);
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, Tee::new(stream)).into_fallible();
    match timeout_at(limit, connecting).await {
        Ok(Ok(stream)) => Shaken::Session(session(&stream, &recorder), Box::new(stream)),
        Ok(Err((error, tee))) => {
            let cut = is_break(&error);
            match recorder.partly() {
                Some(session) if cut => Shaken::Cut(Some(Session { first: tee.first, ..session })),
                Some(session) => {
                    let refused = session.asked && alert_of(&error).is_some();
                    Shaken::Partly(Some(Session { refused, first: tee.first, ..session }))
                }
                None if is_alert(&error, AlertDescription::UnrecognisedName) => Shaken::Nameless,
                None if alpn && is_alert(&error, AlertDescription::NoApplicationProtocol) => Shaken::OtherProtocols,
                None if alpn && has_left(&error) && tee.first.first() == Some(&HANDSHAKE) => Shaken::Midway,
                None if cut && tee.first.is_empty() => Shaken::Broken,
                None if speaks_tls(&error, &tee.first) && cut => Shaken::Cut(None),
                None if speaks_tls(&error, &tee.first) => Shaken::Partly(None),
                None => Shaken::Plain(tee.first),
            }
        }
        Err(_elapsed) => recorder.partly().map_or(Shaken::Silent, |session| Shaken::Cut(Some(session))),
    }
}

/// Whom a handshake is with. Of an address nothing is said in it.
pub(super) fn server_name(ip: IpAddr, name: Option<&ServiceName>) -> ServerName<'static> {
    let name = name.and_then(|name| ServerName::try_from(name.as_str().to_owned()).ok());
    name.unwrap_or_else(|| ServerName::IpAddress(ip.into()))
}

fn session<S>(stream: &TlsStream<Tee<S>>, recorder: &Recorder) -> Session {
    let (_, connection) = stream.get_ref();
    let shown = recorder.shown();
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    Session {
        version: connection.protocol_version().map_or(shown.version.unwrap_or("unknown"), version).to_owned(),
        // The library's name for TLS 1.3 suites differs from IANA's in one place.
        cipher: cipher.unwrap_or("unknown").replacen("TLS13_", "TLS_", 1),
        alpn: connection.alpn_protocol().map(identify::printable),
        chain: shown.chain,
        asked: shown.asked,
        refused: false,
        staple: shown.staple,
        first: stream.get_ref().0.first.clone(),
    }
}

fn version(version: rustls::ProtocolVersion) -> &'static str {
    match version {
        rustls::ProtocolVersion::TLSv1_3 => TLS_1_3,
        _ => TLS_1_2,
    }
}

const TLS_1_2: &str = "TLSv1.2";
const TLS_1_3: &str = "TLSv1.3";

fn is_alert(error: &std::io::Error, alert: AlertDescription) -> bool {
    alert_of(error) == Some(alert)
}

/// The type of the record that begins a handshake.
const HANDSHAKE: u8 = 0x16;

/// The other end has gone without an alert, in order or not.
fn has_left(error: &std::io::Error) -> bool {
    is_break(error) || error.kind() == std::io::ErrorKind::UnexpectedEof
}

/// The alert by which the other end ended it.
pub(super) fn alert_of(error: &std::io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// Bytes for a hello. None where the system has no randomness to give.
pub(super) fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    PROVIDER.secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// It sent an alert, or a handshake we could not go along with.
fn speaks_tls(error: &std::io::Error, first: &[u8]) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let understood = matches!(tls, Some(rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_)));
    // An alert or a server's hello on the wire, whatever the library calls it.
    understood || matches!(first, [0x15 | 0x16, 3, 0..=4, ..])
}

/// Signatures that the library cannot check, and that nobody has to: who has a key of such a kind alone shows its certificate only to
/// those who take them. Ed448, RSA-PSS with keys for nothing else (RFC 8446 §4.2.3), Brainpool's curves in TLS 1.3 (RFC 8734),
/// P-521, ML-DSA.
const UNVERIFIED: [u16; 11] = [0x0808, 0x0809, 0x080a, 0x080b, 0x081a, 0x081b, 0x081c, 0x0603, 0x0904, 0x0905, 0x0906];

/// Records the chain and accepts it.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Shown>);

#[derive(Debug, Default, Clone)]
struct Shown {
    chain: Vec<Vec<u8>>,
    version: Option<&'static str>,
    asked: bool,
    staple: Option<Vec<u8>>,
}

impl Recorder {
    /// A client that leaves its record here, and comes back to no session. None where the library has none of these versions.
    pub(super) fn config(self: &Arc<Self>, versions: &[&'static SupportedProtocolVersion]) -> Option<ClientConfig> {
        let config =
            ClientConfig::builder_with_provider(Arc::clone(&PROVIDER)).with_protocol_versions(versions).ok()?;
        let verifier: Arc<dyn ServerCertVerifier> = Arc::<Self>::clone(self);
        let config = config.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = config.with_client_cert_resolver(Arc::<Self>::clone(self));
        config.resumption = Resumption::disabled();
        Some(config)
    }

    fn shown(&self) -> Shown {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A certificate of ours was asked for.
    pub(super) fn was_asked(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked
    }

    fn note(&self, note: impl FnOnce(&mut Shown)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was shown before it failed, if a certificate was.
    pub(super) fn partly(&self) -> Option<Session> {
        let shown = self.shown();
        (!shown.chain.is_empty()).then(|| Session {
            version: shown.version.unwrap_or("unknown").to_owned(),
            cipher: "unknown".to_owned(),
            alpn: None,
            chain: shown.chain,
            asked: shown.asked,
            staple: shown.staple,
            ..Session::default()
        })
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.to_vec()).collect();
        self.note(|shown| {
            shown.chain = chain;
            shown.staple = (!ocsp_response.is_empty()).then(|| ocsp_response.to_vec());
        });
        Ok(ServerCertVerified::assertion())
    }

    // Checking the signature would mean parsing the certificate strictly, and odd ones are what we are here for.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.note(|shown| shown.version = Some(TLS_1_2));
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.note(|shown| shown.version = Some(TLS_1_3));
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = PROVIDER.signature_verification_algorithms.supported_schemes();
        schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        let further = UNVERIFIED.into_iter().map(SignatureScheme::from).filter(|scheme| !schemes.contains(scheme));
        schemes.extend(further.collect::<Vec<_>>());
        schemes
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}

/// Notes that a certificate of ours is asked for, and has none.
impl ResolvesClientCert for Recorder {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.note(|shown| shown.asked = true);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
