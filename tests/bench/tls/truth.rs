//! What is true of a cell: the file it serves, and which versions it can really speak.

use crate::{
    cell::Cell,
    tool::{bounded, run, starttls},
};
use std::{collections::BTreeSet, time::Duration};
use testkit::Host;

/// The versions that tools are asked about.
pub(crate) const VERSIONS: [&str; 6] = ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

pub(crate) struct Truth {
    /// Of the certificate.
    pub(crate) sha256: String,
    /// The certificate in PEM, without spaces.
    pub(crate) pem: String,
    pub(crate) versions: BTreeSet<&'static str>,
}

impl Truth {
    /// A version counts as spoken where it is set up and OpenSSL's own client gets as far as the certificate with it, or to a session
    /// without one: a server that is set up for all of them may have a key that is of no use in some. Servers with ciphers that this client no longer has are
    /// believed.
    pub(crate) fn of(watcher: &Host, cell: &Cell) -> Self {
        let fingerprint = cell.pair.ask(&["-fingerprint", "-sha256"]);
        let (_, digits) = fingerprint.trim().split_once('=').expect("openssl prints a fingerprint");
        let pem = std::fs::read_to_string(&cell.pair.certificate).expect("the certificate is there");
        let is_believed = |version: &str| version.starts_with("SSL") || cell.label.starts_with("tlslite");
        let mut versions: BTreeSet<_> = cell.offers.iter().copied().collect();
        versions.retain(|version| is_believed(version) || speaks(watcher, cell, version));
        assert!(!versions.is_empty(), "OpenSSL's client reaches {} with none of {:?}", cell.label, cell.offers);
        Self { sha256: digits.replace(':', "").to_lowercase(), pem: plain(&pem), versions }
    }
}

/// Without spaces and ends of lines.
pub(crate) fn plain(pem: &str) -> String {
    pem.split_whitespace().collect()
}

fn speaks(watcher: &Host, cell: &Cell, version: &str) -> bool {
    let option = format!("-{}", version.replace("TLSv1.0", "tls1").replace("TLSv1.", "tls1_"));
    let mut command = watcher.command("openssl");
    command.args([
        "s_client",
        "-connect",
        &format!("{}:{}", cell.address, cell.port),
        "-servername",
        &cell.host_name(),
    ]);
    // Every curve and every strength.
    command.args([&option, "-cipher", "ALL:@SECLEVEL=0", "-groups", "X25519:P-256:P-384:P-521:brainpoolP256r1"]);
    if cell.label.contains("coap") {
        command.args(["-alpn", "coap"]);
    }
    if let Some(protocol) = starttls(cell) {
        command.args(["-starttls", protocol]);
    }
    let said = run(&mut bounded(&command, Duration::from_secs(10))).stdout;
    let said = String::from_utf8_lossy(&said);
    // Without a certificate of the client's the session may come to nothing after it. Anonymous suites show none.
    let is_agreed = said.lines().any(|line| line.starts_with("New, ") && !line.contains("(NONE)"));
    is_agreed || said.contains("-----BEGIN CERTIFICATE-----")
}
