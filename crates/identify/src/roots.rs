use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use sha2::{Digest, Sha256};
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

    /// Which roots these are, for people: how many are public authorities', the beginning of a digest of those, by which editions of the
    /// list are told apart, and how many are the operator's own.
    pub fn edition(&self) -> String {
        let digest = self.digest_of(self.public);
        let own = match self.own.len() {
            0 => String::new(),
            count => format!(", {count} of your own"),
        };
        format!("{} public roots of Mozilla's list (edition {digest:08x}){own}", self.public)
    }

    /// Another one where any of them is another, in hexadecimal.
    pub fn digest(&self) -> String {
        format!("{:08x}", self.digest_of(self.anchors.len()))
    }

    /// Of the first so many.
    fn digest_of(&self, count: usize) -> u32 {
        let mut hasher = Sha256::new();
        for anchor in self.anchors.iter().take(count) {
            for part in [&anchor.subject, &anchor.subject_public_key_info] {
                hasher.update(part.len().to_be_bytes());
                hasher.update(part);
            }
        }
        let digest: [u8; 32] = hasher.finalize().into();
        digest.first_chunk().copied().map(u32::from_be_bytes).unwrap_or_default()
    }

    /// Whether one of [`Roots::anchors`] is a public authority's.
    pub(crate) fn is_public(&self, anchor: &TrustAnchor<'_>) -> bool {
        let (subject, key) = (&anchor.subject, &anchor.subject_public_key_info);
        let mut public = self.anchors.iter().take(self.public);
        public.any(|one| one.subject == *subject && one.subject_public_key_info == *key)
    }

    /// The operator trusts others than the public ones.
    pub(crate) fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// The operator trusts this very certificate.
    pub(crate) fn contains(&self, der: &[u8]) -> bool {
        self.own.iter().any(|own| own.as_ref() == der)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edition_is_known_by_its_digest() {
        let public = Roots::public();
        let edition = public.edition();
        assert!(
            edition.contains(" public roots of Mozilla's list (edition ") && !edition.contains("your own"),
            "{edition}"
        );
        assert_eq!(Roots::public().edition(), edition);
        let own = rcgen::generate_simple_self_signed(["example.org".to_owned()]).expect("a certificate");
        let with = public.with_pem(own.cert.pem().as_bytes()).expect("a root");
        assert_eq!(with.edition(), format!("{edition}, 1 of your own"));
        let other = rcgen::generate_simple_self_signed(["example.net".to_owned()]).expect("a certificate");
        let other = Roots::public().with_pem(other.cert.pem().as_bytes()).expect("a root");
        assert_eq!((with.digest() == other.digest(), with.edition() == other.edition()), (false, true));
        let fewer = Roots { public: with.public - 1, ..with };
        assert!(!fewer.edition().contains(edition.split_once("edition").expect("has it").1));
    }
}
