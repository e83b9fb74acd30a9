use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};

/// Debian's Dovecot: IMAP on 143, POP3 on 110, `ManageSieve` on 4190, LMTP on 24, each with its own STARTTLS. Nobody can log in.
#[derive(Debug)]
pub struct Dovecot {
    _process: Process,
}

impl Dovecot {
    pub const PORTS: [u16; 4] = [143, 110, 4190, 24];

    pub fn start(host: &Host, identity: &Identity) -> Self {
        Self::start_with(host, identity, "")
    }

    /// With these lines of configuration on top.
    pub fn start_with(host: &Host, identity: &Identity, settings: &str) -> Self {
        let (certificate, key) = identity.write(host.dir(), "dovecot");
        let dir = host.dir().join("dovecot");
        std::fs::create_dir(&dir).expect("a directory for Dovecot");
        let users = host.write("dovecot.users", "");
        let configuration = format!(
            "base_dir = {dir}\nstate_dir = {dir}\nprotocols = imap pop3 lmtp sieve\nlisten = {}\nlog_path = /dev/stderr\n\
             ssl = yes\nssl_cert = <{}\nssl_key = <{}\nmail_location = maildir:{dir}/mail\n\
             default_internal_user = nobody\ndefault_internal_group = nogroup\ndefault_login_user = nobody\n\
             passdb {{\n  driver = passwd-file\n  args = {users}\n}}\nuserdb {{\n  driver = static\n  args = uid=65534 gid=65534 home={dir}/mail\n}}\n\
             service lmtp {{\n  inet_listener lmtp {{\n    port = 24\n  }}\n}}\n{settings}\n",
            host.address(),
            certificate.display(),
            key.display(),
            dir = dir.display(),
            users = users.display(),
        );
        let path = host.write("dovecot.conf", &configuration);
        let mut process = host.start("dovecot", host.server_command("dovecot").arg("-F").arg("-c").arg(path));
        for port in Self::PORTS {
            wait_until_listening(host, &mut process, "-lt", port);
        }
        Self { _process: process }
    }
}
