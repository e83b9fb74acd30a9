//! Collectors on loopback: what really arrives, and what happens when they go away.

use super::{channel, config, parsers::deframe};
use crate::{
    Channel, sample,
    sample::tls::{Authority, named},
};
use config::{Framing, Syslog, SyslogTransport};
use model::{Delivery, Notice};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::{TcpListener, UdpSocket},
    time::timeout,
};

const DEADLINE: Duration = Duration::from_secs(10);

fn notices(numbers: std::ops::RangeInclusive<u16>) -> Vec<Notice> {
    numbers.map(|port| sample::notice(sample::on_port(model::EventType::PortOpen, port), u64::from(port), 4)).collect()
}

async fn deliver(channel: &Arc<dyn Channel>, numbers: std::ops::RangeInclusive<u16>) -> Delivery {
    timeout(DEADLINE, channel.deliver(&sample::digest(notices(numbers)))).await.expect("in time")
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Reads until this many messages are there; gives their ports.
async fn ports(stream: &mut (impl AsyncRead + Unpin), framing: Framing, expect: usize) -> Vec<String> {
    let mut bytes = Vec::new();
    let read = async {
        while count(&bytes, framing) < expect {
            assert!(stream.read_buf(&mut bytes).await.expect("reads") > 0, "ended early");
        }
    };
    timeout(DEADLINE, read).await.expect("in time");
    deframe(&bytes, framing).iter().map(|message| port_of(message)).collect()
}

fn count(bytes: &[u8], framing: Framing) -> usize {
    match framing {
        Framing::Lf => String::from_utf8_lossy(bytes).matches('\n').count(),
        // Whole messages only: each ends with its own sentence.
        Framing::Octet => String::from_utf8_lossy(bytes).matches("/tcp").count(),
    }
}

fn port_of(message: &str) -> String {
    let (_, rest) = message.split_once(" dpt=").expect("a port");
    rest.split(' ').next().expect("a port").to_owned()
}

fn retry(delivery: Delivery) -> String {
    match delivery {
        Delivery::RetryAfter { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn tcp_in_both_framings_over_one_connection() {
    for framing in [Framing::Lf, Framing::Octet] {
        let (listener, port) = listener().await;
        let channel = channel(&config(SyslogTransport::Tcp, port, framing));
        let answer = format!("2 messages written to tcp://127.0.0.1:{port}");
        assert_eq!(deliver(&channel, 1..=2).await, Delivery::Delivered(answer));
        let (mut stream, _) = listener.accept().await.expect("a connection");
        assert_eq!(ports(&mut stream, framing, 2).await, ["1", "2"]);
        assert!(matches!(deliver(&channel, 3..=3).await, Delivery::Delivered(_)));
        assert_eq!(ports(&mut stream, framing, 1).await, ["3"]);
        // Dropping the channel ends the stream properly.
        drop(channel);
        assert_eq!(timeout(DEADLINE, stream.read(&mut [0; 8])).await.expect("in time").expect("a clean end"), 0);
    }
}

#[tokio::test]
async fn udp_is_a_datagram_each_and_a_deaf_port_is_noticed() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let port = socket.local_addr().expect("an address").port();
    let channel = channel(&config(SyslogTransport::Udp, port, Framing::Octet));
    assert!(matches!(deliver(&channel, 1..=3).await, Delivery::Delivered(_)));
    for expect in ["1", "2", "3"] {
        let mut datagram = [0; 2048];
        let length = timeout(DEADLINE, socket.recv(&mut datagram)).await.expect("in time").expect("a datagram");
        let text = std::str::from_utf8(&datagram[..length]).expect("UTF-8");
        assert!(text.starts_with("<131>1 ") && length <= 1400);
        assert_eq!(port_of(text), expect);
    }
    drop(socket);
    assert_eq!(retry(deliver(&channel, 4..=5).await), format!("udp://127.0.0.1:{port}: nobody listens there"));
}

#[tokio::test]
async fn nobody_there_is_a_matter_of_time() {
    let (listener, port) = listener().await;
    drop(listener);
    let reason = retry(deliver(&channel(&config(SyslogTransport::Tcp, port, Framing::Lf)), 1..=1).await);
    assert_eq!(reason, format!("tcp://127.0.0.1:{port}: 127.0.0.1 refused the connection; is the server running?"));
}

/// The collector takes a batch and dies; what it may not have read comes again before the new.
#[tokio::test]
async fn after_the_collector_was_restarted_the_last_seconds_come_again() {
    let (listener, port) = listener().await;
    let channel = channel(&config(SyslogTransport::Tcp, port, Framing::Lf));
    assert!(matches!(deliver(&channel, 1..=2).await, Delivery::Delivered(_)));
    let (mut stream, _) = listener.accept().await.expect("a connection");
    assert_eq!(ports(&mut stream, Framing::Lf, 2).await, ["1", "2"]);
    drop(stream);
    assert!(matches!(deliver(&channel, 3..=3).await, Delivery::Delivered(_)));
    let (mut stream, _) = listener.accept().await.expect("another connection");
    assert_eq!(ports(&mut stream, Framing::Lf, 3).await, ["1", "2", "3"]);
}

/// A storm's batch is larger than what is remembered: what was written last, which was hardly read yet, comes again in whole messages.
#[tokio::test]
async fn of_a_large_batch_the_end_comes_again() {
    const MANY: u16 = 4_000;
    for framing in [Framing::Lf, Framing::Octet] {
        let (listener, port) = listener().await;
        let channel = channel(&config(SyslogTransport::Tcp, port, framing));
        let (delivery, stream) = tokio::join!(deliver(&channel, 1..=MANY), async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            all_until(&mut stream, framing, MANY).await;
            stream
        });
        assert!(matches!(delivery, Delivery::Delivered(_)), "{delivery:?}");
        drop(stream);
        let (delivery, again) = tokio::join!(deliver(&channel, MANY + 1..=MANY + 1), async {
            let (mut stream, _) = listener.accept().await.expect("another connection");
            (all_until(&mut stream, framing, MANY + 1).await, stream)
        });
        assert!(matches!(delivery, Delivery::Delivered(_)), "{delivery:?}");
        let again = again.0;
        assert!(again.len() > 1_000, "{framing:?}: only {} came again", again.len());
        let expect = (1..=MANY + 1).rev().map(|port| port.to_string());
        assert!(again.iter().rev().zip(expect).all(|(found, expect)| *found == expect), "the last ones, in order");
    }
}

/// Reads until the message about that port is there, whole; gives the ports of all.
async fn all_until(stream: &mut (impl AsyncRead + Unpin), framing: Framing, last: u16) -> Vec<String> {
    let last = format!(" opened {last}/tcp");
    let mut bytes = Vec::new();
    let read = async {
        while !bytes.trim_ascii_end().ends_with(last.as_bytes()) {
            assert!(stream.read_buf(&mut bytes).await.expect("reads") > 0, "ended early");
        }
    };
    timeout(DEADLINE, read).await.expect("in time");
    deframe(&bytes, framing).iter().map(|message| port_of(message)).collect()
}

/// The system takes the bytes, but nobody reads them: that is no delivery.
#[tokio::test]
async fn a_collector_that_hangs_up_on_the_batch_has_not_taken_it() {
    let (listener, port) = listener().await;
    let channel = channel(&config(SyslogTransport::Tcp, port, Framing::Lf));
    let hang_up = tokio::spawn(async move {
        // As often as we are called.
        for _ in 0..2 {
            drop(listener.accept().await.expect("a connection"));
        }
    });
    let reason = retry(deliver(&channel, 1..=1).await);
    assert!(reason.contains("closed the connection") || reason.contains("the connection broke"), "{reason}");
    hang_up.abort();
}

#[tokio::test]
async fn tls_verifies_speaks_octets_and_says_goodbye() {
    let authority = Authority::new("Ours");
    let (listener, port) = listener().await;
    let acceptor = authority.acceptor(&named("127.0.0.1"));
    let config = Syslog { ca_file: Some(authority.file()), ..config(SyslogTransport::Tls, port, Framing::Octet) };
    let collector = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = acceptor.accept(stream).await.expect("a handshake");
        let ports = ports(&mut stream, Framing::Octet, 2).await;
        // Without close_notify this would be an error (unexpected end).
        let end = stream.read(&mut [0; 8]).await;
        (ports, end.ok())
    });
    let channel = channel(&config);
    assert!(matches!(deliver(&channel, 1..=2).await, Delivery::Delivered(_)));
    drop(channel);
    let (ports, end) = timeout(DEADLINE, collector).await.expect("in time").expect("ran");
    assert_eq!(ports, ["1", "2"]);
    assert_eq!(end, Some(0));
}

