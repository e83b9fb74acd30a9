use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};

/// Debian's vsftpd on port 21, with `AUTH TLS`.
#[derive(Debug)]
pub struct Vsftpd {
    _process: Process,
}

impl Vsftpd {
    pub fn start(host: &Host, identity: &Identity) -> Self {
        Self::start_with(host, identity, "")
    }

    /// With these lines of configuration on top.
    pub fn start_with(host: &Host, identity: &Identity, settings: &str) -> Self {
        let (certificate, key) = identity.write(host.dir(), "vsftpd");
        let empty = host.dir().join("vsftpd");
        std::fs::create_dir_all(&empty).expect("a directory for vsftpd");
        let configuration = format!(
            "listen=YES\nlisten_address={}\nlisten_port=21\nanonymous_enable=YES\nanon_root={empty}\n\
             secure_chroot_dir={empty}\nssl_enable=YES\nrsa_cert_file={}\nrsa_private_key_file={}\n\
             background=NO\nxferlog_enable=YES\nvsftpd_log_file={empty}/vsftpd.log\nseccomp_sandbox=NO\n{settings}\n",
            host.address(),
            certificate.display(),
            key.display(),
            empty = empty.display(),
        );
        let path = host.write("vsftpd.conf", &configuration);
        let mut process = host.start("vsftpd", host.server_command("vsftpd").arg(path));
        wait_until_listening(host, &mut process, "-lt", 21);
        Self { _process: process }
    }
}
