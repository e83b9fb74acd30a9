use super::{Question, Reader};
use crate::{
    StoreError,
    column::{Ms, count, get_count, get_json},
};
use jiff::Timestamp;
use model::{AddressRange, AlertRef, Event, EventId, EventType, Severity, Transport, Vantage};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

/// Which events; every part that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Sequence numbers above this: the next page, oldest first.
    pub after: Option<u64>,
    /// Sequence numbers below this: the next page, newest first.
    pub before: Option<u64>,
    /// One of these; empty: any.
    pub types: Vec<EventType>,
    /// About an address in one of these, its host's or that of one of its further endpoints; empty: any, and events that
    /// are about no address.
    pub within: Vec<AddressRange>,
    pub transport: Option<Transport>,
    pub port: Option<u16>,
    /// The name the service was asked under.
    pub name: Option<String>,
    /// Not earlier than this.
    pub since: Option<Timestamp>,
    /// Earlier than this.
    pub until: Option<Timestamp>,
    pub min_severity: Option<Severity>,
    /// Its own profile, or that of one of its alerts.
    pub profile: Option<String>,
    pub sensor: Option<Vantage>,
    /// Whether it became an alert.
    pub alerted: Option<bool>,
    pub newest_first: bool,
    pub limit: Option<usize>,
}

impl Reader {
    /// With sequence number and alerts, by sequence number.
    pub async fn events(&self, filter: EventFilter) -> Result<Vec<Event>, StoreError> {
        self.query(move |connection| find(&*connection.unchecked_transaction()?, &filter)).await
    }

    pub async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        self.query(move |connection| {
            let connection = connection.unchecked_transaction()?;
            connection
                .prepare_cached("SELECT seq, json FROM event WHERE id = ?")?
                .query_row(params![id.to_string()], bare)
                .optional()?
                .map(|event| with_alerts(&connection, event, i64::MAX))
                .transpose()
        })
        .await
    }
}

pub(super) fn find(connection: &Connection, filter: &EventFilter) -> rusqlite::Result<Vec<Event>> {
    let mut question = Question::new("SELECT seq, json FROM event e");
    question.and_some("seq > ?", filter.after.map(count));
    question.and_some("seq < ?", filter.before.map(count));
    question.and_any("type", filter.types.iter().map(|kind| kind.as_str()));
    question.and_within("seq IN (SELECT event FROM event_address WHERE {})", &filter.within);
    question.and_some("transport = ?", filter.transport.map(Transport::as_str));
    question.and_some("port = ?", filter.port);
    question.and_some("name = ?", filter.name.clone());
    question.and_some("time >= ?", filter.since.map(Ms));
    question.and_some("time < ?", filter.until.map(Ms));
    question.and_some("severity >= ?", filter.min_severity.map(Severity::get));
    if let Some(profile) = &filter.profile {
        let twice: [Box<dyn ToSql>; 2] = [Box::new(profile.clone()), Box::new(profile.clone())];
        let alert = "SELECT 1 FROM alert a WHERE a.event = e.seq AND a.profile = ?";
        question.and(&format!("profile = ? OR EXISTS ({alert})"), twice);
    }
    question.and_some("vantage = ?", filter.sensor.as_ref().map(|sensor| sensor.0.to_string()));
    question.and_some("EXISTS (SELECT 1 FROM alert a WHERE a.event = e.seq) = ?", filter.alerted);
    let order = if filter.newest_first { "seq DESC" } else { "seq" };
    let events = question.ask(connection, order, filter.limit, bare)?;
    events.into_iter().map(|event| with_alerts(connection, event, i64::MAX)).collect()
}

/// Columns: seq, json.
pub(super) fn bare(row: &Row<'_>) -> rusqlite::Result<Event> {
    let seq = get_count(row, 0)?;
    Ok(Event { seq: Some(seq), ..get_json(row, 1)? })
}

/// Names the alerts it became, as far as they were committed up to `until`.
pub(super) fn with_alerts(connection: &Connection, event: Event, until: i64) -> rusqlite::Result<Event> {
    let alerts = connection
        .prepare_cached("SELECT id, profile, rules FROM alert WHERE event = ? AND seq <= ? ORDER BY seq")?
        .query_map(params![event.seq.map(count), until], |row| {
            Ok(AlertRef { id: super::alerts::get_id(row, 0)?, profile: row.get(1)?, rules: get_json(row, 2)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Event { alerts, ..event })
}
