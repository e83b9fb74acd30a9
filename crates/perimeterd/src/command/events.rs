use super::{Format, Global, filter::EventFilter};
use crate::{
    client::Client,
    failure::{Failure, Outcome},
    output::{self, Table, change, short_time, subject},
};
use clap::Args;
use model::Event;
use serde::de::DeserializeOwned;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Events {
    #[command(flatten)]
    filter: EventFilter,
    /// Only this profile's
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Events {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let mut query = self.filter.query();
        query.extend(self.profile.map(|profile| ("profile", profile)));
        let events: Vec<Event> = newest_last(global, "/api/v1/events", query, &self.filter).await?;
        if self.format.json {
            events.iter().try_for_each(output::json)?;
        } else {
            table(&events).print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The newest that pass, in the order they were committed; or, after a sequence number, the first that do.
pub(super) async fn newest_last<T: DeserializeOwned>(
    global: &Global,
    path: &str,
    mut query: Vec<(&'static str, String)>,
    filter: &EventFilter,
) -> Result<Vec<T>, Failure> {
    let mut client = Client::connect(global).await?;
    if let Some(after) = filter.after {
        return client.list_after(path, &query, Some(filter.limit), Some(after.to_string())).await;
    }
    query.push(("newest", "true".to_owned()));
    let mut rows = client.list(path, &query, Some(filter.limit)).await?;
    rows.reverse();
    Ok(rows)
}

pub(super) fn table(events: &[Event]) -> Table {
    let mut table = Table::new(&["SEQ", "TIME", "SEVERITY", "TYPE", "WHERE", "WHAT"]);
    for event in events {
        table.row([
            event.seq.map(|seq| seq.to_string()).unwrap_or_default(),
            short_time(event.time),
            format!("{} {}", event.severity.get(), event.severity.word()),
            event.kind.to_string(),
            subject(event),
            change(event),
        ]);
    }
    table
}
