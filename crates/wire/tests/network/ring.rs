//! The ring: what it lets in, what it loses and says so, and what becomes of it when its link does.

use crate::common::{self, Question, Said, gateway, judge, link, listen, listeners, push, send};
use model::{Endpoint, SystemClock};
use std::{net::IpAddr, process::Command, sync::Arc, time::Duration};
use testkit::{Host, Lab, lacks_root, output_of, soon};
use wire::{
    Batch, EchoMark, EchoTemplate, FaultyReceive, Filter, Heard, Link, Mark, NextHop, PacketTransmit, PortBlock,
    Receive, ReceiveFaults, Recorded, Recording, RingReceive, Stall, SynTemplate, Tag, Traced, Transmit, UdpTemplate,
    WireError, open_transmit,
};

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn filter() -> Filter {
    Filter { ports: PortBlock::default() }
}

/// Two machines on an Ethernet: the watcher's link, and the other's as a next hop.
fn pair(lab: &mut Lab) -> (Host, Host, Link, NextHop) {
    let watcher = lab.watcher("watcher", &["10.77.0.1", "fd77::1"]);
    let host = lab.host("host", &["10.77.0.2", "fd77::2"]);
    let (way, hop) = (link(&watcher, "eth0"), gateway(&host, "eth0"));
    (watcher, host, way, hop)
}

/// Asks ports of the host, 64 at a time, all of them closed.
fn ask_closed(transmit: &mut dyn Transmit, way: &Link, ports: impl Iterator<Item = u16>) {
    let mut batch = Batch::new(64, 128);
    for port in ports {
        push(&mut batch, way, ip("10.77.0.1"), Question::Syn(Endpoint::tcp(ip("10.77.0.2"), port)), Tag::new(0, 1));
        if batch.is_full() {
            send(transmit, &mut batch);
        }
    }
    send(transmit, &mut batch);
}

#[test]
fn a_ring_that_is_too_small_says_what_it_lost() {
    if lacks_root("a_ring_that_is_too_small_says_what_it_lost") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, _host, way, hop) = pair(&mut lab);
    let asked = watcher.namespace().enter(move || {
        // Two pages: about fifty answers.
        let mut small = RingReceive::open(&way, &filter(), 0).expect("a ring");
        let mut large = RingReceive::open(&way, &filter(), 4 << 20).expect("a ring");
        let mut transmit = open_transmit(&way, hop).expect("a way out");
        ask_closed(&mut transmit, &way, 1000..3000);
        let all = listen(&mut large, 2000);
        // Nobody has looked into the small one meanwhile. Reading the counters again tells no more.
        let counters = [(); 2].map(|()| small.counters().expect("it counts"));
        let mut heard = 0;
        let mut hear = |small: &mut RingReceive| {
            let each = &mut |packet: &[u8], _: &_| heard += u64::from(judge(packet).is_some());
            small.receive(Duration::from_millis(50), each).expect("the ring works");
            heard
        };
        let kept = hear(&mut small);
        // It has room again.
        ask_closed(&mut transmit, &way, 3000..3010);
        soon("the ring to hear again", || (hear(&mut small) == kept + 10).then_some(()));
        (all.len(), counters, kept, large.counters().expect("it counts"))
    });
    let (all, [counters, again], kept, large) = asked.join().expect("nothing panics");
    assert_eq!((all, large.dropped, large.frozen), (2000, 0, 0));
    assert_eq!(counters, again);
    assert!(counters.dropped > 1000 && counters.frozen > 0, "{counters:?}");
    assert_eq!((counters.received, counters.received + counters.dropped), (kept, 2000));
}

#[test]
fn a_stalled_reader_loses_nothing_that_the_ring_holds() {
    if lacks_root("a_stalled_reader_loses_nothing_that_the_ring_holds") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, _host, way, hop) = pair(&mut lab);
    let asked = watcher.namespace().enter(move || {
        let stall = Stall::default();
        let ring = RingReceive::open(&way, &filter(), 4 << 20).expect("a ring");
        let mut ring = FaultyReceive::new(ring, ReceiveFaults::default(), stall.clone());
        let mut transmit = open_transmit(&way, hop).expect("a way out");
        stall.set(true);
        ask_closed(&mut transmit, &way, 1000..2000);
        ring.receive(Duration::from_millis(1), &mut |_, _| panic!("it is stalled")).expect("it waits");
        stall.set(false);
        (listen(&mut ring, 1000).len(), ring.counters().expect("it counts").dropped)
    });
    assert_eq!(asked.join().expect("nothing panics"), (1000, 0));
}

