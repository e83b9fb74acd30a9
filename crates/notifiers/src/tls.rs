//! TLS towards the channels: whom we trust, and what went wrong in words for people.

use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::{error::Error, io, path::Path, sync::Arc};

/// TLS 1.2 and 1.3, trusting the certificates of `ca_file` (PEM) alone, or the machine's own roots without one. Reads files: not
/// for an async task. The error is a sentence.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca_file {
        Some(path) => roots_of(path)?,
        None => machine_roots()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(path)? {
        let unusable = |error| format!("ca_file {} holds a certificate that cannot be used: {error}", path.display());
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(roots)
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| format!("ca_file {shown} cannot be read: {error}"))?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("ca_file {shown} is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("ca_file {shown} holds no certificate in PEM form"));
    }
    Ok(certificates)
}

fn machine_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // The machine's store may hold old certificates that cannot be read; the others still count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!("this machine has no trusted roots{why}; install ca-certificates or set ca_file"));
    }
    Ok(roots)
}

/// A failure on the way to `host` as one clause: what is wrong with its certificate, or what the system said.
pub(crate) fn explain(error: &(dyn Error + 'static), host: &str) -> String {
    let mut cause = Some(error);
    let mut deepest = error;
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return explain_tls(tls, host);
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            cause = Some(inner);
            deepest = inner;
            continue;
        }
        deepest = error;
        cause = error.source();
    }
    match deepest.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => format!("{host} refused the connection; is the server running?"),
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            format!("{host} closed the connection")
        }
        _ => deepest.to_string(),
    }
}

fn explain_tls(error: &rustls::Error, host: &str) -> String {
    let certificate = |what: &str| format!("the certificate of {host} is not accepted: {what}");
    match error {
        rustls::Error::InvalidCertificate(problem) => certificate(&match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "it is not valid yet (or this machine's clock is wrong)".to_owned()
            }
            CertificateError::UnknownIssuer => {
                "no authority we trust has signed it (set ca_file to the PEM file of the CA that did)".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("it is for other names than {host}")
            }
            CertificateError::Revoked => "it is revoked".to_owned(),
            CertificateError::BadSignature => {
                "its signature was not made with the key of the authority we trust".to_owned()
            }
            other => other.to_string(),
        }),
        rustls::Error::NoCertificatesPresented => certificate("it has none"),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            format!("{host} wants a client certificate, which is not supported")
        }
        rustls::Error::InvalidMessage(_) => format!("{host} does not speak TLS on this port"),
        other => format!("TLS with {host} failed: {other}"),
    }
}
