//! A host in rows: its state, one row for each of its services, and what each of them was before.

use crate::{
    answers,
    column::{Ms, address, json},
    history::{self, Ending, Facts},
    steps::Steps,
};
use inventory::{EndpointState, HostState, PortStatus, ServiceState};
use jiff::Timestamp;
use model::HostKey;
use rusqlite::{Row, params};
use std::collections::BTreeMap;

/// Transport, port and the name it was asked under.
type Place = (String, u16, String);

/// One row of `service`, as it is stored.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    status: String,
    reason: String,
    facts: Facts,
    service: Option<String>,
    tls: Option<String>,
    first_seen: i64,
    last_seen: i64,
    changed_at: i64,
    since: Option<i64>,
}

/// Stores the host. Rows that stay the same are not written; what ended goes into the past.
pub(crate) fn put(steps: Steps<'_>, host: &HostState, now: Timestamp) -> rusqlite::Result<()> {
    let (vantage, ip) = (&*host.key.vantage.0, address(host.key.ip));
    let known: Option<(bool, Option<i64>)> = steps.first(
        "SELECT told, up_since FROM host WHERE address = ? AND vantage = ?",
        params![ip, vantage],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let was_up = known.and_then(|(_, since)| since);
    let up_since = match (host.up, was_up) {
        (false, _) => None,
        (true, Some(since)) => Some(since),
        // Back, if it was there before; else it was met when it was first seen.
        (true, None) if known.is_some_and(|(told, _)| told) => Some(host.last_seen.as_millisecond()),
        (true, None) => Some(host.first_seen.as_millisecond()),
    };
    if let (Some(since), None) = (was_up, up_since) {
        history::end_host(steps, &host.key, since, lost(host, now), Ending::Lost)?;
    }
    let os = host.os.as_ref().map(|os| &os.family);
    let (first_seen, last_seen, told) = (Ms(host.first_seen), Ms(host.last_seen), !host.is_provisional());
    let row = params![vantage, ip, host.up, told, first_seen, last_seen, os, json(host)?, up_since];
    // An index is rewritten for each column that is set, changed or not; and most hosts were only seen again.
    if known.is_some() && up_since == was_up {
        steps.execute(
            "UPDATE host SET up = ?3, told = ?4, first_seen = ?5, last_seen = ?6, os = ?7, state = ?8
             WHERE address = ?2 AND vantage = ?1",
            &row[..8],
        )?;
    } else {
        steps.execute(
            "INSERT INTO host (vantage, address, up, told, first_seen, last_seen, os, state, up_since)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (address, vantage) DO UPDATE SET up = excluded.up, told = excluded.told,
                 first_seen = excluded.first_seen, last_seen = excluded.last_seen, os = excluded.os,
                 state = excluded.state, up_since = excluded.up_since",
            row,
        )?;
    }
    put_services(steps, host, up_since, now)
}

/// Forgets the host; what was true of it until now stays known.
pub(crate) fn remove(steps: Steps<'_>, host: &HostKey, now: Timestamp, ending: Ending) -> rusqlite::Result<()> {
    let key = params![address(host.ip), &*host.vantage.0];
    history::end_all(steps, host, now, ending)?;
    answers::remove_all(steps, host)?;
    steps.execute("DELETE FROM violation WHERE address = ? AND vantage = ?", key)?;
    steps.execute("DELETE FROM host WHERE address = ? AND vantage = ?", key).map(drop)
}

/// When the host fell silent for good.
fn lost(host: &HostState, now: Timestamp) -> i64 {
    host.lost_since.unwrap_or(now).as_millisecond()
}

fn put_services(steps: Steps<'_>, host: &HostState, up_since: Option<i64>, now: Timestamp) -> rusqlite::Result<()> {
    let (vantage, ip) = (&*host.key.vantage.0, address(host.key.ip));
    let mut known = lines(steps, &host.key)?;
    for endpoint in &host.endpoints {
        // One row an endpoint and name; an endpoint nobody has identified yet has one all the same.
        let nameless = endpoint.services.is_empty().then_some(None);
        let was_open = known.iter().any(|((transport, port, _), line)| {
            (transport.as_str(), *port) == (endpoint.transport.as_str(), endpoint.port) && line.since.is_some()
        });
        for service in nameless.into_iter().chain(endpoint.services.iter().map(Some)) {
            let name = service.and_then(|service| service.name.as_ref()).map_or("", |name| name.as_str());
            let place = (endpoint.transport.as_str().to_owned(), endpoint.port, name.to_owned());
            let old = known.remove(&place);
            let mut line = Line::of(endpoint, service)?;
            let is_open = up_since.is_some() && endpoint.status == PortStatus::Open;
            line.since = match (is_open, up_since) {
                (true, Some(up_since)) => Some(match old.as_ref().and_then(|old| old.since) {
                    None => {
                        let begun = if was_open { line.first_seen } else { endpoint.changed_at.as_millisecond() };
                        begun.max(up_since)
                    }
                    Some(since) => continued(since, old.as_ref(), &line),
                }),
                _ => None,
            };
            if let Some(old) = &old
                && let Some(since) = old.since.filter(|_| old.since != line.since)
            {
                let (until, ending) = match line.since {
                    Some(next) => (next, Ending::Changed),
                    None if up_since.is_none() => (lost(host, now), Ending::Lost),
                    None => (endpoint.changed_at.as_millisecond(), Ending::Closed),
                };
                history::end_service(steps, &host.key, &place, &old.facts, (since, until), ending)?;
            }
            if old.as_ref() != Some(&line) {
                line.put(steps, &host.key, &place, old.as_ref())?;
            }
        }
    }
    for (place, gone) in known {
        let (transport, port, name) = &place;
        if let Some(since) = gone.since {
            let is_there = host.endpoints.iter().any(|endpoint| {
                endpoint.port == *port
                    && endpoint.transport.as_str() == transport
                    && endpoint.status == PortStatus::Open
            });
            let (until, ending) = match up_since {
                None => (lost(host, now), Ending::Lost),
                Some(_) if is_there => (now.as_millisecond(), Ending::Renamed),
                Some(_) => (now.as_millisecond(), Ending::Closed),
            };
            history::end_service(steps, &host.key, &place, &gone.facts, (since, until), ending)?;
        }
        answers::remove(steps, &host.key, (transport, *port, name))?;
        steps.execute(
            "DELETE FROM service WHERE address = ? AND vantage = ? AND transport = ? AND port = ? AND name = ?",
            params![ip, vantage, transport, port, name],
        )?;
    }
    Ok(())
}

/// Since when an open service is what it is now.
fn continued(since: i64, old: Option<&Line>, new: &Line) -> i64 {
    /// What is first heard of an endpoint in this time was so from the beginning, as the detector sees it too.
    const FIRST_LOOK: i64 = 24 * 60 * 60 * 1_000;
    let Some(old) = old.filter(|old| old.facts != new.facts) else { return since };
    let learnt = old.facts.is_empty() && new.changed_at.saturating_sub(since) <= FIRST_LOOK;
    // What the detector does not call a change is better knowledge of the same.
    if learnt { since } else { new.changed_at.max(since) }
}

/// The rows of that host.
fn lines(steps: Steps<'_>, host: &HostKey) -> rusqlite::Result<BTreeMap<Place, Line>> {
    steps
        .connection()
        .prepare_cached(
            "SELECT transport, port, name, status, reason, protocol, product, version, certificate, service, tls,
                 first_seen, last_seen, changed_at, since
             FROM service WHERE address = ? AND vantage = ?",
        )?
        .query_map(params![address(host.ip), &*host.vantage.0], |row| {
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?), Line::read(row)?))
        })?
        .collect()
}

