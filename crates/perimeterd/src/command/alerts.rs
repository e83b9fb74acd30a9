use super::{Format, Global, events::newest_last, filter::EventFilter, row};
use crate::{
    client::Client,
    failure::Outcome,
    output::{self, Table, change, short_time, subject},
};
use clap::Args;
use model::Notice;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Alerts {
    #[command(flatten)]
    filter: EventFilter,
    /// Only this profile's
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Only what this recipient is told
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Alerts {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let mut query = self.filter.query();
        let texts = [("profile", self.profile), ("recipient", self.recipient)];
        query.extend(texts.into_iter().filter_map(|(key, value)| Some((key, value?))));
        let rows: Vec<Value> = newest_last(global, "/api/v1/alerts", query, &self.filter).await?;
        if self.format.json {
            rows.iter().try_for_each(output::json)?;
        } else {
            table(&rows)?.print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(rows: &[Value]) -> Result<Table, crate::failure::Failure> {
    let mut table = Table::new(&["SEQ", "TIME", "SEVERITY", "TYPE", "WHERE", "WHAT", "RULES", "TOLD"]);
    for alert in rows {
        let notice: Notice = serde_json::from_value(alert.clone()).map_err(Client::not_understood)?;
        table.row([
            notice.seq.to_string(),
            short_time(notice.alert.time),
            format!("{} {}", notice.alert.severity.get(), notice.alert.severity.word()),
            notice.event.kind.to_string(),
            subject(&notice.event),
            change(&notice.event),
            format!("{}: {}", notice.alert.profile, notice.alert.rules.join(", ")),
            told(alert),
        ]);
    }
    Ok(table)
}

fn told(alert: &Value) -> String {
    let one = |told: &Value| format!("{} {}", row::text(told, "/recipient"), row::text(told, "/state"));
    row::array(alert, "/told").iter().map(one).collect::<Vec<_>>().join(", ")
}