#[tokio::test]
async fn a_refused_certificate_is_named_in_one_sentence() {
    let (authority, stranger) = (Authority::new("Ours"), Authority::new("Another"));
    let mut expired = named("127.0.0.1");
    (expired.not_before, expired.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let of = "the certificate of 127.0.0.1 is not accepted:";
    for (acceptor, expect) in [
        (authority.acceptor(&expired), format!("{of} it has expired")),
        (authority.acceptor(&named("siem.example.org")), format!("{of} it is for other names than 127.0.0.1")),
        (
            stranger.acceptor(&named("127.0.0.1")),
            format!("{of} no authority we trust has signed it (set ca_file to the PEM file of the CA that did)"),
        ),
    ] {
        let (listener, port) = listener().await;
        let config = Syslog { ca_file: Some(authority.file()), ..config(SyslogTransport::Tls, port, Framing::Octet) };
        let collector = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            acceptor.accept(stream).await.map(|_| ())
        });
        assert_eq!(retry(deliver(&channel(&config), 1..=1).await), format!("tls://127.0.0.1:{port}: {expect}"));
        assert!(timeout(DEADLINE, collector).await.expect("in time").expect("ran").is_err());
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_roots_or_the_other_end_is_named() {
    let (listener, port) = listener().await;
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("writes");
    let missing = folder.path().join("missing.pem");
    for (ca_file, expect) in [
        (&empty, format!("ca_file {} holds no certificate in PEM form", empty.display())),
        (&missing, format!("ca_file {} cannot be read: No such file or directory (os error 2)", missing.display())),
    ] {
        let config = Syslog { ca_file: Some(ca_file.clone()), ..config(SyslogTransport::Tls, port, Framing::Octet) };
        assert_eq!(retry(deliver(&channel(&config), 1..=1).await), format!("tls://127.0.0.1:{port}: {expect}"));
        drop(listener.accept().await.expect("a connection"));
    }
    let authority = Authority::new("Ours");
    let plain = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"220 mail.example.org ESMTP\r\n").await.expect("writes");
        let _ = stream.read(&mut [0; 64]).await;
    });
    let config = Syslog { ca_file: Some(authority.file()), ..config(SyslogTransport::Tls, port, Framing::Octet) };
    let reason = retry(deliver(&channel(&config), 1..=1).await);
    assert_eq!(reason, format!("tls://127.0.0.1:{port}: 127.0.0.1 does not speak TLS on this port"));
    plain.abort();
}
