use super::*;
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::net::UdpSocket;

/// What a fake server says to one kind of question: response code, and records as (time to live, data).
type Say = (u8, Vec<(u32, IpAddr)>);

/// Answers A and AAAA questions from here on, whatever the name (RFC 1035, 4.1), and counts them.
async fn server(a: Say, aaaa: Say) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
    let address = socket.local_addr().expect("bound");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let query = &buffer[..length];
            let end = 12 + query[12..].iter().position(|&b| b == 0).expect("a root label") + 5;
            let is_a = query[end - 4..end - 2] == [0, 1];
            count.fetch_add(1, Relaxed);
            let (code, records) = if is_a { &a } else { &aaaa };
            let mut answer = vec![
                query[0],
                query[1],
                0x81,
                0x80 | code,
                0,
                1,
                0,
                u8::try_from(records.len()).expect("few"),
                0,
                0,
                0,
                0,
            ];
            answer.extend(&query[12..end]);
            for (ttl, ip) in records {
                let (kind, data) = match ip {
                    IpAddr::V4(ip) => (1, ip.octets().to_vec()),
                    IpAddr::V6(ip) => (28, ip.octets().to_vec()),
                };
                answer.extend([0xc0, 12, 0, kind, 0, 1]);
                answer.extend(ttl.to_be_bytes());
                answer.extend([0, u8::try_from(data.len()).expect("few")]);
                answer.extend(data);
            }
            socket.send_to(&answer, from).await.expect("sends");
        }
    });
    (address, asked)
}

fn name() -> ServiceName {
    "www.example.org".parse().expect("a name")
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
}

#[tokio::test]
async fn reads_what_servers_say() {
    const NXDOMAIN: u8 = 3;
    const SERVFAIL: u8 = 2;
    let found =
        |addresses: &[IpAddr], ttl| Ok(Resolved { addresses: addresses.to_vec(), ttl: Duration::from_secs(ttl) });
    let none = || Err("none");
    let later = || Err("later");
    let cases: Vec<(Say, Say, Result<Resolved, &str>)> = vec![
        (
            (0, vec![(300, v4(9)), (120, v4(7)), (300, v4(9))]),
            (0, vec![(600, v6(1))]),
            found(&[v4(7), v4(9), v6(1)], 120),
        ),
        ((0, vec![(1, v4(7))]), (0, vec![]), found(&[v4(7)], 30)),
        ((0, vec![]), (0, vec![(86_400, v6(7))]), found(&[v6(7)], 3600)),
        ((NXDOMAIN, vec![]), (NXDOMAIN, vec![]), none()),
        ((0, vec![]), (0, vec![]), none()),
        // Half an answer is none.
        ((0, vec![(300, v4(7))]), (SERVFAIL, vec![]), later()),
        ((SERVFAIL, vec![]), (SERVFAIL, vec![]), later()),
    ];
    for (a, aaaa, expect) in cases {
        let label = format!("{a:?} {aaaa:?}");
        let (address, _) = server(a, aaaa).await;
        let resolver = HickoryResolver::new(&[address]).expect("set up");
        let name = name();
        let answer = resolver.resolve(&name).await.map_err(|error| match error {
            ResolveError::NoSuchName(_) => "none",
            ResolveError::Temporary { .. } => "later",
            ResolveError::Setup(_) => "setup",
        });
        assert_eq!(answer, expect, "{label}");
    }
}

#[tokio::test]
async fn asks_again_each_time() {
    let (address, asked) = server((0, vec![(3600, v4(7))]), (0, vec![])).await;
    let resolver = HickoryResolver::new(&[address]).expect("set up");
    for round in 1..=3 {
        assert_eq!(resolver.resolve(&name()).await.expect("found").addresses, [v4(7)]);
        assert_eq!(asked.load(Relaxed), 2 * round, "one question for each kind, from no memory");
    }
}

/// A machine without DNS, or one whose network is still coming up.
#[tokio::test]
async fn no_resolver_now_may_be_one_later() {
    assert!(HickoryResolver::new(&[]).is_ok());
    for (file, why) in [("/nonexistent/resolv.conf", "No such file"), ("/dev/null", "no nameservers")] {
        let resolver = HickoryResolver(Servers::System(file.into()));
        let error = resolver.resolve(&name()).await.expect_err("nobody to ask");
        let ResolveError::Temporary { reason, .. } = &error else { panic!("{error:?}") };
        assert!(reason.contains(file) && reason.contains(why) && reason.contains("[sensor] resolvers"), "{error}");
    }
}
