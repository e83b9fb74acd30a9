use super::{Format, Global, certificates, events, evidence, row, services, tls};
use crate::{
    client::{Client, segment},
    failure::{Failure, Outcome},
    output::{self, Table, printable},
};
use clap::Args;
use model::{Event, SshKey};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, net::IpAddr, process::ExitCode};

#[derive(Debug, Args)]
pub(crate) struct Host {
    /// Its address
    #[arg(value_name = "ADDR")]
    address: IpAddr,
    #[command(flatten)]
    format: Format,
}

impl Host {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let path = format!("/api/v1/hosts/{}", segment(&self.address.to_string()));
        let mut client = Client::connect(global).await?;
        let history: Value = client.get(&format!("{path}/history"), &[]).await?;
        let is_known = ["/up", "/services"].iter().any(|part| !row::array(&history, part).is_empty());
        let mut detail: Value = match client.get(&path, &[]).await {
            // Forgotten, but it was there.
            Err(Failure::World(_)) if is_known => Value::Object(Map::new()),
            answer => answer?,
        };
        if self.format.json {
            if let Value::Object(detail) = &mut detail {
                detail.insert("history".to_owned(), history);
            }
            output::json(&detail)?;
            return Ok(ExitCode::SUCCESS);
        }
        if detail.get("host").is_none() {
            output::line(&format!("{}: not watched any more", self.address))?;
            section(ups(&history))?;
            section(services::intervals(row::array(&history, "/services")))?;
            return Ok(ExitCode::SUCCESS);
        }
        for line in head(&detail) {
            output::line(&printable(&line))?;
        }
        section(endpoints(&detail))?;
        let host = detail.get("host").unwrap_or(&Value::Null);
        section(evidence::software(host))?;
        section(evidence::systems(host))?;
        section(evidence::facts(host))?;
        section(tls::table(detail.get("host").unwrap_or(&Value::Null)))?;
        section(keys(&detail))?;
        section(certificates::table(&judged(&detail)))?;
        let mut recent: Vec<Event> = detail
            .get("events")
            .map(|events| serde_json::from_value(events.clone()))
            .transpose()
            .map_err(Client::not_understood)?
            .unwrap_or_default();
        recent.reverse();
        section(events::table(&recent))?;
        section(ups(&history))?;
        section(services::intervals(row::array(&history, "/services")))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn section(table: Table) -> std::io::Result<()> {
    if table.is_empty() {
        return Ok(());
    }
    output::line("")?;
    table.print()
}

/// Its certificates, with what is wrong with each on one of its services.
fn judged(detail: &Value) -> Vec<Value> {
    let endpoints = row::array(detail, "/host/endpoints");
    let services: Vec<&Value> = endpoints.iter().flat_map(|endpoint| row::array(endpoint, "/services")).collect();
    let judge = |certificate: &Value| {
        let sha256 = row::text(certificate, "/certificate/sha256");
        let serving = services.iter().filter(|service| row::text(service, "/tls/certificate") == sha256);
        let verdicts: BTreeSet<String> = serving.flat_map(|service| row::texts(service, "/tls/verdicts")).collect();
        let mut certificate = certificate.clone();
        if let Some(certificate) = certificate.as_object_mut() {
            certificate.insert("verdicts".to_owned(), verdicts.into_iter().collect());
        }
        certificate
    };
    row::array(detail, "/certificates").iter().map(judge).collect()
}

fn ups(history: &Value) -> Table {
    let mut table = Table::new(&["UP SINCE", "UNTIL", "WHY"]);
    for interval in row::array(history, "/up") {
        table.row([row::time(interval, "/since"), row::time(interval, "/until"), row::text(interval, "/ending")]);
    }
    table
}

fn head(detail: &Value) -> Vec<String> {
    let host = detail.get("host").unwrap_or(&Value::Null);
    let state = if row::flag(host, "/up") {
        format!("up, last seen {}", row::time(host, "/last_seen"))
    } else {
        format!("lost since {}, last seen {}", row::time(host, "/lost_since"), row::time(host, "/last_seen"))
    };
    let mut lines =
        vec![format!("{}: {state}, known since {}", row::text(host, "/key/ip"), row::time(host, "/first_seen"))];
    let facts = [
        ("names", evidence::names(detail)),
        ("os", row::os(host.get("os"))),
        ("assets", row::texts(host, "/assets").join(", ")),
        ("tags", row::texts(host, "/tags").join(", ")),
        ("value", row::text(host, "/value")),
        ("review", review(host)),
        ("seen from", row::text(host, "/key/vantage")),
    ];
    lines.extend(facts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(what, text)| format!("{what}: {text}")));
    lines
}

fn review(host: &Value) -> String {
    if host.pointer("/approved/by").is_none() {
        return "unreviewed".to_owned();
    }
    format!("approved by {} on {}", row::text(host, "/approved/by"), row::time(host, "/approved/at"))
}

fn endpoints(detail: &Value) -> Table {
    let mut table =
        Table::new(&["PORT", "STATE", "REASON", "NAME", "SERVICE", "PRODUCT", "TLS", "BANNER", "LAST SEEN"]);
    for endpoint in row::array(detail, "/host/endpoints") {
        let port = format!("{}/{}", row::text(endpoint, "/port"), row::text(endpoint, "/transport"));
        let (state, reason) = (row::text(endpoint, "/status"), row::text(endpoint, "/reason"));
        let services = row::array(endpoint, "/services");
        let nothing = [Value::Null];
        for service in if services.is_empty() { &nothing } else { services } {
            table.row([
                port.clone(),
                state.clone(),
                reason.clone(),
                row::text(service, "/name"),
                row::text(service, "/service/name"),
                row::product(service, "/service"),
                row::text(service, "/tls/version"),
                row::text(service, "/service/banner"),
                row::time(endpoint, "/last_seen"),
            ]);
        }
    }
    table
}

/// The keys SSH servers prove themselves with, to be held against `ssh-keygen -lf`.
fn keys(detail: &Value) -> Table {
    let mut table = Table::new(&["PORT", "HOST KEY", "FINGERPRINT"]);
    for endpoint in row::array(detail, "/host/endpoints") {
        for service in row::array(endpoint, "/services") {
            let key = service.pointer("/service/ssh_key");
            let Some(key) = key.and_then(|key| serde_json::from_value::<SshKey>(key.clone()).ok()) else { continue };
            let port = format!("{}/{}", row::text(endpoint, "/port"), row::text(endpoint, "/transport"));
            let fingerprint = key.fingerprint();
            table.row([port, key.algorithm, fingerprint]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn says_who_approved_it() {
        let at = "2026-11-21T10:05:03.5Z";
        for (approved, expect) in [
            (json!({ "at": at, "by": "inventory.csv" }), "review: approved by inventory.csv on 2026-11-21 10:05:03Z"),
            (Value::Null, "review: unreviewed"),
        ] {
            let host = json!({ "key": { "ip": "192.0.2.7" }, "up": true, "last_seen": at, "approved": approved });
            let lines = head(&json!({ "host": host }));
            assert!(lines.iter().any(|line| line == expect), "{expect} is not in {lines:?}");
        }
        // What does not apply is left out of a host's detail.
        let lines = head(&json!({ "host": { "key": { "ip": "192.0.2.7" }, "up": true, "last_seen": at } }));
        assert!(lines.iter().any(|line| line == "review: unreviewed"), "{lines:?}");
    }
}