/// What the other machine sends the watcher: each packet, and whether the filter is to let it through.
fn letters(from: IpAddr, to: IpAddr) -> Vec<(Vec<u8>, bool)> {
    let syn = SynTemplate::new(from, 1500);
    let udp = UdpTemplate::new(from);
    let mark = |n: u16| Mark { source_port: 1000 + n, sequence: 7, ip_id: 1 };
    let mut letters = Vec::new();
    for (n, port, wanted) in
        [(1, 61_000, true), (2, 65_095, true), (3, 60_999, false), (4, 65_096, false), (5, 80, false)]
    {
        let mut packet = vec![0; syn.len()];
        syn.stamp(&mut packet, to, port, &mark(n), 0);
        letters.push((packet, wanted));
        let mut packet = vec![0; udp.len(600)];
        udp.stamp(&mut packet, to, port, &mark(n), &[u8::try_from(n).expect("small"); 600]);
        letters.push((packet, wanted));
    }
    // A request: the kernel answers it, the ring is not told.
    let echo = EchoTemplate::echo(from);
    let mut packet = vec![0; echo.len()];
    echo.stamp(&mut packet, to, &EchoMark { identifier: 1, sequence: 2, cookie: 3, ip_id: 4 });
    letters.push((packet, false));
    if to.is_ipv4() {
        // The first fragment of a segment, and a later one.
        for (offset, wanted) in [(0x2000_u16, true), (0x2001, false)] {
            let mut packet = vec![0; syn.len()];
            syn.stamp(&mut packet, to, 61_001, &mark(9), 0);
            packet[6..8].copy_from_slice(&offset.to_be_bytes());
            let (header, _) = etherparse::Ipv4Header::from_slice(&packet).expect("a header");
            packet[10..12].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
            letters.push((packet, wanted));
        }
    } else {
        // Behind two extension headers, and behind too many.
        for (count, wanted) in [(2, true), (5, false)] {
            let mut packet = vec![0; syn.len()];
            syn.stamp(&mut packet, to, 61_001, &mark(9), 0);
            let headers: Vec<u8> =
                (1..=count).flat_map(|n| [if n == count { 6 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]).collect();
            packet.splice(40..40, headers);
            packet[6] = 60;
            packet[5] += 8 * count;
            letters.push((packet, wanted));
        }
    }
    // The last, so that it is known when all have come.
    let mut packet = vec![0; udp.len(4)];
    udp.stamp(&mut packet, to, 61_002, &mark(10), b"last");
    letters.push((packet, true));
    letters
}

#[test]
fn the_kernel_runs_the_filter_as_it_is_meant() {
    if lacks_root("the_kernel_runs_the_filter_as_it_is_meant") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, host, way, _) = pair(&mut lab);
    let (back, to_watcher) = (link(&host, "eth0"), gateway(&watcher, "eth0"));
    let ring = watcher.namespace().enter(move || RingReceive::open(&way, &filter(), 1 << 20).expect("a ring"));
    let mut ring = ring.join().expect("nothing panics");
    for (theirs, ours) in [("10.77.0.2", "10.77.0.1"), ("fd77::2", "fd77::1")] {
        let letters = letters(ip(theirs), ip(ours));
        let (packets, back) = (letters.clone(), back.clone());
        let sent = host.namespace().enter(move || {
            let mut transmit = PacketTransmit::open(&back, to_watcher).expect("a way out");
            // Past the queue it is the same.
            transmit.bypass_queue(true).expect("the kernel knows how");
            let mut batch = Batch::new(64, 700);
            for (packet, _) in &packets {
                assert!(batch.push(packet.len(), |place| place.copy_from_slice(packet)));
            }
            send(&mut transmit, &mut batch);
        });
        sent.join().expect("nothing panics");
        let mut heard: Vec<(Vec<u8>, u32)> = Vec::new();
        soon("the last letter", || {
            let each = &mut |packet: &[u8], arrival: &wire::Arrival| {
                // The kernels ask each other where they are whenever they like.
                if !matches!(wire::read(packet), Some(Heard::Neighbour(_))) {
                    heard.push((packet.to_vec(), arrival.length));
                }
            };
            ring.receive(Duration::from_millis(50), each).expect("the ring works");
            heard.last().is_some_and(|(last, _)| last.ends_with(b"last")).then_some(())
        });
        let wanted: Vec<Vec<u8>> =
            letters.into_iter().filter(|(_, wanted)| *wanted).map(|(packet, _)| packet).collect();
        let begin = |packet: &[u8]| packet[..packet.len().min(60)].to_vec();
        let (began, want) = (heard.iter().map(|(packet, _)| begin(packet)), wanted.iter().map(|packet| begin(packet)));
        assert_eq!(began.collect::<Vec<_>>(), want.collect::<Vec<_>>(), "to {ours}");
        assert!(heard.iter().map(|(packet, _)| packet).eq(&wanted), "to {ours}");
        assert!(
            heard.iter().all(|(packet, length)| usize::try_from(*length).is_ok_and(|length| length == packet.len()))
        );
    }
}

