use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};

/// Debian's `OpenLDAP` on port 389, with nothing in it.
#[derive(Debug)]
pub struct Slapd {
    _process: Process,
}

impl Slapd {
    pub fn start(host: &Host, identity: &Identity) -> Self {
        Self::start_with(host, identity, "TLSVerifyClient never")
    }

    /// With these lines of configuration on top.
    pub fn start_with(host: &Host, identity: &Identity, settings: &str) -> Self {
        let (certificate, key) = identity.write(host.dir(), "slapd");
        let configuration = format!(
            "include /etc/ldap/schema/core.schema\npidfile {}/slapd.pid\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
             {settings}\ndatabase config\n",
            host.dir().display(),
            certificate.display(),
            key.display(),
        );
        let path = host.write("slapd.conf", &configuration);
        let mut command = host.server_command("slapd");
        // Any debug level, nought included, keeps it in the foreground.
        command.args(["-d", "0", "-h", &format!("ldap://{}:389/", host.address()), "-f"]).arg(path);
        let mut process = host.start("slapd", &mut command);
        wait_until_listening(host, &mut process, "-lt", 389);
        Self { _process: process }
    }
}
