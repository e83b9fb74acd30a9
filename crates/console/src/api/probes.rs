//! Whether, when and why an address or one of its ports was asked.

use super::lists::Page;
use crate::{
    Console,
    query::{Query, sequence_number},
    read::unreadable,
    refusal::Refusal,
};
use axum::{
    Json,
    extract::{self, State},
};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use store::{Gap, ProbeFilter, ProbeRow};

/// A page, and how far back the ledger goes.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    /// Everything asked since then stands in the ledger. None: nothing was ever asked.
    since: Option<Timestamp>,
    /// But single questions of the last seconds before these kills.
    gaps: Vec<Gap>,
    #[serde(flatten)]
    page: Page<ProbeRow>,
}

/// The newest first.
pub(super) async fn probes(
    State(console): State<Arc<Console>>,
    pairs: extract::Query<Vec<(String, String)>>,
) -> Result<Json<Account>, Refusal> {
    let allowed = &["ip", "port", "transport", "since", "until", "limit", "after"];
    let query = Query::parse(&pairs, allowed, console.clock.now())?;
    let one = query.ip.filter(|range| range.first() == range.last());
    let ip = one.ok_or_else(|| Refusal::question("`ip` is missing, or is not one address".to_owned()))?.first();
    let filter = ProbeFilter {
        ip,
        transport: query.transport,
        port: query.port,
        since: query.since,
        until: query.until,
        before: query.after.as_deref().map(sequence_number).transpose()?,
        limit: query.limit,
    };
    let answer = console.reader.probes(filter).await.map_err(unreadable)?;
    let Json(page) = Page::new(answer.rows, query.limit, |row| Some(row.id.to_string()));
    Ok(Json(Account { since: answer.since, gaps: answer.gaps, page }))
}
