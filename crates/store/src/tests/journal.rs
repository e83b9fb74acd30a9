use super::*;
use monitor::{Committed, Journal as _, JournalError, Restored};
use notifiers::{Ending, Outbox as _};
use rusqlite::ffi;

/// All there is is in here, so its text says it too.
fn shown(found: &(Vec<HostState>, Restored)) -> String {
    format!("{found:#?}")
}

#[tokio::test]
async fn a_restart_finds_what_was_committed() {
    let folder = folder();
    let store = open(folder.path());
    assert_eq!(shown(&load(&store).await), shown(&Default::default()));
    let committed = store.commit(everything()).await.expect("commits");
    assert_eq!(committed, Committed { events: vec![1], alerts: vec![1] });
    let found = load(&store).await;
    let (hosts, before) = &found;
    let batch = everything();
    assert_eq!(*hosts, batch.hosts);
    assert_eq!(before.certificates, batch.certificates);
    assert_eq!(before.regions, batch.regions);
    assert_eq!(before.baselines, batch.baselines);
    assert_eq!(before.passes, [pass(1000, Lane::Full), pass(2, Lane::Hot)]);
    assert_eq!(before.violations, batch.violations);
    assert_eq!(Some(&before.leases), batch.leases.as_ref());
    assert!(before.halted);
    assert_eq!(before.events, 1);
    store.close().await.expect("closes");
    assert_eq!(shown(&load(&open(folder.path())).await), shown(&found));
}

#[tokio::test]
async fn what_another_vantage_covered_is_neither_seen_nor_touched() {
    let folder = folder();
    let of = |sensor: &str| Options { vantage: sensor.into(), ..Options::default() };
    let first = open_with(folder.path(), &of("scan1"));
    first.commit(everything()).await.expect("commits");
    let before = load(&first).await;
    first.close().await.expect("closes");
    let second = open_with(folder.path(), &of("scan2"));
    let (_, theirs) = load(&second).await;
    assert!(theirs.regions.is_empty() && theirs.baselines.is_empty());
    assert!(theirs.passes.is_empty() && theirs.leases.is_empty());
    let batch =
        Batch { removed_regions: vec![("dmz".into(), Lane::Hot)], leases: Some(Vec::new()), ..Batch::default() };
    second.commit(batch).await.expect("commits");
    second.close().await.expect("closes");
    assert_eq!(shown(&load(&open_with(folder.path(), &of("scan1"))).await), shown(&before));
}

#[tokio::test]
async fn later_batches_replace_and_remove() {
    let folder = folder();
    let store = open(folder.path());
    store.commit(everything()).await.expect("commits");
    let finished = PassRecord { finished: Some(at(5)), complete: true, ..pass(2, Lane::Hot) };
    let mut lost = host("2001:db8::7", Vec::new());
    (lost.up, lost.lost_since) = (false, Some(at(90)));
    let batch = Batch {
        hosts: vec![lost.clone()],
        removed_hosts: vec![key("192.0.2.7")],
        removed_certificates: vec![Sha256([1; 32])],
        removed_regions: vec![("dmz".into(), Lane::Hot)],
        passes: vec![finished.clone()],
        leases: Some(Vec::new()),
        halted: Some(false),
        ..Batch::default()
    };
    store.commit(batch).await.expect("commits");
    let (hosts, now) = load(&store).await;
    assert_eq!(hosts, [lost]);
    assert_eq!(now.certificates, [certificate(2, at(500))]);
    assert_eq!((now.regions.len(), now.violations.len(), now.leases.len(), now.halted), (0, 0, 0, false));
    assert_eq!(now.passes, [pass(1000, Lane::Full), finished]);
    let violations = vec![Violations { host: key("192.0.2.9"), broken: Vec::new() }];
    store.commit(Batch { violations, ..Batch::default() }).await.expect("commits");
    assert!(load(&store).await.1.violations.is_empty());
    assert_eq!(store.commit(Batch::default()).await.expect("commits"), Committed::default());
}

