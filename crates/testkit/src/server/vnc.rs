use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};

/// Debian's `TigerVNC` server on port 5900, with `VeNCrypt` and X.509.
#[derive(Debug)]
pub struct Vnc {
    _process: Process,
}

impl Vnc {
    pub fn start(host: &Host, identity: &Identity) -> Self {
        let (certificate, key) = identity.write(host.dir(), "vnc");
        let mut command = host.server_command("Xtigervnc");
        // Neither a lock file nor a Unix socket, so that the machine's own displays have nothing to do with it; it wants one listener.
        command.args([
            ":7",
            "-nolock",
            "-listen",
            "tcp",
            "-nolisten",
            "unix",
            "-nolisten",
            "local",
            "-geometry",
            "64x64",
        ]);
        command.args(["-rfbport", "5900", "-localhost=0", "-interface", &host.address().to_string()]);
        command.args(["-SecurityTypes", "TLSNone,X509None", "-X509Cert"]).arg(certificate).arg("-X509Key").arg(key);
        let mut process = host.start("Xtigervnc", &mut command);
        wait_until_listening(host, &mut process, "-lt", 5900);
        Self { _process: process }
    }
}
