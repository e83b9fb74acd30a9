//! The monitor's journal.

use crate::{
    Store, answers,
    column::{Ms, address, get_count, get_json, json},
    history::Ending,
    host, load, probes,
    steps::Steps,
};
use inventory::{CertificateState, HostState, PoolState, Region};
use jiff::Timestamp;
use model::{Alert, Event, EventType, HostKey, Sha256, Vantage};
use monitor::{
    AnswerPlace, Batch, Committed, Journal, JournalError, KeptAnswer, LeaseRecord, Note, PassRecord, Restored,
    Violations,
};
use notifiers::Owed;
use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

/// How many passes of each profile and lane are kept.
const PASSES: i64 = 100;

impl Journal for Store {
    async fn load<H>(&self, mut hosts: H) -> Result<(H, Restored), JournalError>
    where
        H: Extend<HostState> + Send + 'static,
    {
        let vantage = self.shared.vantage.clone();
        let restore = move |connection: &Connection| {
            let restored = restore(connection, &vantage, &mut hosts)?;
            Ok((hosts, restored))
        };
        Ok(self.shared.reader.query(restore).await?)
    }

    async fn commit(&self, batch: impl Into<Arc<Batch>> + Send) -> Result<Committed, JournalError> {
        let batch = batch.into();
        if batch.is_empty() {
            return Ok(Committed::default());
        }
        let (now, vantage) = (self.shared.clock.now(), self.shared.vantage.clone());
        self.write(move |steps| commit(steps, &batch, &vantage, now)).await.map_err(JournalError::from)
    }

    async fn answers(&self, after: Option<AnswerPlace>, most: usize) -> Result<Vec<KeptAnswer>, JournalError> {
        let vantage = self.shared.vantage.clone();
        let page = move |connection: &Connection| answers::page(connection, &vantage, after.as_ref(), most);
        Ok(self.shared.reader.query(page).await?)
    }
}

/// What this vantage knew. Hosts of others are restored as well: what to make of them is the inventory's business.
fn restore<H>(connection: &Connection, vantage: &Vantage, hosts: &mut H) -> rusqlite::Result<Restored>
where
    H: Extend<HostState> + Send,
{
    // One snapshot: a commit between two of these reads must not show in one and not in the other.
    let connection = connection.unchecked_transaction()?;
    load::hosts(&connection, hosts)?;
    Ok(Restored {
        certificates: all(&connection, "SELECT state FROM certificate ORDER BY sha256")?,
        regions: ours(&connection, "SELECT state FROM region WHERE vantage = ? ORDER BY profile, lane", vantage)?,
        baselines: connection
            .prepare_cached("SELECT profile FROM baseline WHERE vantage = ? ORDER BY profile")?
            .query_map([&*vantage.0], |row| row.get::<_, String>(0).map(Into::into))?
            .collect::<rusqlite::Result<_>>()?,
        passes: ours(
            &connection,
            "SELECT record FROM pass p WHERE vantage = ? AND id = (
                 SELECT id FROM pass WHERE vantage = p.vantage AND profile = p.profile AND lane = p.lane
                 ORDER BY started DESC, id DESC LIMIT 1)
             ORDER BY profile, lane",
            vantage,
        )?,
        violations: all(&connection, "SELECT record FROM violation ORDER BY address, vantage")?,
        leases: ours(&connection, "SELECT record FROM lease WHERE vantage = ? ORDER BY asset, name", vantage)?,
        halted: connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM setting WHERE name = 'halted' AND value = 'true')",
            [],
            |row| row.get(0),
        )?,
        pools: ours(&connection, "SELECT state FROM pool WHERE vantage = ? ORDER BY asset", vantage)?,
        notes: connection
            .prepare_cached("SELECT kind, key, value FROM note WHERE vantage = ? ORDER BY kind, key")?
            .query_map([&*vantage.0], |row| Ok(Note { kind: row.get(0)?, key: row.get(1)?, value: row.get(2)? }))?
            .collect::<rusqlite::Result<_>>()?,
        // What was let go since was told all the same.
        events: connection.query_row(
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)",
            [],
            |row| get_count(row, 0),
        )?,
    })
}

fn all<T: DeserializeOwned>(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map([], |row| get_json(row, 0))?.collect()
}

fn ours<T: DeserializeOwned>(connection: &Connection, sql: &str, vantage: &Vantage) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map([&*vantage.0], |row| get_json(row, 0))?.collect()
}

