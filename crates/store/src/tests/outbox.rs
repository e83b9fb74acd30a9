use super::*;
use model::Notice;
use monitor::Journal as _;
use notifiers::{Digest, Ending, OpenDigest, Outbox as _};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn delivered(seconds: i64) -> Ending {
    Ending::Delivered { at: at(seconds), answer: "250 queued".to_owned() }
}

fn seqs(notices: &[Notice]) -> Vec<u64> {
    notices.iter().map(|notice| notice.seq).collect()
}

async fn begin(store: &Store, recipient: &str, seconds: i64, limit: usize) -> Option<Digest> {
    store.begin(recipient, at(seconds), limit).await.expect("begins")
}

#[tokio::test]
async fn a_digest_holds_the_oldest_and_the_next_one_the_rest() {
    let folder = folder();
    let store = open(folder.path());
    for number in 0..5_u16 {
        store.commit(told(i64::from(number) * 10, 1000 + number, &["soc"])).await.expect("commits");
    }
    let first = begin(&store, "soc", 60, 3).await.expect("owed");
    assert_eq!((first.from, first.to, seqs(&first.notices)), (at(0), at(60), vec![1, 2, 3]));
    assert_eq!(begin(&store, "soc", 90, 3).await, Some(first.clone()), "one at a time");
    assert_eq!(begin(&store, "siem", 60, 3).await, None);
    store.end(&first.id, delivered(61)).await.expect("ends");
    let second = begin(&store, "soc", 120, 3).await.expect("owed");
    assert_eq!((second.from, second.to, seqs(&second.notices)), (at(60), at(120), vec![4, 5]));
    assert_ne!(first.id, second.id);
    store.end(&second.id, delivered(121)).await.expect("ends");
    store.end(&second.id, Ending::Dead { at: at(500), reason: "late".to_owned() }).await.expect("changes nothing");
    assert_eq!(begin(&store, "soc", 180, 3).await, None);
    assert_eq!(store.backlog().await.expect("reads"), []);
    let row = &store.reader().recipients().await.expect("reads")[0];
    assert_eq!((row.delivered, row.dead, row.backlog, row.last_delivered), (5, 0, 0, Some(at(121))));
}

#[tokio::test]
async fn a_notice_names_all_alerts_of_its_event() {
    let folder = folder();
    let store = open(folder.path());
    let mut batch = told(10, 3389, &["soc"]);
    let other = alert(&batch.events[0], "internal");
    batch.alerts.push(other.clone());
    store.commit(batch.clone()).await.expect("commits");
    let digest = begin(&store, "soc", 60, 10).await.expect("owed");
    let [notice] = digest.notices.as_slice() else { panic!("{digest:?}") };
    assert_eq!((&notice.alert, notice.event.seq, notice.test), (&batch.alerts[0], Some(1), false));
    let profiles: Vec<_> = notice.event.alerts.iter().map(|alert| alert.profile.as_str()).collect();
    assert_eq!(profiles, ["dmz", "internal"]);
    // What becomes of the event later does not change a digest that was begun.
    let late = alert(&batch.events[0], "late");
    store.commit(Batch { alerts: vec![late], ..Batch::default() }).await.expect("commits");
    assert_eq!(store.open_digests().await.expect("reads")[0].digest, digest);
}

#[tokio::test]
async fn an_open_digest_survives_as_it_is() {
    let folder = folder();
    let store = open(folder.path());
    store.commit(everything()).await.expect("commits");
    let digest = begin(&store, "soc", 60, 10).await.expect("owed");
    let next_try = at(100);
    store.postpone(&digest.id, next_try, "451 try later").await.expect("postpones");
    let expected = [OpenDigest {
        digest: digest.clone(),
        attempts: 1,
        first_try: at(1800),
        next_try,
        last_error: Some("451 try later".to_owned()),
    }];
    assert_eq!(store.open_digests().await.expect("reads"), expected);
    let left = snapshot(folder.path());
    assert_eq!(open(left.path()).open_digests().await.expect("reads"), expected);
    store.close().await.expect("closes");
    let store = open(folder.path());
    assert_eq!(store.open_digests().await.expect("reads"), expected);
    let row = store.reader().recipients().await.expect("reads").pop().expect("soc is last");
    assert_eq!(row.recipient, "soc");
    assert_eq!((row.backlog, row.next_try, row.last_error.as_deref()), (1, Some(next_try), Some("451 try later")));
    store.end(&digest.id, delivered(101)).await.expect("ends");
    assert_eq!(store.open_digests().await.expect("reads"), []);
    assert!(store.postpone(&digest.id, next_try, "x").await.is_err());
    assert!(store.postpone("no such", next_try, "x").await.is_err());
    assert!(store.end("no such", delivered(1)).await.is_err());
}

#[tokio::test]
async fn the_id_does_not_come_again_in_a_new_database() {
    let mut ids = Vec::new();
    for seconds in [10, 10, 11] {
        let folder = folder();
        let store = open(folder.path());
        store.commit(told(seconds, 22, &["soc", "siem"])).await.expect("commits");
        ids.push(begin(&store, "soc", 60, 10).await.expect("owed").id);
        ids.push(begin(&store, "siem", 60, 10).await.expect("owed").id);
    }
    assert_eq!(ids[..2], ids[2..4], "it follows from what it holds");
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{ids:?}");
}

