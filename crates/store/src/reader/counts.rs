use super::Reader;
use crate::{
    StoreError,
    column::{count, from_json, get_count, get_time, get_time_or_none},
};
use jiff::Timestamp;
use model::EventType;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    pub hosts: u64,
    pub hosts_up: u64,
    /// Open now.
    pub endpoints: u64,
    /// Served now.
    pub certificates: u64,
    pub events: u64,
    /// The highest sequence number, 0 where there is none.
    pub newest_event: u64,
    pub alerts: u64,
    pub newest_alert: u64,
    /// Alerts owed and not delivered, counted once a recipient.
    pub owed: u64,
    /// The file's size without its log, in bytes.
    pub bytes: u64,
}

/// How delivery to one recipient goes. Only recipients that were ever owed something have a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecipientRow {
    pub recipient: String,
    /// Alerts owed and not delivered.
    pub backlog: u64,
    /// When the oldest of them was raised.
    pub oldest: Option<Timestamp>,
    /// Alerts delivered, as far as they are still kept.
    pub delivered: u64,
    /// Alerts given up, as far as they are still kept.
    pub dead: u64,
    pub last_delivered: Option<Timestamp>,
    /// Of the digest that is being sent, or, where none is, of one that was given up after the last delivery.
    pub last_error: Option<String>,
    pub next_try: Option<Timestamp>,
}

impl Reader {
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT (SELECT count(*) FROM host WHERE told), (SELECT count(*) FROM host WHERE up),
                         (SELECT count(*) FROM (SELECT DISTINCT address, vantage, transport, port FROM service
                             WHERE status = 'open')),
                         (SELECT count(*) FROM certificate WHERE served), (SELECT count(*) FROM event),
                         (SELECT coalesce(max(seq), 0) FROM event), (SELECT count(*) FROM alert),
                         (SELECT coalesce(max(seq), 0) FROM alert),
                         (SELECT count(*) FROM owed WHERE digest IS NULL
                             OR digest IN (SELECT number FROM digest WHERE ended_at IS NULL)),
                         (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)",
                )?
                .query_row([], |row| {
                    Ok(Counts {
                        hosts: get_count(row, 0)?,
                        hosts_up: get_count(row, 1)?,
                        endpoints: get_count(row, 2)?,
                        certificates: get_count(row, 3)?,
                        events: get_count(row, 4)?,
                        newest_event: get_count(row, 5)?,
                        alerts: get_count(row, 6)?,
                        newest_alert: get_count(row, 7)?,
                        owed: get_count(row, 8)?,
                        bytes: get_count(row, 9)?,
                    })
                })
        })
        .await
    }

    /// How many events of each type were committed after that sequence number, and the highest sequence number among
    /// them (`after` where there is none).
    pub async fn events_by_type(&self, after: u64) -> Result<(Vec<(EventType, u64)>, u64), StoreError> {
        self.query(move |connection| {
            let rows = connection
                .prepare_cached("SELECT type, count(*), max(seq) FROM event WHERE seq > ? GROUP BY type")?
                .query_map(params![count(after)], |row| {
                    let word: String = row.get(0)?;
                    Ok((from_json(&format!("\"{word}\""), 0)?, get_count(row, 1)?, get_count(row, 2)?))
                })?
                .collect::<rusqlite::Result<Vec<(EventType, u64, u64)>>>()?;
            let newest = rows.iter().map(|&(_, _, newest)| newest).max().unwrap_or(after);
            Ok((rows.into_iter().map(|(kind, count, _)| (kind, count)).collect(), newest))
        })
        .await
    }

    /// Ascending by name.
    pub async fn recipients(&self) -> Result<Vec<RecipientRow>, StoreError> {
        self.query(|connection| {
            let connection = connection.unchecked_transaction()?;
            let rows = connection
                .prepare_cached(
                    "SELECT o.recipient, sum(d.ending IS NULL), min(CASE WHEN d.ending IS NULL THEN a.time END),
                         coalesce(sum(d.ending = 'delivered'), 0), coalesce(sum(d.ending = 'dead'), 0)
                     FROM owed o JOIN alert a ON a.seq = o.alert LEFT JOIN digest d ON d.number = o.digest
                     GROUP BY o.recipient ORDER BY o.recipient",
                )?
                .query_map([], tally)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            rows.into_iter().map(|row| with_digests(&connection, row)).collect()
        })
        .await
    }
}

fn tally(row: &Row<'_>) -> rusqlite::Result<RecipientRow> {
    Ok(RecipientRow {
        recipient: row.get(0)?,
        backlog: get_count(row, 1)?,
        oldest: get_time_or_none(row, 2)?,
        delivered: get_count(row, 3)?,
        dead: get_count(row, 4)?,
        last_delivered: None,
        last_error: None,
        next_try: None,
    })
}

fn with_digests(connection: &Connection, mut row: RecipientRow) -> rusqlite::Result<RecipientRow> {
    row.last_delivered = connection
        .prepare_cached("SELECT max(ended_at) FROM digest WHERE recipient = ? AND ending = 'delivered'")?
        .query_row(params![row.recipient], |found| get_time_or_none(found, 0))?;
    // The newest digest: open, or ended.
    let mut newest = connection.prepare_cached(
        "SELECT ending, next_try, last_error, answer FROM digest WHERE recipient = ? ORDER BY number DESC LIMIT 1",
    )?;
    let mut rows = newest.query(params![row.recipient])?;
    if let Some(digest) = rows.next()? {
        match digest.get::<_, Option<String>>(0)?.as_deref() {
            None => (row.next_try, row.last_error) = (Some(get_time(digest, 1)?), digest.get(2)?),
            Some("dead") => row.last_error = digest.get(3)?,
            Some(_) => {}
        }
    }
    Ok(row)
}
