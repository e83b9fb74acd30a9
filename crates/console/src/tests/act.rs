use super::Running;
use hyper::StatusCode;

#[tokio::test]
async fn the_daemon_does_what_it_is_asked() {
    let running = Running::start().await;
    for (target, body, expect, part) in [
        ("halt", "", StatusCode::OK, "stopped"),
        ("resume", "{}", StatusCode::UNPROCESSABLE_ENTITY, "disk is full"),
        ("reload", "{}", StatusCode::UNPROCESSABLE_ENTITY, "colour"),
        ("fingerprints/relabel", "", StatusCode::OK, "7 kept answers"),
        ("scan-now", r#"{"profile":"dmz"}"#, StatusCode::OK, "dmz is being scanned"),
        ("hosts/approve", r#"{"targets":["192.0.2.0/24","192.0.2.9"]}"#, StatusCode::OK, "noted"),
        ("hosts/approve", r#"{"all":true,"withdraw":true,"by":"anna"}"#, StatusCode::OK, "noted"),
        ("hosts/approve", "{}", StatusCode::BAD_REQUEST, "which hosts"),
        ("hosts/approve", r#"{"targets":["192.0.2.9"],"all":true}"#, StatusCode::BAD_REQUEST, "not both"),
        ("hosts/approve", r#"{"targets":["www.example.org"]}"#, StatusCode::BAD_REQUEST, "host name"),
        ("hosts/approve", r#"{"all":true,"by":"a\nb"}"#, StatusCode::BAD_REQUEST, "one line"),
        ("scan-now", "{}", StatusCode::BAD_REQUEST, "profile"),
        ("scan-now", "nonsense", StatusCode::BAD_REQUEST, "body"),
        ("notify-test", r#"{"recipient":"soc"}"#, StatusCode::OK, "250 queued"),
        ("notify-test", r#"{"recipient":"nobody"}"#, StatusCode::UNPROCESSABLE_ENTITY, "no recipient"),
        ("backup", r#"{"path":"/srv/b.db"}"#, StatusCode::OK, "/srv/b.db"),
        ("backup", r#"{"path":"b.db"}"#, StatusCode::BAD_REQUEST, "not absolute"),
        ("halt", r#"{"why":"x"}"#, StatusCode::BAD_REQUEST, "why"),
    ] {
        let (status, answer) = running.unix("POST", &format!("/api/v1/{target}"), body).await;
        assert!(status == expect && answer.to_string().contains(part), "{target}: {status} {answer}");
    }
    let done = running.fake.done();
    assert_eq!(
        done,
        ["halt", "scan dmz", "review 256 false by operator", "review all true by anna", "backup /srv/b.db"]
    );
    let many = format!("{{\"targets\":[{}]}}", vec!["\"192.0.2.7\""; 20_000].join(","));
    assert_eq!(running.unix("POST", "/api/v1/hosts/approve", &many).await.0, StatusCode::OK);
    let long = format!("{{\"profile\":\"{}\"}}", "x".repeat(100_000));
    let (status, _) = running.unix("POST", "/api/v1/scan-now", &long).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    running.stop().await;
}
