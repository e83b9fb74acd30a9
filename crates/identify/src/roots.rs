use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use std::sync::Arc;

/// The certificates a chain may end in: the public ones, compiled in so that a judgement is the same on every machine, and
/// those the operator trusts beside them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Roots {
    anchors: Arc<[TrustAnchor<'static>]>,
    /// How many of them, the first ones, are public authorities'.
    public: usize,
    /// The operator's, whole: a server may present one of them itself.
    own: Arc<[CertificateDer<'static>]>,
}

/// Why a PEM text gives no roots: its author is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    #[error("the PEM text cannot be read: {0}")]
    Pem(String),
    #[error("there is no certificate in the PEM text (expected `-----BEGIN CERTIFICATE-----`)")]
    Empty,
    #[error("certificate number {number} cannot serve as a root: {why}")]
    Unusable {
        /// Counted from 1.
        number: usize,
        why: String,
    },
}

impl Roots {
    /// The public roots (Mozilla's list).
    pub fn public() -> Self {
        let anchors = webpki_roots::TLS_SERVER_ROOTS;
        Self { anchors: anchors.into(), public: anchors.len(), own: Arc::new([]) }
    }

    /// These and every certificate of a PEM text.
    pub fn with_pem(self, pem: &[u8]) -> Result<Self, RootsError> {
        let mut anchors = self.anchors.to_vec();
        let mut own = self.own.to_vec();
        let before = own.len();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let certificate = certificate.map_err(|error| RootsError::Pem(error.to_string()))?;
            let anchor = webpki::anchor_from_trusted_cert(&certificate)
                .map_err(|error| RootsError::Unusable { number: index + 1, why: error.to_string() })?;
            anchors.push(anchor.to_owned());
            own.push(certificate);
        }
        if own.len() == before {
            return Err(RootsError::Empty);
        }
        Ok(Self { anchors: anchors.into(), public: self.public, own: own.into() })
    }

    #[cfg(test)]
    pub(crate) fn count_all_as_public(&mut self) {
        self.public = self.anchors.len();
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Whether one of [`Roots::anchors`] is a public authority's.
    pub(crate) fn is_public(&self, anchor: &TrustAnchor<'_>) -> bool {
        let (subject, key) = (&anchor.subject, &anchor.subject_public_key_info);
        let mut public = self.anchors.iter().take(self.public);
        public.any(|one| one.subject == *subject && one.subject_public_key_info == *key)
    }

    /// The operator trusts this very certificate.
    pub(crate) fn contains(&self, der: &[u8]) -> bool {
        self.own.iter().any(|own| own.as_ref() == der)
    }
}
