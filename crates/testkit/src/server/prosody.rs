use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};

/// Debian's Prosody, an XMPP server for one domain: clients on port 5222, servers on 5269.
#[derive(Debug)]
pub struct Prosody {
    _process: Process,
}

impl Prosody {
    pub fn start(host: &Host, identity: &Identity, domain: &str) -> Self {
        let (certificate, key) = identity.write(host.dir(), "prosody");
        let dir = host.dir().display();
        let configuration = format!(
            "daemonize = false\nrun_as_root = true\npidfile = \"{dir}/prosody.pid\"\ndata_path = \"{dir}\"\n\
             interfaces = {{ \"{}\" }}\nmodules_enabled = {{ \"tls\", \"saslauth\", \"dialback\" }}\nlog = \"*console\"\n\
             ssl = {{ key = \"{}\", certificate = \"{}\" }}\nVirtualHost \"{domain}\"\n",
            host.address(),
            key.display(),
            certificate.display(),
        );
        let path = host.write("prosody.cfg.lua", &configuration);
        let mut process = host.start("prosody", host.server_command("prosody").arg("--config").arg(path));
        for port in [5222, 5269] {
            wait_until_listening(host, &mut process, "-lt", port);
        }
        Self { _process: process }
    }
}
