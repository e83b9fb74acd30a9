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
            ResolveError::Temporary { .. } | ResolveError::Reverse { .. } => "later",
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

/// A name in wire format, whatever its labels hold.
fn wire_name(labels: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in labels {
        bytes.push(u8::try_from(label.len()).expect("a label"));
        bytes.extend(*label);
    }
    bytes.push(0);
    bytes
}

/// The data of PTR records.
type Records = Vec<Vec<u8>>;

/// Answers one PTR question with this; gives the name that was asked for.
async fn reverse_server(code: u8, names: Records) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
    let address = socket.local_addr().expect("bound");
    let asked = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.expect("receives");
            let query = &buffer[..length];
            let end = 12 + query[12..].iter().position(|&b| b == 0).expect("a root label") + 5;
            assert_eq!(query[end - 4..end - 2], [0, 12], "PTR");
            let records = u8::try_from(names.len()).expect("few");
            let mut answer = vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, records, 0, 0, 0, 0];
            answer.extend(&query[12..end]);
            for name in &names {
                answer.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 1, 0, 0]);
                answer.push(u8::try_from(name.len()).expect("short"));
                answer.extend(name);
            }
            socket.send_to(&answer, from).await.expect("sends");
            if code != 2 {
                return query[12..end - 4].to_vec();
            }
        }
    });
    (address, asked)
}

#[tokio::test]
async fn names_of_addresses() {
    let many: Vec<Vec<u8>> = (0..20_u8).map(|number| wire_name(&[&[b'z' - number], b"example"])).collect();
    let sixteen: Vec<String> = (b'g'..=b'v').map(|letter| format!("{}.example", char::from(letter))).collect();
    let sixteen: Vec<&str> = sixteen.iter().map(String::as_str).collect();
    let cases: Vec<(&str, Records, Vec<&str>)> = vec![
        ("one", vec![wire_name(&[b"www", b"example", b"org"])], vec!["www.example.org"]),
        ("upper case", vec![wire_name(&[b"WWW", b"Example", b"ORG"])], vec!["www.example.org"]),
        (
            "several, and one twice",
            vec![wire_name(&[b"b", b"example"]), wire_name(&[b"a_1", b"example"]), wire_name(&[b"B", b"example"])],
            vec!["a_1.example", "b.example"],
        ),
        (
            "what no host is called",
            vec![
                wire_name(&[b"<script>", b"example"]),
                wire_name(&[b"a.b", b"example"]),
                wire_name(&[b"a\nb", b"example"]),
                wire_name(&[b"-a", b"example"]),
                wire_name(&[&[0xff, 0xfe], b"example"]),
                wire_name(&[]),
                wire_name(&[b"good", b"example"]),
            ],
            vec!["good.example"],
        ),
        ("more than anybody has", many, {
            let mut sorted: Vec<&str> = sixteen.clone();
            sorted.sort_unstable();
            sorted
        }),
        ("none", vec![], vec![]),
    ];
    for (what, names, expect) in cases {
        let (address, asked) = reverse_server(0, names).await;
        let resolver = HickoryResolver::new(&[address]).expect("set up");
        let answer = resolver.reverse(v4(7)).await.expect(what);
        assert_eq!(answer.iter().map(String::as_str).collect::<Vec<_>>(), expect, "{what}");
        assert_eq!(asked.await.expect("asked"), wire_name(&[b"7", b"2", b"0", b"192", b"in-addr", b"arpa"]), "{what}");
    }
    let (address, asked) = reverse_server(3, vec![]).await;
    let resolver = HickoryResolver::new(&[address]).expect("set up");
    assert_eq!(resolver.reverse(v6(1)).await, Ok(BTreeSet::new()), "no such name");
    assert!(
        asked
            .await
            .expect("asked")
            .ends_with(&wire_name(&[b"8", b"b", b"d", b"0", b"1", b"0", b"0", b"2", b"ip6", b"arpa"]))
    );
}

#[tokio::test]
async fn who_cannot_say_takes_no_name_away() {
    let (address, server) = reverse_server(2, vec![]).await;
    let resolver = HickoryResolver::new(&[address]).expect("set up");
    let error = resolver.reverse(v4(7)).await.expect_err("the server failed");
    assert!(matches!(error, ResolveError::Reverse { ip, .. } if ip == v4(7)), "{error:?}");
    server.abort();
    let resolver = HickoryResolver(Servers::System("/nonexistent/resolv.conf".into()));
    let error = resolver.reverse(v4(7)).await.expect_err("nobody to ask").to_string();
    assert!(error.contains("192.0.2.7") && error.contains("[sensor] resolvers"), "{error}");
}
