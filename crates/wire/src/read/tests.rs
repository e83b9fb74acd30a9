mod corpus;
mod oracle;

use super::*;
use proptest::prelude::*;
use std::net::IpAddr;

/// An IPv4 packet around a payload.
fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).expect("short").to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0x12, 0x34, 0, 0, 57, protocol, 0, 0];
    packet.extend_from_slice(&[192, 0, 2, 7, 198, 51, 100, 1]);
    packet.extend_from_slice(payload);
    packet
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    let mut packet = vec![0x60, 0, 0x56, 0x78, length[0], length[1], next, 57];
    packet.extend_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    packet.extend_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend_from_slice(payload);
    packet
}

/// A SYN-ACK from port 443 to 61000.
fn syn_ack(options: &[u8]) -> Vec<u8> {
    let mut segment = vec![0x01, 0xbb, 0xee, 0x48, 0, 0, 0, 9, 0, 0, 0, 5];
    segment.extend_from_slice(&[
        u8::try_from((20 + options.len()) / 4).expect("short") << 4,
        0x12,
        0xfa,
        0xf0,
        0,
        0,
        0,
        0,
    ]);
    segment.extend_from_slice(options);
    segment
}

fn tcp(packet: &[u8]) -> Segment {
    match read(packet) {
        Some(Heard::Tcp(segment)) => segment,
        other => panic!("{other:?}"),
    }
}

fn unreachable(packet: &[u8]) -> Unreachable {
    match read(packet) {
        Some(Heard::Unreachable(error)) => error,
        other => panic!("{other:?}"),
    }
}

const LINUX: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 7, 1, 3, 3, 9];

#[test]
fn a_syn_ack_is_read_whole() {
    for packet in [v4(6, &syn_ack(&LINUX)), v6(6, &syn_ack(&LINUX))] {
        let heard = tcp(&packet);
        let ip = |text: &str| text.parse::<IpAddr>().expect(text);
        let (from, to) = match packet[0] >> 4 {
            4 => (ip("192.0.2.7"), ip("198.51.100.1")),
            _ => (ip("2001:db8::7"), ip("2001:db8::1")),
        };
        let options = TcpOptions { mss: Some(1460), wscale: Some(9), sack: true, ts: Some((256, 7)), any: true };
        let flags = Flags(0x12);
        assert!(flags.accepts() && flags.acknowledges() && !flags.resets());
        let expect =
            Segment { from, to, port: 443, our_port: 61_000, flags, seq: 9, ack: 5, window: 0xfaf0, options, ttl: 57 };
        assert_eq!(heard, expect);
        // What Ethernet pads with is cut off.
        assert_eq!(tcp(&[&packet[..], &[0; 6]].concat()), expect);
    }
}

#[test]
fn options_end_where_they_stop_making_sense() {
    let none = TcpOptions::default();
    let some = TcpOptions { any: true, ..none };
    let mss = TcpOptions { mss: Some(536), any: true, ..none };
    for (options, expect) in [
        (&[][..], none),
        (&[0, 0, 0, 0], none),
        (&[1, 1, 1, 1], none),
        // Lengths that lead nowhere.
        (&[8, 0, 1, 1], some),
        (&[8, 1, 1, 1], some),
        (&[0xfe, 0, 0xfe, 0], some),
        (&[2, 4, 2, 24, 8, 0, 0, 0], mss),
        (&[2, 4, 2, 24, 8, 10, 0, 0], mss),
        (&[2, 4, 2, 24, 8, 255, 0, 0], mss),
        // The end comes first.
        (&[0, 2, 4, 2, 24, 0, 0, 0], none),
        // Lengths that are not those of their kind.
        (&[2, 3, 5, 1, 3, 4, 7, 7], some),
        (&[4, 3, 9, 0], some),
        (&[5, 2, 2, 4, 2, 24, 0, 0], mss),
        (&[1, 1, 1, 2, 4, 2, 24, 0], mss),
        (&[1, 1, 1, 8], some),
    ] {
        assert_eq!(tcp(&v4(6, &syn_ack(options))).options, expect, "{options:?}");
    }
}

