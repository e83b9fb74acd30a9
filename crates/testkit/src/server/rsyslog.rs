use super::wait_until_listening;
use crate::{
    authority::{Authority, Identity},
    lab::Host,
    process::Process,
};
use std::{fs, path::PathBuf};

/// Debian's rsyslog: plain TCP on 5140, TLS on 6514, UDP on 514, each into a file of its own. TCP takes both framings.
#[derive(Debug)]
pub struct Rsyslog {
    dir: PathBuf,
    _process: Process,
}

impl Rsyslog {
    pub const TCP: u16 = 5140;
    pub const TLS: u16 = 6514;
    pub const UDP: u16 = 514;

    pub fn start(host: &Host, authority: &Authority, identity: &Identity) -> Self {
        let dir = host.dir();
        let (certificate, key) = identity.write(dir, "server");
        let ca = host.write("ca.pem", authority.certificate());
        let show = |path: &PathBuf| path.display().to_string();
        let (tcp, tls, udp) = (Self::TCP, Self::TLS, Self::UDP);
        let files: String = ["tcp", "tls", "udp"]
            .map(|name| {
                let file = dir.join(format!("{name}.messages")).display().to_string();
                format!("ruleset(name=\"{name}\") {{ action(type=\"omfile\" file=\"{file}\" template=\"raw\") }}\n")
            })
            .concat();
        let configuration = format!(
            "global(workDirectory=\"{}\" net.enableDNS=\"off\" maxMessageSize=\"64k\"\n  \
             defaultNetstreamDriverCAFile=\"{}\" defaultNetstreamDriverCertFile=\"{}\" \
             defaultNetstreamDriverKeyFile=\"{}\")\n\
             module(load=\"imtcp\")\nmodule(load=\"imudp\")\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n{files}\
             input(type=\"imtcp\" port=\"{tcp}\" ruleset=\"tcp\")\n\
             input(type=\"imtcp\" port=\"{tls}\" ruleset=\"tls\" streamdriver.name=\"gtls\" streamdriver.mode=\"1\" \
             streamdriver.authmode=\"anon\")\n\
             input(type=\"imudp\" port=\"{udp}\" ruleset=\"udp\")\n",
            dir.display(),
            show(&ca),
            show(&certificate),
            show(&key),
        );
        let path = host.write("rsyslog.conf", &configuration);
        let mut command = host.server_command("rsyslogd");
        command.arg("-n").arg("-i").arg(dir.join("rsyslogd.pid")).arg("-f").arg(path);
        let mut process = host.start("rsyslogd", &mut command);
        for port in [tcp, tls] {
            wait_until_listening(host, &mut process, "-lt", port);
        }
        wait_until_listening(host, &mut process, "-lu", udp);
        Self { dir: dir.to_owned(), _process: process }
    }

    /// The messages that came in by plain TCP, one a line, as they came.
    pub fn over_tcp(&self) -> Vec<String> {
        self.messages("tcp")
    }

    pub fn over_tls(&self) -> Vec<String> {
        self.messages("tls")
    }

    pub fn over_udp(&self) -> Vec<String> {
        self.messages("udp")
    }

    fn messages(&self, input: &str) -> Vec<String> {
        let bytes = fs::read(self.dir.join(format!("{input}.messages"))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(ToOwned::to_owned).collect()
    }
}
