//! The other end of a connection, for tests of checks: it has said its flight, and what comes next is the test's.

use crate::audit::Line;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::Instant,
};

/// A server's flight in TLS 1.2 by RSA: hello, a certificate that is none, done.
pub(super) fn flight(heartbeat: bool) -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend([9; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    let extension: &[u8] = if heartbeat { &[0, 5, 0, 15, 0, 1, 1] } else { &[] };
    hello.extend(extension);
    [message(2, &hello), message(11, &[0, 0, 4, 0, 0, 1, 0x30]), message(14, &[])].concat()
}

/// A handshake message in a record of its own.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a short message");
    let mut record = vec![22, 3, 3];
    record.extend((length + 4).to_be_bytes());
    record.extend([kind, 0]);
    record.extend(length.to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// A connection on which that was said to a hello, and the server's end of it.
pub(super) async fn line(flight: Vec<u8>) -> (Line, DuplexStream) {
    let (ours, mut server) = duplex(64 * 1024);
    let mut line = Line::new(Box::new(ours));
    let until = Instant::now() + Duration::from_secs(1);
    let serving = async {
        server.read_exact(&mut [0; 5]).await.expect("a hello");
        server.write_all(&flight).await.expect("somebody listens");
    };
    tokio::join!(line.answer(b"hello", until), serving);
    (line, server)
}
