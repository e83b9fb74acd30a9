use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};

/// Debian's `InspIRCd` on port 6667, with STARTTLS.
#[derive(Debug)]
pub struct Inspircd {
    _process: Process,
}

impl Inspircd {
    pub fn start(host: &Host, identity: &Identity) -> Self {
        let (certificate, key) = identity.write(host.dir(), "inspircd");
        let dir = host.dir().display();
        let configuration = format!(
            "<config format=\"xml\">\n<server name=\"irc.lab.example\" description=\"lab\" network=\"lab\">\n\
             <admin name=\"a\" nick=\"a\" email=\"a@lab.example\">\n<bind address=\"{}\" port=\"6667\" type=\"clients\">\n\
             <connect allow=\"*\" resolvehostnames=\"no\" useident=\"no\">\n<module name=\"ssl_gnutls\">\n\
             <module name=\"starttls\">\n\
             <sslprofile name=\"Clients\" provider=\"gnutls\" certfile=\"{}\" keyfile=\"{}\">\n<starttls name=\"Clients\">\n\
             <path configdir=\"{dir}\" datadir=\"{dir}\" logdir=\"{dir}\" runtimedir=\"{dir}\">\n<pid file=\"{dir}/inspircd.pid\">\n",
            host.address(),
            certificate.display(),
            key.display(),
        );
        let path = host.write("inspircd.conf", &configuration);
        let mut command = host.server_command("inspircd");
        command.args(["--runasroot", "--nofork", "--config"]).arg(path);
        // Told to end it crashes, asked or not, and sees to it that an image of its memory is written where it runs.
        command.current_dir(host.dir());
        let mut process = host.start("inspircd", &mut command);
        wait_until_listening(host, &mut process, "-lt", 6667);
        Self { _process: process }
    }
}
