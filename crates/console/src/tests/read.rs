use super::{Running, fake::report, message};
use hyper::StatusCode;
use serde_json::json;

#[tokio::test]
async fn everything_else_that_is_read() {
    let running = Running::start().await;
    let (status, found) = running.get("/api/v1/hosts/192.0.2.7").await;
    assert_eq!((status, &found["host"]["key"]["ip"]), (StatusCode::OK, &json!("192.0.2.7")));
    assert_eq!(found["events"].as_array().map(Vec::len), Some(2));
    let (status, found) = running.get("/api/v1/status").await;
    assert_eq!((status, serde_json::from_value(found).ok()), (StatusCode::OK, Some(report())));
    for list in ["software", "certificates?expiring=30d", "alerts", "profiles", "recipients"] {
        let (status, page) = running.get(&format!("/api/v1/{list}")).await;
        assert!(status == StatusCode::OK && page["items"].is_array(), "{list}: {page}");
    }
    assert_eq!(running.get("/api/v1/recipients").await.1["items"][0]["name"], "soc");
    for (target, expect, part) in [
        ("/api/v1/hosts/192.0.2.99", StatusCode::NOT_FOUND, "nothing is known about 192.0.2.99"),
        ("/api/v1/hosts/www", StatusCode::BAD_REQUEST, "`www` is not an address"),
        ("/api/v1/hosts?colour=red", StatusCode::BAD_REQUEST, "no parameter `colour`"),
        ("/api/v1/hosts?after=x", StatusCode::BAD_REQUEST, "after"),
        ("/api/v1/hosts?approved=maybe", StatusCode::BAD_REQUEST, "neither `true`"),
        ("/api/v1/hosts?at=1h&approved=false", StatusCode::BAD_REQUEST, "no parameter `approved`"),
        ("/api/v1/hosts?at=1h&os=linux", StatusCode::BAD_REQUEST, "no parameter `os`"),
        ("/api/v1/diff?to=1h", StatusCode::BAD_REQUEST, "`from` is missing"),
        ("/api/v1/diff?from=1h&to=2h", StatusCode::BAD_REQUEST, "not before"),
        ("/api/v1/diff?from=soon", StatusCode::BAD_REQUEST, "neither a time"),
        ("/api/v1/hosts/www/history", StatusCode::BAD_REQUEST, "`www` is not an address"),
        ("/api/v1/certificates/abc/history", StatusCode::BAD_REQUEST, "SHA-256"),
        ("/api/v1/certificates/abc/pem", StatusCode::BAD_REQUEST, "SHA-256"),
        ("/api/v1/events?after=x", StatusCode::BAD_REQUEST, "not a sequence number"),
        ("/api/v1/profiles?limit=1", StatusCode::BAD_REQUEST, "no parameter"),
        ("/api/v1/nothing", StatusCode::NOT_FOUND, "nothing here"),
        ("/metrics", StatusCode::NOT_FOUND, "nothing here"),
        ("/api/v1/halt", StatusCode::METHOD_NOT_ALLOWED, "POST"),
    ] {
        let (status, answer) = running.get(target).await;
        assert!(status == expect && message(&answer).contains(part), "{target}: {status} {answer}");
    }
    running.stop().await;
}
