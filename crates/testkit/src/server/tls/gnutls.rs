use super::{Asks, Pair, Sni, TlsServer};
use crate::lab::Host;

/// Debian's `gnutls-serv` with this priority string. Answers HTTP.
pub fn gnutls_serv(
    host: &Host,
    port: u16,
    pair: &Pair,
    asks: Asks,
    sni: Sni,
    priority: &str,
    options: &[&str],
) -> TlsServer {
    let label = format!("gnutls-serv {priority} {} {asks:?} {sni:?}", options.join(" "));
    let mut command = host.command("gnutls-serv");
    command.args(["--http", "--quiet", "--port", &port.to_string(), "--priority", priority]);
    command.arg("--x509certfile").arg(&pair.certificate).arg("--x509keyfile").arg(&pair.key);
    match asks {
        Asks::No => command.arg("--disable-client-cert"),
        // It asks unless it is told not to.
        Asks::Optional => &mut command,
        Asks::Required => command.arg("--require-client-cert"),
    };
    if sni == Sni::Rejected {
        command.args(["--sni-hostname", "www.lab.example", "--sni-hostname-fatal"]);
    }
    command.args(options);
    TlsServer::start(host, &label, port, &mut command)
}
