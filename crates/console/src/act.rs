//! `POST`: what the daemon is asked to do.

use crate::{Console, control::Review, refusal::Refusal};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    routing::post,
};
use model::{Delivery, Target};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{path::PathBuf, sync::Arc};

/// A list of approved hosts may be longer than any other request, in bytes.
const LARGEST_LIST: usize = 2 << 20;
/// The longest name of whoever approved a host, in characters.
const MOST_BY: usize = 200;

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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfHosts {
    /// Addresses, prefixes and ranges.
    #[serde(default)]
    targets: Vec<String>,
    /// Every host known now, instead.
    #[serde(default)]
    all: bool,
    #[serde(default)]
    withdraw: bool,
    by: Option<String>,
}

type Answer<T> = Result<Json<T>, Refusal>;

pub(crate) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/halt", post(halt))
        .route("/resume", post(resume))
        .route("/reload", post(reload))
        .route("/fingerprints/relabel", post(relabel))
        .route("/scan-now", post(scan_now))
        .route("/hosts/approve", post(approve).layer(DefaultBodyLimit::max(LARGEST_LIST)))
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
    // By itself, so that who asked and went away does not leave half of a configuration in force.
    let reloading = tokio::spawn(async move { console.control.reload().await });
    let said = reloading.await.map_err(|error| Refusal::declined(format!("the reload ended in a fault: {error}")))?;
    Ok(done(said.map_err(Refusal::declined)?))
}

async fn relabel(State(console): State<Arc<Console>>, body: Bytes) -> Answer<Done> {
    let Nothing {} = read(&body)?;
    Ok(done(console.control.relabel().await.map_err(Refusal::declined)?))
}

async fn scan_now(State(console): State<Arc<Console>>, body: Bytes) -> Answer<Done> {
    let OfProfile { profile } = read(&body)?;
    Ok(done(console.control.scan_now(&profile).await.map_err(Refusal::declined)?))
}

async fn approve(State(console): State<Arc<Console>>, body: Bytes) -> Answer<Done> {
    let OfHosts { targets, all, withdraw, by } = read(&body)?;
    if all != targets.is_empty() {
        return Err(Refusal::question("say which hosts: `targets`, or `all`, and not both"));
    }
    let mut ranges = Vec::with_capacity(targets.len());
    for text in &targets {
        let target: Target = text.parse().map_err(|error| Refusal::question(format!("targets: {error}")))?;
        let range = target.range().ok_or_else(|| {
            Refusal::question(format!("targets: `{text}` is a host name; a name can move, so write its addresses"))
        })?;
        ranges.push(range);
    }
    let by = by.unwrap_or_else(|| "operator".to_owned());
    if by.is_empty() || by.chars().count() > MOST_BY || by.chars().any(char::is_control) {
        return Err(Refusal::question(format!("by: one line of at most {MOST_BY} characters")));
    }
    let addresses = (!all).then(|| ranges.into_iter().collect());
    Ok(done(console.control.review(Review { addresses, withdraw, by }).await.map_err(Refusal::declined)?))
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