#[test]
fn what_is_cut_off_is_read_as_far_as_it_goes() {
    let whole = v4(6, &syn_ack(&LINUX));
    for length in 0..whole.len() {
        let heard = read(&whole[..length]);
        assert_eq!(heard.is_some(), length >= 40, "{length}");
        if let Some(Heard::Tcp(segment)) = heard {
            assert_eq!(segment.options.mss, (length >= 44).then_some(1460), "{length}");
        }
    }
    // A length of 0 in the IP header is what offload leaves.
    let mut offloaded = whole.clone();
    offloaded[2..4].fill(0);
    assert_eq!(tcp(&offloaded).options, tcp(&whole).options);
    // A data offset that is too short, and one that is too long.
    for (offset, is_read) in [(4, false), (0, false), (5, true), (15, true)] {
        let mut odd = whole.clone();
        odd[32] = offset << 4;
        assert_eq!(read(&odd).is_some(), is_read, "{offset}");
    }
}

#[test]
fn only_first_fragments_are_read() {
    for (fragment, is_read) in [([0x20, 0], true), ([0x40, 0], true), ([0, 1], false), ([0x3f, 0xff], false)] {
        let mut packet = v4(6, &syn_ack(&[]));
        packet[6..8].copy_from_slice(&fragment);
        assert_eq!(read(&packet).is_some(), is_read, "{fragment:?}");
    }
    for (fragment, is_read) in [([0, 1], true), ([0, 0], true), ([0, 8], false), ([0xff, 0xf9], false)] {
        let header = [6, 0, fragment[0], fragment[1], 0, 0, 0, 1];
        assert_eq!(read(&v6(44, &[&header[..], &syn_ack(&[])].concat())).is_some(), is_read, "{fragment:?}");
    }
}

#[test]
fn extension_headers_are_walked_through_but_not_for_ever() {
    let chain = |kinds: &[u8]| {
        let mut payload = Vec::new();
        for next in kinds[1..].iter().chain(&[6]) {
            payload.extend_from_slice(&[*next, 0, 0, 0, 0, 0, 0, 0]);
        }
        payload.extend_from_slice(&syn_ack(&LINUX));
        v6(kinds[0], &payload)
    };
    for (kinds, is_read) in [
        (&[0][..], true),
        (&[60, 43, 44, 51], true),
        (&[60; 8], true),
        (&[60; 9], false),
        (&[50], false),
        (&[59], false),
        (&[135], false),
    ] {
        assert_eq!(read(&chain(kinds)).is_some(), is_read, "{kinds:?}");
    }
    // One that is longer than the packet, and one that is cut off.
    assert_eq!(read(&v6(0, &[&[6, 255, 0, 0, 0, 0, 0, 0], &syn_ack(&[])[..]].concat())), None);
    assert_eq!(read(&v6(0, &[6])), None);
    assert_eq!(tcp(&v6(0, &[&[6, 1][..], &[0; 14], &syn_ack(&LINUX)].concat())).options.mss, Some(1460));
}

#[test]
fn datagrams_are_cut_to_their_length() {
    let datagram =
        |length: u16, payload: &[u8]| [&[0, 53, 0xee, 0x48][..], &length.to_be_bytes(), &[0, 0], payload].concat();
    for (length, payload, expect) in
        [(13, "hello", "hello"), (11, "hello", "hel"), (8, "hello", ""), (99, "hello", "hello"), (0, "hello", "hello")]
    {
        let packet = v4(17, &datagram(length, payload.as_bytes()));
        let Some(Heard::Udp(heard)) = read(&packet) else { panic!("{length}") };
        assert_eq!((heard.port, heard.our_port, heard.payload), (53, 61_000, expect.as_bytes()), "{length}");
    }
    assert_eq!(read(&v4(17, &[0; 7])), None);
}

