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
}

impl Verdict {
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
        }
    }
}
