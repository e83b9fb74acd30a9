use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};

/// Debian's xrdp on port 3389, which negotiates TLS. There is no session behind it.
#[derive(Debug)]
pub struct Xrdp {
    _process: Process,
}

impl Xrdp {
    pub fn start(host: &Host, identity: &Identity) -> Self {
        let (certificate, key) = identity.write(host.dir(), "xrdp");
        let configuration = format!(
            "[Globals]\nini_version=1\nfork=true\nport=tcp://{}:3389\nuse_vsock=false\nsecurity_layer=negotiate\n\
             crypt_level=high\ncertificate={}\nkey_file={}\nssl_protocols=TLSv1.2, TLSv1.3\n\
             [Logging]\nLogFile={}/xrdp.messages\nLogLevel=INFO\nEnableSyslog=false\n[Xorg]\nname=Xorg\nlib=libxup.so\n",
            host.address(),
            certificate.display(),
            key.display(),
            host.dir().display(),
        );
        let path = host.write("xrdp.ini", &configuration);
        // Its pid goes to /run; a private one keeps the machine's own out of it.
        let script = "mount -t tmpfs tmpfs /run && exec xrdp --nodaemon -c \"$0\"";
        let mut process = host.start("xrdp", host.command("sh").args(["-c", script]).arg(path));
        wait_until_listening(host, &mut process, "-lt", 3389);
        Self { _process: process }
    }
}