fn commit(steps: Steps<'_>, batch: &Batch, vantage: &Vantage, now: Timestamp) -> rusqlite::Result<Committed> {
    for gone in &batch.removed_hosts {
        host::remove(steps, gone, now, ending_of(gone, &batch.events))?;
    }
    batch.hosts.iter().try_for_each(|state| host::put(steps, state, now))?;
    batch.violations.iter().try_for_each(|violations| put_violations(steps, violations))?;
    for sha256 in &batch.removed_certificates {
        let key = params![sha256.to_string()];
        steps.execute("DELETE FROM certificate WHERE sha256 = ?", key)?;
        steps.execute("DELETE FROM certificate_der WHERE sha256 = ?", key)?;
    }
    batch.certificates.iter().try_for_each(|certificate| put_certificate(steps, certificate))?;
    batch.certificate_der.iter().try_for_each(|(sha256, der)| put_der(steps, *sha256, der))?;
    for (profile, lane) in &batch.removed_regions {
        let key = params![&*vantage.0, &**profile, lane.as_str()];
        steps.execute("DELETE FROM region WHERE vantage = ? AND profile = ? AND lane = ?", key)?;
    }
    batch.regions.iter().try_for_each(|region| put_region(steps, vantage, region))?;
    for profile in &batch.baselines {
        let sql = "INSERT OR IGNORE INTO baseline (vantage, profile, at) VALUES (?, ?, ?)";
        steps.execute(sql, params![&*vantage.0, &**profile, Ms(now)])?;
    }
    batch.passes.iter().try_for_each(|pass| put_pass(steps, vantage, pass))?;
    if let Some(leases) = &batch.leases {
        put_leases(steps, vantage, leases)?;
    }
    if let Some(halted) = batch.halted {
        steps.execute(
            "INSERT INTO setting (name, value) VALUES ('halted', ?1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            params![halted.to_string()],
        )?;
    }
    for asset in &batch.removed_pools {
        steps.execute("DELETE FROM pool WHERE vantage = ? AND asset = ?", params![&*vantage.0, &**asset])?;
    }
    batch.pools.iter().try_for_each(|pool| put_pool(steps, vantage, pool))?;
    batch.notes.iter().try_for_each(|note| put_note(steps, vantage, note))?;
    batch.answers.iter().try_for_each(|answer| answers::put(steps, vantage, answer, now))?;
    batch.probes.iter().try_for_each(|entry| probes::put(steps, entry, vantage, now))?;
    let events = batch.events.iter().map(|event| put_event(steps, event)).collect::<rusqlite::Result<_>>()?;
    let alerts = batch.alerts.iter().map(|alert| put_alert(steps, alert)).collect::<rusqlite::Result<_>>()?;
    batch.owed.iter().try_for_each(|owed| put_owed(steps, owed))?;
    Ok(Committed { events, alerts })
}

/// Why a host was removed: purged, if that is what is told of it.
fn ending_of(host: &HostKey, events: &[Event]) -> Ending {
    let purged = events.iter().any(|event| {
        event.kind == EventType::HostPurged && event.host.as_ref().is_some_and(|about| about.ip == host.ip)
    });
    if purged { Ending::Purged } else { Ending::Released }
}

fn put_violations(steps: Steps<'_>, violations: &Violations) -> rusqlite::Result<()> {
    let (vantage, ip) = (&*violations.host.vantage.0, address(violations.host.ip));
    if violations.broken.is_empty() {
        steps.execute("DELETE FROM violation WHERE address = ? AND vantage = ?", params![ip, vantage])?;
    } else {
        steps.execute(
            "INSERT INTO violation (vantage, address, record) VALUES (?1, ?2, ?3)
             ON CONFLICT (address, vantage) DO UPDATE SET record = excluded.record",
            params![vantage, ip, json(violations)?],
        )?;
    }
    Ok(())
}

fn put_certificate(steps: Steps<'_>, state: &CertificateState) -> rusqlite::Result<()> {
    let certificate = &state.certificate;
    steps.execute(
        "INSERT INTO certificate (sha256, spki_sha256, subject, issuer, not_before, not_after, served, first_seen,
             last_seen, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (sha256) DO UPDATE SET spki_sha256 = excluded.spki_sha256, subject = excluded.subject,
             issuer = excluded.issuer, not_before = excluded.not_before, not_after = excluded.not_after,
             served = excluded.served, first_seen = excluded.first_seen, last_seen = excluded.last_seen,
             state = excluded.state",
        params![
            certificate.sha256.to_string(),
            certificate.spki_sha256.to_string(),
            certificate.subject,
            certificate.issuer,
            Ms(certificate.not_before),
            Ms(certificate.not_after),
            !state.endpoints.is_empty(),
            Ms(state.first_seen),
            Ms(state.last_seen),
            json(state)?,
        ],
    )?;
    Ok(())
}

fn put_der(steps: Steps<'_>, sha256: Sha256, der: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO certificate_der (sha256, der) VALUES (?, ?)";
    steps.execute(sql, params![sha256.to_string(), der]).map(drop)
}

fn put_region(steps: Steps<'_>, vantage: &Vantage, region: &Region) -> rusqlite::Result<()> {
    steps.execute(
        "INSERT INTO region (vantage, profile, lane, state) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (vantage, profile, lane) DO UPDATE SET state = excluded.state",
        params![&*vantage.0, &*region.profile, region.lane.as_str(), json(region)?],
    )?;
    Ok(())
}

