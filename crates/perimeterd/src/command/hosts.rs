use super::{Format, Global, approve::Approve, filter::InventoryFilter, row};
use crate::{
    client::Client,
    failure::Outcome,
    output::{self, Table},
};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::{fmt::Write, process::ExitCode};

/// More ports of a host are only counted: one that answers on every port would fill the screen.
const SHOWN: usize = 12;

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
    /// Only hosts nobody has approved yet
    #[arg(long, conflicts_with = "approved")]
    unapproved: bool,
    /// Only hosts that are approved
    #[arg(long)]
    approved: bool,
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
    #[arg(long, value_name = "TIME", conflicts_with_all = ["up", "down", "unapproved", "approved", "os", "name", "asset", "tag", "csv"])]
    at: Option<String>,
    /// CSV with a line of headings, which `hosts approve --csv` takes when the lines that are not to be approved are gone
    #[arg(long, conflicts_with = "json")]
    csv: bool,
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
        if self.approved || self.unapproved {
            query.push(("approved", self.approved.to_string()));
        }
        let texts =
            [("os", self.os), ("name", self.name), ("asset", self.asset), ("tag", self.tag), ("at", self.at.clone())];
        query.extend(texts.into_iter().filter_map(|(key, value)| Some((key, value?))));
        let rows: Vec<Value> = Client::connect(global).await?.list("/api/v1/hosts", &query, self.filter.limit).await?;
        if self.format.json {
            rows.iter().try_for_each(output::json)?;
        } else if self.csv {
            csv(&rows).try_for_each(output::record)?;
        } else if self.at.is_some() {
            table_then(&rows).print()?;
        } else {
            table(&rows).print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(rows: &[Value]) -> Table {
    let mut table = Table::new(&["ADDRESS", "STATE", "REVIEW", "NAMES", "OS", "OPEN", "ASSETS", "LAST SEEN"]);
    for host in rows {
        table.row([
            row::text(host, "/ip"),
            state(host),
            review(host).to_owned(),
            row::texts(host, "/names").join(", "),
            row::os(host.get("os")),
            ports(row::array(host, "/open"), SHOWN),
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
        table.row([row::text(host, "/ip"), row::time(host, "/since"), ports(row::array(host, "/services"), SHOWN)]);
    }
    table
}

/// The headings and a record for each host. The address comes first, where a list of approved hosts has it.
fn csv(rows: &[Value]) -> impl Iterator<Item = Vec<String>> {
    let headings = ["address", "state", "review", "by", "at", "names", "os", "open", "assets", "tags", "last seen"];
    let record = |host: &Value| {
        vec![
            row::text(host, "/ip"),
            state(host),
            review(host).to_owned(),
            row::text(host, "/approved/by"),
            row::time(host, "/approved/at"),
            row::texts(host, "/names").join(", "),
            row::os(host.get("os")),
            ports(row::array(host, "/open"), usize::MAX),
            row::texts(host, "/assets").join(", "),
            row::texts(host, "/tags").join(", "),
            row::time(host, "/last_seen"),
        ]
    };
    std::iter::once(headings.map(str::to_owned).to_vec()).chain(rows.iter().map(record))
}

fn state(host: &Value) -> String {
    if row::flag(host, "/up") { "up" } else { "lost" }.to_owned()
}

/// Nothing where a daemon older than this program does not say.
fn review(host: &Value) -> &'static str {
    match host.get("approved") {
        None => "",
        Some(Value::Null) => "unreviewed",
        Some(_) => "approved",
    }
}

/// At most `shown` of them.
fn ports(open: &[Value], shown: usize) -> String {
    let port = |port: &Value| match row::text(port, "/transport").as_str() {
        "tcp" => row::text(port, "/port"),
        other => format!("{}/{other}", row::text(port, "/port")),
    };
    let mut open: Vec<String> = open.iter().map(port).collect();
    // One for each name it was asked under, which stand together.
    open.dedup();
    let mut text = open.iter().take(shown).map(String::as_str).collect::<Vec<_>>().join(", ");
    if open.len() > shown {
        let _ = write!(text, " and {} more", open.len() - shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::approve;
    use serde_json::json;

    fn host(ip: &str, approved: &Value) -> Value {
        json!({
            "vantage": "scan1", "ip": ip, "up": true, "names": ["a.example", "-1+1"], "os": null, "assets": ["dmz"],
            "tags": [], "value": 3, "approved": approved, "first_seen": "2026-11-21T10:00:00Z",
            "open": (1..=20).map(|port| json!({ "transport": "tcp", "port": port })).collect::<Vec<_>>(),
            "last_seen": "2026-11-21T10:05:03Z",
        })
    }

    #[test]
    fn the_review_is_shown_where_it_is_known() {
        let approval = json!({ "at": "2026-11-21T10:00:00Z", "by": "operator" });
        assert_eq!(review(&host("192.0.2.7", &Value::Null)), "unreviewed");
        assert_eq!(review(&host("192.0.2.7", &approval)), "approved");
        assert_eq!(review(&json!({ "ip": "192.0.2.7" })), "", "an older daemon does not say");
    }

    #[test]
    fn what_is_exported_is_taken_back() {
        let approval = json!({ "at": "2026-11-21T10:00:00Z", "by": "=1,\"x\"" });
        let rows = [host("192.0.2.7", &Value::Null), host("::1", &Value::Null), host("2001:db8::7", &approval)];
        let text: String = csv(&rows).map(|record| output::to_record(record).expect("text")).collect();
        assert_eq!(approve::read(text.as_bytes()).expect("a list"), ["192.0.2.7", "::1", "2001:db8::7"], "{text}");
        let approved = text.lines().last().expect("a line");
        assert!(approved.starts_with("2001:db8::7,up,approved,\"'=1,\"\"x\"\"\",2026-11-21 10:00:00Z,"), "{approved}");
        assert!(approved.contains("19, 20\""), "every port: {approved}");
        let nobody: String = csv(&[]).map(|record| output::to_record(record).expect("text")).collect();
        assert_eq!(approve::read(nobody.as_bytes()).expect("a list"), [""; 0]);
    }
}
