use super::*;
use crate::{Flags, TcpOptions};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn cookies() -> Cookies {
    Cookies::new([7; 16], PortBlock::default())
}

fn address() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(a, b)| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into())),
        any::<(u128, u128)>().prop_map(|(a, b)| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into())),
    ]
}

fn segment(from: IpAddr, to: IpAddr, port: u16, our_port: u16, flags: u8, ack: u32) -> Segment {
    let flags = Flags(flags);
    Segment { from, to, port, our_port, flags, seq: 1, ack, window: 1, options: TcpOptions::default(), ttl: 64 }
}

const SYN_ACK: u8 = Flags::SYN | Flags::ACK;
const RST_ACK: u8 = Flags::RST | Flags::ACK;

proptest! {
    #[test]
    fn a_tcp_answer_tells_its_tag(
        (us, them) in address(), port: u16, epoch: u32, slot in 0_u8..16, attempt in 0_u8..16, length in 8_u32..=12
    ) {
        let ports = PortBlock::new(40_000, 1 << length).expect("a block");
        let (cookies, epoch, tag) = (Cookies::new([9; 16], ports), Epoch(epoch), Tag::new(slot, attempt));
        prop_assert_eq!((tag.slot(), tag.attempt()), (slot, attempt));
        let mark = cookies.mark(epoch, us, Endpoint::tcp(them, port), tag);
        prop_assert!(ports.contains(mark.source_port) && mark.ip_id != 0);
        let answer = |flags, ack| segment(them, us, port, mark.source_port, flags, ack);
        let next = mark.sequence.wrapping_add(1);
        let later = Epoch(epoch.0.saturating_add(1));
        for now in [epoch, later] {
            prop_assert_eq!(cookies.check_tcp(now, &answer(SYN_ACK, next)), Some(tag));
            prop_assert_eq!(cookies.check_tcp(now, &answer(RST_ACK, next)), Some(tag));
            prop_assert_eq!(cookies.check_tcp(now, &answer(RST_ACK, mark.sequence)), Some(tag));
            // Acknowledging what came before the SYN is no answer, nor is a number that means nothing.
            prop_assert_eq!(cookies.check_tcp(now, &answer(SYN_ACK, mark.sequence)), None);
            prop_assert_eq!(cookies.check_tcp(now, &answer(SYN_ACK, next.wrapping_add(1))), None);
            prop_assert_eq!(cookies.check_tcp(now, &answer(RST_ACK, mark.sequence.wrapping_sub(1))), None);
            prop_assert_eq!(cookies.check_tcp(now, &answer(Flags::RST, next)), None);
        }
        if let Some(too_late) = epoch.0.checked_add(2) {
            prop_assert_eq!(cookies.check_tcp(Epoch(too_late), &answer(SYN_ACK, next)), None);
        }
        // A RST that answers an acknowledgement is another thing than one that answers a SYN.
        let bare = Segment { seq: mark.sequence, ..answer(Flags::RST, 0) };
        prop_assert_eq!(cookies.check_ack(epoch, &bare), Some(tag));
        prop_assert_eq!(cookies.check_tcp(epoch, &bare), None);
        prop_assert_eq!(cookies.check_ack(epoch, &Segment { seq: next, ..bare }), None);
        prop_assert_eq!(cookies.check_ack(epoch, &Segment { flags: Flags(RST_ACK), ..bare }), None);
        prop_assert_eq!(cookies.check_ack(epoch, &Segment { flags: Flags(SYN_ACK), ..bare }), None);
        // Another port, address or direction is another question.
        prop_assert_eq!(cookies.check_tcp(epoch, &segment(them, us, port ^ 1, mark.source_port, SYN_ACK, next)), None);
        prop_assert_eq!(cookies.check_tcp(epoch, &segment(us, them, port, mark.source_port, SYN_ACK, next)), None);
        prop_assert_eq!(cookies.check_tcp(epoch, &segment(them, us, port, 39_999, SYN_ACK, next)), None);
        let others = Cookies::new([8; 16], ports);
        prop_assert_eq!(others.check_tcp(epoch, &answer(SYN_ACK, next)), None);
    }

    #[test]
    fn a_quoted_probe_tells_its_tag((us, them) in address(), port: u16, epoch: u32, tag: u8) {
        let (cookies, epoch, tag) = (cookies(), Epoch(epoch), Tag(tag));
        let quoted = |ip_id, part| Quoted { src: us, dst: them, ip_id, part };
        let syn = cookies.mark(epoch, us, Endpoint::tcp(them, port), tag);
        let part = QuotedPart::Tcp { sport: syn.source_port, dport: port, seq: syn.sequence };
        // Some routers renumber what they forward; of TCP the sequence number is enough.
        prop_assert_eq!(cookies.check_quoted(epoch, &quoted(0, part)), Some(tag));
        let part = QuotedPart::Tcp { sport: syn.source_port, dport: port, seq: syn.sequence ^ 1 };
        prop_assert_eq!(cookies.check_quoted(epoch, &quoted(syn.ip_id, part)), None);

        let datagram = cookies.mark(epoch, us, Endpoint::udp(them, port), tag);
        let part = QuotedPart::Udp { sport: datagram.source_port, dport: port };
        prop_assert_eq!(cookies.check_quoted(epoch, &quoted(datagram.ip_id, part)), Some(tag));
        prop_assert_eq!(cookies.check_quoted(epoch, &quoted(datagram.ip_id ^ 2, part)), None);

        let echo = cookies.echo(epoch, us, them, tag);
        let part = QuotedPart::Echo { identifier: echo.identifier, sequence: echo.sequence };
        prop_assert_eq!(cookies.check_quoted(epoch, &quoted(0, part)), Some(tag));
        let part = QuotedPart::Echo { identifier: !echo.identifier, sequence: echo.sequence };
        prop_assert_eq!(cookies.check_quoted(epoch, &quoted(0, part)), None);
        prop_assert_eq!(cookies.check_quoted(epoch, &quoted(0, QuotedPart::Other(47))), None);
    }

    #[test]
    fn a_udp_answer_tells_its_tag_if_its_payload_does((us, them) in address(), port: u16, epoch: u32, tag: u8) {
        let (cookies, epoch, tag) = (cookies(), Epoch(epoch), Tag(tag));
        let mark = cookies.mark(epoch, us, Endpoint::udp(them, port), tag);
        let answer = Datagram { from: them, to: us, port, our_port: mark.source_port, payload: &[], ttl: 64 };
        prop_assert_eq!(cookies.check_udp(epoch, &answer, |ours| *ours == mark), Some(tag));
        prop_assert_eq!(cookies.check_udp(Epoch(epoch.0.saturating_add(1)), &answer, |ours| *ours == mark), Some(tag));
        prop_assert_eq!(cookies.check_udp(epoch, &answer, |_| false), None);
    }

    #[test]
    fn a_repeated_request_tells_its_tag((us, them) in address(), epoch: u32, tag: u8) {
        let (cookies, epoch, tag) = (cookies(), Epoch(epoch), Tag(tag));
        let EchoMark { identifier, sequence, cookie, .. } = cookies.echo(epoch, us, them, tag);
        let [payload, forged] = [cookie, cookie ^ 1].map(u64::to_be_bytes);
        let reply = |payload| EchoReply { from: them, to: us, identifier, sequence, payload, ttl: 64 };
        prop_assert_eq!(cookies.check_echo(epoch, &reply(&payload)), Some(tag));
        prop_assert_eq!(cookies.check_echo(epoch, &reply(&payload[..7])), None);
        prop_assert_eq!(cookies.check_echo(epoch, &reply(&forged)), None);
        let [.., a, b, c, d] = cookie.to_be_bytes();
        let originate = u32::from_be_bytes([a, b, c, d]);
        let mut reply =
            TimestampReply { from: them, to: us, identifier, sequence, originate, receive: 0, transmit: 0, ttl: 64 };
        prop_assert_eq!(cookies.check_timestamp(epoch, &reply), Some(tag));
        reply.originate ^= 1;
        prop_assert_eq!(cookies.check_timestamp(epoch, &reply), None);
    }
}

