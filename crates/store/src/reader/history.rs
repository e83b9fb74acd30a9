//! What was: at a time, and of one host, endpoint or certificate over time.

use super::Reader;
use crate::{
    Ending, StoreError,
    column::{Ms, address, bounds, get_address, get_time, get_time_or_none},
};
use jiff::Timestamp;
use model::{AddressRange, Endpoint, HostKey, ServiceKey, Sha256, Transport, Vantage};
use rusqlite::{Connection, Row, ToSql, named_params, params, types::Type};
use serde::Serialize;
use std::{collections::BTreeMap, net::IpAddr};

/// How many intervals the history of one thing has at most: the newest.
const INTERVALS: i64 = 10_000;

/// Which part of what was.
#[derive(Debug, Clone, Default)]
pub struct PastFilter {
    /// In one of these; empty: anywhere.
    pub within: Vec<AddressRange>,
    /// Hosts with this port open.
    pub port: Option<u16>,
    /// Where the last page ended.
    pub after: Option<HostKey>,
    /// Hosts on a page. None: all.
    pub limit: Option<usize>,
}

/// A time in which a host was up without a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostInterval {
    pub vantage: Vantage,
    pub ip: IpAddr,
    pub since: Timestamp,
    /// None: it lasts.
    pub until: Option<Timestamp>,
    pub ending: Option<Ending>,
}

/// A time in which an endpoint was open with the same service, product, version and certificate, under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceInterval {
    pub vantage: Vantage,
    pub ip: IpAddr,
    pub transport: Transport,
    pub port: u16,
    /// The name it was asked under; none for the bare address.
    pub name: Option<String>,
    pub since: Timestamp,
    /// None: it lasts.
    pub until: Option<Timestamp>,
    pub ending: Option<Ending>,
    #[serde(flatten)]
    pub facts: ServiceFacts,
}

/// What was known of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct ServiceFacts {
    /// `ssh`; none where it was not known.
    pub service: Option<String>,
    pub product: Option<String>,
    pub version: Option<String>,
    pub certificate: Option<Sha256>,
}

/// A host that was up at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostAt {
    pub vantage: Vantage,
    pub ip: IpAddr,
    /// Always: hosts that were lost then are left out.
    pub up: bool,
    pub since: Timestamp,
    /// What it had open, ascending by transport, port and name.
    pub services: Vec<ServiceInterval>,
}

/// Everything that is known of one address over time, the newest last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct HostHistory {
    pub up: Vec<HostInterval>,
    pub services: Vec<ServiceInterval>,
}

impl HostAt {
    pub fn key(&self) -> HostKey {
        HostKey { vantage: self.vantage.clone(), ip: self.ip }
    }
}

impl ServiceInterval {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { ip: self.ip, transport: self.transport, port: self.port }
    }

    /// Whether `next` goes on where this one ends, at the same place.
    fn leads_to(&self, next: &Self) -> bool {
        (&self.vantage, self.endpoint(), &self.name) == (&next.vantage, next.endpoint(), &next.name)
            && self.until == Some(next.since)
    }
}

impl Reader {
    /// The hosts that were up at that time with what they had open, ascending by address and vantage.
    pub async fn inventory_at(&self, time: Timestamp, filter: PastFilter) -> Result<Vec<HostAt>, StoreError> {
        self.query(move |connection| {
            // One snapshot for hosts and services.
            let connection = connection.unchecked_transaction()?;
            inventory_at(&connection, time, &filter)
        })
        .await
    }

