use super::{Running, event};
use hyper::StatusCode;
use monitor::{Batch, Journal};

#[tokio::test]
async fn tcp_serves_health_and_metrics_and_nothing_else() {
    let running = Running::start().await;
    let local = running.tcp.to_string();
    assert_eq!(running.tcp("GET", "/healthz", &local).await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(running.tcp("GET", "/readyz", "scan1:8321").await, (StatusCode::OK, "ready\n".to_owned()));
    for (method, target, host, expect) in [
        ("GET", "/api/v1/status", local.as_str(), StatusCode::NOT_FOUND),
        ("GET", "/api/v1/hosts", &local, StatusCode::NOT_FOUND),
        ("POST", "/api/v1/halt", &local, StatusCode::NOT_FOUND),
        ("GET", "/", &local, StatusCode::NOT_FOUND),
        ("POST", "/metrics", &local, StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/metrics", "attacker.example", StatusCode::MISDIRECTED_REQUEST),
        ("GET", "/api/v1/hosts", "attacker.example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        assert_eq!(running.tcp(method, target, host).await.0, expect, "{method} {target} {host}");
    }
    assert!(running.fake.done().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn readiness_is_the_daemons() {
    let running = Running::start_with(false).await;
    assert_eq!(running.tcp("GET", "/readyz", "127.0.0.1").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(running.tcp("GET", "/healthz", "127.0.0.1").await.0, StatusCode::OK);
    running.stop().await;
}

#[tokio::test]
async fn metrics_tell_the_state() {
    let running = Running::start().await;
    let (status, text) = running.tcp("GET", "/metrics", "localhost").await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        r#"perimeterd_build_info{version="0.1.0",mode="connect"} 1"#,
        "perimeterd_hosts 3.0",
        "perimeterd_endpoints 9.0",
        "perimeterd_halted 0.0",
        r#"perimeterd_lane_coverage_ratio{profile="dmz \"1\"",lane="hot"} 0.75"#,
        r#"perimeterd_lane_lag_seconds{profile="dmz \"1\"",lane="hot"} 1.5"#,
        r#"perimeterd_lane_last_pass_attempts{profile="dmz \"1\"",lane="hot"} 120.0"#,
        r#"perimeterd_lane_last_pass_replayed{profile="dmz \"1\"",lane="hot"} 2.0"#,
        "perimeterd_packet_rate 2000.0",
        r#"perimeterd_packet_limit_info{by="path"} 1"#,
        "perimeterd_ring_drops_total 3",
        "perimeterd_canaries_missed_total 4",
        r#"perimeterd_lane_last_pass_local_errors{profile="dmz \"1\"",lane="hot"} 4.0"#,
        r#"perimeterd_delivery_backlog{recipient="soc",channel="email"} 7.0"#,
        r#"perimeterd_delivery_oldest_seconds{recipient="soc",channel="email"} 600.0"#,
        r#"perimeterd_events_total{type="PORT_OPEN"} 2"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    // Unknown is not nought.
    assert!(!text.contains("perimeterd_lane_loss_ratio{"));
    running.store.commit(Batch { events: vec![event(3)], ..Batch::default() }).await.expect("commits");
    let (_, text) = running.tcp("GET", "/metrics", "localhost").await;
    assert!(text.contains(r#"perimeterd_events_total{type="PORT_OPEN"} 3"#), "{text}");
    running.stop().await;
}
