use super::{Running, at, host};
use hyper::StatusCode;
use inventory::Approval;
use monitor::{Batch, Journal};
use serde_json::{Value, json};

#[tokio::test]
async fn lists_filter_and_page() {
    let running = Running::start().await;
    let addresses = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| item["ip"].as_str().expect("an address").to_owned()).collect()
    };
    for (target, expect) in [
        ("/api/v1/hosts", &["192.0.2.7", "192.0.2.8", "192.0.2.9"][..]),
        ("/api/v1/hosts?ip=192.0.2.8/31", &["192.0.2.8", "192.0.2.9"]),
        ("/api/v1/hosts?port=443", &["192.0.2.7"]),
        ("/api/v1/hosts?asset=nowhere", &[]),
        ("/api/v1/services?port=22", &["192.0.2.7", "192.0.2.8"]),
        ("/api/v1/endpoints", &["192.0.2.7", "192.0.2.7", "192.0.2.8"]),
    ] {
        let (status, page) = running.get(target).await;
        assert_eq!(
            (status, addresses(&page)),
            (StatusCode::OK, expect.iter().map(ToString::to_string).collect()),
            "{target}"
        );
    }
    for list in ["hosts", "services", "endpoints"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        for _ in 0..5 {
            let (_, page) = running.get(&format!("/api/v1/{list}?limit=1{after}")).await;
            seen.extend(addresses(&page));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", next.replace('|', "%7C")),
                None => break,
            }
        }
        assert_eq!(seen.len(), 3, "{list}: {seen:?}");
    }
    // A page that a filter thins out still leads on.
    let (_, page) = running.get("/api/v1/hosts?port=22&limit=1").await;
    let next = page["next"].as_str().expect("another page").replace('|', "%7C");
    let (_, page) = running.get(&format!("/api/v1/hosts?port=22&limit=1&after={next}")).await;
    assert_eq!(addresses(&page), ["192.0.2.8"]);
    running.stop().await;
}

/// What nobody has approved yet is asked for by itself, page by page too.
#[tokio::test]
async fn hosts_say_whether_they_are_approved() {
    let running = Running::start().await;
    let mut approved = host(8, &[22]);
    approved.approved = Some(Approval { at: at(60), by: "inventory.csv".to_owned() });
    running.store.commit(Batch { hosts: vec![approved], ..Batch::default() }).await.expect("commits");
    let approval = json!({ "at": at(60), "by": "inventory.csv" });
    for (target, expect) in [
        ("hosts", &[Value::Null, approval.clone(), Value::Null][..]),
        ("hosts?approved=true", std::slice::from_ref(&approval)),
        ("hosts?approved=false", &[Value::Null, Value::Null]),
        ("hosts?approved=false&port=22", &[Value::Null]),
        ("hosts?approved=true&up=false", &[]),
    ] {
        let (status, page) = running.get(&format!("/api/v1/{target}")).await;
        let found: Option<Vec<_>> =
            page["items"].as_array().and_then(|items| items.iter().map(|item| item.get("approved").cloned()).collect());
        assert_eq!((status, found.as_deref()), (StatusCode::OK, Some(expect)), "{target}: {page}");
    }
    let (_, page) = running.get("/api/v1/hosts?approved=false&limit=1").await;
    let next = page["next"].as_str().expect("another page").replace('|', "%7C");
    let (_, page) = running.get(&format!("/api/v1/hosts?approved=false&limit=1&after={next}")).await;
    assert_eq!(page["items"][0]["ip"], "192.0.2.9", "the approved one between them is passed over");
    let (_, detail) = running.get("/api/v1/hosts/192.0.2.8").await;
    assert_eq!(detail["host"]["approved"], approval);
    running.stop().await;
}

#[tokio::test]
async fn events_come_in_both_orders() {
    let running = Running::start().await;
    for (target, expect) in [
        ("/api/v1/events", &[1, 2][..]),
        ("/api/v1/events?newest=true", &[2, 1]),
        ("/api/v1/events?newest=true&limit=1", &[2]),
        ("/api/v1/events?newest=true&after=2", &[1]),
        ("/api/v1/events?after=1", &[2]),
        ("/api/v1/events?type=PORT_CLOSED", &[]),
        ("/api/v1/events?type=PORT_OPEN,PORT_CLOSED&ip=192.0.2.7&port=3389&severity=3", &[1, 2]),
        ("/api/v1/events?severity=5", &[]),
        ("/api/v1/events?since=1h", &[1, 2]),
        ("/api/v1/events?since=59m", &[]),
    ] {
        let (status, page) = running.get(target).await;
        let seqs: Vec<i64> =
            page["items"].as_array().expect("items").iter().filter_map(|e| e["seq"].as_i64()).collect();
        assert_eq!((status, seqs.as_slice()), (StatusCode::OK, expect), "{target}");
    }
    running.stop().await;
}
