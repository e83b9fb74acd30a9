//! The lists: parameters in, a page out.

use super::{cursor, past};
use crate::{Console, ProfileView, RecipientView, query, query::Query, read::unreadable, refusal::Refusal};
use axum::{
    Json,
    extract::{self, Path, State},
    response::{IntoResponse, Response},
};
use model::{Event, HostKey, ServiceKey, Sha256, Verdict};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use store::{
    AlertFilter, AlertRow, CertificateFilter, CertificateState, EventFilter, HostFilter, HostRow, PortStatus,
    ServiceFilter, ServiceRow, SoftwareFilter, SoftwareRow,
};

/// What a list answers.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The parameters as they came.
type Pairs = extract::Query<Vec<(String, String)>>;
type Answer<T> = Result<Json<Page<T>>, Refusal>;

impl<T> Page<T> {
    /// A full page may have a successor, which `place` of its last item leads to.
    pub(super) fn new(items: Vec<T>, limit: usize, place: impl FnOnce(&T) -> Option<String>) -> Json<Self> {
        let next = if items.len() < limit { None } else { items.last().and_then(place) };
        Json(Self { items, next })
    }

    pub(super) fn whole(items: Vec<T>) -> Json<Self> {
        Json(Self { items, next: None })
    }

    /// One whose length says nothing about whether another follows.
    pub(super) fn up_to(items: Vec<T>, next: Option<String>) -> Json<Self> {
        Json(Self { items, next })
    }
}

/// As they are now, or as they were `at` a time.
pub(super) async fn hosts(State(console): State<Arc<Console>>, pairs: Pairs) -> Result<Response, Refusal> {
    if past::is_meant(&pairs) {
        return past::hosts(&console, &pairs).await.map(IntoResponse::into_response);
    }
    present_hosts(&console, &pairs).await.map(IntoResponse::into_response)
}

async fn present_hosts(console: &Console, pairs: &[(String, String)]) -> Answer<HostRow> {
    let allowed = &["ip", "up", "approved", "os", "name", "asset", "tag", "port", "limit", "after"];
    let query = Query::parse(pairs, allowed, console.clock.now())?;
    let mut after = query.after.as_deref().map(cursor::host).transpose()?;
    let mut items = Vec::new();
    let mut end = None;
    // A port is not among what the store selects hosts by: pages are read until one is full.
    loop {
        let filter = HostFilter {
            within: query.ip.into_iter().collect(),
            up: query.up,
            approved: query.approved,
            asset: query.asset.clone(),
            tag: query.tag.clone(),
            os: query.os.clone(),
            name: query.name.clone(),
            after: after.take(),
            limit: Some(query.limit),
        };
        let rows = console.reader.hosts(filter).await.map_err(unreadable)?;
        let is_last = rows.len() < query.limit;
        for row in rows {
            let key = HostKey { vantage: row.vantage.clone(), ip: row.ip };
            let wanted = query.port.is_none_or(|port| row.open.iter().any(|open| open.port == port));
            if wanted && items.len() < query.limit {
                end = Some(cursor::of_host(&key));
                items.push(row);
            }
            after = Some(key);
        }
        if is_last || items.len() >= query.limit {
            return Ok(Page::new(items, query.limit, |_| end));
        }
    }
}

/// As they are now, or as they were `at` a time.
pub(super) async fn services(State(console): State<Arc<Console>>, pairs: Pairs) -> Result<Response, Refusal> {
    if past::is_meant(&pairs) {
        return past::services(&console, &pairs).await.map(IntoResponse::into_response);
    }
    present_services(&console, &pairs).await.map(IntoResponse::into_response)
}

async fn present_services(console: &Console, pairs: &[(String, String)]) -> Answer<ServiceRow> {
    let allowed = &["ip", "transport", "port", "service", "product", "name", "sha256", "state", "limit", "after"];
    let query = Query::parse(pairs, allowed, console.clock.now())?;
    let filter = ServiceFilter {
        within: query.ip.into_iter().collect(),
        transport: query.transport,
        port: query.port,
        protocol: query.service,
        product: query.product,
        name: query.name,
        certificate: query.sha256,
        status: query.state,
        after: query.after.as_deref().map(cursor::service).transpose()?,
        limit: Some(query.limit),
        ..ServiceFilter::default()
    };
    let rows = console.reader.services(filter).await.map_err(unreadable)?;
    Ok(Page::new(rows, query.limit, place_of_service))
}

