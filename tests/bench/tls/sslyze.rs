//! What sslyze writes, as far as it is looked at: it prints whole RSA keys as numbers, which are too large for a reader of everything.

use crate::{
    tool::{Shown, Told},
    truth::{VERSIONS, plain},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Written {
    server_scan_results: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    /// None where it could not connect.
    scan_result: Option<Scan>,
}

#[derive(Deserialize)]
struct Scan {
    certificate_info: Attempt<Deployments>,
    ssl_2_0_cipher_suites: Attempt<Suites>,
    ssl_3_0_cipher_suites: Attempt<Suites>,
    tls_1_0_cipher_suites: Attempt<Suites>,
    tls_1_1_cipher_suites: Attempt<Suites>,
    tls_1_2_cipher_suites: Attempt<Suites>,
    tls_1_3_cipher_suites: Attempt<Suites>,
}

#[derive(Deserialize)]
struct Attempt<T> {
    /// None where it failed.
    result: Option<T>,
}

#[derive(Deserialize)]
struct Deployments {
    certificate_deployments: Vec<Deployment>,
}

#[derive(Deserialize)]
struct Deployment {
    received_certificate_chain: Vec<Certificate>,
}

#[derive(Deserialize)]
struct Certificate {
    as_pem: String,
}

#[derive(Deserialize)]
struct Suites {
    is_tls_version_supported: bool,
}

/// Nothing is told by what cannot be read.
pub(crate) fn read(written: &str) -> Told {
    let read: Option<Written> = match serde_json::from_str(written) {
        Ok(read) => Some(read),
        Err(error) => {
            eprintln!("what sslyze wrote cannot be read: {error}");
            None
        }
    };
    let Some(scan) = read.and_then(|read| read.server_scan_results.into_iter().next()?.scan_result) else {
        return Told::default();
    };
    // Of several the first is what most clients are shown.
    let deployments = scan.certificate_info.result.map(|info| info.certificate_deployments).unwrap_or_default();
    let leaf = deployments.into_iter().flat_map(|one| one.received_certificate_chain).next();
    let suites = [
        scan.ssl_2_0_cipher_suites,
        scan.ssl_3_0_cipher_suites,
        scan.tls_1_0_cipher_suites,
        scan.tls_1_1_cipher_suites,
        scan.tls_1_2_cipher_suites,
        scan.tls_1_3_cipher_suites,
    ];
    let spoken = suites.into_iter().map(|one| one.result.is_some_and(|suites| suites.is_tls_version_supported));
    Told {
        certificate: leaf.map(|leaf| Shown::Pem(plain(&leaf.as_pem))),
        versions: VERSIONS.into_iter().zip(spoken).filter(|(_, spoken)| *spoken).map(|(version, _)| version).collect(),
        ..Told::default()
    }
}
