use super::Reader;
use crate::{
    StoreError,
    column::{address, count, get_address, get_count, get_time, get_time_or_none},
};
use jiff::Timestamp;
use model::{PassId, PortSet, Transport};
use monitor::{
    GAP, Numbering,
    ledger::{Errand, Mode, Order, Places, Subject, Territory, Touch, Volley, VolleyId, Why},
};
use rusqlite::{Connection, Row, params, types::Type};
use serde::Serialize;
use std::net::IpAddr;

/// Of whom the probe ledger is asked; every part that is set must hold.
#[derive(Debug, Clone)]
pub struct ProbeFilter {
    pub ip: IpAddr,
    pub transport: Option<Transport>,
    /// None: any.
    pub port: Option<u16>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Only volleys that come before that one.
    pub before: Option<u64>,
    pub limit: usize,
}

/// A volley that touched what was asked after, or may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeRow {
    /// The volley's; they ascend by when it began. A text in JSON: it is longer than numbers are there.
    #[serde(serialize_with = "as_text")]
    pub id: u64,
    pub sensor: String,
    pub ip: IpAddr,
    /// The ports of it that were asked.
    #[serde(serialize_with = "as_text", skip_serializing_if = "PortSet::is_empty")]
    pub tcp: PortSet,
    #[serde(serialize_with = "as_text", skip_serializing_if = "PortSet::is_empty")]
    pub udp: PortSet,
    /// When the first and the last of them was asked, reckoned from their places in the order.
    pub first: Timestamp,
    pub last: Timestamp,
    /// Between these it was for certain, if it was. No later bound: the volley is under way, or the daemon was killed
    /// before its end.
    pub not_before: Timestamp,
    pub not_after: Option<Timestamp>,
    /// False: it may have been, or may not.
    pub sure: bool,
    pub why: &'static str,
    pub profile: Option<String>,
    pub lane: Option<String>,
    pub pass: Option<PassId>,
    /// Counted from 1.
    pub attempt: u8,
    /// Where it differs, whoever did not answer the attempts before was asked up to this one.
    pub last_attempt: u8,
    pub mode: &'static str,
    pub source: Option<IpAddr>,
}

/// What the probe ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probes {
    /// It knows of everything that was asked since then. None: nothing ever was.
    pub since: Option<Timestamp>,
    /// When the daemon was killed in the time that was asked after: single questions of its last seconds may be missing.
    pub gaps: Vec<Gap>,
    /// The newest first.
    pub rows: Vec<ProbeRow>,
}

/// A kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// It was seen at work then.
    pub from: Timestamp,
    /// And began again then.
    pub to: Timestamp,
}

impl Reader {
    /// Whether, when and why an address or one of its ports was asked.
    pub async fn probes(&self, filter: ProbeFilter) -> Result<Probes, StoreError> {
        self.query(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let since = connection
                .prepare_cached("SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'probes_since'")?
                .query_map([], |row| get_time(row, 0))?
                .next()
                .transpose()?;
            let mut rows = Vec::new();
            let mut territories = connection.prepare_cached(
                "SELECT id, content FROM probe_territory WHERE low <= ?1 AND high >= ?1 ORDER BY id DESC",
            )?;
            let mut found = territories.query(params![address(filter.ip)])?;
            while let Some(row) = found.next()? {
                let (territory, content) = (row.get(0)?, row.get_ref(1)?.as_blob()?);
                let numbering = Territory::read(content)
                    .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, Box::new(error)))?;
                if numbering.host_index(filter.ip).is_some() {
                    of_territory(&connection, territory, &numbering, &filter, &mut rows)?;
                }
            }
            rows.sort_by_key(|row| std::cmp::Reverse(row.id));
            rows.truncate(filter.limit);
            let gaps = gaps(&connection, &filter)?;
            Ok(Probes { since, gaps, rows })
        })
        .await
    }
}

