use super::*;
use crate::check::scripted::{self, flight};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const SILENCE: Duration = Duration::from_secs(3);

#[test]
fn the_request_has_no_padding_and_only_the_right_answer_counts() {
    let payload = std::array::from_fn(|at| u8::try_from(at % 251).unwrap_or_default());
    let record = request(Version::TLS1_1, &payload);
    assert_eq!(record[..8], [24, 3, 2, 0x10, 3, 1, 0x10, 0]);
    assert_eq!(record[8..], payload);
    let mut answer = record[5..].to_vec();
    answer[0] = 2;
    assert!(!is_ours(&answer, &payload), "no padding");
    answer.extend([7; 16]);
    assert!(is_ours(&answer, &payload));
    answer[4000] ^= 1;
    assert!(!is_ours(&answer, &payload), "another payload");
    for wrong in [&answer[..3], &[], &[2, 0, 0]] {
        assert!(!is_ours(wrong, &payload));
    }
}

/// A heartbeat as the faulty answer it: what was sent, and sixteen bytes of padding.
fn echo(heartbeat: &[u8]) -> Vec<u8> {
    let mut answer = vec![24, 3, 3, 0x10, 0x13, 2];
    answer.extend_from_slice(&heartbeat[6..]);
    answer.extend([0xa5; 16]);
    answer
}

/// What a server makes of a heartbeat.
async fn said(offers: bool, serve: impl AsyncFnOnce(DuplexStream, Vec<u8>) + Send + 'static) -> Said {
    let (mut line, mut server) = scripted::line(flight(offers)).await;
    let serving = async move {
        let mut heartbeat = vec![0; 8 + LENGTH];
        if server.read_exact(&mut heartbeat).await.is_ok() {
            serve(server, heartbeat).await;
        }
    };
    let (said, ()) = tokio::join!(
        async {
            let said = ask_on(&mut line, SILENCE).await;
            drop(line);
            said
        },
        serving
    );
    said
}

/// Waits for the other end to leave.
async fn stay(mut stream: DuplexStream) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test(start_paused = true)]
async fn what_servers_make_of_it() {
    let vulnerable = said(true, async |mut stream: DuplexStream, heartbeat| {
        stream.write_all(&echo(&heartbeat)).await.unwrap();
        stay(stream).await;
    });
    assert_eq!(vulnerable.await, Said::Ours(3 + LENGTH + 16));

    let slow = said(true, async |mut stream: DuplexStream, heartbeat| {
        tokio::time::sleep(SILENCE.saturating_sub(Duration::from_millis(1))).await;
        let answer = echo(&heartbeat);
        // In pieces, and after something that has no place there.
        stream.write_all(&[23, 3, 3, 0, 1, 9]).await.unwrap();
        for piece in answer.chunks(700) {
            stream.write_all(piece).await.unwrap();
        }
        stay(stream).await;
    });
    assert_eq!(slow.await, Said::Ours(3 + LENGTH + 16));

    let sound = said(true, async |stream, _| stay(stream).await);
    assert_eq!(sound.await, Said::Nothing);

    let angry = said(true, async |mut stream: DuplexStream, _| {
        stream.write_all(&[21, 3, 3, 0, 2, 2, 10]).await.unwrap();
    });
    assert_eq!(angry.await, Said::Alert(10));

    let rude = said(true, async |stream, _| drop(stream));
    assert_eq!(rude.await, Said::Closed);

    // A server of FTP that falls back into plain text has leaked nothing.
    let plain = said(true, async |mut stream: DuplexStream, _| {
        stream.write_all(b"500 OOPS: child died\r\n").await.unwrap();
        stay(stream).await;
    });
    assert_eq!(plain.await, Said::Closed);

    let other = said(true, async |mut stream: DuplexStream, heartbeat| {
        let mut answer = echo(&heartbeat);
        answer[100] ^= 0xff;
        stream.write_all(&answer).await.unwrap();
        stay(stream).await;
    });
    assert_eq!(other.await, Said::Other(3 + LENGTH + 16));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_one_who_takes_no_heartbeats() {
    let (mut line, mut server) = scripted::line(flight(false)).await;
    assert_eq!(ask_on(&mut line, SILENCE).await, Said::NoHeartbeats);
    drop(line);
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert!(heard.is_empty(), "{} bytes", heard.len());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_into_a_handshake_that_is_not_at_its_turn() {
    // An alert instead of the rest.
    let mut begun = flight(true);
    begun.truncate(begun.len() - 9);
    begun.extend([21, 3, 3, 0, 2, 2, 80]);
    let (mut line, mut server) = scripted::line(begun).await;
    assert_eq!(ask_on(&mut line, SILENCE).await, Said::NoHandshake);
    drop(line);
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert!(heard.is_empty(), "{} bytes", heard.len());
}