fn put_pass(steps: Steps<'_>, vantage: &Vantage, pass: &PassRecord) -> rusqlite::Result<()> {
    let id = pass.id.to_string();
    let finished = pass.finished.map(Ms);
    let known = steps
        .execute("UPDATE pass SET finished = ?2, record = ?3 WHERE id = ?1", params![id, finished, json(pass)?])?;
    if known > 0 {
        return Ok(());
    }
    let (profile, lane) = (&*pass.profile, pass.lane.as_str());
    steps.execute(
        "INSERT INTO pass (id, vantage, profile, lane, started, finished, record) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![id, &*vantage.0, profile, lane, Ms(pass.started), finished, json(pass)?],
    )?;
    steps.execute(
        "DELETE FROM pass WHERE id IN (
             SELECT id FROM pass WHERE vantage = ? AND profile = ? AND lane = ?
             ORDER BY started DESC, id DESC LIMIT -1 OFFSET ?)",
        params![&*vantage.0, profile, lane, PASSES],
    )?;
    Ok(())
}

fn put_leases(steps: Steps<'_>, vantage: &Vantage, leases: &[LeaseRecord]) -> rusqlite::Result<()> {
    steps.execute("DELETE FROM lease WHERE vantage = ?", params![&*vantage.0])?;
    for lease in leases {
        steps.execute(
            "INSERT OR REPLACE INTO lease (vantage, asset, name, record) VALUES (?, ?, ?, ?)",
            params![&*vantage.0, &*lease.asset, lease.name, json(lease)?],
        )?;
    }
    Ok(())
}

fn put_pool(steps: Steps<'_>, vantage: &Vantage, pool: &PoolState) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO pool (vantage, asset, state) VALUES (?, ?, ?)";
    steps.execute(sql, params![&*vantage.0, &*pool.asset, json(pool)?]).map(drop)
}

fn put_note(steps: Steps<'_>, vantage: &Vantage, note: &Note) -> rusqlite::Result<()> {
    let Note { kind, key, value } = note;
    let done = if let Some(value) = value {
        let sql = "INSERT OR REPLACE INTO note (vantage, kind, key, value) VALUES (?, ?, ?, ?)";
        steps.execute(sql, params![&*vantage.0, kind, key, value])
    } else {
        let sql = "DELETE FROM note WHERE vantage = ? AND kind = ? AND key = ?";
        steps.execute(sql, params![&*vantage.0, kind, key])
    };
    done.map(drop)
}

/// Gives the event its place, or finds the one it was given: after an uncertain commit the same batch comes again.
fn put_event(steps: Steps<'_>, event: &Event) -> rusqlite::Result<u64> {
    let id = event.id.to_string();
    let known = steps.first("SELECT seq FROM event WHERE id = ?", params![id], |row| get_count(row, 0))?;
    if let Some(seq) = known {
        return Ok(seq);
    }
    // Its place and its alerts stand in columns and rows of their own.
    let bare = Event { seq: None, alerts: Vec::new(), ..event.clone() };
    steps.execute(
        "INSERT INTO event (id, type, severity, time, vantage, profile, transport, port, name, json)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            id,
            event.kind.as_str(),
            event.severity.get(),
            Ms(event.time),
            &*event.sensor.0,
            event.profile,
            event.endpoint.map(|endpoint| endpoint.transport.as_str()),
            event.endpoint.map(|endpoint| endpoint.port),
            event.name,
            json(&bare)?,
        ],
    )?;
    let seq = steps.last_rowid();
    for ip in addresses(event) {
        steps.execute("INSERT INTO event_address (address, event) VALUES (?, ?)", params![address(ip), seq])?;
    }
    Ok(seq.unsigned_abs())
}

/// Every address the event is about.
fn addresses(event: &Event) -> BTreeSet<std::net::IpAddr> {
    let further = event.endpoints.iter().filter_map(|text| {
        let (socket, _transport) = text.rsplit_once('/')?;
        Some(socket.parse::<SocketAddr>().ok()?.ip())
    });
    event.host.iter().map(|host| host.ip).chain(further).collect()
}

fn put_alert(steps: Steps<'_>, alert: &Alert) -> rusqlite::Result<u64> {
    let id = alert.id.to_string();
    let known = steps.first("SELECT seq FROM alert WHERE id = ?", params![id], |row| get_count(row, 0))?;
    if let Some(seq) = known {
        return Ok(seq);
    }
    steps.execute(
        "INSERT INTO alert (id, event, profile, severity, time, rules)
         VALUES (?, (SELECT seq FROM event WHERE id = ?), ?, ?, ?, ?)",
        params![id, alert.event.to_string(), alert.profile, alert.severity.get(), Ms(alert.time), json(&alert.rules)?],
    )?;
    Ok(steps.last_rowid().unsigned_abs())
}

/// Owed once, whatever became of it: a repeat of the batch finds the row and leaves it.
fn put_owed(steps: Steps<'_>, owed: &Owed) -> rusqlite::Result<()> {
    let known = steps
        .first("SELECT seq FROM alert WHERE id = ?", params![owed.alert.to_string()], |row| row.get::<_, i64>(0))?;
    steps.execute(
        "INSERT INTO owed (recipient, alert) VALUES (?, ?) ON CONFLICT (recipient, alert) DO NOTHING",
        params![owed.recipient, known],
    )?;
    Ok(())
}
