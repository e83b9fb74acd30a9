//! The reader beside `etherparse`, which was written by others.

use super::super::*;
use etherparse::{IpNumber, NetSlice, SlicedPacket, TcpOptionElement, TransportSlice};
use std::net::IpAddr;

/// Reads, and compares with what `etherparse` makes of it, as far as that reads the whole packet.
///
/// Ours is more lenient where the network is: it reads what is cut off, and does not mind what it does not need. So what
/// `etherparse` reads to its end has to be read alike, and what only ours reads has to stand in the bytes.
pub(super) fn check(packet: &[u8]) {
    let heard = read(packet);
    if let Some(heard) = heard {
        assert!(heard.to_string().len() < 500);
    }
    let Ok(parsed) = SlicedPacket::from_ip(packet) else { return };
    let (source, destination, ttl, extensions) = match &parsed.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let addresses = (IpAddr::from(header.source()), IpAddr::from(header.destination()));
            (addresses.0, addresses.1, header.ttl(), 0)
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let addresses = (IpAddr::from(header.source()), IpAddr::from(header.destination()));
            (addresses.0, addresses.1, header.hop_limit(), ip.extensions().clone().into_iter().count())
        }
        _ => return,
    };
    let is_fragment = parsed.is_ip_payload_fragmented();
    match (&parsed.transport, heard) {
        (Some(TransportSlice::Tcp(tcp)), Some(Heard::Tcp(ours))) => {
            assert_eq!((ours.from, ours.to, ours.ttl), (source, destination, ttl));
            assert_eq!((ours.port, ours.our_port), (tcp.source_port(), tcp.destination_port()));
            assert_eq!((ours.seq, ours.ack), (tcp.sequence_number(), tcp.acknowledgment_number()));
            assert_eq!(ours.window, tcp.window_size());
            assert_eq!(ours.flags.accepts(), tcp.syn() && tcp.ack() && !tcp.rst() && !tcp.fin());
            assert_eq!((ours.flags.resets(), ours.flags.acknowledges()), (tcp.rst(), tcp.ack()));
            check_options(tcp.options_iterator(), ours.options);
        }
        (Some(TransportSlice::Udp(udp)), Some(Heard::Udp(ours))) => {
            assert_eq!((ours.from, ours.to, ours.ttl), (source, destination, ttl));
            assert_eq!((ours.port, ours.our_port), (udp.source_port(), udp.destination_port()));
            if usize::from(udp.length()) == udp.slice().len() {
                assert_eq!(ours.payload, udp.payload());
            }
        }
        (Some(TransportSlice::Tcp(_) | TransportSlice::Udp(_)), other) => {
            assert!(extensions > 8 || is_fragment, "{other:?} of {packet:?}");
        }
        (None, Some(Heard::Tcp(_) | Heard::Udp(_))) => {
            // Not read by it: behind headers it does not know, or not the payload it expects.
            let number = match &parsed.net {
                Some(NetSlice::Ipv4(ip)) => ip.payload().ip_number,
                Some(NetSlice::Ipv6(ip)) => ip.payload().ip_number,
                _ => return,
            };
            assert!(is_fragment || !matches!(number, IpNumber::TCP | IpNumber::UDP), "{packet:?}");
        }
        (Some(TransportSlice::Icmpv4(_)), Some(ours)) => {
            assert!(matches!(ours, Heard::Echo(_) | Heard::Timestamp(_) | Heard::Unreachable(_)));
        }
        (Some(TransportSlice::Icmpv6(_)), Some(ours)) => {
            assert!(matches!(ours, Heard::Echo(_) | Heard::Unreachable(_)));
        }
        _ => {}
    }
}

fn check_options(theirs: etherparse::TcpOptionsIterator<'_>, ours: TcpOptions) {
    let mut expect = TcpOptions::default();
    for option in theirs {
        match option {
            Ok(TcpOptionElement::Noop) => continue,
            Ok(TcpOptionElement::MaximumSegmentSize(mss)) => expect.mss = Some(mss),
            Ok(TcpOptionElement::WindowScale(shift)) => expect.wscale = Some(shift),
            Ok(TcpOptionElement::SelectiveAcknowledgementPermitted) => expect.sack = true,
            Ok(TcpOptionElement::Timestamp(value, echo)) => expect.ts = Some((value, echo)),
            Ok(TcpOptionElement::SelectiveAcknowledgement(..)) => {}
            // It stops at kinds it does not know; ours goes on behind them.
            Err(_) => return,
        }
        expect.any = true;
    }
    assert_eq!(ours, expect);
}
