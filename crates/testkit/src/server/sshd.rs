use super::wait_until_listening;
use crate::{lab::Host, process::Process};

/// Debian's OpenSSH server. Nobody can log in.
#[derive(Debug)]
pub struct Sshd {
    _process: Process,
}

impl Sshd {
    pub fn start(host: &Host, port: u16) -> Self {
        let key = host.dir().join("ssh_host_key");
        host.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key.to_string_lossy()]);
        let listen: Vec<String> = host.addresses().iter().map(|ip| format!("ListenAddress {ip}\n")).collect();
        let configuration = format!(
            "Port {port}\n{listen}HostKey {}\nUsePAM no\nPasswordAuthentication no\nPubkeyAuthentication no\n\
             KbdInteractiveAuthentication no\nPidFile none\nUseDNS no\nMaxStartups 100\n",
            key.display(),
            listen = listen.concat(),
        );
        let path = host.write("sshd_config", &configuration);
        // sshd wants its directory under /run; a private one keeps the machine's own out of it.
        let script = "mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -e -f \"$0\"";
        let mut command = host.command("sh");
        command.args(["-c", script]).arg(path);
        let mut process = host.start("sshd", &mut command);
        wait_until_listening(host, &mut process, "-lt", port);
        Self { _process: process }
    }
}
