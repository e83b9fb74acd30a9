//! What services were recognised by, kept for rules that are yet to come.

use crate::{
    column::{Ms, address, get_address, get_json, json},
    steps::Steps,
};
use jiff::Timestamp;
use model::{Heard, HostKey, Sha256, Transport, Vantage};
use monitor::{AnswerPlace, KeptAnswer};
use rusqlite::{Connection, Row, params, types::Type};

/// Keeps an answer in place of the one before. One that says the same, word for word or not, is not written again: what differs are
/// dates and the like.
pub(crate) fn put(steps: Steps<'_>, vantage: &Vantage, answer: &KeptAnswer, now: Timestamp) -> rusqlite::Result<()> {
    let AnswerPlace { ip, transport, port, name } = &answer.place;
    let name = name.as_ref().map_or("", |name| name.as_str());
    let (vantage, transport, base) = (&*vantage.0, transport.as_str(), json(&answer.heard.base)?);
    let known = steps.first(
        "SELECT base FROM answer WHERE address = ? AND vantage = ? AND transport = ? AND port = ? AND name = ?",
        params![address(*ip), vantage, transport, port, name],
        |row| row.get::<_, String>(0),
    )?;
    if known.is_some_and(|known| known == base) {
        return Ok(());
    }
    let digest = answer.digest;
    steps.execute(
        "INSERT INTO answer_bytes (sha256, bytes) VALUES (?, ?) ON CONFLICT (sha256) DO NOTHING",
        params![digest.0, answer.heard.bytes],
    )?;
    steps.execute(
        "INSERT INTO answer (address, vantage, transport, port, name, at, base, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, (SELECT id FROM answer_bytes WHERE sha256 = ?8))
         ON CONFLICT (address, vantage, transport, port, name)
         DO UPDATE SET at = excluded.at, base = excluded.base, bytes = excluded.bytes",
        params![address(*ip), vantage, transport, port, name, Ms(now), base, digest.0],
    )?;
    Ok(())
}

/// Forgets what was heard at a place that is known no more.
pub(crate) fn remove(
    steps: Steps<'_>,
    host: &HostKey,
    (transport, port, name): (&str, u16, &str),
) -> rusqlite::Result<()> {
    steps.execute(
        "DELETE FROM answer WHERE address = ? AND vantage = ? AND transport = ? AND port = ? AND name = ?",
        params![address(host.ip), &*host.vantage.0, transport, port, name],
    )?;
    Ok(())
}

/// The same for a whole host.
pub(crate) fn remove_all(steps: Steps<'_>, host: &HostKey) -> rusqlite::Result<()> {
    let key = params![address(host.ip), &*host.vantage.0];
    steps.execute("DELETE FROM answer WHERE address = ? AND vantage = ?", key)?;
    Ok(())
}

/// Those of a vantage behind a place, at most so many.
pub(crate) fn page(
    connection: &Connection,
    vantage: &Vantage,
    after: Option<&AnswerPlace>,
    most: usize,
) -> rusqlite::Result<Vec<KeptAnswer>> {
    let (ip, transport, port, name) = after.map_or((Vec::new(), "", 0, ""), |place| {
        let name = place.name.as_ref().map_or("", |name| name.as_str());
        (address(place.ip), place.transport.as_str(), place.port, name)
    });
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT address, transport, port, name, base, b.bytes, b.sha256 FROM answer a JOIN answer_bytes b ON b.id = a.bytes
             WHERE vantage = ?1 AND (address, transport, port, name) > (?2, ?3, ?4, ?5)
             ORDER BY address, transport, port, name LIMIT ?6",
        )?
        .query_map(params![&*vantage.0, ip, transport, port, name, most], read)?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<KeptAnswer> {
    let (transport, name): (String, String) = (row.get(1)?, row.get(3)?);
    let wrong = |column: usize, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error)
    };
    let transport = [Transport::Tcp, Transport::Udp]
        .into_iter()
        .find(|known| known.as_str() == transport)
        .ok_or_else(|| wrong(1, format!("`{transport}` is no transport").into()))?;
    let name =
        if name.is_empty() { None } else { Some(name.parse().map_err(|error| wrong(3, format!("{error}").into()))?) };
    let place = AnswerPlace { ip: get_address(row, 0)?, transport, port: row.get(2)?, name };
    Ok(KeptAnswer { place, digest: Sha256(row.get(6)?), heard: Heard { base: get_json(row, 4)?, bytes: row.get(5)? } })
}
