use crate::{authority::Identity, process::output_of};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Kinds of keys that certificates are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Of so many bits.
    Rsa(u16),
    /// Of 2048 bits, for signatures with PSS alone (RFC 4055 §1.2).
    RsaPss,
    P256,
    P384,
    P521,
    Ed25519,
    Ed448,
    Dsa,
    Brainpool256,
}

/// A certificate and its key on disk, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Certificates made by OpenSSL, so that it can be asked what is in them. One authority signs them all.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
}

/// What a certificate says beside its key.
#[derive(Debug, Clone, Copy)]
pub struct Paper<'a> {
    /// As `/O=Example/CN=www.example.org`.
    pub subject: &'a str,
    /// As `DNS:www.example.org,IP:192.0.2.7`.
    pub names: &'a str,
    pub days: u32,
    /// Of `openssl req`: `-sha384`, `-set_serial 7`.
    pub options: &'a [&'a str],
}

impl Certificates {
    /// Keeps everything in a folder of its own within `folder`.
    pub fn new(folder: &Path) -> Self {
        Self::signed_by(folder, Key::Rsa(2048))
    }

    /// The same by an authority with another key; each kind of key has a folder.
    pub fn signed_by(folder: &Path, key: Key) -> Self {
        let folder = folder.join(format!("certificates-{}", key.word()));
        fs::create_dir_all(&folder).expect("a folder for certificates");
        let this = Self { folder };
        let key = this.key(key, "ca").to_string_lossy().into_owned();
        let paper = ["-days", "3650", "-subj", "/O=Lab/CN=Lab Root"];
        this.openssl(&[&["req", "-x509", "-new", "-key", &key, "-out", "ca.pem"][..], &paper].concat());
        this
    }

    /// The authority's own certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for these names, good for `days`, signed with SHA-256 (with what its authority has).
    pub fn issue(&self, key: Key, names: &[&str], days: u32) -> Pair {
        let stem = format!("{}-{}-{days}", key.word(), names.join("-").replace('*', "any"));
        let first = names.first().expect("a certificate is for something");
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let (subject, names) = (format!("/CN={first}"), names.join(","));
        self.certify(key, &stem, &stem, Paper { subject: &subject, names: &names, days, options: &[] })
    }

    /// A certificate that says so, in files of that name. The key is made where there is none by that name yet: several
    /// certificates may have one.
    pub fn certify(&self, key: Key, key_name: &str, stem: &str, paper: Paper<'_>) -> Pair {
        let pair = Pair { certificate: self.folder.join(format!("{stem}.pem")), key: self.key(key, key_name) };
        if pair.certificate.exists() {
            return pair;
        }
        let (key_path, certificate_path) = (pair.key.to_string_lossy(), pair.certificate.to_string_lossy());
        let (days, names) = (paper.days.to_string(), format!("subjectAltName={}", paper.names));
        let issue = ["req", "-x509", "-new", "-utf8", "-key", &key_path, "-CA", "ca.pem", "-CAkey", "ca.key"];
        let says = ["-out", &certificate_path, "-days", &days, "-subj", paper.subject, "-addext", &names];
        let constraints = ["-addext", "basicConstraints=CA:FALSE"];
        self.openssl(&[&issue[..], &says, &constraints, paper.options].concat());
        pair
    }

    fn key(&self, key: Key, name: &str) -> PathBuf {
        let path = self.folder.join(format!("{name}.key"));
        if path.exists() {
            return path;
        }
        let out = path.to_string_lossy();
        match key {
            Key::Rsa(bits) => self.openssl(&["genrsa", "-traditional", "-out", &out, &bits.to_string()]),
            Key::RsaPss => {
                let bits = ["-pkeyopt", "rsa_keygen_bits:2048"];
                self.openssl(&[&["genpkey", "-algorithm", "RSA-PSS", "-out", &out][..], &bits].concat())
            }
            Key::Dsa => {
                self.openssl(&["dsaparam", "-out", "dsa.params", "2048"]);
                self.openssl(&["gendsa", "-out", &out, "dsa.params"])
            }
            Key::Ed25519 | Key::Ed448 => self.openssl(&["genpkey", "-algorithm", key.word(), "-out", &out]),
            _ => self.openssl(&["ecparam", "-name", key.curve(), "-genkey", "-noout", "-out", &out]),
        };
        path
    }

    /// Parameters for Diffie-Hellman of so many bits; 1024 take seconds.
    pub fn group(&self, bits: u16) -> PathBuf {
        let path = self.folder.join(format!("dh{bits}.pem"));
        if !path.exists() {
            self.openssl(&["dhparam", "-out", &path.to_string_lossy(), &bits.to_string()]);
        }
        path
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        output_of(Command::new("openssl").args(arguments).current_dir(&self.folder))
    }
}

impl Pair {
    /// What OpenSSL says of it: one line for each option, such as `-serial`, `-issuer`, `-enddate`.
    pub fn ask(&self, options: &[&str]) -> String {
        output_of(Command::new("openssl").args(["x509", "-noout", "-in"]).arg(&self.certificate).args(options))
    }
}

/// For servers that are given an identity.
impl From<&Pair> for Identity {
    fn from(pair: &Pair) -> Self {
        let read = |path: &Path| {
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
        };
        Self { certificate: read(&pair.certificate), key: read(&pair.key) }
    }
}

impl Key {
    pub fn word(self) -> &'static str {
        match self {
            Self::Rsa(512) => "rsa512",
            Self::Rsa(1024) => "rsa1024",
            Self::Rsa(2048) => "rsa2048",
            Self::Rsa(4096) => "rsa4096",
            Self::Rsa(_) => "rsa",
            Self::RsaPss => "rsapss",
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
            Self::Ed25519 => "ed25519",
            Self::Ed448 => "ed448",
            Self::Dsa => "dsa",
            Self::Brainpool256 => "brainpool256",
        }
    }

    fn curve(self) -> &'static str {
        match self {
            Self::P384 => "secp384r1",
            Self::P521 => "secp521r1",
            Self::Brainpool256 => "brainpoolP256r1",
            _ => "prime256v1",
        }
    }
}
