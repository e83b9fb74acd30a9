use super::{
    Format, Global,
    filter::{self, addresses},
    nmap::{self, Scan},
    row,
};
use crate::{
    client::Client,
    failure::{Failure, Outcome},
    output::{self, Table},
};
use clap::Args;
use model::{AddressRange, Endpoint, Target};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The earlier time: 2026-11-01T12:00:00Z, 2026-11-01, or a duration back from now (24h)
    #[arg(long, value_name = "TIME", required_unless_present = "nmap", conflicts_with_all = ["nmap", "at"])]
    from: Option<String>,
    /// The later time [default: now]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["nmap", "at"])]
    to: Option<String>,
    /// Compare with what nmap wrote with -oX instead: of what it asked, what differs
    #[arg(long, value_name = "FILE")]
    nmap: Option<PathBuf>,
    /// With --nmap: compare with what was known at this time [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Only these addresses: one, a prefix or a range
    #[arg(long, value_name = "ADDRESSES", value_parser = addresses)]
    ip: Option<Target>,
    /// Only this port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    #[command(flatten)]
    format: Format,
}

impl Diff {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        match &self.nmap {
            Some(file) => {
                let scan = nmap::read(file).map_err(|error| Failure::world(format!("{}: {error}", file.display())))?;
                self.with_nmap(global, &scan).await
            }
            None => self.between_times(global).await,
        }
    }

    async fn between_times(self, global: &Global) -> Outcome {
        let filter = filter::InventoryFilter { ip: self.ip, port: self.port, limit: None };
        let mut query = filter.query();
        let times = [("from", self.from), ("to", self.to)];
        query.extend(times.into_iter().filter_map(|(key, value)| Some((key, value?))));
        let rows: Vec<Value> = Client::connect(global).await?.list("/api/v1/diff", &query, None).await?;
        if self.format.json {
            rows.iter().try_for_each(output::json)?;
        } else {
            table(&rows).print()?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn with_nmap(self, global: &Global, scan: &Scan) -> Outcome {
        let only = self.ip.as_ref().and_then(Target::range);
        let wanted = |endpoint: &Endpoint| {
            only.is_none_or(|range| range.contains(endpoint.ip)) && self.port.is_none_or(|port| endpoint.port == port)
        };
        let mut client = Client::connect(global).await?;
        let mut ours: BTreeMap<Endpoint, Value> = BTreeMap::new();
        for range in ranges(scan) {
            let mut query = vec![("ip", range.to_string())];
            query.extend(self.at.iter().map(|at| ("at", at.clone())));
            let rows: Vec<Value> = client.list("/api/v1/services", &query, None).await?;
            for row in rows {
                let endpoint: Endpoint = serde_json::from_value(row.clone()).map_err(Client::not_understood)?;
                // The bare address comes first and stands for all names.
                ours.entry(endpoint).or_insert(row);
            }
        }
        let rows: Vec<_> = compare(scan, &ours).into_iter().filter(|row| wanted(&row.endpoint)).collect();
        if self.format.json {
            rows.iter().try_for_each(output::json)?;
        } else {
            let mut table = Table::new(&["ENDPOINT", "NMAP", "PERIMETERD", "SERVICE"]);
            for row in &rows {
                let ours = if row.known { "open" } else { "not open" };
                let service = row.service.clone().unwrap_or_default();
                table.row([row.endpoint.to_string(), row.nmap.clone(), ours.to_owned(), service]);
            }
            table.print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What nmap and we do not say alike.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Disagreement {
    #[serde(flatten)]
    endpoint: Endpoint,
    /// nmap's word for the port's state.
    nmap: String,
    /// Whether it is open as far as we know.
    known: bool,
    /// Whoever calls it open says so of the service on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
}

/// Only what nmap asked on hosts that it found up is compared. Where it cannot tell open from filtered, nothing is.
fn compare(scan: &Scan, ours: &BTreeMap<Endpoint, Value>) -> Vec<Disagreement> {
    let mut found: Vec<Disagreement> = Vec::new();
    for (ip, host) in &scan.hosts {
        for ((transport, port), seen) in &host.ports {
            let endpoint = Endpoint { ip: *ip, transport: *transport, port: *port };
            if seen.state == "open" && !ours.contains_key(&endpoint) {
                found.push(Disagreement {
                    endpoint,
                    nmap: seen.state.clone(),
                    known: false,
                    service: seen.service.clone(),
                });
            }
        }
    }
    for (endpoint, row) in ours {
        let Some(state) = scan.state_of(*endpoint) else { continue };
        if state != "open" && !state.contains("open") {
            let service = [row::text(row, "/service/name"), row::text(row, "/service")];
            let service = service.into_iter().find(|name| !name.is_empty());
            found.push(Disagreement { endpoint: *endpoint, nmap: state.to_owned(), known: true, service });
        }
    }
    found.sort_by_key(|row| row.endpoint);
    found
}

/// The addresses nmap found up, in few ranges: neighbours are asked for together.
fn ranges(scan: &Scan) -> Vec<AddressRange> {
    /// What lies between is read and left.
    const NEAR: u128 = 256;
    let mut ranges: Vec<AddressRange> = Vec::new();
    for ip in scan.hosts.keys() {
        let joined = ranges.last().and_then(|last| AddressRange::new(last.first(), *ip).map(|whole| (last, whole)));
        match joined {
            Some((last, whole)) if whole.len() - last.len() <= NEAR => {
                ranges.pop();
                ranges.push(whole);
            }
            _ => ranges.push(AddressRange::single(*ip)),
        }
    }
    ranges
}

fn table(rows: &[Value]) -> Table {
    let mut table = Table::new(&["WHERE", "WHAT", "BEFORE", "AFTER"]);
    for difference in rows {
        let place =
            if difference.get("port").is_some() { row::endpoint(difference) } else { row::text(difference, "/ip") };
        let name = row::text(difference, "/name");
        let kind = row::text(difference, "/kind");
        let side = |side: &str| {
            if kind == "certificate-changed" { certificate(difference, side) } else { service(difference, side) }
        };
        table.row([
            if name.is_empty() { place } else { format!("{place} as {name}") },
            kind.replace('-', " "),
            side("/old"),
            side("/new"),
        ]);
    }
    table
}

/// `ssh (OpenSSH 9.2p1)`.
fn service(difference: &Value, side: &str) -> String {
    let name = row::text(difference, &format!("{side}/service"));
    let product = row::product(difference, side);
    if product.is_empty() { name } else { format!("{name} ({product})") }
}

/// The beginning of its digest, as long as the certificates' table shows.
fn certificate(difference: &Value, side: &str) -> String {
    row::text(difference, &format!("{side}/certificate")).chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Transport;
    use serde_json::json;

    const SCAN: &str = r#"<nmaprun scanner="nmap">
        <scaninfo type="connect" protocol="tcp" numservices="4" services="22,80-81,443"/>
        <scaninfo type="udp" protocol="udp" numservices="1" services="53"/>
        <host><status state="up"/><address addr="192.0.2.7" addrtype="ipv4"/><ports>
          <extraports state="closed" count="2"/>
          <port protocol="tcp" portid="22"><state state="open"/><service name="ssh"/></port>
          <port protocol="tcp" portid="443"><state state="filtered"/></port>
          <port protocol="udp" portid="53"><state state="open|filtered"/></port>
        </ports></host>
        <host><status state="down"/><address addr="192.0.2.8" addrtype="ipv4"/></host>
        <runstats><finished time="1"/></runstats></nmaprun>"#;

    fn ours(endpoints: &[(&str, Transport, u16)]) -> BTreeMap<Endpoint, Value> {
        let endpoint = |(ip, transport, port): &(&str, Transport, u16)| Endpoint {
            ip: ip.parse().expect("an address"),
            transport: *transport,
            port: *port,
        };
        endpoints.iter().map(|place| (endpoint(place), json!({ "service": { "name": "http" } }))).collect()
    }

    #[test]
    fn only_what_both_know_is_compared() {
        let scan = nmap::parse(SCAN.as_bytes()).expect("parses");
        let tcp = Transport::Tcp;
        for (known, expect) in [
            (&[][..], &["192.0.2.7:22/tcp open false"][..]),
            (&[("192.0.2.7", tcp, 22)], &[]),
            // Closed by nmap's count, filtered by its word.
            (&[("192.0.2.7", tcp, 22), ("192.0.2.7", tcp, 80)], &["192.0.2.7:80/tcp closed true"]),
            (&[("192.0.2.7", tcp, 22), ("192.0.2.7", tcp, 443)], &["192.0.2.7:443/tcp filtered true"]),
            // Not asked, not up, not clear.
            (&[("192.0.2.7", tcp, 22), ("192.0.2.7", tcp, 8080)], &[]),
            (&[("192.0.2.7", tcp, 22), ("192.0.2.8", tcp, 22)], &[]),
            (&[("192.0.2.7", tcp, 22), ("192.0.2.7", Transport::Udp, 53)], &[]),
        ] {
            let found = compare(&scan, &ours(known));
            let shown: Vec<_> =
                found.iter().map(|row| format!("{} {} {}", row.endpoint, row.nmap, row.known)).collect();
            assert_eq!(shown, expect, "{known:?}");
        }
    }

    #[test]
    fn neighbours_are_asked_for_together() {
        let hosts = ["192.0.2.1", "192.0.2.9", "198.51.100.1", "2001:db8::1"]
            .map(|ip| format!("<host><status state='up'/><address addr='{ip}'/></host>"))
            .concat();
        let scan = nmap::parse(format!("<nmaprun>{hosts}</nmaprun>").as_bytes()).expect("parses");
        let shown: Vec<_> = ranges(&scan).into_iter().map(|range| range.to_string()).collect();
        assert_eq!(shown, ["192.0.2.1-192.0.2.9", "198.51.100.1", "2001:db8::1"]);
    }

    #[test]
    fn reads_in_words() {
        let rows = [
            json!({ "kind": "port-opened", "ip": "192.0.2.7", "transport": "tcp", "port": 22,
                    "new": { "service": "ssh", "product": "OpenSSH", "version": "9.2" } }),
            json!({ "kind": "host-vanished", "ip": "192.0.2.8" }),
        ];
        assert_eq!(service(&rows[0], "/new"), "ssh (OpenSSH 9.2)");
        assert_eq!(service(&rows[1], "/new"), "");
        assert!(!table(&rows).is_empty());
    }
}
