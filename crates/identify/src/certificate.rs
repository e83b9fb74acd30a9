//! X.509 (RFC 5280) as inventory: x509-parser reads the extensions where it accepts a certificate, and a walk of our own
//! over the outer structure keeps serial, names, validity and key of those it refuses. Real servers present version 1
//! certificates, negative serials, empty issuers and worse, and all of them have an expiry date that somebody cares about.

mod anatomy;
mod key;
mod name;
#[cfg(test)]
mod tests;

pub(crate) use anatomy::Anatomy;

use crate::text;
use model::{Certificate, Sha256};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use sha2::{Digest, Sha256 as Hasher};
use std::{fmt::Write as _, net::IpAddr};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
};

/// Why nothing useful could be read: the sender is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the bytes presented as a certificate have not even the outline of one (RFC 5280 §4.1)")]
    NoCertificate,
    #[error("the certificate's validity dates cannot be read")]
    Validity,
}

/// Reads a certificate's DER, leniently.
pub fn read_certificate(der: &[u8]) -> Result<Certificate, CertificateError> {
    Details::read(der).map(|details| details.certificate)
}

/// The digest a certificate is known by (of its whole DER).
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(Hasher::digest(bytes).into())
}

/// A distinguished name's DER as a string, as [`Certificate::subject`] has it; empty where it is none.
pub(crate) fn distinguished_name(der: &[u8]) -> String {
    name::attributes(der).join(", ")
}

/// A certificate with what a judgement needs beside it.
#[derive(Debug)]
pub(crate) struct Details<'a> {
    pub(crate) certificate: Certificate,
    pub(crate) anatomy: Anatomy<'a>,
    /// Refused by the strict reader.
    pub(crate) malformed: bool,
    /// Basic constraints say it is an authority's.
    pub(crate) authority: bool,
    /// It lists its uses and serving TLS is not among them.
    pub(crate) not_for_servers: bool,
    /// It tells where its issuer's certificate can be fetched, as those of public authorities do.
    pub(crate) tells_issuer: bool,
}

impl<'a> Details<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, CertificateError> {
        let anatomy = Anatomy::of(der).ok_or(CertificateError::NoCertificate)?;
        let (not_before, not_after) = anatomy.validity.ok_or(CertificateError::Validity)?;
        let strict = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty());
        let mut extensions = Extensions::default();
        match &strict {
            Some((_, certificate)) => {
                certificate.iter_extensions().for_each(|one| extensions.add(one.parsed_extension()));
            }
            None => extensions.sans = anatomy.alternative_names(),
        }
        let (issuer, subject) = (name::attributes(anatomy.issuer), name::attributes(anatomy.subject));
        let mut serial = String::with_capacity(anatomy.serial.len() * 2);
        for byte in anatomy.serial.iter().take(64) {
            // Writing to a String cannot fail.
            _ = write!(serial, "{byte:02x}");
        }
        let certificate = Certificate {
            sha256: sha256(der),
            spki_sha256: sha256(anatomy.spki),
            tbs_sha256: Some(sha256(anatomy.tbs)),
            version: None,
            subject: subject.join(", "),
            issuer: issuer.join(", "),
            issuer_attributes: issuer,
            sans: extensions.sans,
            serial,
            not_before,
            not_after,
            key: key::read(anatomy.spki),
            signature: key::signature_name(anatomy.signature_oid),
            self_signed: self_signed(&anatomy),
            scts: 0,
            unreadable: Vec::new(),
        };
        Ok(Self {
            certificate,
            anatomy,
            malformed: strict.is_none(),
            authority: extensions.authority,
            not_for_servers: extensions.not_for_servers,
            tells_issuer: extensions.tells_issuer,
        })
    }
}

/// The most alternative names kept of one certificate; the largest public ones carry a hundred.
const MAX_SANS: usize = 512;

#[derive(Default)]
struct Extensions {
    sans: Vec<String>,
    authority: bool,
    not_for_servers: bool,
    tells_issuer: bool,
}

impl Extensions {
    fn add(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                self.sans = names.general_names.iter().filter_map(alternative_name).take(MAX_SANS).collect();
            }
            ParsedExtension::BasicConstraints(constraints) => self.authority = constraints.ca,
            ParsedExtension::ExtendedKeyUsage(usage) => self.not_for_servers = !(usage.server_auth || usage.any),
            ParsedExtension::AuthorityInfoAccess(access) => {
                const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
                self.tells_issuer = access.accessdescs.iter().any(|one| one.access_method.to_id_string() == CA_ISSUERS);
            }
            _ => {}
        }
    }
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(dns_name(name.as_bytes())),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    }
}

fn dns_name(bytes: &[u8]) -> String {
    text::printable(bytes).to_lowercase()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4().or_else(|_| v6()).ok().map(|ip| ip.to_string())
}

/// Subject and issuer are the same and its own key made the signature. Where the signature is of a kind we do not check
/// any more (SHA-1, short keys), equal names have to do.
fn self_signed(anatomy: &Anatomy<'_>) -> bool {
    if anatomy.subject != anatomy.issuer {
        return false;
    }
    let spki = SubjectPublicKeyInfoDer::from(anatomy.spki);
    let Ok(key) = webpki::RawPublicKeyEntity::try_from(&spki) else { return true };
    let short = key::read(anatomy.spki);
    if short.algorithm == "RSA" && short.bits.is_none_or(|bits| bits < 2048) {
        return true;
    }
    let mut checked = false;
    for &algorithm in webpki::ALL_VERIFICATION_ALGS {
        if algorithm.signature_alg_id().as_ref() != anatomy.signature_algorithm {
            continue;
        }
        match key.verify_signature(algorithm, anatomy.tbs, anatomy.signature) {
            Ok(()) => return true,
            Err(webpki::Error::InvalidSignatureForPublicKey) => checked = true,
            Err(_) => {}
        }
    }
    !checked
}