    /// What was open at that time, ascending by address, vantage, transport, port and name, from behind `after`.
    pub async fn services_at(
        &self,
        time: Timestamp,
        filter: PastFilter,
        after: Option<ServiceKey>,
    ) -> Result<Vec<ServiceInterval>, StoreError> {
        /// Hosts read at once.
        const HOSTS: usize = 256;
        self.query(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let limit = filter.limit.unwrap_or(usize::MAX);
            let mut filter = PastFilter { limit: Some(HOSTS), ..filter };
            let mut found = Vec::new();
            if let Some(after) = &after {
                let host = HostKey { vantage: after.vantage.clone(), ip: after.endpoint.ip };
                found = services_of(&connection, &host, time)?;
                let place = (
                    after.endpoint.transport,
                    after.endpoint.port,
                    after.name.as_ref().map(model::ServiceName::as_str),
                );
                found.retain(|row| {
                    (row.transport, row.port, row.name.as_deref()) > place
                        && filter.port.is_none_or(|port| row.port == port)
                });
                filter.after = Some(host);
            }
            while found.len() < limit {
                let hosts = inventory_at(&connection, time, &filter)?;
                let Some(last) = hosts.last() else { break };
                filter.after = Some(last.key());
                let open = hosts.into_iter().flat_map(|host| host.services);
                found.extend(open.filter(|row| filter.port.is_none_or(|port| row.port == port)));
            }
            found.truncate(limit);
            Ok(found)
        })
        .await
    }

    /// When the address was up, and what it had open when.
    pub async fn host_history(&self, ip: IpAddr) -> Result<HostHistory, StoreError> {
        self.query(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let key = params![address(ip), INTERVALS];
            let mut up = connection
                .prepare_cached(
                    "SELECT vantage, address, up_since AS since, NULL AS until, NULL AS ending FROM host
                         WHERE address = ?1 AND up_since IS NOT NULL
                     UNION ALL SELECT vantage, address, since, until, ending FROM host_past WHERE address = ?1
                     ORDER BY since DESC, vantage DESC LIMIT ?2",
                )?
                .query_map(key, host_interval)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut services = services(&connection, "address = ?1", key)?;
            up.reverse();
            services.reverse();
            Ok(HostHistory { up, services })
        })
        .await
    }

    /// When the endpoint was open and with what, under every name; the newest last.
    pub async fn endpoint_history(&self, endpoint: Endpoint) -> Result<Vec<ServiceInterval>, StoreError> {
        self.query(move |connection| {
            let Endpoint { ip, transport, port } = endpoint;
            let key = params![address(ip), INTERVALS, transport.as_str(), port];
            let mut found = services(connection, "address = ?1 AND transport = ?3 AND port = ?4", key)?;
            found.reverse();
            Ok(found)
        })
        .await
    }

    /// Where the certificate was served and when, the newest last: a change of the software that served it is no break.
    pub async fn certificate_history(&self, sha256: Sha256) -> Result<Vec<ServiceInterval>, StoreError> {
        self.query(move |connection| {
            let key = params![sha256.to_string(), INTERVALS];
            let mut found = services(connection, "certificate = ?1", key)?;
            found.reverse();
            Ok(joined(found))
        })
        .await
    }
}

/// Intervals, ascending by their beginning, as one where one goes on from another.
fn joined(intervals: Vec<ServiceInterval>) -> Vec<ServiceInterval> {
    let mut whole: Vec<ServiceInterval> = Vec::with_capacity(intervals.len());
    for next in intervals {
        match whole.iter_mut().rev().find(|known| known.leads_to(&next)) {
            Some(known) => *known = ServiceInterval { since: known.since, ..next },
            None => whole.push(next),
        }
    }
    whole
}

const COLUMNS: &str = "vantage, address, transport, port, name, protocol, product, version, certificate, since";

/// Newest first, at most `?2`.
fn services(
    connection: &Connection,
    condition: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Vec<ServiceInterval>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, NULL AS until, NULL AS ending FROM service WHERE {condition} AND since IS NOT NULL
             UNION ALL SELECT {COLUMNS}, until, ending FROM service_past WHERE {condition}
             ORDER BY since DESC, vantage DESC, transport DESC, port DESC, name DESC LIMIT ?2"
        ))?
        .query_map(params, service_interval)?
        .collect()
}

/// What the host had open then, ascending by transport, port and name.
pub(super) fn services_of(
    connection: &Connection,
    host: &HostKey,
    time: Timestamp,
) -> rusqlite::Result<Vec<ServiceInterval>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, NULL AS until, NULL AS ending FROM service
                 WHERE address = ?1 AND vantage = ?2 AND since <= ?3
             UNION ALL SELECT {COLUMNS}, until, ending FROM service_past
                 WHERE address = ?1 AND vantage = ?2 AND until > ?3 AND since <= ?3
             ORDER BY transport, port, name"
        ))?
        .query_map(params![address(host.ip), &*host.vantage.0, Ms(time)], service_interval)?
        .collect()
}

/// Since when the host was up then, if it was.
pub(super) fn up_at(
    connection: &Connection,
    host: &HostKey,
    time: Timestamp,
) -> rusqlite::Result<Option<HostInterval>> {
    use rusqlite::OptionalExtension as _;
    connection
        .prepare_cached(
            "SELECT vantage, address, up_since AS since, NULL AS until, NULL AS ending FROM host
                 WHERE address = ?1 AND vantage = ?2 AND up_since <= ?3
             UNION ALL SELECT vantage, address, since, until, ending FROM host_past
                 WHERE address = ?1 AND vantage = ?2 AND until > ?3 AND since <= ?3
             ORDER BY since LIMIT 1",
        )?
        .query_row(params![address(host.ip), &*host.vantage.0, Ms(time)], host_interval)
        .optional()
}