#[tokio::test]
async fn the_same_batch_again_changes_nothing() {
    let folder = folder();
    let store = open(folder.path());
    let first = store.commit(everything()).await.expect("commits");
    let digest = store.begin("soc", at(60), 10).await.expect("begins").expect("owed");
    let ending = Ending::Delivered { at: at(61), answer: "250 ok".to_owned() };
    store.end(&digest.id, ending).await.expect("ends");
    assert_eq!(store.commit(everything()).await.expect("commits"), first);
    assert_eq!(store.begin("soc", at(90), 10).await.expect("begins"), None);
    assert_eq!(store.backlog().await.expect("reads"), [("siem".to_owned(), 1, at(30))]);
    let counts = store.reader().counts().await.expect("counts");
    assert_eq!((counts.events, counts.alerts, counts.owed), (1, 1, 1));
}

#[tokio::test]
async fn the_ledger_keeps_the_last_hundred_passes_of_a_lane() {
    let folder = folder();
    let store = open(folder.path());
    let passes = (0..130).map(|number| pass(number, Lane::Hot)).chain([pass(0x1000, Lane::Full)]).collect();
    store.commit(Batch { passes, ..Batch::default() }).await.expect("commits");
    let kept = store.reader().passes(crate::PassFilter::default()).await.expect("reads");
    assert_eq!(kept.len(), 101);
    assert!(kept.contains(&pass(30, Lane::Hot)) && !kept.contains(&pass(29, Lane::Hot)));
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_passes() {
    let folder = folder();
    let store = open_with(folder.path(), &Options { page_limit: Some(120), ..Options::default() });
    let bulk = |digest: u8| vec![(Sha256([digest; 32]), vec![digest; 20_000])];
    let mut stored = 0;
    let error = loop {
        let batch = Batch { certificate_der: bulk(stored), ..told(stored.into(), 80, &["soc"]) };
        match store.commit(batch).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "the quota holds");
    };
    let JournalError::Retry(sentence) = &error else { panic!("{error:?}") };
    assert!(
        sentence.contains("disk is full") && sentence.contains("nothing is lost") && sentence.contains("perimeter.db"),
        "{sentence}"
    );
    let counts = store.reader().counts().await.expect("counts");
    assert_eq!((counts.events, counts.alerts, counts.owed), (stored.into(), stored.into(), stored.into()));
    // Room is made, and the batch that failed goes in.
    let removed_certificates = (0..stored).map(|digest| Sha256([digest; 32])).collect();
    store.commit(Batch { removed_certificates, ..Batch::default() }).await.expect("commits");
    let batch = Batch { certificate_der: bulk(stored), ..told(stored.into(), 80, &["soc"]) };
    let committed = store.commit(batch).await.expect("commits now");
    assert_eq!(committed.events, [u64::from(stored) + 1], "no number was lost");
}

#[tokio::test]
async fn damage_at_run_time_stops_all_writing() {
    let folder = folder();
    let options = Options::default();
    let store = open_with(folder.path(), &options);
    store.commit(everything()).await.expect("commits");
    options.fault.arm(3, ffi::SQLITE_CORRUPT, || {});
    let JournalError::Broken(sentence) = store.commit(told(40, 80, &["soc"])).await.expect_err("damaged") else {
        panic!("damage does not pass")
    };
    assert!(sentence.contains("damaged") && sentence.contains("perimeter.db"), "{sentence}");
    assert!(matches!(store.commit(told(40, 80, &["soc"])).await, Err(JournalError::Broken(_))));
    assert!(store.begin("soc", at(60), 10).await.is_err());
}

#[tokio::test]
async fn a_contradiction_is_refused_whole() {
    let folder = folder();
    let store = open(folder.path());
    let mut batch = told(40, 80, &["soc"]);
    batch.events.clear();
    assert!(matches!(store.commit(batch).await, Err(JournalError::Broken(_))));
    let mut batch = everything();
    batch.alerts.clear();
    assert!(matches!(store.commit(batch).await, Err(JournalError::Broken(_))));
    assert_eq!(shown(&load(&store).await), shown(&Default::default()));
    store.commit(everything()).await.expect("and it goes on");
}

