use super::{Format, Global, row};
use crate::{
    client::Client,
    failure::Outcome,
    output::{self, Table},
};
use clap::Args;
use model::{Certificate, Clock, Sha256, SystemClock, format_duration, parse_duration};
use serde_json::Value;
use std::{collections::BTreeSet, process::ExitCode, time::Duration};

#[derive(Debug, Args)]
pub(crate) struct Certificates {
    /// Only those that end within this, or have ended
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, num_args = 0..=1, default_missing_value = "30d")]
    expiring: Option<Duration>,
    /// Only those with this in their subject or names
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Only those with this in their issuer
    #[arg(long, value_name = "TEXT")]
    issuer: Option<String>,
    /// Also those that nothing serves any longer
    #[arg(long)]
    all: bool,
    /// Only the one with this fingerprint
    #[arg(long, value_name = "HEX")]
    sha256: Option<Sha256>,
    /// Print the certificates themselves, each with what was presented after it
    #[arg(long, conflicts_with = "json")]
    pem: bool,
    /// At most this many [default: all]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    #[command(flatten)]
    format: Format,
}

impl Certificates {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let mut query = Vec::new();
        query.extend(self.expiring.map(|within| ("expiring", format_duration(within))));
        let texts = [("subject", self.subject), ("issuer", self.issuer)];
        query.extend(texts.into_iter().filter_map(|(key, value)| Some((key, value?))));
        query.extend(self.sha256.map(|sha256| ("sha256", sha256.to_string())));
        if self.all {
            query.push(("all", "true".to_owned()));
        }
        let mut client = Client::connect(global).await?;
        let rows: Vec<Value> = client.list("/api/v1/certificates", &query, self.limit).await?;
        if self.pem {
            for state in &rows {
                let sha256 = row::text(state, "/certificate/sha256");
                let items: Vec<String> = client.list(&format!("/api/v1/certificates/{sha256}/pem"), &[], None).await?;
                // Text before a certificate is allowed (RFC 7468 §5.2), and says whose it is.
                let subject = row::text(state, "/certificate/subject");
                output::line(&format!("Subject: {}", output::printable(&subject)))?;
                items.iter().try_for_each(|pem| output::line(pem.trim_end()))?;
            }
        } else if self.format.json {
            rows.iter().try_for_each(output::json)?;
        } else {
            table(&rows).print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn table(rows: &[Value]) -> Table {
    let now = SystemClock.now();
    let mut table = Table::new(&["ENDS", "DAYS", "SUBJECT", "ISSUER", "KEY", "VERDICTS", "WHERE", "SHA-256"]);
    for state in rows {
        let ends = row::timestamp(state, "/certificate/not_after").filter(|ends| *ends < Certificate::NO_END);
        let days = ends.map(|ends| ends.duration_since(now).as_secs().div_euclid(86_400).to_string());
        table.row([
            ends.map_or_else(|| no_end(state).to_owned(), |_| row::time(state, "/certificate/not_after")),
            days.unwrap_or_default(),
            row::text(state, "/certificate/subject"),
            row::text(state, "/certificate/issuer"),
            key(state),
            verdicts(state),
            places(state),
            row::text(state, "/certificate/sha256").chars().take(16).collect(),
        ]);
    }
    table
}

fn no_end(state: &Value) -> &'static str {
    let unreadable = row::array(state, "/certificate/unreadable");
    if unreadable.iter().any(|field| field == "not-after") { "unreadable" } else { "never" }
}

fn key(state: &Value) -> String {
    let key = [row::text(state, "/certificate/key/algorithm"), row::text(state, "/certificate/key/bits")];
    key.join(" ").trim().to_owned()
}

/// What is wrong with it where it is served, and what is weak about it wherever that is.
fn verdicts(state: &Value) -> String {
    let all: BTreeSet<String> =
        row::texts(state, "/verdicts").into_iter().chain(row::texts(state, "/weaknesses")).collect();
    all.into_iter().collect::<Vec<_>>().join(" ")
}

fn places(state: &Value) -> String {
    let place = |place: &Value| {
        let endpoint = place.get(0).map(row::endpoint).unwrap_or_default();
        match place.get(1).and_then(Value::as_str) {
            Some(name) => format!("{endpoint} as {name}"),
            None => endpoint,
        }
    };
    row::array(state, "/endpoints").iter().map(place).collect::<Vec<_>>().join(", ")
}
