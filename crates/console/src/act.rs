//! `POST`: what the daemon is asked to do.

use crate::{Console, refusal::Refusal};
use axum::{Json, Router, body::Bytes, extract::State, routing::post};
use model::Delivery;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{path::PathBuf, sync::Arc};

/// What was done, in one sentence (of diagnostics: in several lines).
#[derive(Debug, Serialize)]
struct Done {
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfProfile {
    profile: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRecipient {
    recipient: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToPath {
    path: PathBuf,
}

type Answer<T> = Result<Json<T>, Refusal>;

pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/halt", post(halt))
        .route("/resume", post(resume))
        .route("/reload", post(reload))
        .route("/scan-now", post(scan_now))
        .route("/notify-test", post(notify_test))
        .route("/backup", post(backup))
}

async fn halt(State(console): State<Arc<Console>>, body: Bytes) -> Answer<Done> {
    let Nothing {} = read(&body)?;
    console.control.halt().await.map_err(Refusal::declined)?;
    Ok(done("all probing is stopped; `resume` lets it go on, a restart does not"))
}

async fn resume(State(console): State<Arc<Console>>, body: Bytes) -> Answer<Done> {
    let Nothing {} = read(&body)?;
    console.control.resume().await.map_err(Refusal::declined)?;
    Ok(done("probing goes on"))
}

async fn reload(State(console): State<Arc<Console>>, body: Bytes) -> Answer<Done> {
    let Nothing {} = read(&body)?;
    Ok(done(console.control.reload().await.map_err(Refusal::declined)?))
}

async fn scan_now(State(console): State<Arc<Console>>, body: Bytes) -> Answer<Done> {
    let OfProfile { profile } = read(&body)?;
    Ok(done(console.control.scan_now(&profile).await.map_err(Refusal::declined)?))
}

async fn notify_test(State(console): State<Arc<Console>>, body: Bytes) -> Answer<Delivery> {
    let OfRecipient { recipient } = read(&body)?;
    console.control.notify_test(&recipient).await.map(Json).map_err(Refusal::declined)
}

async fn backup(State(console): State<Arc<Console>>, body: Bytes) -> Answer<Done> {
    let ToPath { path } = read(&body)?;
    if !path.is_absolute() {
        return Err(Refusal::question(format!("path: `{}` is not absolute", path.display())));
    }
    console.control.backup(&path).await.map_err(Refusal::declined)?;
    Ok(done(format!("the database is copied to {}", path.display())))
}

fn done(message: impl Into<String>) -> Json<Done> {
    Json(Done { message: message.into() })
}

/// An empty body is an empty object.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refusal::question(format!("the body is not what is wanted: {error}")))
}
