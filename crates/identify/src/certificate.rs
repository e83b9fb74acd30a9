//! X.509 (RFC 5280) as inventory, read leniently by a walk of our own: whatever can be read is kept, whatever else is broken.
//! Real servers present version 1 certificates, negative serials, empty issuers, dates that are none and worse, and most of
//! them have an expiry date that somebody cares about. x509-parser, which is strict, says which of them are malformed.

mod anatomy;
mod extension;
mod key;
#[cfg(test)]
mod malformed;
mod name;
#[cfg(test)]
mod odd;
#[cfg(test)]
mod tests;

pub(crate) use anatomy::{Anatomy, time};
pub use extension::count_scts;
pub(crate) use name::of_contents as name_of_contents;

use extension::Extensions;
use model::{Certificate, CertificateField, Sha256};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use sha2::{Digest, Sha256 as Hasher};
use std::fmt::Write as _;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why nothing useful could be read: the sender is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the bytes presented as a certificate have not even the outline of one (RFC 5280 §4.1)")]
    NoCertificate,
}

/// Reads a certificate's DER, leniently: what could not be read is named in [`Certificate::unreadable`].
pub fn read_certificate(der: &[u8]) -> Result<Certificate, CertificateError> {
    Details::read(der).map(|details| details.certificate)
}

/// The digest a certificate is known by (of its whole DER).
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(Hasher::digest(bytes).into())
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

/// What the strict reader is given at most: it keeps what it reads, and no certificate is a tenth of that.
const MAX_STRICT: usize = 1 << 18;

impl<'a> Details<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, CertificateError> {
        let anatomy = Anatomy::of(der).ok_or(CertificateError::NoCertificate)?;
        let strict = der.len() <= MAX_STRICT && X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty());
        let extensions = Extensions::of(&anatomy);
        let (issuer, subject) = (name::attributes(anatomy.issuer), name::attributes(anatomy.subject));
        let key = key::read(anatomy.spki);
        let mut serial = String::new();
        for byte in anatomy.serial.unwrap_or_default().iter().take(64) {
            // Writing to a String cannot fail.
            _ = write!(serial, "{byte:02x}");
        }
        let unreadable = [
            (anatomy.serial.is_none(), CertificateField::Serial),
            (anatomy.issuer.is_empty(), CertificateField::Issuer),
            (anatomy.subject.is_empty(), CertificateField::Subject),
            (anatomy.not_before.is_none(), CertificateField::NotBefore),
            (anatomy.not_after.is_none(), CertificateField::NotAfter),
            (key.algorithm == key::UNKNOWN, CertificateField::Key),
            (anatomy.signature_oid.is_empty(), CertificateField::Signature),
            (extensions.broken, CertificateField::Extensions),
        ];
        let certificate = Certificate {
            sha256: sha256(der),
            spki_sha256: sha256(anatomy.spki),
            tbs_sha256: Some(sha256(anatomy.tbs)),
            version: anatomy.version,
            subject: subject.join(", "),
            issuer: issuer.join(", "),
            issuer_attributes: issuer,
            sans: extensions.sans,
            serial,
            not_before: anatomy.not_before.unwrap_or(Certificate::NO_BEGINNING),
            not_after: anatomy.not_after.unwrap_or(Certificate::NO_END),
            key,
            signature: key::signature_name(anatomy.signature_oid),
            self_signed: self_signed(&anatomy),
            scts: extensions.scts,
            unreadable: unreadable.into_iter().filter(|(is_so, _)| *is_so).map(|(_, field)| field).collect(),
        };
        Ok(Self {
            malformed: !strict || !certificate.unreadable.is_empty(),
            certificate,
            anatomy,
            authority: extensions.authority,
            not_for_servers: extensions.not_for_servers,
            tells_issuer: extensions.tells_issuer,
        })
    }
}

/// Subject and issuer are the same and its own key made the signature. Where the signature is of a kind we do not check
/// (SHA-1, short and very long keys), equal names have to do.
fn self_signed(anatomy: &Anatomy<'_>) -> bool {
    if anatomy.subject != anatomy.issuer || anatomy.subject.is_empty() {
        return false;
    }
    let spki = SubjectPublicKeyInfoDer::from(anatomy.spki);
    let Ok(key) = webpki::RawPublicKeyEntity::try_from(&spki) else { return true };
    let known = key::read(anatomy.spki);
    if known.algorithm == "RSA" && known.bits.is_none_or(|bits| !(2048..=8192).contains(&bits)) {
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
