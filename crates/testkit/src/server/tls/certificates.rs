use crate::process::output_of;
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

impl Certificates {
    /// Keeps everything in a folder of its own within `folder`.
    pub fn new(folder: &Path) -> Self {
        let folder = folder.join("certificates");
        fs::create_dir_all(&folder).expect("a folder for certificates");
        let this = Self { folder };
        this.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "3650",
            "-subj",
            "/O=Lab/CN=Lab Root",
        ]);
        this
    }

    /// A certificate for these names, good for `days`, signed with SHA-256 (with what its authority has).
    pub fn issue(&self, key: Key, names: &[&str], days: u32) -> Pair {
        let stem = format!("{}-{}-{days}", key.word(), names.join("-").replace('*', "any"));
        let (certificate, key_file) =
            (self.folder.join(format!("{stem}.pem")), self.folder.join(format!("{stem}.key")));
        let pair = Pair { certificate, key: key_file };
        if pair.certificate.exists() {
            return pair;
        }
        let (key_path, certificate_path) = (pair.key.to_string_lossy(), pair.certificate.to_string_lossy());
        match key {
            Key::Rsa(bits) => self.openssl(&["genrsa", "-traditional", "-out", &key_path, &bits.to_string()]),
            Key::Dsa => {
                self.openssl(&["dsaparam", "-out", "dsa.params", "2048"]);
                self.openssl(&["gendsa", "-out", &key_path, "dsa.params"])
            }
            Key::Ed25519 | Key::Ed448 => self.openssl(&["genpkey", "-algorithm", key.word(), "-out", &key_path]),
            _ => self.openssl(&["ecparam", "-name", key.curve(), "-genkey", "-noout", "-out", &key_path]),
        };
        let first = names.first().expect("a certificate is for something");
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let (subject, alternative) = (format!("/CN={first}"), format!("subjectAltName={}", names.join(",")));
        self.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            &key_path,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-out",
            &certificate_path,
            "-days",
            &days.to_string(),
            "-subj",
            &subject,
            "-addext",
            &alternative,
            "-addext",
            "basicConstraints=CA:FALSE",
        ]);
        pair
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

impl Key {
    pub fn word(self) -> &'static str {
        match self {
            Self::Rsa(512) => "rsa512",
            Self::Rsa(1024) => "rsa1024",
            Self::Rsa(2048) => "rsa2048",
            Self::Rsa(4096) => "rsa4096",
            Self::Rsa(_) => "rsa",
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