fn inventory_at(connection: &Connection, time: Timestamp, filter: &PastFilter) -> rusqlite::Result<Vec<HostAt>> {
    let wanted = filter.limit.unwrap_or(usize::MAX);
    let mut found: BTreeMap<(IpAddr, Vantage), HostAt> = BTreeMap::new();
    for (first, last) in spans(&filter.within) {
        let mut after = filter.after.clone();
        while found.len() < wanted {
            let hosts = hosts_at(connection, time, (&first, &last), after.as_ref(), filter.limit)?;
            let Some(end) = hosts.last() else { break };
            after = Some(HostKey { vantage: end.vantage.clone(), ip: end.ip });
            for host in hosts {
                let key = HostKey { vantage: host.vantage, ip: host.ip };
                let services = services_of(connection, &key, time)?;
                if filter.port.is_none_or(|port| services.iter().any(|service| service.port == port)) {
                    let host = HostAt { vantage: key.vantage, ip: key.ip, up: true, since: host.since, services };
                    found.entry((host.ip, host.vantage.clone())).or_insert(host);
                }
            }
            if filter.limit.is_none() {
                break;
            }
        }
    }
    Ok(found.into_values().take(wanted).collect())
}

/// The filter's ranges as they are compared, ascending and without overlap: then whatever is found first comes first.
pub(super) fn spans(within: &[AddressRange]) -> Vec<(Vec<u8>, Vec<u8>)> {
    if within.is_empty() {
        return vec![(Vec::new(), vec![u8::MAX])];
    }
    let mut spans: Vec<_> = within.iter().map(|range| bounds(*range)).collect();
    spans.sort();
    let mut apart: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (first, last) in spans {
        match apart.last_mut() {
            Some((_, end)) if first <= *end => {
                if last > *end {
                    *end = last;
                }
            }
            _ => apart.push((first, last)),
        }
    }
    apart
}

fn hosts_at(
    connection: &Connection,
    time: Timestamp,
    (first, last): (&[u8], &[u8]),
    after: Option<&HostKey>,
    limit: Option<usize>,
) -> rusqlite::Result<Vec<HostInterval>> {
    let place = after.map_or_else(Vec::new, |after| address(after.ip));
    let vantage = after.map_or("", |after| &*after.vantage.0);
    let limit = crate::column::limit(limit);
    let named: &[(&str, &dyn ToSql)] = named_params! {
        ":time": Ms(time), ":first": first, ":last": last, ":address": place, ":vantage": vantage, ":limit": limit,
    };
    connection
        .prepare_cached(
            "SELECT vantage, address, up_since AS since, NULL AS until, NULL AS ending FROM host
                 WHERE up_since <= :time AND address BETWEEN :first AND :last AND (address, vantage) > (:address, :vantage)
             UNION ALL SELECT vantage, address, since, until, ending FROM host_past
                 WHERE since <= :time AND until > :time AND address BETWEEN :first AND :last
                     AND (address, vantage) > (:address, :vantage)
             ORDER BY address, vantage LIMIT :limit",
        )?
        .query_map(named, host_interval)?
        .collect()
}

fn host_interval(row: &Row<'_>) -> rusqlite::Result<HostInterval> {
    Ok(HostInterval {
        vantage: row.get::<_, String>(0)?.as_str().into(),
        ip: get_address(row, 1)?,
        since: get_time(row, 2)?,
        until: get_time_or_none(row, 3)?,
        ending: ending(row, 4)?,
    })
}

fn service_interval(row: &Row<'_>) -> rusqlite::Result<ServiceInterval> {
    let name: String = row.get(4)?;
    let certificate: Option<String> = row.get(8)?;
    Ok(ServiceInterval {
        vantage: row.get::<_, String>(0)?.as_str().into(),
        ip: get_address(row, 1)?,
        transport: word(row, 2)?,
        port: row.get(3)?,
        name: Some(name).filter(|name| !name.is_empty()),
        since: get_time(row, 9)?,
        until: get_time_or_none(row, 10)?,
        ending: ending(row, 11)?,
        facts: ServiceFacts {
            service: row.get(5)?,
            product: row.get(6)?,
            version: row.get(7)?,
            certificate: certificate.map(|text| text.parse().map_err(|error: String| odd(8, error))).transpose()?,
        },
    })
}

fn ending(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Ending>> {
    let known = !matches!(row.get_ref(column)?, rusqlite::types::ValueRef::Null);
    known.then(|| word(row, column)).transpose()
}

/// A value whose text in the column is its text in JSON.
fn word<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_value(text.into()).map_err(|error| odd(column, error))
}

fn odd(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
