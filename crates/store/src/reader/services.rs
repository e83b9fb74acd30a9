use super::{Question, Reader, question::containing};
use crate::{
    StoreError,
    column::{address, from_json, get_address, get_json_or_none, get_time},
};
use inventory::{PortStatus, TlsState};
use jiff::Timestamp;
use model::{AddressRange, Endpoint, Service, ServiceKey, Sha256, Transport, Vantage};
use rusqlite::{Row, ToSql};
use serde::Serialize;
use std::net::IpAddr;

/// Which services; every part that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct ServiceFilter {
    pub within: Vec<AddressRange>,
    pub transport: Option<Transport>,
    pub port: Option<u16>,
    /// `ssh`.
    pub protocol: Option<String>,
    /// Part of the product's name.
    pub product: Option<String>,
    /// The beginning of the version.
    pub version: Option<String>,
    /// The name it was asked under.
    pub name: Option<String>,
    pub tls: Option<bool>,
    pub certificate: Option<Sha256>,
    /// None: those that are open now.
    pub status: Option<PortStatus>,
    /// Where the last page ended.
    pub after: Option<ServiceKey>,
    pub limit: Option<usize>,
}

/// A service: an endpoint under one name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceRow {
    pub vantage: Vantage,
    pub ip: IpAddr,
    pub transport: Transport,
    pub port: u16,
    /// The name it was asked under; none for the bare address.
    pub name: Option<String>,
    pub state: PortStatus,
    /// The outcome the state rests on.
    pub reason: String,
    pub service: Option<Service>,
    pub tls: Option<TlsState>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub changed_at: Timestamp,
}

impl ServiceRow {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { ip: self.ip, transport: self.transport, port: self.port }
    }
}

impl Reader {
    /// Ascending by address, vantage, transport, port and name.
    pub async fn services(&self, filter: ServiceFilter) -> Result<Vec<ServiceRow>, StoreError> {
        self.query(move |connection| {
            let mut question = Question::new(
                "SELECT vantage, address, transport, port, name, status, reason, service, tls, first_seen, last_seen,
                     changed_at FROM service",
            );
            question.and_within("{}", &filter.within);
            question.and_some("transport = ?", filter.transport.map(Transport::as_str));
            question.and_some("port = ?", filter.port);
            question.and_some("protocol = ?", filter.protocol);
            question.and_some("product LIKE ? ESCAPE '\\'", filter.product.as_deref().map(containing));
            if let Some(version) = filter.version {
                let twice: [Box<dyn ToSql>; 2] = [Box::new(version.clone()), Box::new(version)];
                question.and("substr(version, 1, length(?)) = ?", twice);
            }
            question.and_some("name = ?", filter.name);
            question.and_some("(tls IS NOT NULL) = ?", filter.tls);
            question.and_some("certificate = ?", filter.certificate.map(|sha256| sha256.to_string()));
            question.and_some("status = ?", Some(word(filter.status.unwrap_or(PortStatus::Open))));
            if let Some(ServiceKey { vantage, endpoint, name }) = filter.after {
                let place: [Box<dyn ToSql>; 5] = [
                    Box::new(address(endpoint.ip)),
                    Box::new(vantage.0.to_string()),
                    Box::new(endpoint.transport.as_str()),
                    Box::new(endpoint.port),
                    Box::new(name.map(String::from).unwrap_or_default()),
                ];
                question.and("(address, vantage, transport, port, name) > (?, ?, ?, ?, ?)", place);
            }
            question.ask(connection, "address, vantage, transport, port, name", filter.limit, service_row)
        })
        .await
    }
}

fn word(status: PortStatus) -> &'static str {
    match status {
        PortStatus::Open => "open",
        PortStatus::Closed => "closed",
        PortStatus::Opening => "opening",
    }
}

fn service_row(row: &Row<'_>) -> rusqlite::Result<ServiceRow> {
    let plain =
        |column: usize| -> rusqlite::Result<String> { row.get(column).map(|word: String| format!("\"{word}\"")) };
    let name: String = row.get(4)?;
    Ok(ServiceRow {
        vantage: row.get::<_, String>(0)?.as_str().into(),
        ip: get_address(row, 1)?,
        transport: from_json(&plain(2)?, 2)?,
        port: row.get(3)?,
        name: Some(name).filter(|name| !name.is_empty()),
        state: from_json(&plain(5)?, 5)?,
        reason: row.get(6)?,
        service: get_json_or_none(row, 7)?,
        tls: get_json_or_none(row, 8)?,
        first_seen: get_time(row, 9)?,
        last_seen: get_time(row, 10)?,
        changed_at: get_time(row, 11)?,
    })
}
