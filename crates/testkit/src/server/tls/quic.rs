//! Servers of QUIC: aioquic, which is told everything, and Caddy, which chooses certificates by name.

use super::{super::wait_until_listening, Pair};
use crate::{lab::Host, process::Process, rig::rig};

/// A server of aioquic: certificate with what follows it, key, protocols, whether clients have to prove their address first (RFC 9000
/// §8.1.2).
const SCRIPT: &str = "\
import asyncio, sys
from aioquic.asyncio import serve
from aioquic.quic.configuration import QuicConfiguration
address, port, key, certificate, protocols, retry = sys.argv[1:7]
async def main():
    configuration = QuicConfiguration(is_client=False, alpn_protocols=protocols.split(','))
    configuration.load_cert_chain(certificate, key)
    await serve(address, int(port), configuration=configuration, retry=retry == 'yes')
    await asyncio.Future()
asyncio.run(main())
";

/// A server of QUIC on one port, ended when dropped.
#[derive(Debug)]
pub struct QuicServer {
    process: Process,
}

impl QuicServer {
    /// What it has said so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// aioquic; `protocols` with commas between them. None where the rig is not there.
pub fn aioquic(host: &Host, port: u16, pair: &Pair, protocols: &str, retry: bool) -> Option<QuicServer> {
    let python = rig("python/bin/python")?;
    let script = host.write("server-of-aioquic.py", SCRIPT);
    let mut command = host.command(&python.to_string_lossy());
    command.arg(script).args([host.address().to_string(), port.to_string()]).arg(&pair.key).arg(&pair.certificate);
    command.args([protocols, if retry { "yes" } else { "no" }]);
    let mut process = host.start(&format!("aioquic-{port}"), &mut command);
    wait_until_listening(host, &mut process, "-lu", port);
    Some(QuicServer { process })
}

/// Debian's Caddy with HTTP/3. Whoever asks for no name it has a certificate for gets none.
pub fn caddy(host: &Host, port: u16, pair: &Pair, name: &str) -> QuicServer {
    let dir = host.dir().join("caddy");
    let configuration = format!(
        "{{\n admin off\n auto_https off\n storage file_system {}\n}}\n\
         https://{name}:{port} {{\n tls {} {}\n respond \"here\"\n}}\n",
        dir.display(),
        pair.certificate.display(),
        pair.key.display(),
    );
    let path = host.write("Caddyfile", &configuration);
    let mut command = host.command("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path);
    command.env("HOME", &dir).env("XDG_DATA_HOME", &dir).env("XDG_CONFIG_HOME", &dir);
    let mut process = host.start("caddy", &mut command);
    wait_until_listening(host, &mut process, "-lu", port);
    QuicServer { process }
}
