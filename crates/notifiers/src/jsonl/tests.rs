use super::*;
use crate::{Digest, json_line, sample};
use model::Delivery;
use proptest::prelude::*;
use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).expect("the file");
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

async fn deliver(channel: &Arc<dyn Channel>) -> Delivery {
    channel.deliver(&sample::digest(vec![sample::port_open(), sample::port_open()])).await
}

#[tokio::test]
async fn appends_whole_lines_and_follows_rotation() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("alerts.jsonl");
    let channel = build(&JsonlPath::File(path.clone()));
    let expect = Delivery::Delivered(format!("2 lines written to {}", path.display()));
    assert_eq!(deliver(&channel).await, expect);
    assert_eq!(deliver(&channel).await, expect);
    assert_eq!(lines(&path).len(), 4);
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o7137, 0);
    fs::rename(&path, folder.path().join("alerts.jsonl.1")).expect("rotates");
    assert_eq!(deliver(&channel).await, expect);
    assert_eq!(lines(&path).len(), 2);
}

#[tokio::test]
async fn a_missing_folder_and_a_pipe_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, expect) in [
        (folder.path().join("no/such/alerts.jsonl"), "its folder does not exist; create it"),
        (folder.path().to_owned(), "it is neither a file nor a device"),
    ] {
        let answer = deliver(&build(&JsonlPath::File(path.clone()))).await;
        let Delivery::RetryAfter { after: None, reason } = answer else { panic!("{answer:?}") };
        assert_eq!(reason, format!("{} cannot be written: {expect}", path.display()));
    }
}

/// A device that is always full, and no file that could be cut.
#[tokio::test]
async fn a_full_disk_is_a_matter_of_time() {
    let answer = deliver(&build(&JsonlPath::File("/dev/full".into()))).await;
    let Delivery::RetryAfter { reason, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(reason, "/dev/full cannot be written: the disk is full; free some space");
}

#[tokio::test]
async fn half_a_line_is_mended_before_the_next() {
    let whole = json_line(&sample::port_open());
    for (left_behind, lines_before) in [
        // Cut in the middle, also inside a character: ours, and its digest comes again.
        (format!("{whole}\n{}", &whole[..whole.len() - 1]).into_bytes(), 1),
        ([whole.as_bytes(), b"\n{\"schema\":1,\"id\":\"\xc3"].concat(), 1),
        (b"{\"schema\":1".to_vec(), 0),
        // Only the line end is missing.
        (whole.clone().into_bytes(), 1),
        // Somebody else's: kept, and ended.
        (b"[\"not ours\"]".to_vec(), 1),
        (b"\n".to_vec(), 0),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alerts.jsonl");
        fs::write(&path, &left_behind).expect("writes");
        let channel = build(&JsonlPath::File(path.clone()));
        assert!(matches!(deliver(&channel).await, Delivery::Delivered(_)));
        let text = fs::read_to_string(&path).expect("the file");
        let whole: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(whole.len(), lines_before + 2, "{:?}", String::from_utf8_lossy(&left_behind));
        for line in whole {
            serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON");
        }
    }
}

/// Takes `room` bytes, then is full, like a disk.
struct Narrow {
    file: file::LineFile,
    path: std::path::PathBuf,
    room: usize,
}

impl Sink for Narrow {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.len() <= self.room {
            return self.file.put(lines);
        }
        let mut text = fs::read(&self.path).unwrap_or_default();
        text.extend_from_slice(&lines[..self.room]);
        fs::write(&self.path, text)?;
        // What a failed write leaves behind is found by a file opened anew.
        self.file = file::LineFile::new(self.path.clone());
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[tokio::test]
async fn the_same_digest_after_a_full_disk_stands_there_once_and_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("alerts.jsonl");
    for room in [1, 10, 700, 1000] {
        let _ = fs::remove_file(&path);
        let sink: Box<dyn Sink> =
            Box::new(Narrow { file: file::LineFile::new(path.clone()), path: path.clone(), room });
        let sink = Arc::new(Mutex::new(sink));
        let channel: Arc<dyn Channel> = Arc::new(Jsonl::new("here".into(), sink));
        assert!(matches!(deliver(&channel).await, Delivery::RetryAfter { .. }));
        let channel = build(&JsonlPath::File(path.clone()));
        assert!(matches!(deliver(&channel).await, Delivery::Delivered(_)));
        assert!(lines(&path).len() >= 2, "room {room}");
    }
}

/// Takes nothing before it is let go, like a pipe that nobody reads.
struct Stuck {
    go: std::sync::mpsc::Receiver<()>,
    puts: Arc<Mutex<usize>>,
}

impl Sink for Stuck {
    fn put(&mut self, _: &[u8]) -> io::Result<()> {
        *self.puts.lock().expect("not poisoned") += 1;
        self.go.recv().map_err(io::Error::other)
    }
}

/// Each attempt would hold a thread and its lines for as long as the reader sleeps, and write them once more when it wakes.
#[tokio::test]
async fn what_hangs_is_waited_for_and_not_written_again() {
    let (let_go, go) = std::sync::mpsc::channel();
    let puts = Arc::new(Mutex::new(0));
    let sink: Arc<Mutex<Box<dyn Sink>>> = Arc::new(Mutex::new(Box::new(Stuck { go, puts: Arc::clone(&puts) })));
    let mut channel = Jsonl::new("here".into(), Arc::clone(&sink));
    channel.patience = Duration::ZERO;
    let digest = sample::digest(vec![sample::port_open()]);
    let another = Digest { id: "another".into(), ..digest.clone() };
    for tried in [&digest, &digest, &digest, &another] {
        let answer = channel.deliver(tried).await;
        assert!(matches!(answer, Delivery::RetryAfter { .. }), "{answer:?}");
        assert_eq!(Arc::strong_count(&sink), 3, "ours, the channel's, and that of one thread, whatever is tried");
    }
    channel.patience = Duration::from_mins(1);
    let_go.send(()).expect("it still waits");
    let answer = channel.deliver(&digest).await;
    assert!(matches!(answer, Delivery::Delivered(_)), "{answer:?}");
    assert_eq!(*puts.lock().expect("not poisoned"), 1, "written once");
    let_go.send(()).expect("it still waits");
    assert!(matches!(channel.deliver(&another).await, Delivery::Delivered(_)));
    assert_eq!(*puts.lock().expect("not poisoned"), 2);
}

struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Sink for Buffer {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.lock().expect("not poisoned").extend_from_slice(lines);
        Ok(())
    }
}

proptest! {
    #[test]
    fn hostile_notices_take_a_line_each(notices in proptest::collection::vec(sample::hostile(), 1..4)) {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink: Arc<Mutex<Box<dyn Sink>>> = Arc::new(Mutex::new(Box::new(Buffer(Arc::clone(&written)))));
        let channel = Jsonl::new("here".into(), sink);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let answer = runtime.block_on(channel.deliver(&sample::digest(notices.clone())));
        prop_assert!(matches!(answer, Delivery::Delivered(_)));
        let text = String::from_utf8(written.lock().expect("not poisoned").clone()).expect("UTF-8");
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        prop_assert_eq!(lines.len(), notices.len());
        for (line, notice) in lines.into_iter().zip(&notices) {
            let read: serde_json::Value = serde_json::from_str(line).expect("JSON");
            prop_assert_eq!(read["reason"].as_str(), notice.event.reason.as_deref());
        }
    }
}
