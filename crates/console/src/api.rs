//! The API on the Unix socket.
//!
//! A list answers `{"items":[…],"next":"…"}`; `next`, where there is one, goes into `after` for the next page.
//!
//! `GET /hosts` takes `approved=true|false` among its filters. Each host has `approved`: `{"at":"…","by":"…"}`, or `null`
//! while it is unreviewed. In `GET /hosts/{ip}` what does not apply is left out, `approved` too. `POST /hosts/approve`
//! changes it.
//!
//! `GET /probes?ip=…` takes one address, and `port`, `transport`, `since` and `until`. Beside `items` it says `since`: how far
//! back the ledger goes.

mod cursor;
mod lists;
mod past;
mod probes;

use crate::{Console, act, refusal::Refusal, stream};
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use model::StatusReport;
use std::{net::IpAddr, sync::Arc};
use store::HostDetail;
use tokio_util::sync::CancellationToken;

pub(crate) fn router(console: Arc<Console>, shutdown: CancellationToken) -> Router {
    let streaming = Router::new().route("/stream", get(stream::stream)).with_state((Arc::clone(&console), shutdown));
    let rest = Router::new()
        .route("/status", get(status))
        .route("/hosts", get(lists::hosts))
        .route("/hosts/{ip}", get(host))
        .route("/hosts/{ip}/history", get(past::host_history))
        .route("/diff", get(past::diff))
        .route("/endpoints", get(lists::endpoints))
        .route("/services", get(lists::services))
        .route("/software", get(lists::software))
        .route("/certificates", get(lists::certificates))
        .route("/certificates/{sha256}/history", get(past::certificate_history))
        .route("/certificates/{sha256}/pem", get(lists::certificate_pem))
        .route("/events", get(lists::events))
        .route("/probes", get(probes::probes))
        .route("/alerts", get(lists::alerts))
        .route("/profiles", get(lists::profiles))
        .route("/recipients", get(lists::recipients))
        .merge(act::routes())
        .with_state(console);
    Router::new()
        .nest("/api/v1", rest.merge(streaming))
        .fallback(async || Refusal::unknown("there is nothing here; the API is under /api/v1/"))
        .method_not_allowed_fallback(async || Refusal {
            status: axum::http::StatusCode::METHOD_NOT_ALLOWED,
            message: "this is read with GET, or done with POST".to_owned(),
        })
}

async fn status(State(console): State<Arc<Console>>) -> Json<StatusReport> {
    Json(console.control.status().await)
}

async fn host(State(console): State<Arc<Console>>, Path(text): Path<String>) -> Result<Json<HostDetail>, Refusal> {
    let ip: IpAddr = text.parse().map_err(|_| Refusal::question(format!("`{text}` is not an address")))?;
    let host = console.reader.host(ip).await.map_err(crate::read::unreadable)?;
    host.map(Json).ok_or_else(|| Refusal::unknown(format!("nothing is known about {ip}: it never answered here")))
}
