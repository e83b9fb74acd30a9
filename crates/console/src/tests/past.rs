use super::{Running, at, host};
use hyper::StatusCode;
use monitor::{Batch, Journal};
use serde_json::Value;

#[tokio::test]
async fn the_past_is_read() {
    let running = Running::start().await;
    // A host that was not there, comes with a port, and is lost.
    let mut host = host(7, &[22]);
    host.key.ip = "198.51.100.7".parse().expect("an address");
    (host.up, host.lost_since, host.first_seen, host.last_seen) = (true, None, at(100), at(100));
    host.endpoints[0].changed_at = at(100);
    running.store.commit(Batch { hosts: vec![host.clone()], ..Batch::default() }).await.expect("commits");
    (host.up, host.lost_since) = (false, Some(at(200)));
    running.store.commit(Batch { hosts: vec![host], ..Batch::default() }).await.expect("commits");
    let count = |page: &Value| page["items"].as_array().map(Vec::len);
    for (seconds, expect) in [(99, 0), (100, 1), (199, 1), (200, 0)] {
        for list in ["hosts", "services"] {
            let (status, page) = running.get(&format!("/api/v1/{list}?ip=198.51.100.7&at={}", at(seconds))).await;
            assert_eq!((status, count(&page)), (StatusCode::OK, Some(expect)), "{list} at {seconds}: {page}");
        }
    }
    let (_, page) = running.get(&format!("/api/v1/diff?ip=198.51.100.7&from={}&to={}", at(50), at(150))).await;
    let kinds: Vec<_> = page["items"].as_array().expect("items").iter().map(|item| item["kind"].clone()).collect();
    assert_eq!(kinds, ["host-appeared", "port-opened"]);
    let (_, history) = running.get("/api/v1/hosts/198.51.100.7/history").await;
    assert_eq!(history["up"][0]["ending"], "lost");
    assert_eq!(history["services"].as_array().map(Vec::len), Some(1));
    // Page by page gives the same.
    let all = running.get(&format!("/api/v1/hosts?at={}", at(150))).await.1;
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let page = running.get(&format!("/api/v1/hosts?at={}&limit=1{after}", at(150))).await.1;
        pages.extend(page["items"].as_array().expect("items").clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(Some(&pages), all["items"].as_array());
    running.stop().await;
}
