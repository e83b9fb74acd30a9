use super::*;
use crate::Expired;
use monitor::Journal as _;
use notifiers::{Ending, Outbox as _};
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

async fn deliver(store: &Store, recipient: &str, seconds: i64) {
    while let Some(digest) = store.begin(recipient, at(seconds), 1).await.expect("begins") {
        let ending = Ending::Delivered { at: at(seconds), answer: String::new() };
        store.end(&digest.id, ending).await.expect("ends");
    }
}

#[tokio::test]
async fn only_what_is_old_and_told_goes() {
    let folder = folder();
    let store = open(folder.path());
    let day = 86_400;
    store.commit(told(0, 1, &["soc"])).await.expect("commits");
    store.commit(told(1, 2, &["soc", "siem"])).await.expect("commits");
    store.commit(told(2, 3, &[])).await.expect("commits");
    let unheard = Batch { events: vec![event(EventType::BaselineDone, 3, None)], ..Batch::default() };
    store.commit(unheard).await.expect("commits");
    deliver(&store, "soc", 10).await;
    store.commit(told(3 * day, 5, &["soc"])).await.expect("commits");

    let expire = async |seconds| store.expire(at(seconds), DAY).await.expect("expires");
    assert_eq!(expire(day).await, Expired::default(), "nothing is older than a day");
    assert_eq!(
        expire(day + 5).await,
        Expired { events: 2, alerts: 1, digests: 0, ..Expired::default() },
        "told to nobody"
    );
    assert_eq!(
        expire(2 * day).await,
        Expired { events: 1, alerts: 1, digests: 1, ..Expired::default() },
        "the second is owed to siem"
    );
    let left = store.reader().events(crate::EventFilter::default()).await.expect("reads");
    assert_eq!(left.iter().filter_map(|event| event.seq).collect::<Vec<_>>(), [2, 5]);
    deliver(&store, "siem", 2 * day).await;
    assert_eq!(expire(3 * day + 1).await, Expired { events: 1, alerts: 1, digests: 0, ..Expired::default() });

    // The last window's end is still known, and numbers are not given again.
    let digest = store.begin("soc", at(4 * day), 10).await.expect("begins").expect("owed");
    assert_eq!((digest.from, digest.notices[0].seq), (at(10), 4));
    assert_eq!(store.commit(told(4 * day, 6, &[])).await.expect("commits").events, [6]);
    let (_, restored) = store.load(Vec::<inventory::HostState>::new()).await.expect("loads");
    assert_eq!(restored.events, 6, "those that were let go happened all the same");
}

/// With a dead battery a machine starts in any year, and retention is seen to before the network can put the clock right.
#[tokio::test]
async fn a_clock_that_starts_in_another_year_takes_nothing_away() {
    let (folder, retention) = (folder(), 400 * DAY);
    let store = open(folder.path());
    store.commit(told(0, 1, &["soc"])).await.expect("commits");
    deliver(&store, "soc", 10).await;
    store.close().await.expect("closes");
    let store = open(folder.path());
    let wrong = at(9 * 365 * 86_400);
    let expired = store.expire(store.time_for_expiry(wrong), retention).await.expect("expires");
    assert_eq!(expired, Expired::default());
    assert_eq!(store.time_for_expiry(at(5)), at(5), "an early clock counts: it takes less away");
}

#[tokio::test]
async fn issuers_go_with_the_last_that_presents_them() {
    let folder = folder();
    let store = open(folder.path());
    let digest = |number: u8| Sha256([number; 32]);
    let serving = |leaf: u8, issuers: &[u8]| {
        let mut service = asked(None, service("http", None), Some(digest(leaf)));
        let tls = service.tls.as_mut().expect("TLS");
        tls.chain = issuers.iter().map(|&issuer| digest(issuer)).collect();
        let der = std::iter::once(leaf).chain(issuers.iter().copied()).map(|of| (digest(of), vec![0x30, of])).collect();
        let hosts = vec![host("192.0.2.7", vec![endpoint(443, PortStatus::Open, vec![service])])];
        Batch { hosts, certificates: vec![certificate(leaf, at(1_000_000))], certificate_der: der, ..Batch::default() }
    };
    let expired = async |store: &Store| store.expire(at(60), DAY).await.expect("expires").chains;
    let kept = async |store: &Store| {
        let mut kept = Vec::new();
        for number in 1..=6 {
            let der = store.reader().certificate_der(digest(number)).await.expect("reads");
            kept.extend(der.map(|_| number));
        }
        kept
    };
    store.commit(serving(1, &[3, 4])).await.expect("commits");
    assert_eq!(expired(&store).await, 0, "all of it is presented");
    // Renewed under another issuer; the old leaf itself is still known, then no longer.
    store.commit(serving(2, &[5, 4])).await.expect("commits");
    assert_eq!(expired(&store).await, 1);
    assert_eq!(kept(&store).await, [1, 2, 4, 5]);
    store.commit(Batch { removed_certificates: vec![digest(1)], ..Batch::default() }).await.expect("commits");
    assert_eq!((expired(&store).await, kept(&store).await), (0, vec![2, 4, 5]));
    // The host is gone, and with it who presented them.
    store.commit(Batch { removed_hosts: vec![key("192.0.2.7")], ..Batch::default() }).await.expect("commits");
    assert_eq!((expired(&store).await, kept(&store).await), (2, vec![2]));
}
