//! What TCP serves: health and metrics, to whoever asks. Nothing here tells what was found where.

use crate::{Console, metrics, refusal::Refusal};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use std::{net::IpAddr, sync::Arc};

pub(crate) fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .fallback(async || Refusal::unknown("there is nothing here; the API is on the daemon's Unix socket"))
        .layer(middleware::from_fn_with_state(Arc::clone(&console), known_host))
        .with_state(console)
}

async fn ready(State(console): State<Arc<Console>>) -> Response {
    if console.control.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()
    }
}

async fn scrape(State(console): State<Arc<Console>>) -> Result<Response, Refusal> {
    let status = console.control.status().await;
    let by_type = console.event_counts().await?;
    let text = metrics::render(&status, &by_type).map_err(|error| Refusal::trouble(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

/// A web page of somebody else's can make a browser ask us under a name of theirs that leads here (DNS rebinding), and then
/// read the answer. It cannot do so under a literal address, nor under our own name.
async fn known_host(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    if is_known_host(request.headers(), &console.host_names) {
        next.run(request).await
    } else {
        Refusal {
            status: StatusCode::MISDIRECTED_REQUEST,
            message: "ask by address, or by this machine's own name".to_owned(),
        }
        .into_response()
    }
}

fn is_known_host(headers: &HeaderMap, own: &[String]) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let name = without_port(host);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || own.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            // `::1` without brackets is all address.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_only_under_names_that_nobody_else_can_choose() {
        let own = ["scan1".to_owned(), "scan1.example.org".to_owned()];
        for (host, expect) in [
            ("127.0.0.1:8321", true),
            ("127.0.0.1", true),
            ("[::1]:8321", true),
            ("[::1]", true),
            ("::1", true),
            ("localhost:8321", true),
            ("LOCALHOST", true),
            ("scan1:8321", true),
            ("Scan1.Example.org", true),
            ("attacker.example", false),
            ("attacker.example:8321", false),
            ("127.0.0.1.attacker.example", false),
            ("scan1.attacker.example", false),
            ("localhost.attacker.example:8321", false),
            ("", false),
            (":8321", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header"));
            assert_eq!(is_known_host(&headers, &own), expect, "{host}");
        }
        assert!(!is_known_host(&HeaderMap::new(), &own));
    }
}