#[test]
fn errors_tell_what_they_quote() {
    // As our SYN, datagram and echo looked when they came to whoever complains.
    let quoted_v4 = |protocol: u8, begin: [u8; 8]| {
        let mut quoted = v4(protocol, &begin);
        // Source and destination the other way round.
        quoted.copy_within(12..16, 0);
        let theirs = [192, 0, 2, 7];
        quoted[12..16].copy_from_slice(&[198, 51, 100, 1]);
        quoted[16..20].copy_from_slice(&theirs);
        quoted[0..4].copy_from_slice(&[0x45, 0, 0, 60]);
        quoted
    };
    let begin = [0xee, 0x48, 0, 22, 1, 2, 3, 4];
    let syn = QuotedPart::Tcp { sport: 61_000, dport: 22, seq: 0x0102_0304 };
    for (kind, code, why) in [
        (3, 0, Why::Net),
        (3, 1, Why::Host),
        (3, 2, Why::Protocol),
        (3, 3, Why::Port),
        (3, 4, Why::TooBig),
        (3, 5, Why::Other),
        (3, 9, Why::Prohibited),
        (3, 10, Why::Prohibited),
        (3, 13, Why::Prohibited),
        (3, 200, Why::Other),
        (11, 0, Why::TimeExceeded),
        (12, 0, Why::Other),
    ] {
        let error = [&[kind, code, 0, 0, 0, 0, 0, 0][..], &quoted_v4(6, begin)].concat();
        let heard = unreachable(&v4(1, &error));
        assert_eq!((heard.why, heard.icmp_type, heard.code, heard.ttl), (why, kind, code, 57));
        assert_eq!(heard.by, "192.0.2.7".parse::<IpAddr>().expect("an address"));
        assert_eq!(heard.quoted.src, heard.to);
        assert_eq!((heard.quoted.dst, heard.quoted.ip_id, heard.quoted.part), (heard.by, 0x1234, syn));
        assert_eq!(heard.quoted.endpoint().map(|endpoint| endpoint.to_string()).as_deref(), Some("192.0.2.7:22/tcp"));
    }
    for (protocol, begin, part) in [
        (17, begin, QuotedPart::Udp { sport: 61_000, dport: 22 }),
        (1, [8, 0, 0, 0, 1, 2, 3, 4], QuotedPart::Echo { identifier: 0x0102, sequence: 0x0304 }),
        (1, [13, 0, 0, 0, 1, 2, 3, 4], QuotedPart::Echo { identifier: 0x0102, sequence: 0x0304 }),
        (1, [0, 0, 0, 0, 1, 2, 3, 4], QuotedPart::Other(1)),
        (47, begin, QuotedPart::Other(47)),
    ] {
        let error = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &quoted_v4(protocol, begin)].concat();
        assert_eq!(unreachable(&v4(1, &error)).quoted.part, part);
    }
    // IPv6, behind extension headers, too.
    for (kind, code, why) in [
        (1, 0, Why::Net),
        (1, 1, Why::Prohibited),
        (1, 2, Why::Net),
        (1, 3, Why::Host),
        (1, 4, Why::Port),
        (1, 5, Why::Prohibited),
        (1, 6, Why::Prohibited),
        (1, 7, Why::Other),
        (2, 0, Why::TooBig),
        (3, 0, Why::TimeExceeded),
        (4, 1, Why::Other),
    ] {
        for quoted in [v6(6, &begin), v6(60, &[&[6, 0, 0, 0, 0, 0, 0, 0], &begin[..]].concat())] {
            let error = [&[kind, code, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
            let heard = unreachable(&v6(58, &error));
            assert_eq!((heard.why, heard.quoted.part, heard.quoted.ip_id), (why, syn, 0x5678), "{kind}/{code}");
        }
    }
}

#[test]
fn errors_that_quote_too_little_or_the_other_family_are_none() {
    let quoted = v4(6, &syn_ack(&[]));
    for length in 0..28 {
        assert_eq!(read(&v4(1, &[&[3, 3, 0, 0, 0, 0, 0, 0], &quoted[..length]].concat())), None, "{length}");
    }
    assert!(read(&v4(1, &[&[3, 3, 0, 0, 0, 0, 0, 0], &quoted[..28]].concat())).is_some());
    assert_eq!(read(&v6(58, &[&[1, 4, 0, 0, 0, 0, 0, 0], &quoted[..]].concat())), None);
    assert_eq!(read(&v4(1, &[&[3, 3, 0, 0, 0, 0, 0, 0], &v6(6, &syn_ack(&[]))[..]].concat())), None);
    // One family's ICMP in the other.
    assert_eq!(read(&v4(58, &[129, 0, 0, 0, 0, 1, 0, 2])), None);
    assert_eq!(read(&v6(1, &[0, 0, 0, 0, 0, 1, 0, 2])), None);
}

#[test]
fn replies_are_read_and_requests_are_not() {
    for (packet, is_read) in [
        (v4(1, &[0, 0, 0, 0, 0, 1, 0, 2, 7, 7]), true),
        (v4(1, &[8, 0, 0, 0, 0, 1, 0, 2, 7, 7]), false),
        (v4(1, &[5, 0, 0, 0, 0, 1, 0, 2, 7, 7]), false),
        (v6(58, &[129, 0, 0, 0, 0, 1, 0, 2, 7, 7]), true),
        (v6(58, &[128, 0, 0, 0, 0, 1, 0, 2, 7, 7]), false),
        (v6(58, &[135, 0, 0, 0, 0, 1, 0, 2, 7, 7]), false),
    ] {
        let heard = read(&packet);
        assert_eq!(heard.is_some(), is_read, "{packet:?}");
        if let Some(Heard::Echo(reply)) = heard {
            assert_eq!((reply.identifier, reply.sequence, reply.payload, reply.ttl), (1, 2, &[7, 7][..], 57));
        }
    }
    let times = [14, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5];
    let packet = v4(1, &times);
    let Some(Heard::Timestamp(reply)) = read(&packet) else { panic!("a timestamp reply") };
    assert_eq!((reply.identifier, reply.sequence), (1, 2));
    assert_eq!((reply.originate, reply.receive, reply.transmit), (3, 4, 5));
    assert_eq!(read(&v4(1, &times[..19])), None);
}

#[test]
fn what_was_heard_is_told_in_a_line() {
    for (packet, line) in [
        (v4(6, &syn_ack(&[])), "tcp 192.0.2.7:443 > 198.51.100.1:61000 [SA] seq 9 ack 5 win 64240 ttl 57"),
        (v6(17, &[0, 53, 0xee, 0x48, 0, 9, 0, 0, 1]), "udp [2001:db8::7]:53 > [2001:db8::1]:61000 1 bytes ttl 57"),
        (v4(1, &[0, 0, 0, 0, 0, 1, 0, 2]), "echo 192.0.2.7 > 198.51.100.1 id 1 seq 2 ttl 57"),
    ] {
        assert_eq!(read(&packet).map(|heard| heard.to_string()).as_deref(), Some(line));
    }
    assert_eq!(outline(&v4(6, &syn_ack(&[]))), "protocol 6 192.0.2.7:443 > 198.51.100.1:61000 id 4660 ttl 57");
    assert_eq!(outline(&v4(2, &[])), "protocol 2 192.0.2.7 > 198.51.100.1 id 4660 ttl 57");
    assert_eq!(outline(&[7; 3]), "3 bytes that are no IP packet");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_not(mut bytes in prop::collection::vec(any::<u8>(), 0..300), version in 0_u8..16) {
        oracle::check(&bytes);
        // Most bytes are no IP packet at all; these look a little more like one.
        if let Some(first) = bytes.first_mut() {
            *first = version << 4 | *first & 0xf;
            oracle::check(&bytes);
            if let Some(protocol) = bytes.get_mut(if version == 6 { 6 } else { 9 }) {
                *protocol = [0, 1, 6, 17, 43, 44, 51, 58, 60][usize::from(*protocol) % 9];
                oracle::check(&bytes);
            }
        }
    }
}
