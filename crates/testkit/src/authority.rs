//! Certificate authorities of the tests' own, so that no fixture ever expires.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use std::{
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A certificate authority that signs what it is asked to.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The leaf alone.
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// An authority whose subject is `O=<organisation>, CN=<organisation> Root`.
    pub fn new(organisation: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        params.distinguished_name.push(DnType::CommonName, format!("{organisation} Root"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        live(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("an authority can be self-signed").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A server certificate for these DNS names and addresses, good for some years, with a key of its own.
    pub fn issue(&self, names: &[&str], addresses: &[IpAddr]) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("DNS names");
        params.subject_alt_names.extend(addresses.iter().map(|&ip| SanType::IpAddress(ip)));
        let common_name = names.first().cloned().or_else(|| addresses.first().map(ToString::to_string));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name.expect("a certificate is for something"));
        params.use_authority_key_identifier_extension = true;
        live(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority can sign").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// From last year on, for nine years: for ten, nothing would be wrong with it but that.
#[expect(clippy::disallowed_methods, reason = "certificates are looked at by programs with the machine's own clock")]
fn live(params: &mut CertificateParams) {
    let year = i32::from(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year());
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + 8, 1, 1);
}

impl Identity {
    /// Writes `NAME.pem` and `NAME.key` into a directory; gives their paths.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        fs::write(&certificate, &self.certificate).expect("the certificate can be written");
        fs::write(&key, &self.key).expect("the key can be written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("own file");
        (certificate, key)
    }
}
