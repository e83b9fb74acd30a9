//! A TLS handshake that records what it is shown. Nothing is refused: judging comes later and elsewhere.

use super::{dialogue::is_break, tee::Tee};
use model::ServiceName;
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
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
    /// The OCSP answer that came with it.
    pub(super) staple: Option<Vec<u8>>,
}

/// How a handshake ended.
pub(super) enum Shaken<S> {
    Session(Session, Box<TlsStream<Tee<S>>>),
    /// It speaks TLS and would not have us (it wants a certificate of ours, another version, another name); what it showed
    /// until then.
    Partly(Option<Session>),
    /// It speaks TLS, but none of the protocols we offered inside it (RFC 7301 §3.2): worth another try that offers none.
    OtherProtocols,
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
    let Ok(config) = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
    else {
        return Shaken::Plain(Vec::new());
    };
    let verifier: Arc<dyn ServerCertVerifier> = Arc::<Recorder>::clone(&recorder);
    let mut config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = Resumption::disabled();
    if alpn {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    let name = name.and_then(|name| ServerName::try_from(name.as_str().to_owned()).ok());
    let name = name.unwrap_or_else(|| ServerName::IpAddress(ip.into()));
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, Tee::new(stream)).into_fallible();
    match timeout_at(limit, connecting).await {
        Ok(Ok(stream)) => Shaken::Session(session(&stream, &recorder), Box::new(stream)),
        Ok(Err((error, tee))) => {
            let cut = is_break(&error);
            match recorder.partly() {
                Some(session) if cut => Shaken::Cut(Some(session)),
                Some(session) => Shaken::Partly(Some(session)),
                None if alpn && is_alert(&error, AlertDescription::NoApplicationProtocol) => Shaken::OtherProtocols,
                None if cut && tee.first.is_empty() => Shaken::Broken,
                None if speaks_tls(&error, &tee.first) && cut => Shaken::Cut(None),
                None if speaks_tls(&error, &tee.first) => Shaken::Partly(None),
                None => Shaken::Plain(tee.first),
            }
        }
        Err(_elapsed) => recorder.partly().map_or(Shaken::Silent, |session| Shaken::Cut(Some(session))),
    }
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
        staple: shown.staple,
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
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::AlertReceived(received)) if *received == alert)
}

/// It sent an alert, or a handshake we could not go along with.
fn speaks_tls(error: &std::io::Error, first: &[u8]) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let understood = matches!(tls, Some(rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_)));
    // An alert or a server's hello on the wire, whatever the library calls it.
    understood || matches!(first, [0x15 | 0x16, 3, 0..=4, ..])
}

/// Records the chain and accepts it.
#[derive(Debug, Default)]
struct Recorder(Mutex<Shown>);

#[derive(Debug, Default, Clone)]
struct Shown {
    chain: Vec<Vec<u8>>,
    staple: Option<Vec<u8>>,
    version: Option<&'static str>,
}

impl Recorder {
    fn shown(&self) -> Shown {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Shown)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was shown before it failed, if a certificate was.
    fn partly(&self) -> Option<Session> {
        let shown = self.shown();
        (!shown.chain.is_empty()).then(|| Session {
            version: shown.version.unwrap_or("unknown").to_owned(),
            cipher: "unknown".to_owned(),
            alpn: None,
            chain: shown.chain,
            staple: shown.staple,
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
        let staple = (!ocsp_response.is_empty()).then(|| ocsp_response.to_vec());
        self.note(|shown| (shown.chain, shown.staple) = (chain, staple));
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
        schemes
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
