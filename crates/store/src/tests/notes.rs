use super::*;
use inventory::{PoolOffer, PoolPlace, PoolState};
use monitor::{Journal as _, Note};

fn note(kind: &str, key: &str, value: Option<&str>) -> Note {
    Note { kind: kind.to_owned(), key: key.to_owned(), value: value.map(str::to_owned) }
}

fn pool(asset: &str, ports: &[u16]) -> PoolState {
    let offer = |port: &u16| PoolOffer {
        transport: Transport::Tcp,
        port: *port,
        service: Some("http".to_owned()),
        product: (*port == 80).then(|| "nginx".to_owned()),
    };
    let place = PoolPlace { first_seen: at(0), last_seen: at(60) };
    let offers = ports.iter().map(|port| (offer(port), place.clone())).collect();
    PoolState { asset: asset.into(), offers, lost_since: ports.is_empty().then(|| at(30)) }
}

#[tokio::test]
async fn notes_and_pools_come_back_are_replaced_and_go() {
    let folder = folder();
    let of = |sensor: &str| Options { vantage: sensor.into(), ..Options::default() };
    let store = open_with(folder.path(), &of("scan1"));
    let notes = vec![
        note("prefix", "192.0.2.0/24", Some(r#"{"since":"2026-11-21T10:00:00Z"}"#)),
        note("stale", "dmz/hot", Some("true")),
        note("trouble", "", Some("\"\u{0}'; DROP TABLE note; --\"")),
    ];
    let pools = vec![pool("farm", &[80, 443]), pool("other", &[])];
    let batch = Batch { notes: notes.clone(), pools: pools.clone(), ..Batch::default() };
    store.commit(batch.clone()).await.expect("commits");
    store.commit(batch).await.expect("commits again");
    store.close().await.expect("closes");

    let store = open_with(folder.path(), &of("scan1"));
    let (_, found) = load(&store).await;
    assert_eq!((&found.notes, &found.pools), (&notes, &pools));
    let changes = Batch {
        notes: vec![
            note("stale", "dmz/hot", None),
            note("prefix", "192.0.2.0/24", Some("2")),
            note("stale", "x", None),
        ],
        pools: vec![pool("farm", &[8080])],
        ..Batch::default()
    };
    store.commit(changes).await.expect("commits");
    let (_, found) = load(&store).await;
    assert_eq!(found.notes, [note("prefix", "192.0.2.0/24", Some("2")), notes[2].clone()]);
    assert_eq!(found.pools, [pool("farm", &[8080]), pool("other", &[])]);
    store.close().await.expect("closes");
    let (_, theirs) = load(&open_with(folder.path(), &of("scan2"))).await;
    assert!(theirs.notes.is_empty() && theirs.pools.is_empty(), "each sensor has its own");
}
