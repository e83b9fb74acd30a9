use super::*;
use crate::{StoreError, open::SCHEMA};
use rusqlite::Connection;
use std::os::unix::fs::{PermissionsExt as _, symlink};

fn refusal(path: &Path) -> StoreError {
    Store::open(path, Arc::new(Stopped), &Options::default()).expect_err("refused")
}

/// A closed database with something in it.
async fn filled() -> TempDir {
    let folder = folder();
    let store = open(folder.path());
    for number in 0..50 {
        store.commit(told(number, 3389, &["soc"])).await.expect("commits");
    }
    store.commit(everything()).await.expect("commits");
    store.close().await.expect("closes");
    folder
}

use monitor::Journal as _;

#[tokio::test]
async fn what_it_makes_is_not_for_everybody() {
    let folder = folder();
    let path = folder.path().join("a/b/perimeter.db");
    let store = Store::open(&path, Arc::new(Stopped), &Options::default()).expect("opens");
    store.commit(everything()).await.expect("commits");
    for (file, most) in [("", 0o640), ("-wal", 0o640), ("-shm", 0o640), (".lock", 0o640), ("/..", 0o750)] {
        let file = if file == "/.." { folder.path().join("a/b") } else { crate::open::beside(&path, file) };
        let mode = fs::metadata(&file).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode & !most, 0, "{} has mode {mode:o}", file.display());
    }
}

#[tokio::test]
async fn a_second_daemon_is_refused_under_any_spelling() {
    let folder = folder();
    let store = open(folder.path());
    let path = folder.path().join("perimeter.db");
    let error = refusal(&path);
    assert!(matches!(&error, StoreError::Locked { pid: Some(pid), .. } if *pid == std::process::id()), "{error}");
    let sentence = error.to_string();
    assert!(sentence.contains(&path.display().to_string()) && sentence.contains(&std::process::id().to_string()));

    let other = super::folder();
    symlink(folder.path(), other.path().join("folder")).expect("links");
    symlink(&path, other.path().join("file.db")).expect("links");
    for path in [other.path().join("folder/perimeter.db"), other.path().join("file.db")] {
        assert!(matches!(refusal(&path), StoreError::Locked { .. }), "{}", path.display());
    }

    store.close().await.expect("closes");
    drop(open(folder.path()));
    drop(open(folder.path()));
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let folder = filled().await;
    let path = folder.path().join("perimeter.db");
    let newer = i64::try_from(SCHEMA).expect("small") + 1;
    Connection::open(&path).and_then(|file| file.pragma_update(None, "user_version", newer)).expect("updates");
    let before = fs::read(&path).expect("reads");
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Newer { found, .. } if found == newer), "{error}");
    assert_eq!(fs::read(&path).expect("reads"), before);
}

#[tokio::test]
async fn damage_is_told_and_nothing_is_overwritten() {
    type Harm = fn(&mut Vec<u8>);
    let harms: [(&str, Harm); 5] = [
        ("no database at all", |bytes| *bytes = b"# notes\nremember the milk\n".repeat(40)),
        ("header overwritten", |bytes| bytes[..100].fill(0)),
        ("cut short", |bytes| bytes.truncate(bytes.len() / 2)),
        ("a page of noise", |bytes| {
            let page = 4096 * 3;
            bytes[page..page + 4096]
                .iter_mut()
                .zip((0..=u8::MAX).cycle())
                .for_each(|(byte, n)| *byte = n.wrapping_mul(77));
        }),
        ("page count of nonsense", |bytes| bytes[4096..4096 * 2].fill(0xff)),
    ];
    for (what, harm) in harms {
        let folder = filled().await;
        let path = folder.path().join("perimeter.db");
        let mut bytes = fs::read(&path).expect("reads");
        harm(&mut bytes);
        fs::write(&path, &bytes).expect("writes");
        let error = refusal(&path);
        assert!(matches!(error, StoreError::Damaged { .. } | StoreError::Foreign { .. }), "{what}: {error:?}");
        assert!(error.to_string().contains(&path.display().to_string()), "{what}: {error}");
        assert!(error.to_string().contains("backup"), "{what}: {error}");
        assert_eq!(fs::read(&path).expect("reads"), bytes, "{what}");
    }
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("places.sqlite");
    Connection::open(&path).and_then(|file| file.execute_batch("CREATE TABLE place (x)")).expect("makes");
    let before = fs::read(&path).expect("reads");
    assert!(matches!(refusal(&path), StoreError::Foreign { .. }));
    assert_eq!(fs::read(&path).expect("reads"), before);
}

#[tokio::test]
async fn a_log_without_its_database_is_not_thrown_away() {
    let folder = folder();
    let store = open(folder.path());
    store.commit(everything()).await.expect("commits");
    let left = snapshot(folder.path());
    fs::remove_file(left.path().join("perimeter.db")).expect("removes");
    let log = left.path().join("perimeter.db-wal");
    let before = fs::read(&log).expect("reads");
    assert!(!before.is_empty());
    assert!(matches!(refusal(&left.path().join("perimeter.db")), StoreError::Orphaned { .. }));
    assert_eq!(fs::read(&log).expect("reads"), before);
}

#[test]
fn impossible_paths_get_a_sentence() {
    let folder = folder();
    fs::write(folder.path().join("file"), "x").expect("writes");
    assert!(matches!(refusal(&folder.path().join("file/perimeter.db")), StoreError::Folder { .. }));
    assert!(matches!(refusal(folder.path()), StoreError::Open { .. }));
    assert!(!crate::open::beside(folder.path(), ".lock").exists(), "nothing is left beside what is no database");
    assert!(matches!(refusal(Path::new("/")), StoreError::Open { .. }));
}

#[tokio::test]
async fn after_closing_every_call_says_so() {
    let folder = folder();
    let store = open(folder.path());
    let reader = store.reader();
    store.close().await.expect("closes");
    store.close().await.expect("closes again");
    let error = store.commit(everything()).await.expect_err("closed");
    assert!(error.to_string().contains("closed"), "{error}");
    assert!(matches!(reader.counts().await, Err(StoreError::Closed { .. })));
}
