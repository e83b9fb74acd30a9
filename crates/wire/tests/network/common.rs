//! What the tests with real packets share: links of a lab's hosts, and a prober that asks and listens.

use model::Endpoint;
use std::{
    net::{IpAddr, TcpListener},
    time::Duration,
};
use testkit::{Host, soon};
use wire::{
    AckTemplate, Arrival, Batch, Cookies, EchoTemplate, Epoch, Filter, Heard, Link, LinkKind, NextHop, PortBlock,
    Receive, RingReceive, SynTemplate, Tag, Transmit, UdpTemplate, Why, open_transmit, read, ticks,
};

pub(crate) const EPOCH: Epoch = Epoch(5);
pub(crate) const NOW: Duration = Duration::from_secs(5_000);

/// A link of a host.
pub(crate) fn link(host: &Host, name: &str) -> Link {
    let shown = host.run("ip", &["-o", "link", "show", "dev", name]);
    let word = |before: &str| {
        let mut words = shown.split_whitespace().skip_while(|word| *word != before).skip(1);
        words.next().unwrap_or_else(|| panic!("no {before} in {shown}")).to_owned()
    };
    let index = shown.split(':').next().and_then(|number| number.parse().ok()).expect("a link has a number");
    let mtu = word("mtu").parse().expect("a link has an MTU");
    let kind = if shown.contains("link/ether") {
        LinkKind::Ethernet { mac: mac(&word("link/ether")) }
    } else if shown.contains("link/loopback") {
        LinkKind::Loopback
    } else {
        LinkKind::NoLinkLayer
    };
    Link { index, name: name.to_owned(), kind, mtu }
}

fn mac(text: &str) -> [u8; 6] {
    text.parse::<model::Mac>().expect("a link-layer address").0
}

/// The link-layer address of a host's link, as a next hop.
pub(crate) fn gateway(host: &Host, name: &str) -> NextHop {
    match link(host, name).kind {
        LinkKind::Ethernet { mac } => NextHop::Gateway(mac),
        kind => panic!("{name} is {kind:?}"),
    }
}

/// Somebody who listens on a port of each of a host's addresses, for as long as this is kept.
pub(crate) fn listeners(host: &Host, port: u16) -> Vec<TcpListener> {
    let addresses = host.addresses().to_vec();
    let bind = move || addresses.iter().map(|ip| TcpListener::bind((*ip, port)).expect("the port is free")).collect();
    host.namespace().enter(bind).join().expect("nothing panics")
}

pub(crate) fn cookies() -> Cookies {
    Cookies::new(*b"sixteen bytes of", PortBlock::default())
}

/// An answer that proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    /// SYN-ACK with all the options of the SYN, and the SYN's timestamp.
    Open(Endpoint, Tag),
    Reset(Endpoint, Tag),
    /// A RST to an acknowledgement.
    Up(Endpoint, Tag),
    /// An ICMP error of this host's about a probe to this endpoint: its port is unreachable.
    NoPort(IpAddr, Endpoint, Tag),
    Echo(IpAddr, Tag),
    Timestamp(IpAddr, Tag),
}

/// What a packet proves.
pub(crate) fn judge(packet: &[u8]) -> Option<Said> {
    let cookies = cookies();
    match read(packet)? {
        Heard::Tcp(answer) => {
            let endpoint = Endpoint::tcp(answer.from, answer.port);
            if let Some(tag) = cookies.check_ack(EPOCH, &answer) {
                return Some(Said::Up(endpoint, tag));
            }
            let tag = cookies.check_tcp(EPOCH, &answer)?;
            if answer.flags.accepts() {
                let options = answer.options;
                assert!(options.any && options.sack && options.mss.is_some() && options.wscale.is_some(), "{answer:?}");
                assert_eq!(options.ts.map(|(_, repeated)| repeated), Some(ticks(NOW)), "{answer:?}");
                assert!(answer.window > 0);
            }
            Some(if answer.flags.resets() { Said::Reset(endpoint, tag) } else { Said::Open(endpoint, tag) })
        }
        Heard::Unreachable(error) => {
            let tag = cookies.check_quoted(EPOCH, &error.quoted)?;
            assert_eq!(error.why, Why::Port, "{error:?}");
            Some(Said::NoPort(error.by, error.quoted.endpoint()?, tag))
        }
        Heard::Echo(reply) => Some(Said::Echo(reply.from, cookies.check_echo(EPOCH, &reply)?)),
        Heard::Timestamp(reply) => Some(Said::Timestamp(reply.from, cookies.check_timestamp(EPOCH, &reply)?)),
        Heard::Udp(_) | Heard::Neighbour(_) => None,
    }
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    Syn(Endpoint),
    Acknowledgement(Endpoint),
    Datagram(Endpoint),
    Echo(IpAddr),
    Timestamp(IpAddr),
}