#[test]
fn a_link_that_is_down_says_so_and_comes_back() {
    if lacks_root("a_link_that_is_down_says_so_and_comes_back") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, host, way, hop) = pair(&mut lab);
    let _listening = listeners(&host, 22);
    let machine = watcher.clone();
    let asked = watcher.namespace().enter(move || {
        let mut ring = RingReceive::open(&way, &filter(), 1 << 20).expect("a ring");
        let mut transmit = open_transmit(&way, hop).expect("a way out");
        let to = Endpoint::tcp(ip("10.77.0.2"), 22);
        let mut batch = Batch::new(64, 128);
        let tag = Tag::new(1, 2);
        machine.unplug();
        push(&mut batch, &way, ip("10.77.0.1"), Question::Syn(to), tag);
        let sent = transmit.send(&mut batch);
        assert!(matches!(sent, Err(WireError::LinkDown { .. })), "{sent:?}");
        assert_eq!((batch.len(), transmit.counters().refused), (1, 1));
        let heard = ring.receive(Duration::from_secs(5), &mut |_, _| panic!("nothing comes"));
        assert!(matches!(heard, Err(WireError::LinkDown { .. })), "{heard:?}");
        // Said once.
        ring.receive(Duration::from_millis(1), &mut |_, _| panic!("nothing comes")).expect("it goes on waiting");
        machine.plug_in();
        send(&mut transmit, &mut batch);
        let said = listen(&mut ring, 1);
        assert_eq!(said.iter().map(|(said, _)| *said).collect::<Vec<_>>(), [Said::Open(to, tag)]);
        // One that is gone for good.
        let gone = Link { index: 99_999, ..way };
        for opened in
            [RingReceive::open(&gone, &filter(), 1 << 20).map(|_| ()), PacketTransmit::open(&gone, hop).map(|_| ())]
        {
            assert!(matches!(opened, Err(WireError::LinkDown { .. })), "{opened:?}");
        }
        let wrong = PacketTransmit::open(&gone, NextHop::Point).map(|_| ());
        assert!(matches!(wrong, Err(WireError::NoSuchHop { .. })), "{wrong:?}");
    });
    asked.join().expect("nothing panics");
}

#[test]
fn what_the_kernel_refuses_is_told_and_skipped() {
    if lacks_root("what_the_kernel_refuses_is_told_and_skipped") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, _host, way, hop) = pair(&mut lab);
    let asked = watcher.namespace().enter(move || {
        for hop in [hop, NextHop::Kernel] {
            let mut ring = RingReceive::open(&way, &filter(), 1 << 20).expect("a ring");
            let mut transmit = open_transmit(&way, hop).expect("a way out");
            let mut batch = Batch::new(8, 3000);
            let tag = Tag::new(0, 0);
            let asks = [1, 2].map(|port| Question::Syn(Endpoint::tcp(ip("10.77.0.2"), port)));
            push(&mut batch, &way, ip("10.77.0.1"), asks[0], tag);
            // Longer than the link carries.
            let udp = UdpTemplate::new(ip("10.77.0.1"));
            let mark = Mark { source_port: 61_000, sequence: 0, ip_id: 1 };
            let length = udp.len(2000);
            assert!(batch.push(length, |place| udp.stamp(place, ip("10.77.0.2"), 9, &mark, &[0; 2000])));
            push(&mut batch, &way, ip("10.77.0.1"), asks[1], tag);
            assert_eq!(transmit.send(&mut batch).expect("the first can be sent"), 1, "{hop:?}");
            let refused = transmit.send(&mut batch);
            assert!(matches!(refused, Err(WireError::Refused { .. })), "{refused:?}");
            assert_eq!(batch.len(), 2);
            assert!(batch.skip());
            assert_eq!(transmit.send(&mut batch).expect("the last can be sent"), 1, "{hop:?}");
            assert_eq!(listen(&mut ring, 2).len(), 2);
        }
    });
    asked.join().expect("nothing panics");
}

