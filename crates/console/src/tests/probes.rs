use super::{Running, at};
use hyper::StatusCode;
use model::{Endpoint, Lane, PassId};
use monitor::{
    Batch, Journal, Numbering,
    ledger::{Entry, Errand, Mode, Order, Territory, Volley, VolleyId, Why},
};
use std::sync::Arc;

fn entry(seconds: i64) -> Entry {
    let ip = "198.51.100.7".parse().expect("an address");
    let numbering = Numbering::list([Endpoint::tcp(ip, 22), Endpoint::tcp(ip, 443), Endpoint::udp(ip, 53)]);
    let pass = PassId(model::derive_id(at(seconds), "pass", &seconds));
    let volley = Volley {
        id: VolleyId::at(at(seconds)),
        errand: Errand { profile: Some("dmz".into()), lane: Some(Lane::Known), pass: Some(pass), why: Why::Lane },
        attempts: (1, 2),
        mode: Mode::Connect,
        source: None,
        order: Order::Ascending,
        indices: 0..3,
        some: false,
        began: at(seconds),
        ended: Some(at(seconds + 6)),
    };
    Entry { volley, territory: Arc::new(Territory::of(&numbering)) }
}

#[tokio::test]
async fn what_was_asked_is_told() {
    let running = Running::start().await;
    let empty = running.get("/api/v1/probes?ip=198.51.100.7").await;
    assert_eq!((empty.0, &empty.1["since"], &empty.1["items"]), (StatusCode::OK, &().into(), &serde_json::json!([])));
    let probes = (0..5).map(|n| entry(n * 300)).collect();
    running.store.commit(Batch { probes, ..Batch::default() }).await.expect("commits");

    let (_, page) = running.get("/api/v1/probes?ip=198.51.100.7&port=443&limit=2").await;
    let items = page["items"].as_array().expect("items");
    assert_eq!((items.len(), page["since"].is_string()), (2, true), "{page}");
    let newest = &items[0];
    assert_eq!(newest["first"], at(1_203).to_string(), "the middle one of three in six seconds: {newest}");
    assert_eq!((&newest["tcp"], newest.get("udp")), (&"443".into(), None));
    assert_eq!((&newest["why"], &newest["lane"], &newest["sure"]), (&"lane".into(), &"known".into(), &true.into()));
    let next = page["next"].as_str().expect("there is more");
    let (_, rest) = running.get(&format!("/api/v1/probes?ip=198.51.100.7&port=443&after={next}")).await;
    assert_eq!((rest["items"].as_array().map(Vec::len), rest.get("next")), (Some(3), None));
    let count = async |query: &str| {
        let (status, page) = running.get(&format!("/api/v1/probes?{query}")).await;
        (status, page["items"].as_array().map(Vec::len))
    };
    let since = at(600);
    for (query, expect) in [
        (format!("ip=198.51.100.7&since={since}"), Some(3)),
        (format!("ip=198.51.100.7&until={since}"), Some(2)),
        ("ip=198.51.100.7&transport=udp".to_owned(), Some(5)),
        ("ip=198.51.100.7&transport=udp&port=443".to_owned(), Some(0)),
        ("ip=198.51.100.8".to_owned(), Some(0)),
    ] {
        assert_eq!(count(&query).await, (StatusCode::OK, expect), "{query}");
    }
    for query in ["", "port=22", "ip=198.51.100.0/24", "ip=198.51.100.7&after=x", "ip=198.51.100.7&since=soon"] {
        assert_eq!(count(query).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
    running.stop().await;
}