/// Endpoints: services, but one row each, whatever names they were asked under.
pub(super) async fn endpoints(State(console): State<Arc<Console>>, pairs: Pairs) -> Answer<EndpointRow> {
    let allowed = &["ip", "transport", "port", "state", "limit", "after"];
    let query = Query::parse(&pairs, allowed, console.clock.now())?;
    let after = query.after.as_deref().map(cursor::service).transpose()?;
    let mut told = after.clone().map(|key| (key.vantage, key.endpoint));
    let filter = ServiceFilter {
        within: query.ip.into_iter().collect(),
        transport: query.transport,
        port: query.port,
        status: query.state,
        after,
        limit: Some(query.limit),
        ..ServiceFilter::default()
    };
    let rows = console.reader.services(filter).await.map_err(unreadable)?;
    let next = if rows.len() < query.limit { None } else { rows.last().and_then(place_of_service) };
    // An endpoint's rows stand together, the bare address first: the first stands for all, also across pages.
    let mut items = Vec::new();
    for row in rows {
        let key = Some((row.vantage.clone(), row.endpoint()));
        if key != told {
            told = key;
            items.push(EndpointRow::from(row));
        }
    }
    Ok(Json(Page { items, next }))
}

/// An endpoint, as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct EndpointRow {
    vantage: model::Vantage,
    ip: std::net::IpAddr,
    transport: model::Transport,
    port: u16,
    state: PortStatus,
    reason: String,
    service: Option<String>,
    first_seen: jiff::Timestamp,
    last_seen: jiff::Timestamp,
    changed_at: jiff::Timestamp,
}

impl From<ServiceRow> for EndpointRow {
    fn from(row: ServiceRow) -> Self {
        Self {
            vantage: row.vantage,
            ip: row.ip,
            transport: row.transport,
            port: row.port,
            state: row.state,
            reason: row.reason,
            service: row.service.map(|service| service.name),
            first_seen: row.first_seen,
            last_seen: row.last_seen,
            changed_at: row.changed_at,
        }
    }
}

pub(super) async fn software(State(console): State<Arc<Console>>, pairs: Pairs) -> Answer<SoftwareRow> {
    let query = Query::parse(&pairs, &["ip", "product", "limit", "after"], console.clock.now())?;
    // The store gathers all of it anyway; the cursor counts rows.
    let skip = usize::try_from(query.after_seq()?.unwrap_or(0)).unwrap_or(usize::MAX);
    let filter = SoftwareFilter {
        within: query.ip.into_iter().collect(),
        product: query.product,
        limit: Some(skip.saturating_add(query.limit)),
    };
    let rows = console.reader.software(filter).await.map_err(unreadable)?;
    let items: Vec<_> = rows.into_iter().skip(skip).collect();
    Ok(Page::new(items, query.limit, |_| Some(skip.saturating_add(query.limit).to_string())))
}

/// A certificate, and what is wrong with it where it is served.
#[derive(Debug, Serialize)]
pub(super) struct CertificateRow {
    #[serde(flatten)]
    state: CertificateState,
    verdicts: BTreeSet<Verdict>,
}

pub(super) async fn certificates(State(console): State<Arc<Console>>, pairs: Pairs) -> Answer<CertificateRow> {
    let allowed = &["expiring", "subject", "issuer", "sha256", "all", "limit", "after"];
    let now = console.clock.now();
    let query = Query::parse(&pairs, allowed, now)?;
    let until = query.expiring.map(|within| now.checked_add(within)).transpose();
    let filter = CertificateFilter {
        expires_before: until.map_err(|_| Refusal::question("expiring: that is beyond the end of time"))?,
        served: (!query.all).then_some(true),
        subject: query.subject,
        issuer: query.issuer,
        sha256: query.sha256,
        after: query.after.as_deref().map(cursor::certificate).transpose()?,
        limit: Some(query.limit),
        ..CertificateFilter::default()
    };
    let rows = console.reader.certificates(filter).await.map_err(unreadable)?;
    let digests = rows.iter().map(|row| row.certificate.sha256).collect();
    let mut verdicts = console.reader.verdicts(digests).await.map_err(unreadable)?;
    let rows = rows.into_iter().map(|state| {
        let verdicts = verdicts.remove(&state.certificate.sha256).unwrap_or_default();
        CertificateRow { state, verdicts }
    });
    Ok(Page::new(rows.collect(), query.limit, |row| {
        let certificate = &row.state.certificate;
        Some(cursor::of_certificate(certificate.not_after, certificate.sha256))
    }))
}