#[test]
fn a_recording_is_read_by_tcpdump() {
    if lacks_root("a_recording_is_read_by_tcpdump") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, host, way, hop) = pair(&mut lab);
    let _listening = listeners(&host, 22);
    let path = lab.dir().join("probes.pcap");
    let to = path.clone();
    let asked = watcher.namespace().enter(move || {
        let recording = Recording::create(&to).expect("the file opens");
        let clock = Arc::new(SystemClock);
        let ring = RingReceive::open(&way, &filter(), 1 << 20).expect("a ring");
        let mut ring = Recorded::new(Traced(ring), recording.clone(), clock.clone());
        let transmit = open_transmit(&way, hop).expect("a way out");
        let mut transmit = Recorded::new(Traced(transmit), recording.clone(), clock);
        let mut batch = Batch::new(64, 128);
        for (ours, theirs) in [("10.77.0.1", "10.77.0.2"), ("fd77::1", "fd77::2")] {
            for port in [22, 23] {
                let question = Question::Syn(Endpoint::tcp(ip(theirs), port));
                push(&mut batch, &way, ip(ours), question, Tag::new(0, 0));
            }
        }
        send(&mut transmit, &mut batch);
        common::listen(&mut ring, 4);
        recording.finish().expect("the disk has room")
    });
    let packets = asked.join().expect("nothing panics");
    let told = output_of(Command::new("tcpdump").args(["-n", "-r"]).arg(&path));
    assert_eq!(u64::try_from(told.lines().count()).expect("few"), packets, "{told}");
    for (line, count) in [
        ("> 10.77.0.2.22: Flags [S], ", 1),
        ("> fd77::2.22: Flags [S], ", 1),
        ("IP 10.77.0.2.22 > ", 1),
        ("IP6 fd77::2.22 > ", 1),
        ("Flags [S], ", 4),
        ("Flags [R.], ", 2),
        ("options [mss 1460,sackOK,TS val ", 3),
        ("options [mss 1440,sackOK,TS val ", 2),
    ] {
        // A SYN-ACK may come twice: our kernel's RST was late.
        let found = told.lines().filter(|told| told.contains(line)).count();
        assert!(
            found >= count && (found == count || line.starts_with("IP") || line.starts_with("options")),
            "{line}:\n{told}"
        );
    }
    assert!(!told.contains("bad cksum") && !told.contains("invalid"), "{told}");
}

#[test]
fn without_the_right_to_raw_packets_the_error_says_what_to_do() {
    if lacks_root("without_the_right_to_raw_packets_the_error_says_what_to_do") {
        return;
    }
    let mut lab = Lab::new();
    let (watcher, _host, way, hop) = pair(&mut lab);
    let asked = watcher.namespace().enter(move || {
        // Only this thread loses it.
        let none = rustix::thread::CapabilitySet::empty();
        let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets).expect("anybody may give up capabilities");
        [
            RingReceive::open(&way, &filter(), 1 << 20).map(|_| ()),
            PacketTransmit::open(&way, hop).map(|_| ()),
            wire::RawTransmit::open(&way).map(|_| ()),
        ]
    });
    for opened in asked.join().expect("nothing panics") {
        let error = opened.expect_err("nobody may");
        assert!(matches!(error, WireError::NoPermission { .. }), "{error:?}");
        assert!(error.to_string().contains("CAP_NET_RAW") && error.to_string().contains("eth0"), "{error}");
    }
}
