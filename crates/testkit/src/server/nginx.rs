use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};
use rustix::process::Signal;
use std::{fmt::Write, net::SocketAddr};

/// Debian's nginx with plain and TLS listeners.
#[derive(Debug)]
pub struct Nginx {
    host: Host,
    name: String,
    process: Process,
}

impl Nginx {
    /// An instance of its own for each `name`: plain HTTP on the one ports, TLS with that identity on the others.
    pub fn start(host: &Host, name: &str, plain: &[u16], tls: Option<(&[u16], &Identity)>) -> Self {
        let dir = host.dir().join(name);
        std::fs::create_dir_all(&dir).expect("a directory for nginx");
        let dir = dir.display().to_string();
        let listen = |port: u16| {
            host.addresses().iter().map(move |&ip| format!("listen {}", SocketAddr::new(ip, port))).collect::<Vec<_>>()
        };
        let mut servers = String::new();
        for &port in plain {
            let listen = listen(port).join("; ");
            let _ = writeln!(servers, "  server {{ {listen}; location / {{ return 200 \"hello\\n\"; }} }}");
        }
        for &port in tls.iter().flat_map(|(ports, _)| ports.iter()) {
            let listen = listen(port).join(" ssl; ");
            let _ = writeln!(
                servers,
                "  server {{ {listen} ssl; ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.key; \
                 location / {{ return 200 \"hello\\n\"; }} }}"
            );
        }
        if let Some((_, identity)) = tls {
            identity.write(dir.as_ref(), "server");
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {dir}/{kind};\n"))
            .concat();
        let configuration = format!(
            "user root;\ndaemon off;\nworker_processes 1;\npid {dir}/nginx.pid;\nerror_log stderr notice;\n\
             events {{ worker_connections 256; }}\nhttp {{\n  access_log {dir}/access.log;\n{temporary}{servers}}}\n"
        );
        let path = host.write(&format!("{name}.conf"), &configuration);
        let mut command = host.server_command("nginx");
        command.args(["-p", &dir, "-e", "stderr", "-c"]).arg(path);
        let mut process = host.start(name, &mut command);
        let first = plain.first().or_else(|| tls.and_then(|(ports, _)| ports.first()));
        wait_until_listening(host, &mut process, "-lt", *first.expect("at least one port"));
        Self { host: host.clone(), name: name.to_owned(), process }
    }

    /// Serves another certificate from now on, without closing a port: new workers take over, old ones end.
    pub fn replace_certificate(&mut self, identity: &Identity) {
        identity.write(&self.host.dir().join(&self.name), "server");
        self.process.signal(Signal::HUP);
    }
}