#[tokio::test]
async fn commits_at_the_same_time_each_get_their_own_answer() {
    let folder = folder();
    let store = open(folder.path());
    let commits = (0..60_u16).map(|number| {
        let store = store.clone();
        let mut batch = told(number.into(), 1000 + number, &["soc"]);
        if number % 7 == 3 {
            batch.events.clear();
        }
        tokio::spawn(async move { (number, store.commit(batch).await) })
    });
    let mut given = std::collections::BTreeSet::new();
    for commit in commits.collect::<Vec<_>>() {
        let (number, outcome) = commit.await.expect("runs");
        if number % 7 == 3 {
            assert!(outcome.is_err(), "{number}");
            continue;
        }
        let seq = outcome.expect("commits").events[0];
        assert!(given.insert(seq), "{seq} twice");
        let filter = crate::EventFilter { port: Some(1000 + number), ..Default::default() };
        let found = store.reader().events(filter).await.expect("reads");
        assert_eq!(found.iter().map(|event| event.seq).collect::<Vec<_>>(), [Some(seq)]);
    }
    assert_eq!(given, (1..=51).collect());
    assert_eq!(*store.newest_event().borrow(), 51);
}

#[tokio::test]
async fn after_a_power_cut_everything_committed_is_there() {
    let folder = folder();
    let store = open(folder.path());
    for number in 0..20_u16 {
        store.commit(told(number.into(), 1000 + number, &["soc"])).await.expect("commits");
        if number % 5 == 0 {
            let left = snapshot(folder.path());
            let counts = open(left.path()).reader().counts().await.expect("counts");
            let committed = u64::from(number) + 1;
            assert_eq!((counts.newest_event, counts.newest_alert, counts.owed), (committed, committed, committed));
        }
    }
}

#[tokio::test]
async fn a_crash_between_any_two_statements_leaves_all_or_nothing() {
    let folder = folder();
    let options = Options::default();
    let store = open_with(folder.path(), &options);
    store.commit(told(1, 22, &["soc"])).await.expect("commits");
    let before = shown(&load(&store).await);
    let mut cuts = 0;
    for statement in 0.. {
        let (path, cut) = (folder.path().to_owned(), Arc::new(std::sync::Mutex::new(None)));
        let witness = Arc::clone(&cut);
        options.fault.arm(statement, ffi::SQLITE_IOERR, move || {
            *witness.lock().expect("not poisoned") = Some(snapshot(&path));
        });
        let outcome = store.commit(everything()).await;
        if options.fault.disarm() {
            outcome.expect("nothing struck");
            break;
        }
        assert!(matches!(outcome, Err(JournalError::Retry(_))), "statement {statement}: {outcome:?}");
        assert_eq!(shown(&load(&store).await), before, "rolled back at statement {statement}");
        let left = cut.lock().expect("not poisoned").take().expect("it struck");
        let restarted = open(left.path());
        assert_eq!(shown(&load(&restarted).await), before, "cut at statement {statement}");
        assert_eq!(restarted.backlog().await.expect("reads"), [("soc".to_owned(), 1, at(1))]);
        cuts += 1;
    }
    assert!(cuts > 30, "only {cuts} statements");
    let counts = store.reader().counts().await.expect("counts");
    assert_eq!((counts.events, counts.alerts, counts.owed), (2, 2, 3));
}

#[tokio::test]
async fn many_hosts_come_back_and_a_bad_one_stops_the_load() {
    let folder = folder();
    let store = open(folder.path());
    let hosts: Vec<HostState> = (0..20_000_u32)
        .map(|number| {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number.wrapping_mul(7_919) % 20_000).into();
            HostState::new(HostKey { vantage: "scan1".into(), ip }, at(0))
        })
        .collect();
    store.commit(Batch { hosts: hosts.clone(), ..Batch::default() }).await.expect("commits");
    let (mut found, _) = store.load(Vec::new()).await.expect("loads");
    found.sort_by_key(|host: &HostState| host.key.ip);
    let mut sorted = hosts;
    sorted.sort_by_key(|host| host.key.ip);
    assert_eq!(found, sorted);
    let spoil = rusqlite::Connection::open(folder.path().join("perimeter.db")).expect("opens");
    spoil.execute("UPDATE host SET state = '{}' WHERE address = x'040a000003'", []).expect("spoils");
    let error = store.load(Vec::new()).await.expect_err("unreadable");
    assert!(error.to_string().contains("cannot be read"), "{error}");
}
