use super::*;
use crate::{Soundness, StoreError, open::beside};
use std::time::Duration;
use tokio::time::timeout;

/// However small, it counts as large.
fn large() -> Options {
    Options { check_first: 0, ..Options::default() }
}

fn path(folder: &Path) -> std::path::PathBuf {
    folder.join("perimeter.db")
}

fn seal(folder: &Path) -> std::path::PathBuf {
    beside(&path(folder), ".seal")
}

fn refusal(folder: &Path) -> StoreError {
    Store::open(&path(folder), Arc::new(Stopped), &large()).expect_err("refused")
}

/// Closed, with enough in it for many pages.
async fn filled() -> TempDir {
    let folder = folder();
    let store = open(folder.path());
    let numbers =
        (1..=250).map(|last| host(&format!("192.0.2.{last}"), vec![endpoint(22, PortStatus::Open, Vec::new())]));
    store.commit(Batch { hosts: numbers.collect(), ..Batch::default() }).await.expect("commits");
    store.commit(everything()).await.expect("commits");
    store.close().await.expect("closes");
    folder
}

/// Noise over the pages of a table from its root on, in place, with the file's times as they were or not.
fn spoil(folder: &Path, table: &str) {
    let file = rusqlite::Connection::open(path(folder)).expect("opens");
    let root: u32 = file
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?", [table], |row| row.get(0))
        .expect("has a root");
    file.close().expect("closes");
    let mut bytes = fs::read(path(folder)).expect("reads");
    let start = usize::try_from((root - 1) * 4_096).expect("small");
    bytes[start..start + 4096].fill(0xa5);
    fs::write(path(folder), bytes).expect("writes");
}

async fn settled(store: &Store) -> Soundness {
    let mut soundness = store.soundness();
    let settled = soundness.wait_for(|now| *now != Soundness::Unknown);
    timeout(Duration::from_mins(1), settled).await.expect("in time").expect("it is open").clone()
}

#[tokio::test]
async fn after_a_clean_end_a_large_file_is_not_checked() {
    let folder = filled().await;
    assert!(seal(folder.path()).exists());
    let store = open_with(folder.path(), &large());
    assert_eq!(*store.soundness().borrow(), Soundness::Sound);
    assert!(!seal(folder.path()).exists(), "it is broken as long as anything may be written");
    store.close().await.expect("closes");
    assert!(seal(folder.path()).exists());
}

#[tokio::test]
async fn after_any_other_end_it_is_checked_meanwhile() {
    type Meddle = fn(&Path);
    let ways: [(&str, Meddle); 4] = [
        ("killed", |folder| fs::remove_file(seal(folder)).expect("removes")),
        ("another file put in its place", |folder| {
            let copy = folder.join("copy");
            fs::copy(path(folder), &copy).expect("copies");
            fs::rename(copy, path(folder)).expect("moves");
        }),
        ("somebody wrote in it", |folder| {
            let file = rusqlite::Connection::open(path(folder)).expect("opens");
            file.execute("DELETE FROM note", []).and_then(|_| file.execute("VACUUM", [])).expect("writes");
        }),
        ("half a seal", |folder| {
            let bytes = fs::read(seal(folder)).expect("reads");
            fs::write(seal(folder), &bytes[..bytes.len() / 2]).expect("writes");
        }),
    ];
    for (what, meddle) in ways {
        let folder = filled().await;
        meddle(folder.path());
        let store = open_with(folder.path(), &large());
        assert_eq!(load(&store).await.0.len(), 251, "{what}: it can be used at once");
        assert_eq!(settled(&store).await, Soundness::Sound, "{what}");
        store.close().await.expect("closes");
        assert_eq!(*open_with(folder.path(), &large()).soundness().borrow(), Soundness::Sound, "{what}");
    }
}

#[tokio::test]
async fn a_kill_leaves_no_seal() {
    let folder = filled().await;
    let store = open(folder.path());
    store.commit(told(1, 3389, &["soc"])).await.expect("commits");
    let left = snapshot(folder.path());
    assert!(!seal(folder.path()).exists());
    // Nor would one that came back count beside a log.
    drop(store);
    fs::copy(seal(folder.path()), seal(left.path())).expect("copies");
    let cut = open_with(left.path(), &large());
    assert_eq!(settled(&cut).await, Soundness::Sound);
    assert_eq!(cut.reader().counts().await.expect("reads").events, 2);
}

#[tokio::test]
async fn damage_found_meanwhile_ends_the_writing_and_is_remembered() {
    let folder = filled().await;
    fs::remove_file(seal(folder.path())).expect("removes");
    // Nothing at the start reads that.
    spoil(folder.path(), "service_by_port");
    let store = open_with(folder.path(), &large());
    let error = timeout(Duration::from_mins(1), store.damage()).await.expect("in time");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let refused = store.commit(everything()).await.expect_err("damaged");
    assert!(matches!(refused, monitor::JournalError::Broken(_)), "{refused}");
    assert_eq!(refused.to_string(), error.to_string());
    store.close().await.expect("closes");

    // The next start does not watch until the check comes round to it again.
    for _ in 0..2 {
        assert_eq!(refusal(folder.path()).to_string(), error.to_string());
    }
    let good = filled().await;
    fs::copy(path(good.path()), path(folder.path())).expect("a backup is put in its place");
    let store = open_with(folder.path(), &large());
    assert_eq!(settled(&store).await, Soundness::Sound);
    store.commit(everything()).await.expect("commits");
}

#[tokio::test]
async fn damage_met_while_loading_is_said_and_remembered() {
    let folder = filled().await;
    spoil(folder.path(), "host");
    let store = open_with(folder.path(), &large());
    let error = store.load(Vec::new()).await.expect_err("damaged");
    assert!(matches!(&error, monitor::JournalError::Broken(text) if text.contains("backup")), "{error}");
    assert!(matches!(store.damage().await, StoreError::Damaged { .. }));
    assert!(store.commit(everything()).await.is_err());
    store.close().await.expect("closes");
    assert!(matches!(refusal(folder.path()), StoreError::Damaged { .. }));
}

#[tokio::test]
async fn closing_does_not_wait_for_the_check() {
    let folder = filled().await;
    fs::remove_file(seal(folder.path())).expect("removes");
    for _ in 0..20 {
        let store = open_with(folder.path(), &large());
        store.close().await.expect("closes");
        // Sealed only where the check had come to its end.
        let checked = *store.soundness().borrow() == Soundness::Sound;
        assert_eq!(seal(folder.path()).exists(), checked);
        assert!(!beside(&path(folder.path()), "-wal").exists(), "the log is emptied");
        if checked {
            fs::remove_file(seal(folder.path())).expect("removes");
        }
    }
}
