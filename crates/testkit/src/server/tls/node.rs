use super::{Pair, TlsServer};
use crate::{lab::Host, rig::rig};
use std::path::Path;

/// Every cipher that it has, and every protocol. A client that resets its connection is no reason to end.
const SCRIPT: &str = "\
var tls = require('tls'), fs = require('fs');
var options = { key: fs.readFileSync(process.argv[3]), cert: fs.readFileSync(process.argv[4]),
                ciphers: 'ALL:eNULL:aNULL:EXPORT', secureProtocol: 'SSLv23_method' };
if (process.argv[5]) options.dhparam = fs.readFileSync(process.argv[5]);
var server = tls.createServer(options, function (stream) {
  stream.on('error', function () {});
  stream.end('hello\\n');
});
server.on('clientError', function () {});
server.listen(+process.argv[2], '0.0.0.0');
";

/// Node.js of that version, as of 2013 to 2015, with the OpenSSL of its time inside. None where the rig is not there.
pub fn old_node(host: &Host, port: u16, version: &str, pair: &Pair, group: Option<&Path>) -> Option<TlsServer> {
    let program = rig(&format!("node-{version}"))?;
    let script = host.write("old-node.js", SCRIPT);
    let mut command = host.command(&program.to_string_lossy());
    command.arg(script).arg(port.to_string()).arg(&pair.key).arg(&pair.certificate).args(group);
    Some(TlsServer::start(host, &format!("node {version}"), port, &mut command))
}
