use super::{
    Question, Reader,
    events::{bare, with_alerts},
};
use crate::{
    StoreError,
    column::{Ms, count, from_json, get_count, get_json, get_time, get_time_or_none},
};
use jiff::Timestamp;
use model::{AddressRange, Alert, AlertId, EventType, Notice, Severity};
use rusqlite::{Connection, Params, Row, ToSql, params, params_from_iter};
use serde::Serialize;

/// How far the telling of an alert has come with one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// In no digest yet.
    Waiting,
    /// In a digest that is being sent.
    Sending,
    Delivered,
    /// Refused, or tried for too long.
    Dead,
}

/// Which alerts; every part that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// Sequence numbers above this: the next page, oldest first.
    pub after: Option<u64>,
    /// Sequence numbers below this: the next page, newest first.
    pub before: Option<u64>,
    pub profile: Option<String>,
    /// Owed to that recipient at some time.
    pub recipient: Option<String>,
    /// In that state with the recipient asked for, or with any.
    pub delivery: Option<DeliveryState>,
    pub types: Vec<EventType>,
    pub within: Vec<AddressRange>,
    pub port: Option<u16>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub min_severity: Option<Severity>,
    pub newest_first: bool,
    pub limit: Option<usize>,
}

/// An alert, and who was told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertRow {
    #[serde(flatten)]
    pub notice: Notice,
    pub told: Vec<Told>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    pub recipient: String,
    pub state: DeliveryState,
    /// The digest it went into.
    pub digest: Option<String>,
    pub attempts: u32,
    /// When it was delivered or given up.
    pub at: Option<Timestamp>,
    /// What the other end said last.
    pub detail: Option<String>,
}

impl Reader {
    /// By sequence number.
    pub async fn alerts(&self, filter: AlertFilter) -> Result<Vec<AlertRow>, StoreError> {
        self.query(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let mut question = Question::new("");
            question.and_some("a.seq > ?", filter.after.map(count));
            question.and_some("a.seq < ?", filter.before.map(count));
            question.and_some("a.profile = ?", filter.profile);
            if filter.recipient.is_some() || filter.delivery.is_some() {
                let mut condition = "EXISTS (SELECT 1 FROM owed o LEFT JOIN digest d ON d.number = o.digest
                         WHERE o.alert = a.seq"
                    .to_owned();
                let mut values: Vec<Box<dyn ToSql>> = Vec::new();
                if let Some(recipient) = filter.recipient {
                    condition.push_str(" AND o.recipient = ?");
                    values.push(Box::new(recipient));
                }
                condition.push_str(match filter.delivery {
                    None => ")",
                    Some(DeliveryState::Waiting) => " AND o.digest IS NULL)",
                    Some(DeliveryState::Sending) => " AND d.number IS NOT NULL AND d.ending IS NULL)",
                    Some(DeliveryState::Delivered) => " AND d.ending = 'delivered')",
                    Some(DeliveryState::Dead) => " AND d.ending = 'dead')",
                });
                question.and(&condition, values);
            }
            question.and_any("e.type", filter.types.iter().map(|kind| kind.as_str()));
            question.and_within("a.event IN (SELECT event FROM event_address WHERE {})", &filter.within);
            question.and_some("e.port = ?", filter.port);
            question.and_some("a.time >= ?", filter.since.map(Ms));
            question.and_some("a.time < ?", filter.until.map(Ms));
            question.and_some("a.severity >= ?", filter.min_severity.map(Severity::get));
            let (tail, values) = question.tail(if filter.newest_first { "a.seq DESC" } else { "a.seq" }, filter.limit);
            let source = format!("FROM alert a JOIN event e ON e.seq = a.event {tail}");
            notices(&connection, &source, params_from_iter(values.iter()), i64::MAX)?
                .into_iter()
                .map(|notice| Ok(AlertRow { told: told(&connection, notice.seq)?, notice }))
                .collect()
        })
        .await
    }
}

/// The alerts `a` that `source` (`FROM … WHERE … ORDER BY …`) names, with their events, and with those events' alerts
/// as far as they were committed up to `until`.
pub(crate) fn notices(
    connection: &Connection,
    source: &str,
    params: impl Params,
    until: i64,
) -> rusqlite::Result<Vec<Notice>> {
    let rows = connection
        .prepare_cached(&format!("SELECT a.seq, a.id, a.profile, a.severity, a.time, a.rules, a.event {source}"))?
        .query_map(params, |row| {
            let severity: u8 = row.get(3)?;
            let severity = Severity::try_from(severity)
                .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(3, severity.into()))?;
            let (seq, event): (u64, i64) = (get_count(row, 0)?, row.get(6)?);
            Ok((seq, get_id(row, 1)?, row.get(2)?, severity, get_time(row, 4)?, get_json(row, 5)?, event))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    rows.into_iter()
        .map(|(seq, id, profile, severity, time, rules, event)| {
            let event = connection
                .prepare_cached("SELECT seq, json FROM event WHERE seq = ?")?
                .query_row(params![event], bare)?;
            let event = with_alerts(connection, event, until)?;
            let alert = Alert { id, event: event.id, profile, rules, severity, time };
            Ok(Notice { seq, alert, event, test: false })
        })
        .collect()
}

pub(super) fn get_id(row: &Row<'_>, column: usize) -> rusqlite::Result<AlertId> {
    let id: String = row.get(column)?;
    from_json(&format!("\"{id}\""), column)
}

fn told(connection: &Connection, seq: u64) -> rusqlite::Result<Vec<Told>> {
    connection
        .prepare_cached(
            "SELECT o.recipient, d.id, d.ending, coalesce(d.attempts, 0), d.ended_at, coalesce(d.answer, d.last_error)
             FROM owed o LEFT JOIN digest d ON d.number = o.digest WHERE o.alert = ? ORDER BY o.recipient",
        )?
        .query_map(params![count(seq)], |row| {
            let (digest, ending): (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
            Ok(Told {
                recipient: row.get(0)?,
                state: match (&digest, ending.as_deref()) {
                    (None, _) => DeliveryState::Waiting,
                    (Some(_), None) => DeliveryState::Sending,
                    (Some(_), Some("delivered")) => DeliveryState::Delivered,
                    (Some(_), Some(_)) => DeliveryState::Dead,
                },
                digest,
                attempts: row.get(3)?,
                at: get_time_or_none(row, 4)?,
                detail: row.get(5)?,
            })
        })?
        .collect()
}