/// The certificate, and after it what some service presents with it, each as PEM.
pub(super) async fn certificate_pem(State(console): State<Arc<Console>>, Path(text): Path<String>) -> Answer<String> {
    let sha256: Sha256 = text.parse().map_err(|error: String| Refusal::question(format!("`{text}`: {error}")))?;
    let serving = ServiceFilter { certificate: Some(sha256), limit: Some(1), ..ServiceFilter::default() };
    let services = console.reader.services(serving).await.map_err(unreadable)?;
    let chain = services.into_iter().filter_map(|service| service.tls).flat_map(|tls| tls.chain);
    let mut items = Vec::new();
    for member in std::iter::once(sha256).chain(chain) {
        let der = console.reader.certificate_der(member).await.map_err(unreadable)?;
        items.extend(der.as_deref().map(model::certificate_pem));
    }
    if items.is_empty() {
        return Err(Refusal::unknown(format!("no certificate {sha256} was ever seen here")));
    }
    Ok(Page::whole(items))
}

const OF_EVENTS: [&str; 12] =
    ["ip", "transport", "port", "name", "type", "since", "until", "severity", "profile", "newest", "limit", "after"];

pub(super) async fn events(State(console): State<Arc<Console>>, pairs: Pairs) -> Answer<Event> {
    let query = Query::parse(&pairs, &OF_EVENTS, console.clock.now())?;
    let place = query.after_seq()?;
    let filter = EventFilter {
        after: place.filter(|_| !query.newest),
        before: place.filter(|_| query.newest),
        types: query.types,
        within: query.ip.into_iter().collect(),
        transport: query.transport,
        port: query.port,
        name: query.name,
        since: query.since,
        until: query.until,
        min_severity: query.severity,
        profile: query.profile,
        newest_first: query.newest,
        limit: Some(query.limit),
        ..EventFilter::default()
    };
    let rows = console.reader.events(filter).await.map_err(unreadable)?;
    Ok(Page::new(rows, query.limit, |event| event.seq.map(|seq| seq.to_string())))
}

pub(super) async fn alerts(State(console): State<Arc<Console>>, pairs: Pairs) -> Answer<AlertRow> {
    let allowed =
        ["ip", "port", "type", "since", "until", "severity", "profile", "recipient", "newest", "limit", "after"];
    let query = Query::parse(&pairs, &allowed, console.clock.now())?;
    let place = query.after_seq()?;
    let filter = AlertFilter {
        after: place.filter(|_| !query.newest),
        before: place.filter(|_| query.newest),
        profile: query.profile,
        recipient: query.recipient,
        types: query.types,
        within: query.ip.into_iter().collect(),
        port: query.port,
        since: query.since,
        until: query.until,
        min_severity: query.severity,
        newest_first: query.newest,
        limit: Some(query.limit),
        ..AlertFilter::default()
    };
    let rows = console.reader.alerts(filter).await.map_err(unreadable)?;
    Ok(Page::new(rows, query.limit, |row| Some(row.notice.seq.to_string())))
}

pub(super) async fn profiles(State(console): State<Arc<Console>>, pairs: Pairs) -> Answer<ProfileView> {
    query::none(&pairs)?;
    Ok(Page::whole(console.control.profiles()))
}

/// A recipient, and how telling it goes.
#[derive(Debug, Serialize)]
pub(super) struct RecipientWithDelivery {
    #[serde(flatten)]
    view: RecipientView,
    /// None where it was never owed anything.
    delivery: Option<store::RecipientRow>,
}

pub(super) async fn recipients(State(console): State<Arc<Console>>, pairs: Pairs) -> Answer<RecipientWithDelivery> {
    query::none(&pairs)?;
    let rows = console.reader.recipients().await.map_err(unreadable)?;
    let mut rows: BTreeMap<String, store::RecipientRow> =
        rows.into_iter().map(|row| (row.recipient.clone(), row)).collect();
    let views = console.control.recipients();
    let with = |view: RecipientView| RecipientWithDelivery { delivery: rows.remove(&view.name), view };
    Ok(Page::whole(views.into_iter().map(with).collect()))
}

fn place_of_service(row: &ServiceRow) -> Option<String> {
    // A stored name is one that was read from the configuration, so it reads again.
    let name = row.name.as_deref().map(str::parse).transpose().ok()?;
    Some(cursor::of_service(&ServiceKey { vantage: row.vantage.clone(), endpoint: row.endpoint(), name }))
}
