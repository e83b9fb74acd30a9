//! What differs between two times.

use super::{
    PastFilter, Reader,
    history::{ServiceFacts, ServiceInterval, services_of, spans, up_at},
};
use crate::{
    StoreError,
    column::{Ms, address, get_address},
};
use jiff::Timestamp;
use model::{HostKey, Transport, Vantage};
use rusqlite::{Connection, ToSql, named_params};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// How two times differ in one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    HostAppeared,
    HostVanished,
    PortOpened,
    PortClosed,
    /// Another service, product or version, or one where none was known.
    ServiceChanged,
    CertificateChanged,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub kind: DifferenceKind,
    pub vantage: Vantage,
    pub ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The name the service was asked under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it was before, and is after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<ServiceFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<ServiceFacts>,
}

impl Difference {
    pub fn host(&self) -> HostKey {
        HostKey { vantage: self.vantage.clone(), ip: self.ip }
    }
}

impl Reader {
    /// What differs between the two times, ascending by address, vantage, transport and port; of each host all or nothing.
    /// What came and went in between does not show. `filter.limit` counts hosts in which anything began or ended in the
    /// time, of which some may not differ; a page is never empty before the end. Returns also where the next page begins, if
    /// there may be one.
    pub async fn diff(
        &self,
        from: Timestamp,
        to: Timestamp,
        filter: PastFilter,
    ) -> Result<(Vec<Difference>, Option<HostKey>), StoreError> {
        self.query(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let mut filter = filter;
            // A page that says nothing would look like the end.
            loop {
                let (differences, next) = page(&connection, (from, to), &filter)?;
                if !differences.is_empty() || next.is_none() {
                    return Ok((differences, next));
                }
                filter.after = next;
            }
        })
        .await
    }
}

fn page(
    connection: &Connection,
    times: (Timestamp, Timestamp),
    filter: &PastFilter,
) -> rusqlite::Result<(Vec<Difference>, Option<HostKey>)> {
    let mut hosts = BTreeSet::new();
    for (first, last) in spans(&filter.within) {
        touched(connection, times, (&first, &last), filter, &mut hosts)?;
    }
    let wanted = filter.limit.unwrap_or(usize::MAX);
    let next = if hosts.len() > wanted { hosts.iter().nth(wanted.saturating_sub(1)).cloned() } else { None };
    let mut differences = Vec::new();
    for (ip, vantage) in hosts.into_iter().take(wanted) {
        compare(connection, &HostKey { vantage, ip }, times, filter.port, &mut differences)?;
    }
    Ok((differences, next.map(|(ip, vantage)| HostKey { vantage, ip })))
}

/// Hosts of which anything began or ended in the time: only they can differ. One more than a page holds.
fn touched(
    connection: &Connection,
    (from, to): (Timestamp, Timestamp),
    (first, last): (&[u8], &[u8]),
    filter: &PastFilter,
    hosts: &mut BTreeSet<(IpAddr, Vantage)>,
) -> rusqlite::Result<()> {
    let place = filter.after.as_ref().map_or_else(Vec::new, |after| address(after.ip));
    let vantage = filter.after.as_ref().map_or("", |after| &*after.vantage.0);
    let limit = crate::column::limit(filter.limit.map(|limit| limit.saturating_add(1)));
    let named: &[(&str, &dyn ToSql)] = named_params! {
        ":from": Ms(from), ":to": Ms(to), ":first": first, ":last": last,
        ":address": place, ":vantage": vantage, ":limit": limit,
    };
    let part = "address BETWEEN :first AND :last AND (address, vantage) > (:address, :vantage)";
    // Of everything that lasts, what began in the time is found by its beginning; of a few addresses, by the address. The
    // plus signs keep the columns from being searched by.
    let lasting = if filter.within.is_empty() {
        "+address BETWEEN :first AND :last AND (+address, +vantage) > (:address, :vantage)"
    } else {
        part
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT address, vantage FROM host WHERE up_since > :from AND up_since <= :to AND {lasting}
         UNION SELECT address, vantage FROM host_past
             WHERE until > :from AND (since > :from AND since <= :to OR until <= :to) AND {part}
         UNION SELECT address, vantage FROM service WHERE since > :from AND since <= :to AND {lasting}
         UNION SELECT address, vantage FROM service_past
             WHERE until > :from AND (since > :from AND since <= :to OR until <= :to) AND {part}
         ORDER BY address, vantage LIMIT :limit"
    ))?;
    let rows = statement
        .query_map(named, |row| Ok((get_address(row, 0)?, Vantage::from(row.get::<_, String>(1)?.as_str()))))?;
    for row in rows {
        hosts.insert(row?);
    }
    Ok(())
}

fn compare(
    connection: &Connection,
    host: &HostKey,
    (from, to): (Timestamp, Timestamp),
    port: Option<u16>,
    differences: &mut Vec<Difference>,
) -> rusqlite::Result<()> {
    let bare = |kind| Difference {
        kind,
        vantage: host.vantage.clone(),
        ip: host.ip,
        transport: None,
        port: None,
        name: None,
        old: None,
        new: None,
    };
    if port.is_none() {
        match (up_at(connection, host, from)?, up_at(connection, host, to)?) {
            (None, Some(_)) => differences.push(bare(DifferenceKind::HostAppeared)),
            (Some(_), None) => differences.push(bare(DifferenceKind::HostVanished)),
            _ => {}
        }
    }
    let (before, after) = (services_of(connection, host, from)?, services_of(connection, host, to)?);
    let (before, after) = (by_port(&before), by_port(&after));
    let ports: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
    for place in ports.into_iter().filter(|(_, number)| port.is_none_or(|port| port == *number)) {
        let on = |kind, name: Option<&str>, old: Option<&ServiceFacts>, new: Option<&ServiceFacts>| Difference {
            transport: Some(place.0),
            port: Some(place.1),
            name: name.map(str::to_owned),
            old: old.cloned(),
            new: new.cloned(),
            ..bare(kind)
        };
        match (before.get(&place), after.get(&place)) {
            (None, Some(names)) => {
                differences.push(on(DifferenceKind::PortOpened, None, None, names.values().next().copied()));
            }
            (Some(names), None) => {
                differences.push(on(DifferenceKind::PortClosed, None, names.values().next().copied(), None));
            }
            (Some(old), Some(new)) => {
                let names: BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
                for name in names {
                    let (old, new) = (old.get(&name).copied(), new.get(&name).copied());
                    let service = |facts: Option<&ServiceFacts>| {
                        facts
                            .map(|facts| (facts.service.clone(), facts.product.clone(), facts.version.clone()))
                            .unwrap_or_default()
                    };
                    if service(old) != service(new) {
                        differences.push(on(DifferenceKind::ServiceChanged, name, old, new));
                    }
                    let certificate = |facts: Option<&ServiceFacts>| facts.and_then(|facts| facts.certificate);
                    if certificate(old) != certificate(new) {
                        differences.push(on(DifferenceKind::CertificateChanged, name, old, new));
                    }
                }
            }
            (None, None) => {}
        }
    }
    Ok(())
}

type Names<'a> = BTreeMap<Option<&'a str>, &'a ServiceFacts>;

fn by_port(services: &[ServiceInterval]) -> BTreeMap<(Transport, u16), Names<'_>> {
    let mut ports: BTreeMap<_, Names<'_>> = BTreeMap::new();
    for service in services {
        ports.entry((service.transport, service.port)).or_default().insert(service.name.as_deref(), &service.facts);
    }
    ports
}
