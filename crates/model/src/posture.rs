//! How a service does TLS, beyond one handshake: what it accepts, and which of that is weak.

use crate::Staple;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// A version of SSL or TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    #[serde(rename = "SSLv2")]
    Ssl2,
    #[serde(rename = "SSLv3")]
    Ssl3,
    #[serde(rename = "TLSv1.0")]
    Tls10,
    #[serde(rename = "TLSv1.1")]
    Tls11,
    #[serde(rename = "TLSv1.2")]
    Tls12,
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

impl TlsVersion {
    pub const ALL: [Self; 6] = [Self::Ssl2, Self::Ssl3, Self::Tls10, Self::Tls11, Self::Tls12, Self::Tls13];

    /// The word a [`crate::TlsObservation`] has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ssl2 => "SSLv2",
            Self::Ssl3 => "SSLv3",
            Self::Tls10 => "TLSv1.0",
            Self::Tls11 => "TLSv1.1",
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }

    /// Deprecated by RFC 6176, RFC 7568 and RFC 8996.
    pub fn weakness(self) -> Option<Weakness> {
        match self {
            Self::Ssl2 => Some(Weakness::Ssl2),
            Self::Ssl3 => Some(Weakness::Ssl3),
            Self::Tls10 => Some(Weakness::Tls10),
            Self::Tls11 => Some(Weakness::Tls11),
            Self::Tls12 | Self::Tls13 => None,
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a server asks clients for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    No,
    /// It asks, and goes on without.
    Optional,
    Required,
    /// It asks; what becomes of those without one was not tried.
    Asked,
}

impl ClientAuth {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Optional => "optional",
            Self::Required => "required",
            Self::Asked => "asked",
        }
    }
}

/// How a service does TLS. Every part is none where it was not looked at; what one look does not say stays as it was
/// ([`TlsPosture::learn`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TlsPosture {
    /// When any part was last looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<Timestamp>,
    /// When an audit last asked for all of it, whatever came of that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub audited: Option<Timestamp>,
    /// All it accepts: only who has asked for each of them says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub versions: Option<BTreeSet<TlsVersion>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_auth: Option<ClientAuth>,
    /// The distinguished names of authorities it wants client certificates from, as it sent them; at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub client_authorities: Vec<String>,
    /// It answers nobody who does not say which name is meant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name_required: Option<bool>,
    /// RFC 5746.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secure_renegotiation: Option<bool>,
    /// RFC 3749.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub compression: Option<bool>,
    /// RFC 7507.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fallback_scsv: Option<bool>,
    /// RFC 6520: it accepted the extension.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heartbeat: Option<bool>,
    /// RFC 7627.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub extended_master_secret: Option<bool>,
    /// Of the smallest Diffie-Hellman group it offered, in bits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dh_bits: Option<u32>,
    /// What it staples; see [`TlsPosture::stapled`] for whether it staples at all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub staple: Option<Staple>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stapled: Option<bool>,
    /// Signed certificate timestamps in the handshake (RFC 6962 §3.3), beside those in the certificate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scts: Option<u16>,
    /// A string that is the same as long as the server chooses the same (`tsp1:…`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub profile: Option<String>,
}

impl TlsPosture {
    /// Takes over what a later look says; where it says nothing, what was known stays.
    pub fn learn(&mut self, later: &Self) {
        fn take<T: Clone>(known: &mut Option<T>, later: Option<&T>) {
            if let Some(later) = later {
                *known = Some(later.clone());
            }
        }
        self.at = self.at.max(later.at);
        self.audited = self.audited.max(later.audited);
        take(&mut self.versions, later.versions.as_ref());
        take(&mut self.name_required, later.name_required.as_ref());
        take(&mut self.secure_renegotiation, later.secure_renegotiation.as_ref());
        take(&mut self.compression, later.compression.as_ref());
        take(&mut self.fallback_scsv, later.fallback_scsv.as_ref());
        take(&mut self.heartbeat, later.heartbeat.as_ref());
        take(&mut self.extended_master_secret, later.extended_master_secret.as_ref());
        take(&mut self.dh_bits, later.dh_bits.as_ref());
        take(&mut self.scts, later.scts.as_ref());
        take(&mut self.profile, later.profile.as_ref());
        match (later.client_auth, self.client_auth) {
            // Once it was tried, being asked again says no more.
            (None, _) | (Some(ClientAuth::Asked), Some(ClientAuth::Optional | ClientAuth::Required)) => {}
            (Some(later_auth), _) => {
                self.client_auth = Some(later_auth);
                self.client_authorities.clone_from(&later.client_authorities);
            }
        }
        if later.stapled.is_some() {
            self.stapled = later.stapled;
            self.staple.clone_from(&later.staple);
        }
    }
}

