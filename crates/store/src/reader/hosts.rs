use super::{EventFilter, Question, Reader, certificates, events, question::containing};
use crate::{
    StoreError,
    column::{address, get_json},
};
use inventory::{Approval, CertificateState, HostState};
use jiff::Timestamp;
use model::{AddressRange, Event, HostKey, Os, Transport, Vantage};
use rusqlite::{ToSql, params};
use serde::Serialize;
use std::{collections::BTreeSet, net::IpAddr};

/// How many events a host's detail has.
const EVENTS: usize = 50;

/// Which hosts; every part that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct HostFilter {
    /// In one of these; empty: anywhere.
    pub within: Vec<AddressRange>,
    pub up: Option<bool>,
    /// Approved by an operator, or unreviewed.
    pub approved: Option<bool>,
    pub asset: Option<String>,
    pub tag: Option<String>,
    /// The operating system's family: `linux`.
    pub os: Option<String>,
    /// Part of one of its names.
    pub name: Option<String>,
    /// Where the last page ended.
    pub after: Option<HostKey>,
    pub limit: Option<usize>,
}

/// A host in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostRow {
    pub vantage: Vantage,
    pub ip: IpAddr,
    pub up: bool,
    pub names: BTreeSet<String>,
    pub os: Option<Os>,
    pub assets: Vec<String>,
    pub tags: Vec<String>,
    pub value: u8,
    /// None: unreviewed.
    pub approved: Option<Approval>,
    /// Ascending by transport and port.
    pub open: Vec<OpenPort>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub lost_since: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenPort {
    pub transport: Transport,
    pub port: u16,
    /// `ssh`; none where it is not known.
    pub service: Option<String>,
}

/// Everything known of one address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostDetail {
    /// As the sensor sees it that saw it last.
    pub host: HostState,
    /// As other sensors see it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<HostState>,
    /// Those it serves now, next to expire first.
    pub certificates: Vec<CertificateState>,
    /// The last 50, newest first.
    pub events: Vec<Event>,
}

impl From<HostState> for HostRow {
    fn from(host: HostState) -> Self {
        let facts = host.facts();
        let open = facts.endpoints.into_iter().map(|endpoint| OpenPort {
            transport: endpoint.transport,
            port: endpoint.port,
            service: endpoint.service.map(|service| service.name),
        });
        Self {
            open: open.collect(),
            vantage: host.key.vantage,
            ip: facts.ip,
            up: facts.up,
            names: facts.names,
            os: facts.os,
            assets: facts.assets,
            tags: facts.tags,
            value: facts.value,
            approved: host.approved,
            first_seen: host.first_seen,
            last_seen: host.last_seen,
            lost_since: host.lost_since,
        }
    }
}

impl Reader {
    /// Ascending by address and vantage; without those whose first sign of life is not confirmed yet.
    pub async fn hosts(&self, filter: HostFilter) -> Result<Vec<HostRow>, StoreError> {
        self.query(move |connection| {
            let mut question = Question::new("SELECT state FROM host");
            question.and("told", []);
            question.and_within("{}", &filter.within);
            question.and_some("up = ?", filter.up);
            question.and_some("(json_extract(state, '$.approved') IS NOT NULL) = ?", filter.approved);
            let has = |list: &str| format!("EXISTS (SELECT 1 FROM json_each(state, '$.{list}') WHERE value = ?)");
            question.and_some(&has("assets"), filter.asset);
            question.and_some(&has("tags"), filter.tag);
            question.and_some("os = ?", filter.os);
            question.and_some(
                "EXISTS (SELECT 1 FROM json_tree(state, '$.names') WHERE type = 'text' AND value LIKE ? ESCAPE '\\')",
                filter.name.as_deref().map(containing),
            );
            if let Some(HostKey { vantage, ip }) = filter.after {
                let place: [Box<dyn ToSql>; 2] = [Box::new(address(ip)), Box::new(vantage.0.to_string())];
                question.and("(address, vantage) > (?, ?)", place);
            }
            question
                .ask(connection, "address, vantage", filter.limit, |row| get_json::<HostState>(row, 0).map(Into::into))
        })
        .await
    }

    pub async fn host(&self, ip: IpAddr) -> Result<Option<HostDetail>, StoreError> {
        self.query(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let mut states = connection
                .prepare_cached("SELECT state FROM host WHERE address = ? ORDER BY last_seen DESC, vantage")?
                .query_map(params![address(ip)], |row| get_json::<HostState>(row, 0))?
                .collect::<rusqlite::Result<Vec<_>>>()?
                .into_iter();
            let Some(host) = states.next() else { return Ok(None) };
            let recent = EventFilter {
                within: vec![AddressRange::single(ip)],
                newest_first: true,
                limit: Some(EVENTS),
                ..EventFilter::default()
            };
            Ok(Some(HostDetail {
                host,
                others: states.collect(),
                certificates: certificates::served_by(&connection, ip)?,
                events: events::find(&connection, &recent)?,
            }))
        })
        .await
    }
}