impl Line {
    /// Without `since`, which depends on what was before.
    fn of(endpoint: &EndpointState, state: Option<&ServiceState>) -> rusqlite::Result<Self> {
        let service = state.and_then(|state| state.service.as_ref());
        let tls = state.and_then(|state| state.tls.as_ref());
        let (first_seen, last_seen, changed_at) = state
            .map_or((endpoint.first_seen, endpoint.last_seen, endpoint.changed_at), |state| {
                (state.first_seen, state.last_seen, state.changed_at)
            });
        Ok(Self {
            status: json(&endpoint.status)?.trim_matches('"').to_owned(),
            reason: endpoint.reason.clone(),
            facts: Facts {
                protocol: service.map(|service| service.name.clone()),
                product: service.and_then(|service| service.product.clone()),
                version: service.and_then(|service| service.version.clone()),
                certificate: tls.and_then(|tls| tls.certificate).map(|sha256| sha256.to_string()),
            },
            service: service.map(json).transpose()?,
            tls: tls.map(json).transpose()?,
            first_seen: first_seen.as_millisecond(),
            last_seen: last_seen.as_millisecond(),
            changed_at: changed_at.as_millisecond(),
            since: None,
        })
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            status: row.get(3)?,
            reason: row.get(4)?,
            facts: Facts {
                protocol: row.get(5)?,
                product: row.get(6)?,
                version: row.get(7)?,
                certificate: row.get(8)?,
            },
            service: row.get(9)?,
            tls: row.get(10)?,
            first_seen: row.get(11)?,
            last_seen: row.get(12)?,
            changed_at: row.get(13)?,
            since: row.get(14)?,
        })
    }

    /// `old` is the row that is there.
    fn put(&self, steps: Steps<'_>, host: &HostKey, place: &Place, old: Option<&Self>) -> rusqlite::Result<()> {
        let ((transport, port, name), Facts { protocol, product, version, certificate }) = (place, &self.facts);
        let row = params![
            &*host.vantage.0,
            address(host.ip),
            transport,
            port,
            name,
            self.status,
            self.reason,
            self.service,
            self.tls,
            self.first_seen,
            self.last_seen,
            self.changed_at,
            protocol,
            product,
            version,
            certificate,
            self.since,
        ];
        // As with hosts: what indices hold is set only where it changed.
        if old.is_some_and(|old| (&old.facts, old.since) == (&self.facts, self.since)) {
            steps.execute(
                "UPDATE service SET status = ?6, reason = ?7, service = ?8, tls = ?9, first_seen = ?10, last_seen = ?11,
                     changed_at = ?12
                 WHERE address = ?2 AND vantage = ?1 AND transport = ?3 AND port = ?4 AND name = ?5",
                &row[..12],
            )?;
        } else {
            steps.execute(
                "INSERT INTO service (vantage, address, transport, port, name, status, reason, service, tls, first_seen,
                     last_seen, changed_at, protocol, product, version, certificate, since)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (address, vantage, transport, port, name) DO UPDATE SET status = excluded.status,
                     reason = excluded.reason, service = excluded.service, tls = excluded.tls,
                     first_seen = excluded.first_seen, last_seen = excluded.last_seen, changed_at = excluded.changed_at,
                     protocol = excluded.protocol, product = excluded.product, version = excluded.version,
                     certificate = excluded.certificate, since = excluded.since",
                row,
            )?;
        }
        Ok(())
    }
}
