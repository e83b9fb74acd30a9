use crate::base64::base64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What answers on an endpoint: the protocol, and the product as far as it says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Service {
    /// The protocol by its IANA name in lower case: `ssh`, `smtp`, `http`, `domain`, `ntp`, `snmp`; `http` inside TLS
    /// stays `http` (the endpoint's TLS observation says the rest), TLS with nothing recognised inside is `tls`.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// CPE 2.3 formatted strings.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cpe: Vec<String>,
    /// 0 to 1.
    pub confidence: f32,
    /// The first line or header that identified it: printable text, at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub banner: Option<String>,
    /// Further stable facts, such as `http.status`, `http.title`, `package.version`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub facts: BTreeMap<String, String>,
    /// What the answer says of the operating system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub os: Option<Os>,
    /// Products that stand behind the one that answers, where they show and the CPE dictionary knows them: an application behind a web
    /// server, the language it runs in. In the order of their names.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub behind: Vec<Software>,
    /// The key it proves itself with, where the protocol has one that stays (SSH).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ssh_key: Option<SshKey>,
}

/// An SSH server's host key (RFC 4253 §6.6). A server has one of each algorithm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SshKey {
    /// `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, …: the format of the key, not of a signature with it.
    pub algorithm: String,
    /// Of the key blob: what `ssh-keygen -lf` shows in base64.
    pub sha256: crate::Sha256,
}

impl SshKey {
    /// Kinds of keys in the order in which they are asked for: a server shows the first of them that it has (RFC 4253 §7.1).
    pub const ASKED_FOR: [&'static str; 7] = [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ssh-rsa",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "ssh-ed448",
        "ssh-dss",
    ];

    /// Whether a server that has the other one would have shown that.
    pub fn stands_behind(&self, other: &Self) -> bool {
        let place = |key: &Self| Self::ASKED_FOR.iter().position(|kind| *kind == key.algorithm);
        place(self).zip(place(other)).is_some_and(|(own, other)| own > other)
    }
}

impl SshKey {
    /// As OpenSSH shows it to those who are to compare it: `SHA256:` and the digest in base64 (RFC 4648 §4) without padding.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", base64(&self.sha256.0, false))
    }
}

/// `ssh-ed25519 SHA256:I9yLiFZXgnciCYdsMN2r3Y0ZI9lZu8xMScyOwVsBFh8`.
impl std::fmt::Display for SshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.algorithm, self.fingerprint())
    }
}

impl Service {
    /// Notes a product that stands behind it. A version is added to one that is known without; another version of it is not taken.
    /// No more than [`Service::MOST_BEHIND`] are kept.
    pub fn note_behind(&mut self, software: Software) {
        let is_it = |known: &Software| known.product.eq_ignore_ascii_case(&software.product);
        if let Some(known) = self.behind.iter_mut().find(|known| is_it(known)) {
            if known.version.is_none() && software.version.is_some() {
                *known = software;
            }
        } else if self.behind.len() < Self::MOST_BEHIND {
            let place = self.behind.partition_point(|known| known.product < software.product);
            self.behind.insert(place, software);
        }
    }

    /// More than this stand behind no server.
    pub const MOST_BEHIND: usize = 16;

    /// All of the software that shows there: that which answers, and what stands behind it.
    pub fn all_software(&self) -> impl Iterator<Item = Software> + '_ {
        self.software().into_iter().chain(self.behind.iter().cloned())
    }

    /// The software that answers, where a product is named.
    pub fn software(&self) -> Option<Software> {
        Some(Software {
            vendor: self.vendor.clone(),
            product: self.product.clone()?,
            version: self.version.clone(),
            cpe: self.cpe.first().cloned(),
        })
    }
}

/// A product, by name and version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Software {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vendor: Option<String>,
    pub product: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// A CPE 2.3 formatted string.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpe: Option<String>,
}

/// An operating system, as far as evidence goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Os {
    /// Lower case: `linux`, `windows`, `freebsd`, …
    pub family: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// 0 to 1.
    pub confidence: f32,
}

/// `Debian 12`, `linux`.
impl std::fmt::Display for Os {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.product.as_deref().unwrap_or(&self.family))?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, " {version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_openssh_shows_it() {
        for (sha256, shown) in [
            (
                "23dc8b88565782772209876c30ddabdd8d1923d959bbcc4c49cc8ec15b01161f",
                "ssh-ed25519 SHA256:I9yLiFZXgnciCYdsMN2r3Y0ZI9lZu8xMScyOwVsBFh8",
            ),
            (
                "a13c408b119d8064c54e3de8ec5d302e7e0a06a7923f511c3bd3222477b0d5f6",
                "ssh-ed25519 SHA256:oTxAixGdgGTFTj3o7F0wLn4KBqeSP1EcO9MiJHew1fY",
            ),
        ] {
            let key = SshKey { algorithm: "ssh-ed25519".into(), sha256: sha256.parse().expect("a digest") };
            assert_eq!(key.to_string(), shown);
        }
    }
}
