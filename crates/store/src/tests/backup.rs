use super::*;
use crate::StoreError;
use monitor::Journal as _;
use std::os::unix::fs::PermissionsExt as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_while_writing_is_whole() {
    let (folder, other) = (folder(), folder());
    let store = open(folder.path());
    store.commit(everything()).await.expect("commits");
    let writing = {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..60_u16 {
                store.commit(told(100 + i64::from(number), 1000 + number, &["soc"])).await.expect("commits");
            }
        })
    };
    let mut copied = Vec::new();
    for number in 0..3 {
        let to = other.path().join(number.to_string()).join("perimeter.db");
        fs::create_dir(to.parent().expect("has one")).expect("makes");
        let least = store.reader().counts().await.expect("counts").events;
        store.reader().backup(&to).await.expect("copies");
        copied.push((least, to));
    }
    writing.await.expect("writes");
    for (least, to) in copied {
        let names: Vec<_> = fs::read_dir(to.parent().expect("has one")).expect("lists").collect();
        assert_eq!(names.len(), 1, "one file by itself: {names:?}");
        let mode = fs::metadata(&to).expect("is there").permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        let copy = open(to.parent().expect("has one"));
        let counts = copy.reader().counts().await.expect("counts");
        assert!(counts.events >= least, "{counts:?}");
        assert_eq!((counts.events, counts.owed), (counts.alerts, counts.alerts + 1), "of one moment");
        assert_eq!(load(&copy).await.0, everything().hosts);
    }
}

#[tokio::test]
async fn an_existing_file_is_never_touched() {
    let folder = folder();
    let store = open(folder.path());
    let taken = folder.path().join("taken");
    fs::write(&taken, "precious").expect("writes");
    let error = store.reader().backup(&taken).await.expect_err("refused");
    assert!(matches!(error, StoreError::BackupExists { .. }), "{error}");
    assert_eq!(fs::read_to_string(&taken).expect("reads"), "precious");
    let dangling = folder.path().join("dangling");
    std::os::unix::fs::symlink("nowhere", &dangling).expect("links");
    assert!(matches!(store.reader().backup(&dangling).await, Err(StoreError::BackupExists { .. })));
    let error = store.reader().backup(&folder.path().join("no/such/folder")).await.expect_err("refused");
    assert!(matches!(error, StoreError::Backup { .. }), "{error}");
    assert!(matches!(
        store.reader().backup(&folder.path().join("perimeter.db")).await,
        Err(StoreError::BackupExists { .. })
    ));
}
