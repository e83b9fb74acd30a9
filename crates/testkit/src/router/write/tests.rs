use super::*;
use crate::router::{
    FIN, Flow, SYN,
    packet::UDP,
    stage::{
        Way,
        trial::{data, icmp_error, ping, segment, syn, syn_to},
    },
};
use proptest::prelude::*;

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

#[test]
fn what_is_written_reads_back() {
    for (source, target) in [("10.78.0.1:4000", "10.77.0.2:80"), ("[fd78::1]:4000", "[fd77::2]:80")] {
        let (source, target) = (socket(source), socket(target));
        let packet = segment(source, target, SYN, 7, 0);
        let read = Packet::read(packet.bytes().to_vec()).expect("a packet");
        assert_eq!(read, packet);
        assert_eq!(read.sockets(), Some((source, target)));
        let tcp = read.tcp().expect("a segment");
        assert_eq!((tcp.sequence, tcp.flags, tcp.data, tcp.length()), (7, SYN, 0, 1));
        assert!(read.checksums_hold());

        let refused = packet.reset().expect("a RST");
        let tcp = refused.tcp().expect("a segment");
        assert_eq!((tcp.sequence, tcp.acknowledged, tcp.flags), (0, 8, RST | ACK));
        assert_eq!(refused.sockets(), Some((target, source)));
        assert!(refused.checksums_hold());
        assert_eq!(refused.reset(), None, "a RST is never answered");

        let error = packet.port_unreachable().expect("an error");
        assert!(error.checksums_hold() && error.is_icmp_error());
        assert_eq!(error.icmp(), Some(if source.is_ipv4() { (3, 3) } else { (1, 4) }));
        let quote = error.quote().expect("it quotes");
        assert_eq!((quote.source, quote.target), (source, target));
        assert_eq!(error.port_unreachable(), None, "an error is never answered");
        assert_eq!(Flow::of(&error, Way::Back), Flow::of(&packet, Way::Out));
    }
}

#[test]
fn answers_to_data_fit_the_stream() {
    let tcp = data(4_000, 80, b"hello").reset().and_then(|reset| reset.tcp()).expect("a RST");
    assert_eq!((tcp.flags, tcp.sequence), (RST, 5_001));
    let (source, target) = (socket("10.78.0.1:4000"), socket("10.77.0.2:80"));
    let ended = segment(source, target, FIN, 100, 0).reset().and_then(|reset| reset.tcp()).expect("a RST");
    assert_eq!(ended.acknowledged, 101, "a FIN takes up one");
}

#[test]
fn errors_stay_short() {
    for (target, longest) in [("10.77.0.2", 576), ("fd77::2", 1_280)] {
        let long = syn_to(target.parse().expect("an address"), 1, 2).with_data(&[7; 1_400]).expect("short enough");
        assert_eq!(long.port_unreachable().expect("an error").bytes().len(), longest);
    }
}

#[test]
fn a_datagram_without_a_checksum_is_right_too() {
    let mut bytes = Packet::make([10, 78, 0, 1].into(), [10, 77, 0, 2].into(), UDP, &[0, 9, 0, 53, 0, 9, 0, 0, 1])
        .expect("one family")
        .bytes()
        .to_vec();
    let read = |bytes: &[u8]| Packet::read(bytes.to_vec()).expect("a packet");
    assert!(read(&bytes).checksums_hold());
    bytes[26..28].fill(0);
    assert!(read(&bytes).checksums_hold());
    bytes[26..28].fill(1);
    assert!(!read(&bytes).checksums_hold());
}

#[test]
fn two_families_make_no_packet() {
    assert_eq!(Packet::make([10, 0, 0, 1].into(), "fd77::2".parse().expect("an address"), UDP, &[0; 8]), None);
    let mut packet = syn(1, 2);
    packet.readdress(End::Target, socket("[fd77::2]:80"));
    assert_eq!(packet, syn(1, 2));
}