/// Adds a question from `source` to a batch that has room.
pub(crate) fn push(batch: &mut Batch, link: &Link, source: IpAddr, question: Question, tag: Tag) {
    let cookies = cookies();
    let pushed = match question {
        Question::Syn(to) => {
            let template = SynTemplate::new(source, link.mtu);
            let mark = cookies.mark(EPOCH, source, to, tag);
            batch.push(template.len(), |place| template.stamp(place, to.ip, to.port, &mark, ticks(NOW)))
        }
        Question::Acknowledgement(to) => {
            let template = AckTemplate::new(source);
            let mark = cookies.mark(EPOCH, source, to, tag);
            batch.push(template.len(), |place| template.stamp(place, to.ip, to.port, &mark))
        }
        Question::Datagram(to) => {
            let template = UdpTemplate::new(source);
            let mark = cookies.mark(EPOCH, source, to, tag);
            batch.push(template.len(5), |place| template.stamp(place, to.ip, to.port, &mark, b"hello"))
        }
        Question::Echo(to) => {
            let template = EchoTemplate::echo(source);
            let mark = cookies.echo(EPOCH, source, to, tag);
            batch.push(template.len(), |place| template.stamp(place, to, &mark))
        }
        Question::Timestamp(to) => {
            let IpAddr::V4(from) = source else { panic!("only IPv4 has timestamp requests") };
            let template = EchoTemplate::timestamp(from);
            let mark = cookies.echo(EPOCH, source, to, tag);
            batch.push(template.len(), |place| template.stamp(place, to, &mark))
        }
    };
    assert!(pushed, "the batch has room");
}

/// Sends all of a batch.
pub(crate) fn send(transmit: &mut dyn Transmit, batch: &mut Batch) {
    soon("the kernel to take the packets", || {
        transmit.send(batch).expect("they can be sent");
        batch.is_empty().then_some(())
    });
}

/// What is heard until `enough` different answers have proved themselves.
pub(crate) fn listen(receive: &mut dyn Receive, enough: usize) -> Vec<(Said, Arrival)> {
    let mut said: Vec<(Said, Arrival)> = Vec::new();
    soon(format_args!("{enough} answers"), || {
        let heard = receive.receive(Duration::from_millis(50), &mut |packet, arrival| {
            if let Some(new) = judge(packet)
                && !said.iter().any(|(known, _)| *known == new)
            {
                said.push((new, *arrival));
            }
        });
        heard.expect("the ring works");
        (said.len() >= enough).then_some(())
    });
    said.sort_by_key(|(said, _)| *said);
    said
}

/// Asks the usual questions over a link in the thread's own namespace: of every pair of addresses (ours, theirs) TCP 22 and 23
/// (by SYN and by acknowledgement),
/// UDP 9, and echo; and expects the answers of a host that listens on 22 alone.
pub(crate) fn interview(link: &Link, hop: NextHop, pairs: &[(IpAddr, IpAddr)]) -> Vec<Arrival> {
    let mut ring = RingReceive::open(link, &Filter { ports: PortBlock::default() }, 1 << 20).expect("a ring");
    let mut transmit = open_transmit(link, hop).expect("a way out");
    let mut batch = Batch::new(64, 128);
    let mut expected = Vec::new();
    for (ours, theirs) in pairs {
        let tag = |attempt| Tag::new(3, attempt);
        let [open, closed] = [22, 23].map(|port| Endpoint::tcp(*theirs, port));
        let deaf = Endpoint::udp(*theirs, 9);
        let mut questions = vec![
            (Question::Syn(open), 1, Said::Open(open, tag(1))),
            (Question::Syn(closed), 2, Said::Reset(closed, tag(2))),
            (Question::Acknowledgement(open), 9, Said::Up(open, tag(9))),
            (Question::Acknowledgement(closed), 10, Said::Up(closed, tag(10))),
            (Question::Datagram(deaf), 4, Said::NoPort(*theirs, deaf, tag(4))),
            (Question::Echo(*theirs), 15, Said::Echo(*theirs, tag(15))),
        ];
        if theirs.is_ipv4() {
            questions.push((Question::Timestamp(*theirs), 7, Said::Timestamp(*theirs, tag(7))));
        }
        for (question, attempt, answer) in questions {
            push(&mut batch, link, *ours, question, tag(attempt));
            expected.push(answer);
        }
    }
    let packets = batch.len();
    send(&mut transmit, &mut batch);
    expected.sort();
    let said = listen(&mut ring, expected.len());
    assert_eq!(said.iter().map(|(said, _)| *said).collect::<Vec<_>>(), expected, "over {} to {hop:?}", link.name);
    let counters = ring.counters().expect("the ring counts");
    assert_eq!((counters.dropped, counters.frozen), (0, 0));
    assert!(counters.received >= u64::try_from(expected.len()).expect("few"));
    assert_eq!(transmit.counters().sent, u64::try_from(packets).expect("few"));
    said.into_iter().map(|(_, arrival)| arrival).collect()
}
