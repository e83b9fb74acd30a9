use super::{Format, Global, approve::Approve, filter::InventoryFilter, row};
use crate::{
    client::Client,
    failure::Outcome,
    output::{self, Table},
};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::{fmt::Write, process::ExitCode};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Hosts {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    filter: InventoryFilter,
    /// Only hosts that are up
    #[arg(long, conflicts_with = "down")]
    up: bool,
    /// Only hosts that are lost
    #[arg(long)]
    down: bool,
    /// Only this operating system's family, such as linux
    #[arg(long, value_name = "FAMILY")]
    os: Option<String>,
    /// Only hosts with this in one of their names
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only this asset's
    #[arg(long, value_name = "ASSET")]
    asset: Option<String>,
    /// Only hosts with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Those that were up at this time, and what they had open: 2026-11-01T12:00:00Z, 2026-11-01, or a duration back (24h)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["up", "down", "os", "name", "asset", "tag"])]
    at: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Say that hosts are meant to be there
    ///
    /// Every host is unreviewed until it is approved; a rule can ask for it (`require = { approved = true }`). Addresses
    /// at which nothing has been seen yet are approved ahead.
    Approve(Approve),
}

impl Hosts {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        if let Some(Act::Approve(approve)) = self.act {
            return approve.run(global).await;
        }
        let mut query = self.filter.query();
        if self.up || self.down {
            query.push(("up", self.up.to_string()));
        }
        let texts =
            [("os", self.os), ("name", self.name), ("asset", self.asset), ("tag", self.tag), ("at", self.at.clone())];
        query.extend(texts.into_iter().filter_map(|(key, value)| Some((key, value?))));
        let rows: Vec<Value> = Client::connect(global).await?.list("/api/v1/hosts", &query, self.filter.limit).await?;
        if self.format.json {
            rows.iter().try_for_each(output::json)?;
        } else if self.at.is_some() {
            table_then(&rows).print()?;
        } else {
            table(&rows).print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(rows: &[Value]) -> Table {
    let mut table = Table::new(&["ADDRESS", "STATE", "NAMES", "OS", "OPEN", "ASSETS", "LAST SEEN"]);
    for host in rows {
        table.row([
            row::text(host, "/ip"),
            if row::flag(host, "/up") { "up" } else { "lost" }.to_owned(),
            row::texts(host, "/names").join(", "),
            row::os(host.get("os")),
            open_ports(host),
            row::texts(host, "/assets").join(", "),
            row::time(host, "/last_seen"),
        ]);
    }
    table
}

/// Of the past less is known: what was open, and since when the host was up.
fn table_then(rows: &[Value]) -> Table {
    let mut table = Table::new(&["ADDRESS", "UP SINCE", "OPEN"]);
    for host in rows {
        table.row([row::text(host, "/ip"), row::time(host, "/since"), ports(row::array(host, "/services"))]);
    }
    table
}

fn open_ports(host: &Value) -> String {
    ports(row::array(host, "/open"))
}

fn ports(open: &[Value]) -> String {
    /// More are only counted: a host that answers on every port would fill the screen.
    const SHOWN: usize = 12;
    let port = |port: &Value| match row::text(port, "/transport").as_str() {
        "tcp" => row::text(port, "/port"),
        other => format!("{}/{other}", row::text(port, "/port")),
    };
    let mut open: Vec<String> = open.iter().map(port).collect();
    // One for each name it was asked under, which stand together.
    open.dedup();
    let mut text = open.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if open.len() > SHOWN {
        let _ = write!(text, " and {} more", open.len() - SHOWN);
    }
    text
}
