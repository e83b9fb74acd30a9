//! What was: at a time, between two times, and of one host or certificate over time.

use super::{cursor, lists::Page};
use crate::{Console, query::Query, read::unreadable, refusal::Refusal};
use axum::{
    Json,
    extract::{self, Path, State},
};
use jiff::Timestamp;
use model::{HostKey, ServiceKey, Sha256};
use std::{net::IpAddr, sync::Arc};
use store::{Difference, HostAt, HostHistory, PastFilter, ServiceInterval};

type Pairs = extract::Query<Vec<(String, String)>>;
type Answer<T> = Result<Json<Page<T>>, Refusal>;

/// Of a host's names, assets and the like only what is true now is known: the past is narrowed by less.
const OF_THE_PAST: [&str; 5] = ["at", "ip", "port", "limit", "after"];

/// Whether the question is about another time than now.
pub(super) fn is_meant(pairs: &[(String, String)]) -> bool {
    pairs.iter().any(|(key, _)| key == "at")
}

/// The hosts that were up then.
pub(super) async fn hosts(console: &Console, pairs: &[(String, String)]) -> Answer<HostAt> {
    let query = Query::parse(pairs, &OF_THE_PAST, console.clock.now())?;
    let filter = PastFilter { after: query.after.as_deref().map(cursor::host).transpose()?, ..filter(&query) };
    let rows = console.reader.inventory_at(time(query.at, "at")?, filter).await.map_err(unreadable)?;
    Ok(Page::new(rows, query.limit, |row| Some(cursor::of_host(&row.key()))))
}

/// What was open then.
pub(super) async fn services(console: &Console, pairs: &[(String, String)]) -> Answer<ServiceInterval> {
    let query = Query::parse(pairs, &OF_THE_PAST, console.clock.now())?;
    let after = query.after.as_deref().map(cursor::service).transpose()?;
    let rows = console.reader.services_at(time(query.at, "at")?, filter(&query), after).await.map_err(unreadable)?;
    Ok(Page::new(rows, query.limit, |row| {
        // A stored name is one that was read from the configuration, so it reads again.
        let name = row.name.as_deref().map(str::parse).transpose().ok()?;
        Some(cursor::of_service(&ServiceKey { vantage: row.vantage.clone(), endpoint: row.endpoint(), name }))
    }))
}

/// What differs between `from` and `to` (now, where it is not said). A page may be short, or empty, and yet have a next.
pub(super) async fn diff(State(console): State<Arc<Console>>, pairs: Pairs) -> Answer<Difference> {
    let now = console.clock.now();
    let query = Query::parse(&pairs, &["from", "to", "ip", "port", "limit", "after"], now)?;
    let (from, to) = (time(query.from, "from")?, query.to.unwrap_or(now));
    if from >= to {
        return Err(Refusal::question(format!("from: {from} is not before {to}")));
    }
    let filter = PastFilter { after: query.after.as_deref().map(cursor::host).transpose()?, ..filter(&query) };
    let (items, next) = console.reader.diff(from, to, filter).await.map_err(unreadable)?;
    Ok(Page::up_to(items, next.as_ref().map(|key: &HostKey| cursor::of_host(key))))
}

pub(super) async fn host_history(
    State(console): State<Arc<Console>>,
    Path(text): Path<String>,
) -> Result<Json<HostHistory>, Refusal> {
    let ip: IpAddr = text.parse().map_err(|_| Refusal::question(format!("`{text}` is not an address")))?;
    console.reader.host_history(ip).await.map(Json).map_err(unreadable)
}

pub(super) async fn certificate_history(
    State(console): State<Arc<Console>>,
    Path(text): Path<String>,
) -> Answer<ServiceInterval> {
    let sha256: Sha256 = text.parse().map_err(|error: String| Refusal::question(format!("`{text}`: {error}")))?;
    console.reader.certificate_history(sha256).await.map(Page::whole).map_err(unreadable)
}

fn filter(query: &Query) -> PastFilter {
    PastFilter { within: query.ip.into_iter().collect(), port: query.port, limit: Some(query.limit), after: None }
}

fn time(time: Option<Timestamp>, key: &str) -> Result<Timestamp, Refusal> {
    time.ok_or_else(|| Refusal::question(format!("`{key}` is missing: a time, a day, or a duration back from now")))
}
