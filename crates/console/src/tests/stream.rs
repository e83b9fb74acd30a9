use super::{DEADLINE, Running, event, message};
use hyper::StatusCode;
use model::Event;
use monitor::{Batch, Journal};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// Reads a stream until `count` ids have come.
async fn ids(stream: &mut UnixStream, count: usize) -> Vec<u64> {
    let mut text = String::new();
    let read = async {
        loop {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.expect("reads");
            assert!(read > 0, "the stream ended after {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
            let ids: Vec<u64> = whole.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
            if ids.len() >= count {
                return ids;
            }
        }
    };
    timeout(DEADLINE, read).await.expect("in time")
}

async fn open_stream(running: &Running, target: &str, header: &str) -> UnixStream {
    let mut stream = UnixStream::connect(running.socket()).await.expect("connects");
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    stream
}

#[tokio::test]
async fn the_stream_has_no_gap() {
    let running = Running::start().await;
    let mut resumed = open_stream(&running, "/api/v1/stream", "Last-Event-ID: 1\r\n").await;
    assert_eq!(ids(&mut resumed, 1).await, [2]);
    // Ten events at once through a channel of two: what it drops is read from the store.
    for number in 3..13 {
        running.store.commit(Batch { events: vec![event(number)], ..Batch::default() }).await.expect("commits");
    }
    for number in 3..13 {
        let sequence = u64::try_from(number).ok();
        running.fake.events.send(Event { seq: sequence, ..event(number) }).expect("somebody listens");
    }
    assert_eq!(ids(&mut resumed, 10).await, (3..13).collect::<Vec<u64>>());
    let mut from_start = open_stream(&running, "/api/v1/stream?after=0", "").await;
    assert_eq!(ids(&mut from_start, 12).await, (1..13).collect::<Vec<u64>>());
    let (status, answer) = running.get("/api/v1/stream?colour=red").await;
    assert!(status == StatusCode::BAD_REQUEST && message(&answer).contains("colour"), "{answer}");
    running.stop().await;
}