macro_rules! weaknesses {
    ($($variant:ident $name:literal $words:literal),+ $(,)?) => {
        /// A weakness of a service's TLS or of the certificate it serves. Known by its word for ever: never reuse one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Weakness { $(#[serde(rename = $name)] $variant),+ }

        impl Weakness {
            /// In the order in which they are told, and packed: new ones go to the end.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// `ssl2`, `export-cipher`: the id of the finding.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $name),+ } }

            /// What is wrong, as it stands in a sentence: `accepts SSLv2`.
            pub fn words(self) -> &'static str { match self { $(Self::$variant => $words),+ } }
        }
    };
}

weaknesses! {
    Ssl2 "ssl2" "accepts SSLv2",
    Ssl3 "ssl3" "accepts SSLv3",
    Tls10 "tls1.0" "accepts TLS 1.0",
    Tls11 "tls1.1" "accepts TLS 1.1",
    NullCipher "null-cipher" "accepts ciphers without encryption",
    AnonymousCipher "anonymous-cipher" "accepts ciphers without authentication",
    ExportCipher "export-cipher" "accepts export ciphers",
    Rc4 "rc4" "accepts RC4",
    Des "des" "accepts single DES",
    TripleDes "3des" "accepts 64-bit block ciphers",
    WeakDh "weak-dh" "uses a Diffie-Hellman group below 2048 bits",
    Compression "compression" "compresses inside TLS",
    InsecureRenegotiation "insecure-renegotiation" "does not know secure renegotiation",
    NoFallbackScsv "no-fallback-scsv" "does not refuse downgraded clients",
    WeakKey "weak-key" "serves a certificate with a weak key",
    WeakSignature "weak-signature" "serves a certificate with a weak signature",
    TooLong "too-long" "serves a certificate that is valid for too long",
    SharedKey "shared-key" "shares its key with other hosts",
    CbcOnly "cbc-only" "knows no cipher with authenticated encryption",
}

impl Weakness {
    /// Of the certificate, whoever serves it; the others are a service's.
    pub fn is_of_certificate(self) -> bool {
        matches!(self, Self::WeakKey | Self::WeakSignature | Self::TooLong | Self::SharedKey)
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no weakness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a TLS weakness")]
pub struct UnknownWeakness(pub String);

impl FromStr for Weakness {
    type Err = UnknownWeakness;

    fn from_str(text: &str) -> Result<Self, UnknownWeakness> {
        Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or_else(|| UnknownWeakness(text.to_owned()))
    }
}

/// What looking for weaknesses of a service found. What was not asked for, or could not be told, is in neither.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsAudit {
    /// Asked for, and answered one way or the other.
    pub asked: BTreeSet<Weakness>,
    /// Those of them it has.
    pub found: BTreeSet<Weakness>,
}

impl TlsAudit {
    /// It was asked for, and this came of it.
    pub fn note(&mut self, weakness: Weakness, is_there: bool) {
        self.asked.insert(weakness);
        if is_there {
            self.found.insert(weakness);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for &weakness in Weakness::ALL {
            assert_eq!(weakness.as_str().parse(), Ok(weakness));
            assert_eq!(serde_json::to_value(weakness).expect("a string"), weakness.as_str());
        }
        assert!("ssl4".parse::<Weakness>().is_err());
        for version in TlsVersion::ALL {
            assert_eq!(serde_json::to_value(version).expect("a string"), version.as_str());
        }
    }

    #[test]
    fn a_later_look_takes_nothing_away() {
        let first = TlsPosture {
            versions: Some([TlsVersion::Tls12].into()),
            client_auth: Some(ClientAuth::Required),
            client_authorities: vec!["CN=Clients".to_owned()],
            stapled: Some(true),
            ..TlsPosture::default()
        };
        let mut known = first.clone();
        known.learn(&TlsPosture { client_auth: Some(ClientAuth::Asked), ..TlsPosture::default() });
        assert_eq!(known, first);
        known.learn(&TlsPosture { heartbeat: Some(false), client_auth: Some(ClientAuth::No), ..TlsPosture::default() });
        assert_eq!(
            known,
            TlsPosture {
                heartbeat: Some(false),
                client_auth: Some(ClientAuth::No),
                client_authorities: Vec::new(),
                ..first
            }
        );
    }
}