#[tokio::test]
async fn recipients_that_are_gone_are_given_up() {
    let folder = folder();
    let store = open(folder.path());
    for number in 0..3_u16 {
        store.commit(told(number.into(), 1000 + number, &["soc", "gone"])).await.expect("commits");
    }
    begin(&store, "gone", 60, 1).await.expect("owed");
    assert_eq!(store.forget_recipients(&["soc"], "no longer configured").await.expect("writes"), 3);
    assert_eq!(store.forget_recipients(&["soc"], "no longer configured").await.expect("writes"), 0);
    assert_eq!(store.backlog().await.expect("reads"), [("soc".to_owned(), 3, at(0))]);
    assert_eq!(store.open_digests().await.expect("reads"), []);
    let filter = crate::AlertFilter { delivery: Some(crate::DeliveryState::Dead), ..Default::default() };
    let rows = store.reader().alerts(filter).await.expect("reads");
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].told[0].detail.as_deref(), Some("no longer configured"));
}

#[derive(Debug, Clone)]
enum Step {
    Raise { to: [bool; 2] },
    Begin { recipient: usize, limit: usize },
    Postpone { recipient: usize },
    End { recipient: usize, dead: bool },
    Crash,
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<[bool; 2]>().prop_map(|to| Step::Raise { to }),
        4 => (0..2_usize, 1..4_usize).prop_map(|(recipient, limit)| Step::Begin { recipient, limit }),
        1 => (0..2_usize).prop_map(|recipient| Step::Postpone { recipient }),
        3 => (0..2_usize, prop::bool::weighted(0.2)).prop_map(|(recipient, dead)| Step::End { recipient, dead }),
        2 => Just(Step::Crash),
        1 => Just(Step::Expire),
    ]
}

const RECIPIENTS: [&str; 2] = ["soc", "siem"];

/// What is known to have been promised and kept.
#[derive(Default)]
struct Promised {
    waiting: BTreeMap<u64, Timestamp>,
    open: Option<OpenDigest>,
}

impl Promised {
    fn begun(&mut self, digest: Digest, limit: usize) {
        if let Some(open) = &self.open {
            assert_eq!(open.digest, digest, "the open one is repeated");
            return;
        }
        let expected: Vec<u64> = self.waiting.keys().copied().take(limit).collect();
        assert_eq!(seqs(&digest.notices), expected, "each in one digest, oldest first");
        self.waiting.retain(|seq, _| !expected.contains(seq));
        let now = Stopped.now();
        self.open = Some(OpenDigest { digest, attempts: 0, first_try: now, next_try: now, last_error: None });
    }

    fn backlog(&self) -> Option<(u64, Timestamp)> {
        let open = self.open.iter().flat_map(|open| &open.digest.notices).map(|notice| notice.alert.time);
        let times: Vec<Timestamp> = open.chain(self.waiting.values().copied()).collect();
        Some((times.len() as u64, times.iter().min().copied()?))
    }
}

async fn play(steps: Vec<Step>) {
    let mut place = folder();
    let mut store = open(place.path());
    let mut promised = [Promised::default(), Promised::default()];
    for (number, step) in (0_u16..).zip(steps) {
        let seconds = i64::from(number) + 1;
        match step {
            Step::Raise { to } => {
                let owed: Vec<&str> =
                    RECIPIENTS.iter().zip(to).filter_map(|(&name, owed)| owed.then_some(name)).collect();
                let seq = store.commit(told(seconds, 1000 + number, &owed)).await.expect("commits").alerts[0];
                for (promised, _) in promised.iter_mut().zip(to).filter(|(_, owed)| *owed) {
                    promised.waiting.insert(seq, at(seconds));
                }
            }
            Step::Begin { recipient, limit } => match begin(&store, RECIPIENTS[recipient], seconds, limit).await {
                Some(digest) => promised[recipient].begun(digest, limit),
                None => assert_eq!(promised[recipient].backlog(), None, "owed, and not begun"),
            },
            Step::Postpone { recipient } => {
                if let Some(open) = &mut promised[recipient].open {
                    store.postpone(&open.digest.id, at(seconds), "busy").await.expect("postpones");
                    open.attempts += 1;
                    (open.next_try, open.last_error) = (at(seconds), Some("busy".to_owned()));
                }
            }
            Step::End { recipient, dead } => {
                if let Some(open) = promised[recipient].open.take() {
                    let reason = "refused".to_owned();
                    let ending = if dead { Ending::Dead { at: at(seconds), reason } } else { delivered(seconds) };
                    store.end(&open.digest.id, ending).await.expect("ends");
                }
            }
            Step::Crash => {
                let left = snapshot(place.path());
                store = open(left.path());
                place = left;
            }
            Step::Expire => {
                store.expire(at(seconds), std::time::Duration::ZERO).await.expect("expires");
            }
        }
        let open: BTreeMap<String, OpenDigest> = store
            .open_digests()
            .await
            .expect("reads")
            .into_iter()
            .map(|open| (open.digest.recipient.clone(), open))
            .collect();
        let backlog: BTreeMap<String, (u64, Timestamp)> = store
            .backlog()
            .await
            .expect("reads")
            .into_iter()
            .map(|(recipient, owed, oldest)| (recipient, (owed, oldest)))
            .collect();
        for (name, promised) in RECIPIENTS.iter().zip(&promised) {
            assert_eq!(open.get(*name), promised.open.as_ref());
            assert_eq!(backlog.get(*name).copied(), promised.backlog());
        }
    }
    for (&name, promised) in RECIPIENTS.iter().zip(&mut promised) {
        while let Some(digest) = begin(&store, name, 1000, 2).await {
            promised.begun(digest.clone(), 2);
            store.end(&digest.id, delivered(1000)).await.expect("ends");
            promised.open = None;
        }
        assert!(promised.waiting.is_empty(), "lost: {:?}", promised.waiting);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_alert_is_lost_or_told_in_two_digests(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(play(steps));
    }
}
