use crate::base64::base64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A SHA-256 digest; prints as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads 64 hexadecimal digits of either case; colons between bytes are accepted.
impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a SHA-256 digest (64 hexadecimal digits)");
        let digits: Vec<u8> = text.bytes().filter(|&b| b != b':').collect();
        if digits.len() != 64 {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            let (high, low) = (nibble(pair[0]).ok_or_else(wrong)?, nibble(pair[1]).ok_or_else(wrong)?);
            *byte = high << 4 | low;
        }
        Ok(Self(digest))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> String {
        digest.to_string()
    }
}

/// An X.509 certificate (RFC 5280) as inventory: what could be read of it, by the SHA-256 of its DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub sha256: Sha256,
    /// Of the `SubjectPublicKeyInfo`: names the key whatever certificate carries it.
    pub spki_sha256: Sha256,
    /// Of what is signed (`TBSCertificate`, RFC 5280 §4.1.1.1): the same for two certificates that differ in the signature
    /// alone. None in records of before it was kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tbs_sha256: Option<Sha256>,
    /// As people count: 1 to 3. None where it could not be read, or was not kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<u8>,
    /// As a string, in the certificate's order, with the usual short attribute names: `CN=www.example.org, O=Example`.
    pub subject: String,
    pub issuer: String,
    /// The issuer's attributes one by one: `O=Example CA Inc`. What an allow-list is compared with.
    pub issuer_attributes: Vec<String>,
    /// DNS names in lower case, and addresses.
    pub sans: Vec<String>,
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub key: KeyInfo,
    /// The signature algorithm's name, such as `sha256WithRSAEncryption`.
    pub signature: String,
    pub self_signed: bool,
    /// Signed certificate timestamps inside it (RFC 6962 §3.3): the logs that promise to show it to the public.
    #[serde(skip_serializing_if = "is_nought", default)]
    pub scts: u16,
    /// Fields that could not be read, and hold something that says nothing instead: see [`Certificate::NO_END`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unreadable: Vec<CertificateField>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_nought(number: &u16) -> bool {
    *number == 0
}

impl Certificate {
    /// The end of a certificate that has none: RFC 5280 §4.1.2.5 gives those the last second of the year 9999, of which this
    /// is as near as a timestamp comes. Also where the end could not be read, so that nobody is warned of a date nobody knows.
    pub const NO_END: Timestamp = Timestamp::constant(253_402_207_200, 0);
    /// The beginning of one whose beginning could not be read.
    pub const NO_BEGINNING: Timestamp = Timestamp::UNIX_EPOCH;

    /// Whether its end is known and will come.
    pub fn ends(&self) -> bool {
        self.not_after < Self::NO_END
    }

    /// From its beginning to its end, in seconds; nought where they run backwards, none where one of them is not known.
    pub fn life(&self) -> Option<i64> {
        let is_known = self.ends() && !self.unreadable.contains(&CertificateField::NotBefore);
        is_known.then(|| self.not_after.duration_since(self.not_before).as_secs().max(0))
    }
}

/// A part of a certificate that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateField {
    Serial,
    Issuer,
    Subject,
    NotBefore,
    NotAfter,
    Key,
    Signature,
    /// One or more extensions, or all of them.
    Extensions,
}

/// A public key's kind and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// `RSA`, `EC`, `Ed25519`, …
    pub algorithm: String,
    /// In bits; none where it could not be told.
    pub bits: Option<u32>,
}

impl fmt::Display for KeyInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.algorithm)?;
        self.bits.map_or(Ok(()), |bits| write!(f, " {bits}"))
    }
}

/// What is wrong with a certificate where it was served. None of these: it verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Expired,
    NotYetValid,
    NameMismatch,
    SelfSigned,
    IncompleteChain,
    UntrustedRoot,
    WeakKey,
    WeakSignature,
    WrongUse,
    Malformed,
    /// It lives longer than public authorities may make it (CA/Browser Forum, Baseline Requirements §6.3.2), or where its
    /// authority is a private one, longer than anybody can vouch for: ten years.
    TooLong,
    /// Other certificates on other hosts have its key, or it is self-signed and on several hosts.
    SharedKey,
    /// Its authority says so in the answer the server staples.
    Revoked,
}

impl Verdict {
    pub const ALL: [Self; 13] = [
        Self::Expired,
        Self::NotYetValid,
        Self::NameMismatch,
        Self::SelfSigned,
        Self::IncompleteChain,
        Self::UntrustedRoot,
        Self::WeakKey,
        Self::WeakSignature,
        Self::WrongUse,
        Self::Malformed,
        Self::TooLong,
        Self::SharedKey,
        Self::Revoked,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::NameMismatch => "name-mismatch",
            Self::SelfSigned => "self-signed",
            Self::IncompleteChain => "incomplete-chain",
            Self::UntrustedRoot => "untrusted-root",
            Self::WeakKey => "weak-key",
            Self::WeakSignature => "weak-signature",
            Self::WrongUse => "wrong-use",
            Self::Malformed => "malformed",
            Self::TooLong => "too-long",
            Self::SharedKey => "shared-key",
            Self::Revoked => "revoked",
        }
    }
}

/// A way from a leaf to a root that verifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustPath {
    /// The leaf's issuer first, without the root. They may be others than were presented: some are presented in vain.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub issuers: Vec<Certificate>,
    /// The root's subject, as in [`Certificate::subject`].
    pub root: String,
}

/// What a server staples of the certificate's standing (OCSP, RFC 6960), as it says it: the signature is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Staple {
    pub status: StapleStatus,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub this_update: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_update: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StapleStatus {
    Good,
    Revoked,
    Unknown,
    /// Something is stapled that is no answer about a certificate.
    Unreadable,
}

/// A certificate's DER as text (RFC 7468 §5), with a line break at the end.
pub fn certificate_pem(der: &[u8]) -> String {
    let body = base64(der, true);
    let lines = body.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned() + "\n");
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_has_lines_of_64() {
        let begin = "-----BEGIN CERTIFICATE-----\n";
        assert_eq!(certificate_pem(&[0; 3]), format!("{begin}AAAA\n-----END CERTIFICATE-----\n"));
        let long = certificate_pem(&[0; 49]);
        let lines: Vec<usize> = long.lines().map(str::len).collect();
        assert_eq!(lines, [27, 64, 4, 25]);
    }

    #[test]
    fn a_record_of_before_reads_and_writes_the_same() {
        let digest = "00".repeat(32);
        let before = serde_json::json!({
            "sha256": digest, "spki_sha256": digest, "subject": "CN=a", "issuer": "CN=b", "issuer_attributes": ["CN=b"],
            "sans": [], "serial": "01", "not_before": "2026-01-01T00:00:00Z", "not_after": "2027-01-01T00:00:00Z",
            "key": {"algorithm": "RSA", "bits": 2048}, "signature": "sha256WithRSAEncryption", "self_signed": false,
        });
        let certificate: Certificate = serde_json::from_value(before.clone()).expect("reads");
        assert_eq!((certificate.tbs_sha256, certificate.scts, certificate.life()), (None, 0, Some(365 * 86_400)));
        assert_eq!(serde_json::to_value(&certificate).expect("writes"), before);
    }

    #[test]
    fn no_end_is_the_last_second_there_is() {
        assert_eq!(Certificate::NO_END.as_second(), Timestamp::MAX.as_second());
    }

    #[test]
    fn verdicts_have_their_own_words() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).expect("a string"), verdict.as_str());
        }
    }
}
