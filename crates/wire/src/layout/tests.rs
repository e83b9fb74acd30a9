//! Every stamped packet is judged by `etherparse`, which knows nothing of templates, and by checksums added up anew here.

use super::*;
use crate::{EchoMark, Mark};
use etherparse::{IpSlice, NetSlice, SlicedPacket, TcpOptionElement, TransportSlice};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The checksum of a whole packet's transport part, pseudo-header and all, the slow way. 0 where the one in the packet is right.
fn judge(ip: &[u8], protocol: u8) -> u16 {
    let (addresses, payload) = if ip[0] >> 4 == 4 { (&ip[12..20], &ip[20..]) } else { (&ip[8..40], &ip[40..]) };
    // ICMP over IPv4 has no pseudo-header.
    let mut words = Vec::new();
    if protocol != 1 {
        words.extend_from_slice(addresses);
        words.extend_from_slice(&u32::try_from(payload.len()).expect("short").to_be_bytes());
        words.extend_from_slice(&[0, 0, 0, protocol]);
    }
    words.extend_from_slice(payload);
    fold(&words)
}

fn fold(bytes: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for (at, byte) in bytes.iter().enumerate() {
        sum += u64::from(*byte) << if at % 2 == 0 { 8 } else { 0 };
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

/// The IP header: lengths and checksum right, addresses as given. Gives the protocol.
fn check_ip(packet: &[u8], source: IpAddr, to: IpAddr, id: u16) -> u8 {
    let parsed = SlicedPacket::from_ip(packet).expect("etherparse reads it");
    match parsed.net.expect("an IP header") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!((IpAddr::from(header.source), IpAddr::from(header.destination)), (source, to));
            assert_eq!((header.identification, header.time_to_live, header.dont_fragment), (id, 64, true));
            assert_eq!(usize::from(header.total_len), packet.len());
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(fold(&packet[..20]), 0);
            header.protocol.0
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            assert_eq!((IpAddr::from(header.source), IpAddr::from(header.destination)), (source, to));
            assert_eq!((header.flow_label.value(), header.hop_limit), (u32::from(id), 64));
            assert_eq!(usize::from(header.payload_length) + 40, packet.len());
            header.next_header.0
        }
        NetSlice::Arp(_) => panic!("no ARP here"),
    }
}

fn pair() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(a, b)| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into())),
        any::<(u128, u128)>().prop_map(|(a, b)| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into())),
    ]
}

fn mark() -> impl Strategy<Value = Mark> {
    any::<(u16, u32, u16)>().prop_map(|(source_port, sequence, ip_id)| Mark { source_port, sequence, ip_id })
}

proptest! {
    #[test]
    fn syns_are_whole((source, to) in pair(), port: u16, mark in mark(), tsval: u32, mtu in 500_u32..70_000) {
        let template = SynTemplate::new(source, mtu);
        let mut packet = vec![0xee; template.len()];
        template.stamp(&mut packet, to, port, &mark, tsval);
        prop_assert_eq!(check_ip(&packet, source, to, mark.ip_id), 6);
        prop_assert_eq!(judge(&packet, 6), 0);
        let parsed = SlicedPacket::from_ip(&packet).expect("etherparse reads it");
        let Some(TransportSlice::Tcp(tcp)) = parsed.transport else { panic!("no TCP") };
        let header = tcp.to_header();
        prop_assert_eq!((header.source_port, header.destination_port), (mark.source_port, port));
        prop_assert_eq!((header.sequence_number, header.acknowledgment_number), (mark.sequence, 0));
        prop_assert!(header.syn && !header.ack && !header.rst && !header.fin && !header.psh && !header.urg);
        let calculated = match IpSlice::from_slice(&packet).expect("an IP packet") {
            IpSlice::Ipv4(ip) => tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()),
            IpSlice::Ipv6(ip) => tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()),
        };
        prop_assert_eq!(header.checksum, calculated.expect("short"));
        let headers = if source.is_ipv4() { 40 } else { 60 };
        let mss = u16::try_from((mtu - headers).min(65_535)).expect("cut").max(536);
        let options: Vec<_> = header.options_iterator().collect::<Result<_, _>>().expect("options");
        prop_assert_eq!(options, [
            TcpOptionElement::MaximumSegmentSize(mss),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
            TcpOptionElement::Timestamp(tsval, 0),
            TcpOptionElement::Noop,
            TcpOptionElement::WindowScale(7),
        ]);
        prop_assert_eq!(header.window_size % mss, 0);
    }

    #[test]
    fn acknowledgements_are_whole((source, to) in pair(), port: u16, mark in mark()) {
        let template = AckTemplate::new(source);
        let mut packet = vec![0xee; template.len()];
        template.stamp(&mut packet, to, port, &mark);
        prop_assert_eq!(check_ip(&packet, source, to, mark.ip_id), 6);
        prop_assert_eq!(judge(&packet, 6), 0);
        let parsed = SlicedPacket::from_ip(&packet).expect("etherparse reads it");
        let Some(TransportSlice::Tcp(tcp)) = parsed.transport else { panic!("no TCP") };
        prop_assert_eq!((tcp.source_port(), tcp.destination_port()), (mark.source_port, port));
        prop_assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (mark.sequence, mark.sequence));
        prop_assert!(tcp.ack() && !tcp.syn() && !tcp.rst() && !tcp.fin() && tcp.options().is_empty());
    }

    #[test]
    fn datagrams_are_whole(
        (source, to) in pair(), port: u16, mark in mark(), payload in prop::collection::vec(any::<u8>(), 0..600)
    ) {
        let template = UdpTemplate::new(source);
        let mut packet = vec![0xee; template.len(payload.len())];
        template.stamp(&mut packet, to, port, &mark, &payload);
        prop_assert_eq!(check_ip(&packet, source, to, mark.ip_id), 17);
        prop_assert_eq!(judge(&packet, 17), 0);
        let parsed = SlicedPacket::from_ip(&packet).expect("etherparse reads it");
        let Some(TransportSlice::Udp(udp)) = parsed.transport else { panic!("no UDP") };
        prop_assert_eq!((udp.source_port(), udp.destination_port()), (mark.source_port, port));
        prop_assert_ne!(udp.checksum(), 0);
        prop_assert_eq!(udp.payload(), &payload[..]);
    }

    #[test]
    fn requests_are_whole(
        (source, to) in pair(), identifier: u16, sequence: u16, cookie: u64, ip_id: u16, timestamp: bool
    ) {
        let template = match source {
            IpAddr::V4(source) if timestamp => EchoTemplate::timestamp(source),
            source => EchoTemplate::echo(source),
        };
        let mut packet = vec![0xee; template.len()];
        template.stamp(&mut packet, to, &EchoMark { identifier, sequence, cookie, ip_id });
        let protocol = check_ip(&packet, source, to, ip_id);
        prop_assert_eq!(judge(&packet, protocol), 0);
        let message = &packet[if source.is_ipv4() { 20 } else { 40 }..];
        let kind = match (source.is_ipv4(), timestamp) { (true, true) => 13, (true, false) => 8, (false, _) => 128 };
        prop_assert_eq!((protocol, message[0], message[1]), (if source.is_ipv4() { 1 } else { 58 }, kind, 0));
        prop_assert_eq!(&message[4..8], &[identifier.to_be_bytes(), sequence.to_be_bytes()].concat()[..]);
        if kind == 13 {
            prop_assert_eq!(&message[8..12], &cookie.to_be_bytes()[4..]);
            prop_assert_eq!(message.len(), 20);
        } else {
            prop_assert_eq!(&message[8..16], &cookie.to_be_bytes()[..]);
            prop_assert_eq!(message.len(), 64);
        }
    }
}

