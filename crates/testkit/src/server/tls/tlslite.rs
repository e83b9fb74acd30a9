use super::{Asks, Pair, TlsServer};
use crate::{lab::Host, rig::rig};

/// A server of tlslite-ng for one connection after another, each in a thread of its own: versions from and to, ciphers by the
/// library's names, whether clients are asked for a certificate. A session that fails is no reason to end.
const SCRIPT: &str = "\
import socket, sys, threading
from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
port, key, certificate, oldest, newest, ciphers, asks, anonymous = sys.argv[1:9]
chain = X509CertChain()
chain.parsePemList(open(certificate).read())
private = parsePEMKey(open(key).read(), private=True)
settings = HandshakeSettings()
version = lambda text: tuple(int(part) for part in text.split('.'))
settings.minVersion, settings.maxVersion = version(oldest), version(newest)
settings.minKeySize = 512
if ciphers:
    settings.cipherNames = ciphers.split(',')
    settings.macNames = ['sha', 'md5', 'sha256', 'sha384', 'aead']
    settings.rsaSchemes, settings.rsaSigHashes = settings.rsaSchemes, list(settings.rsaSigHashes) + ['sha1', 'md5']
def serve(stream):
    try:
        session = TLSConnection(stream)
        session.handshakeServer(certChain=chain, privateKey=private, reqCert=asks == 'yes', settings=settings,
                                anon=anonymous == 'yes')
        session.write(b'hello\\n')
        session.close()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    finally:
        stream.close()
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('0.0.0.0', int(port)))
listener.listen(64)
while True:
    stream, _ = listener.accept()
    stream.settimeout(20)
    threading.Thread(target=serve, args=(stream,), daemon=True).start()
";

/// How a server of tlslite-ng is set up.
#[derive(Debug, Clone, Copy)]
pub struct Tlslite<'a> {
    /// `3.0` is SSL 3.0, `3.3` TLS 1.2.
    pub oldest: &'a str,
    pub newest: &'a str,
    /// `rc4`, `3des`, `aes128`, `null`, with commas between them; empty for the library's own choice.
    pub ciphers: &'a str,
    pub asks: Asks,
    /// Takes suites without authentication.
    pub anonymous: bool,
}

/// tlslite-ng. None where the rig is not there.
pub fn tlslite(host: &Host, port: u16, pair: &Pair, setting: Tlslite<'_>) -> Option<TlsServer> {
    let python = rig("python/bin/python")?;
    let script = host.write("server-of-tlslite.py", SCRIPT);
    let word = |yes| if yes { "yes" } else { "no" };
    let mut command = host.command(&python.to_string_lossy());
    command.arg(script).arg(port.to_string()).arg(&pair.key).arg(&pair.certificate);
    command.args([setting.oldest, setting.newest, setting.ciphers]);
    command.args([word(setting.asks != Asks::No), word(setting.anonymous)]);
    Some(TlsServer::start(host, &format!("tlslite-ng {setting:?}"), port, &mut command))
}