#[test]
fn an_error_about_the_other_family_is_about_nothing() {
    let (ours, theirs) = ("fd78::1", "fd77::2");
    let address = |text: &str| text.parse().expect("an address");
    let body = [&[1, 4, 0, 0, 0, 0, 0, 0], &syn(1, 2).bytes()[..28]].concat();
    let mut error = Packet::make(address(theirs), address(ours), ICMPV6, &body).expect("one family");
    assert!(error.is_icmp_error());
    assert_eq!(error.quote(), None);
    error.readdress(End::Source, socket("[fd77::9]:80"));
    assert!(error.checksums_hold() && error.source() == address("fd77::9"));
    assert_eq!(error.transport()[4..], body[4..], "nothing else is touched");
}

#[test]
fn a_fragment_is_only_carried() {
    let mut bytes = syn(1, 2).bytes().to_vec();
    // More fragments follow.
    bytes[6] |= 0x20;
    let packet = Packet::read(bytes).expect("a packet");
    assert_eq!((packet.tcp(), packet.ports(), packet.reset()), (None, None, None));
    // IPv6: behind hop-by-hop options, and behind a fragment header.
    let six = syn_to("fd77::2".parse().expect("an address"), 1, 2);
    for (kind, understood) in [(0_u8, true), (60, true), (44, false)] {
        let mut bytes = six.bytes()[..40].to_vec();
        let protocol = std::mem::replace(&mut bytes[6], kind);
        bytes.extend([protocol, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(&six.bytes()[40..]);
        let length = u16::try_from(bytes.len() - 40).expect("short");
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
        let packet = Packet::read(bytes).expect("a packet");
        assert_eq!(packet.tcp().is_some(), understood, "extension {kind}");
        assert!(packet.checksums_hold());
    }
}

proptest! {
    #[test]
    fn reading_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in 0_usize..3) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.first_mut() {
            *byte = [0x45, 0x60, 0x4f][first];
        }
        if let Some(packet) = Packet::read(bytes) {
            let _ = (packet.tcp(), packet.ports(), packet.icmp(), packet.quote(), packet.checksums_hold());
            let _ = (packet.reset(), packet.port_unreachable(), Flow::of(&packet, Way::Out));
            for end in [End::Source, End::Target] {
                for to in ["10.1.2.3:4", "[fd77::9]:5"] {
                    packet.clone().readdress(end, socket(to));
                }
            }
            packet.clone().shift(1, 2);
        }
    }

    #[test]
    fn half_a_packet_is_none(kind in 0_usize..4, keep in 0.0_f64..1.0) {
        let six = syn_to("fd77::2".parse().expect("an address"), 1, 2);
        let packet = [syn(1, 2), six, icmp_error(), ping()][kind].clone();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a length")]
        let keep = (packet.bytes().len() as f64 * keep) as usize;
        prop_assert_eq!(Packet::read(packet.bytes()[..keep].to_vec()), None);
    }

    #[test]
    fn another_address_and_back_is_the_same(a in any::<[u8; 4]>(), port in any::<u16>(), kind in 0_usize..3, out in any::<bool>()) {
        let packet = [syn(4_000, 80), icmp_error(), data(4_000, 80, b"hello")][kind].clone();
        let end = if out { End::Target } else { End::Source };
        let (source, target) = match packet.quote() {
            Some(quote) => (quote.target, quote.source),
            None => packet.sockets().expect("ports"),
        };
        let was = if out { target } else { source };
        let mut changed = packet.clone();
        changed.readdress(end, SocketAddr::new(a.into(), port));
        prop_assert!(changed.checksums_hold());
        changed.readdress(end, was);
        prop_assert_eq!(changed, packet);
    }

    #[test]
    fn numbers_moved_and_moved_back_are_the_same(sequence in any::<u32>(), acknowledged in any::<u32>()) {
        let packet = data(4_000, 80, b"hello");
        let mut moved = packet.clone();
        moved.shift(sequence, acknowledged);
        prop_assert!(moved.checksums_hold());
        prop_assert_eq!(moved.tcp().expect("a segment").sequence, 1_001_u32.wrapping_add(sequence));
        moved.shift(0_u32.wrapping_sub(sequence), 0_u32.wrapping_sub(acknowledged));
        prop_assert_eq!(moved, packet);
    }
}
