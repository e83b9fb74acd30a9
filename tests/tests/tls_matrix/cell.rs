use std::net::IpAddr;
use testkit::server::tls::{Asks, Certificates, Key, Pair, Paper};

/// One server in one setting.
#[derive(Debug)]
pub(crate) struct Cell {
    /// Within `lab.example`.
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// What it is and how it is set up, the product first.
    pub(crate) label: String,
    pub(crate) pair: Pair,
    /// The versions it is set up for, in the words of the scan. One that is set up for several may have a key that is of no use in some.
    pub(crate) offers: &'static [&'static str],
    /// It shows nothing to whoever names nobody.
    pub(crate) wants_name: bool,
    /// Connections that may be made to know it, under no name and under its own.
    pub(crate) most: u64,
}

/// What most servers can be set up for: one version, or all of them.
pub(crate) const VERSIONS: [&[&str]; 5] = [&["TLSv1.0"], &["TLSv1.1"], &["TLSv1.2"], &["TLSv1.3"], ALL_VERSIONS];
pub(crate) const ALL_VERSIONS: &[&str] = &["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// Two a port and one a name.
pub(crate) const MOST: u64 = 3;

impl Cell {
    pub(crate) fn host_name(&self) -> String {
        host_name(&self.name)
    }
}

pub(crate) fn host_name(name: &str) -> String {
    format!("{name}.lab.example")
}

pub(crate) const ASKS: [Asks; 3] = [Asks::No, Asks::Optional, Asks::Required];

/// A certificate of its own for a cell; keys are shared, since making them takes long.
pub(crate) fn certify(certificates: &Certificates, key: Key, name: &str, number: usize, address: IpAddr) -> Pair {
    let subject = match number % 4 {
        0 => format!("/CN={name}.lab.example"),
        1 => format!("/C=DE/ST=Bayern/L=München/O=Größe & Söhne, GmbH/OU=Betrieb/CN={name}.lab.example"),
        2 => format!("/O=Lab/CN={name}.lab.example/emailAddress=hostmaster@lab.example"),
        _ => format!("/DC=example/DC=lab/CN={name}.lab.example/serialNumber={number}"),
    };
    let names = match number % 3 {
        0 => format!("DNS:{name}.lab.example"),
        1 => format!("DNS:{name}.lab.example,DNS:*.{name}.lab.example,IP:{address}"),
        _ => {
            format!("DNS:{name}.lab.example,IP:fd77::{number:x},email:root@lab.example,URI:https://{name}.lab.example/")
        }
    };
    let serial = number.to_string();
    let digest = ["-sha256", "-sha384", "-sha512"][number % 3];
    // Of some the serial is a small number, of others it is 20 random bytes.
    let options = [digest, "-set_serial", &serial];
    let options = if number.is_multiple_of(5) { &options[..] } else { &options[..1] };
    let days = 30 + 40 * u32::try_from(number).expect("a small number");
    certificates.certify(key, key.word(), name, Paper { subject: &subject, names: &names, days, options })
}
