use super::{DEADLINE, Running};
use crate::{ConsoleError, bind_tcp, bind_unix};
use hyper::StatusCode;
use std::os::unix::fs::PermissionsExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::timeout,
};

#[tokio::test]
async fn the_socket_is_guarded_and_cleaned_up() {
    let running = Running::start().await;
    let socket = running.socket();
    let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(matches!(bind_unix(&socket).await, Err(ConsoleError::InUse(path)) if path == socket));
    // It still serves.
    assert_eq!(running.get("/api/v1/status").await.0, StatusCode::OK);
    let folder = running.folder.path().to_owned();
    assert_eq!(
        std::fs::read_dir(&folder)
            .expect("a folder")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().contains("sock"))
            .count(),
        1
    );
    let socket = running.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).expect("binds"));
    assert!(stale.exists());
    let bound = bind_unix(&stale).await.expect("replaces it");
    assert!(stale.exists());
    // A daemon whose start fails further on leaves nothing behind.
    drop(bound);
    assert!(!stale.exists());
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").expect("written");
    assert!(matches!(bind_unix(&file).await, Err(ConsoleError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "precious");
    let nowhere = folder.path().join("no/such/folder/x.sock");
    let error = bind_unix(&nowhere).await.expect_err("no folder");
    assert!(error.to_string().contains("x.sock"), "{error}");
    let taken = bind_tcp("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
    let address = taken.local_addr().expect("bound");
    let error = bind_tcp(address).await.expect_err("taken");
    assert!(error.to_string().contains("another `listen`"), "{error}");
}

#[tokio::test]
async fn a_slow_or_greedy_peer_is_cut_off() {
    let running = Running::start().await;
    let mut stream = UnixStream::connect(running.socket()).await.expect("connects");
    let head = format!("GET /api/v1/status HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(64 * 1024));
    // The server may hang up before it has read all of it.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("in time");
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    running.stop().await;
}
