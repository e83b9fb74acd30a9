use super::{Asks, Pair, Sni, TlsServer};
use crate::lab::Host;

/// OpenSSL's `s_server` with everything it still can: security level 0, and the options given on top, such as `-tls1_1`,
/// `-cipher ALL`, `-dhparam FILE`. Answers HTTP.
pub fn s_server(host: &Host, port: u16, pair: &Pair, asks: Asks, sni: Sni, options: &[&str]) -> TlsServer {
    let label = format!("openssl s_server {} {asks:?} {sni:?}", options.join(" "));
    let mut command = host.command("openssl");
    command.args(["s_server", "-www", "-quiet", "-accept", &port.to_string()]);
    command.arg("-cert").arg(&pair.certificate).arg("-key").arg(&pair.key);
    if !options.contains(&"-cipher") {
        command.args(["-cipher", "ALL:@SECLEVEL=0"]);
    }
    match asks {
        Asks::No => {}
        Asks::Optional => {
            command.args(["-verify", "3"]);
        }
        Asks::Required => {
            command.args(["-Verify", "3"]);
        }
    }
    if sni == Sni::Rejected {
        command.args(["-servername", "www.lab.example", "-servername_fatal"]);
        command.arg("-cert2").arg(&pair.certificate).arg("-key2").arg(&pair.key);
    }
    command.args(options);
    TlsServer::start(host, &label, port, &mut command)
}