#[test]
fn guessed_answers_are_none() {
    let cookies = cookies();
    let [us, them]: [IpAddr; 2] = [[198, 51, 100, 1].into(), [192, 0, 2, 1].into()];
    let mut state = 1_u64;
    let taken = (0..2_000_000_u32).filter(|n| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let ack = u32::try_from(state >> 32).unwrap_or_default();
        let our_port = cookies.ports().at(u16::try_from(n & 0xffff).unwrap_or_default());
        cookies.check_tcp(Epoch(3), &segment(them, us, 443, our_port, SYN_ACK, ack)).is_some()
    });
    // Expected: 2,000,000 · 2 epochs / 2^32 / 16, a ten-thousandth.
    assert_eq!(taken.count(), 0);
}

#[test]
fn the_parts_of_a_cookie_are_even() {
    let cookies = cookies();
    let us: IpAddr = [198, 51, 100, 1].into();
    let mut counts = [0_u32; 256];
    for n in 0..65_536_u32 {
        let to = Endpoint::tcp(Ipv4Addr::from(0x0a00_0000 + n).into(), 80);
        let mark = cookies.mark(Epoch(1), us, to, Tag(0));
        let step = cookies.ports().offset(mark.source_port).expect("of the block");
        counts[usize::from(step / 16)] += 1;
    }
    // 256 on average; seven standard deviations to either side.
    assert!(counts.iter().all(|count| (144..=368).contains(count)), "{counts:?}");
}

#[test]
fn epochs_follow_each_other() {
    for (seconds, epoch) in [(0, 0), (899, 0), (900, 1), (1_799, 1), (900 << 32, 0)] {
        assert_eq!(Epoch::at(Duration::from_secs(seconds)), Epoch(epoch));
    }
    assert_eq!(Epoch(0).accepted().collect::<Vec<_>>(), [Epoch(0)]);
    assert_eq!(Epoch(7).accepted().collect::<Vec<_>>(), [Epoch(7), Epoch(6)]);
}

#[test]
fn the_key_is_not_shown() {
    let shown = format!("{:?}", Cookies::new([0xab; 16], PortBlock::default()));
    assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"), "{shown}");
}
