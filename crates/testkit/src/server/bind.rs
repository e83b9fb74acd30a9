use super::wait_until_listening;
use crate::{lab::Host, process::Process};
use std::{fmt::Write as _, net::IpAddr};

/// Debian's BIND, authoritative for `lab.example`.
#[derive(Debug)]
pub struct Bind {
    _process: Process,
}

impl Bind {
    pub fn start(host: &Host) -> Self {
        Self::start_with(host, &[])
    }

    /// With these names of the zone (without its own part) and their addresses.
    pub fn start_with(host: &Host, names: &[(&str, IpAddr)]) -> Self {
        let ip = host.address();
        let (v4, v6) = if ip.is_ipv4() { (ip.to_string(), "none".into()) } else { ("none".into(), ip.to_string()) };
        let mut records = String::from(
            "$TTL 60\n@ SOA ns.lab.example. root.lab.example. 1 60 60 60 60\n@ NS ns.lab.example.\nns A 192.0.2.53\n",
        );
        for (name, address) in names {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            // Writing to a String cannot fail.
            _ = writeln!(records, "{name} {kind} {address}");
        }
        let zone = host.write("lab.example.zone", &records);
        let configuration = format!(
            "options {{\n directory \"{}\";\n listen-on {{ {v4}; }};\n listen-on-v6 {{ {v6}; }};\n recursion no;\n \
             pid-file none;\n lock-file none;\n session-keyfile none;\n dnssec-validation no;\n}};\n\
             controls {{ }};\nzone \"lab.example\" {{ type primary; file \"{}\"; }};\n",
            host.dir().display(),
            zone.display()
        );
        let path = host.write("named.conf", &configuration);
        let mut command = host.server_command("named");
        command.args(["-g", "-n", "1", "-c"]).arg(path);
        let mut process = host.start("named", &mut command);
        wait_until_listening(host, &mut process, "-lu", 53);
        Self { _process: process }
    }
}