#[test]
fn the_first_window_is_linuxs() {
    for (source, mtu, expect) in
        [("198.51.100.1", 1500, 64_240), ("2001:db8::1", 1500, 64_800), ("198.51.100.1", 65_535, 65_495)]
    {
        let template = SynTemplate::new(source.parse().expect(source), mtu);
        let mut packet = vec![0; template.len()];
        template.stamp(
            &mut packet,
            source.parse().expect(source),
            1,
            &Mark { source_port: 1, sequence: 1, ip_id: 1 },
            0,
        );
        let at = packet.len() - 40 + 14;
        assert_eq!(u16::from_be_bytes([packet[at], packet[at + 1]]), expect, "{source} {mtu}");
    }
}

#[test]
fn a_datagram_whose_checksum_comes_to_nothing_says_so_in_ones() {
    // Found by looking for it: among 65,536 payloads of two bytes, one sums up to it.
    let template = UdpTemplate::new([198, 51, 100, 1].into());
    let mark = Mark { source_port: 61_000, sequence: 0, ip_id: 1 };
    let mut found = 0;
    for payload in 0..=u16::MAX {
        let mut packet = vec![0; template.len(2)];
        template.stamp(&mut packet, [192, 0, 2, 1].into(), 53, &mark, &payload.to_be_bytes());
        let checksum = u16::from_be_bytes([packet[26], packet[27]]);
        assert_ne!(checksum, 0);
        found += u32::from(checksum == u16::MAX && judge(&packet, 17) == 0);
    }
    assert_eq!(found, 1);
}

#[test]
fn a_packet_of_the_other_family_is_a_bug() {
    let template = SynTemplate::new([198, 51, 100, 1].into(), 1500);
    let mark = Mark { source_port: 61_000, sequence: 0, ip_id: 1 };
    let stamped = std::panic::catch_unwind(|| {
        template.stamp(&mut [0; 60], Ipv6Addr::LOCALHOST.into(), 1, &mark, 0);
    });
    assert!(stamped.is_err());
}

#[test]
fn a_repeated_timestamp_tells_how_long_it_took() {
    let sent = Duration::from_mins(5_000);
    let repeated = ticks(sent);
    for (took, expect) in [
        (Duration::ZERO, Some(Duration::ZERO)),
        (Duration::from_millis(25), Some(Duration::from_micros(24_960))),
        (Duration::from_secs(119), Some(Duration::from_micros(118_999_936))),
        (Duration::from_secs(121), None),
    ] {
        let told = round_trip(sent + took, repeated);
        assert!(
            told.zip(expect).map_or(told == expect, |(a, b)| a.abs_diff(b) <= Duration::from_micros(64)),
            "{took:?}: {told:?}"
        );
    }
    // Of the future, as a liar may say.
    assert_eq!(round_trip(sent, repeated.wrapping_add(1)), None);
    // It goes round.
    let wrap = Duration::from_micros(64 << 32);
    assert_eq!((ticks(wrap), round_trip(wrap, u32::MAX)), (0, Some(Duration::from_micros(64))));
}
