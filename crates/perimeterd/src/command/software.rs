use super::{Format, Global, row};
use crate::{
    client::Client,
    failure::Outcome,
    output::{self, Table},
};
use clap::Args;
use serde_json::Value;
use std::{fmt::Write, process::ExitCode};

#[derive(Debug, Args)]
pub(crate) struct Software {
    /// Only what answers at these addresses: one, a prefix or a range
    #[arg(long, value_name = "ADDRESSES", value_parser = super::filter::addresses)]
    ip: Option<model::Target>,
    /// Only products with this in their name
    #[arg(long, value_name = "TEXT")]
    product: Option<String>,
    /// At most this many [default: all]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    #[command(flatten)]
    format: Format,
}

impl Software {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let ip = self.ip.map(|target| ("ip", target.to_string()));
        let product = self.product.map(|product| ("product", product));
        let query: Vec<_> = ip.into_iter().chain(product).collect();
        let rows: Vec<Value> = Client::connect(global).await?.list("/api/v1/software", &query, self.limit).await?;
        if self.format.json {
            rows.iter().try_for_each(output::json)?;
        } else {
            table(&rows).print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(rows: &[Value]) -> Table {
    /// More are only counted.
    const SHOWN: usize = 6;
    let mut table = Table::new(&["PRODUCT", "VERSION", "VENDOR", "WHERE"]);
    for software in rows {
        let endpoints = row::array(software, "/endpoints");
        let mut places = endpoints.iter().take(SHOWN).map(row::endpoint).collect::<Vec<_>>().join(", ");
        if endpoints.len() > SHOWN {
            let _ = write!(places, " and {} more", endpoints.len() - SHOWN);
        }
        table.row([
            row::text(software, "/product"),
            row::text(software, "/version"),
            row::text(software, "/vendor"),
            places,
        ]);
    }
    table
}