fn gaps(connection: &Connection, filter: &ProbeFilter) -> rusqlite::Result<Vec<Gap>> {
    let mut notes = connection.prepare_cached("SELECT key, value FROM note WHERE kind = ?1 ORDER BY key")?;
    let notes = notes.query_map([GAP], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut gaps = Vec::new();
    for note in notes {
        let (from, to) = note?;
        // Written by the monitor; one that cannot be read is said by it when it starts.
        let (Ok(from), Ok(to)) = (from.parse(), to.parse()) else { continue };
        if filter.until.is_none_or(|until| from <= until) && filter.since.is_none_or(|since| to >= since) {
            gaps.push(Gap { from, to });
        }
    }
    Ok(gaps)
}

fn of_territory(
    connection: &Connection,
    territory: i64,
    numbering: &Numbering,
    filter: &ProbeFilter,
    rows: &mut Vec<ProbeRow>,
) -> rusqlite::Result<()> {
    let subject = Subject { ip: filter.ip, transport: filter.transport, port: filter.port };
    // Volleys in one order share the places.
    let mut places: Option<(Option<u64>, Places)> = None;
    let mut volleys = connection.prepare_cached(
        "SELECT v.id, v.attempt, v.last_attempt, v.raw, v.source, v.seed, v.moments, v.first_index, v.end_index, v.some,
             v.began, v.ended, e.vantage, e.profile, e.lane, e.pass, e.why
         FROM probe_volley v JOIN probe_errand e ON e.id = v.errand
         WHERE v.territory = ?1 AND v.id < ?2 AND (v.ended IS NULL OR v.ended >= ?3) AND v.began <= ?4
         ORDER BY v.id DESC",
    )?;
    let mut volleys = volleys.query(params![
        territory,
        filter.before.map_or(i64::MAX, count),
        filter.since.map_or(i64::MIN, Timestamp::as_millisecond),
        filter.until.map_or(i64::MAX, Timestamp::as_millisecond),
    ])?;
    let mut left = filter.limit;
    while let Some(row) = volleys.next()?
        && left > 0
    {
        let volley = volley(row)?;
        let seed = match volley.order {
            Order::Permuted(seed) => Some(seed),
            Order::Ascending | Order::Moments(_) => None,
        };
        let known = places.take().filter(|(known, _)| *known == seed).map(|(_, places)| places);
        let these = known.unwrap_or_else(|| Places::of(numbering, &volley.order, &subject));
        let touch = these.touched(numbering, &volley).filter(|touch| is_within(touch, filter));
        places = Some((seed, these));
        if let Some(touch) = touch {
            rows.push(probe_row(row, &volley, touch, filter.ip)?);
            left -= 1;
        }
    }
    Ok(())
}

/// What may have been within the time is not left out.
fn is_within(touch: &Touch, filter: &ProbeFilter) -> bool {
    let latest = if touch.sure { Some(touch.last) } else { touch.not_after };
    let earliest = if touch.sure { touch.first } else { touch.not_before };
    filter.since.is_none_or(|since| latest.is_none_or(|latest| latest >= since))
        && filter.until.is_none_or(|until| earliest <= until)
}

fn volley(row: &Row<'_>) -> rusqlite::Result<Volley> {
    let seed: Option<i64> = row.get(5)?;
    let moments = row.get_ref(6)?.as_blob_or_null()?;
    let order = match (seed, moments) {
        (Some(seed), _) => Order::Permuted(seed.cast_unsigned()),
        (None, Some(moments)) => Order::Moments(moments.into()),
        (None, None) => Order::Ascending,
    };
    let indices = row.get::<_, i64>(7)?.cast_unsigned()..row.get::<_, i64>(8)?.cast_unsigned();
    let source = row.get_ref(4)?.as_blob_or_null()?.map(|_| get_address(row, 4)).transpose()?;
    Ok(Volley {
        id: VolleyId::from_number(get_count(row, 0)?),
        // What it was for stands in the row beside it.
        errand: Errand { profile: None, lane: None, pass: None, why: Why::Lane },
        attempts: (row.get(1)?, row.get(2)?),
        // One of a later version was sent by packets, whatever they were.
        mode: Mode::from_number(row.get(3)?).unwrap_or(Mode::Raw),
        source,
        order,
        indices,
        some: row.get(9)?,
        began: get_time(row, 10)?,
        ended: get_time_or_none(row, 11)?,
    })
}

fn probe_row(row: &Row<'_>, volley: &Volley, touch: Touch, ip: IpAddr) -> rusqlite::Result<ProbeRow> {
    let why: String = row.get(16)?;
    let unknown = || rusqlite::Error::FromSqlConversionFailure(16, Type::Text, format!("`{why}` is no reason").into());
    let text = |column: usize| row.get::<_, String>(column).map(|text| Some(text).filter(|text| !text.is_empty()));
    let pass = row.get_ref(15)?.as_blob()?;
    Ok(ProbeRow {
        id: volley.id.number(),
        sensor: row.get(12)?,
        ip,
        tcp: touch.tcp,
        udp: touch.udp,
        first: touch.first,
        last: touch.last,
        not_before: touch.not_before,
        not_after: touch.not_after,
        sure: touch.sure,
        why: Why::named(&why).ok_or_else(unknown)?.as_str(),
        profile: text(13)?,
        lane: text(14)?,
        pass: uuid::Uuid::from_slice(pass).ok().map(PassId),
        attempt: volley.attempts.0,
        last_attempt: volley.attempts.1,
        mode: volley.mode.as_str(),
        source: volley.source,
    })
}

fn as_text<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
