use super::{Format, Global, filter::InventoryFilter, row, tls};
use crate::{
    client::Client,
    failure::Outcome,
    output::{self, Table},
};
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Services {
    #[command(flatten)]
    filter: InventoryFilter,
    /// Only this protocol, such as ssh
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only products with this in their name
    #[arg(long, value_name = "TEXT")]
    product: Option<String>,
    /// Those that were open and are closed now
    #[arg(long)]
    closed: bool,
    /// Those that were open at this time: 2026-11-01T12:00:00Z, 2026-11-01, or a duration back from now (24h)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["service", "product", "closed"])]
    at: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Services {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let mut query = self.filter.query();
        let texts = [("service", self.service), ("product", self.product), ("at", self.at.clone())];
        query.extend(texts.into_iter().filter_map(|(key, value)| Some((key, value?))));
        if self.closed {
            query.push(("state", "closed".to_owned()));
        }
        let rows: Vec<Value> =
            Client::connect(global).await?.list("/api/v1/services", &query, self.filter.limit).await?;
        if self.format.json {
            rows.iter().try_for_each(output::json)?;
        } else if self.at.is_some() {
            intervals(&rows).print()?;
        } else {
            table(&rows).print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(rows: &[Value]) -> Table {
    let mut table = Table::new(&["ENDPOINT", "NAME", "SERVICE", "PRODUCT", "TLS", "FIRST SEEN", "LAST SEEN"]);
    for service in rows {
        table.row([
            row::endpoint(service),
            tls::asked_under(service),
            row::text(service, "/service/name"),
            row::product(service, "/service"),
            tls::summary(service.get("tls").unwrap_or(&Value::Null)),
            row::time(service, "/first_seen"),
            row::time(service, "/last_seen"),
        ]);
    }
    table
}

/// Times in which something was open.
pub(super) fn intervals(rows: &[Value]) -> Table {
    let mut table = Table::new(&["ENDPOINT", "NAME", "SERVICE", "PRODUCT", "CERTIFICATE", "SINCE", "UNTIL", "WHY"]);
    for interval in rows {
        table.row([
            row::endpoint(interval),
            row::text(interval, "/name"),
            row::text(interval, "/service"),
            row::product(interval, ""),
            row::text(interval, "/certificate").chars().take(16).collect(),
            row::time(interval, "/since"),
            row::time(interval, "/until"),
            row::text(interval, "/ending"),
        ]);
    }
    table
}
