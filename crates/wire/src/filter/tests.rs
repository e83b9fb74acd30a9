use super::*;
use crate::{Heard, read};
use proptest::prelude::*;

const V4: u16 = 0x0800;
const V6: u16 = 0x86dd;

/// A machine for classic BPF (`McCanne` and Jacobson, 1993), as far as our programs use it: loads beyond the packet end the
/// program with 0.
fn run(program: &[Instruction], ether_type: u16, packet: &[u8]) -> u32 {
    let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [0_u32; 16], 0_usize);
    let byte = |at: u32| packet.get(usize::try_from(at).expect("a place")).copied().map(u32::from);
    let half = |at: u32| Some(byte(at)? << 8 | byte(at.checked_add(1)?)?);
    // Every jump is forward, so each instruction runs once at most.
    for _ in 0..program.len() {
        let it = program[at];
        at += 1;
        let loaded = match it.code {
            0x28 if it.k == assembly::ETHER_TYPE => Some(u32::from(ether_type)),
            0x28 => half(it.k),
            0x30 => byte(it.k),
            0x48 => x.checked_add(it.k).and_then(half),
            0x50 => x.checked_add(it.k).and_then(byte),
            _ => Some(a),
        };
        let Some(loaded) = loaded else { return 0 };
        a = loaded;
        let mut jump = |holds: bool| at += usize::from(if holds { it.jt } else { it.jf });
        match it.code {
            0x28 | 0x30 | 0x48 | 0x50 => {}
            0x01 => x = it.k,
            0xb1 => match byte(it.k) {
                Some(first) => x = (first & 0xf) * 4,
                None => return 0,
            },
            0x02 => memory[usize::try_from(it.k).expect("a slot")] = a,
            0x60 => a = memory[usize::try_from(it.k).expect("a slot")],
            0x04 => a = a.wrapping_add(it.k),
            0x0c => a = a.wrapping_add(x),
            0x64 => a <<= it.k,
            0x07 => x = a,
            0x87 => a = x,
            0x05 => at += usize::try_from(it.k).expect("a distance"),
            0x15 => jump(a == it.k),
            0x25 => jump(a > it.k),
            0x35 => jump(a >= it.k),
            0x45 => jump(a & it.k != 0),
            0x06 => return it.k,
            other => panic!("{other:#x} is no instruction of ours"),
        }
    }
    panic!("the program does not end");
}

fn keeps(ether_type: u16, packet: &[u8]) -> u32 {
    run(&Filter { ports: PortBlock::default() }.program(), ether_type, packet)
}

/// An IPv4 packet with header options of that many words.
fn v4(words: u8, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 20 + 4 * usize::from(words)];
    packet[0] = 0x45 + words;
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[9] = protocol;
    packet.extend_from_slice(payload);
    packet
}

/// An IPv6 packet with these extension headers, each 8 bytes longer than the one before.
fn v6(extensions: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[0] = 0x60;
    packet[6] = *extensions.first().unwrap_or(&protocol);
    for (number, kind) in (0_u8..).zip(extensions) {
        let next = *extensions.get(usize::from(number) + 1).unwrap_or(&protocol);
        // A fragment header has no length; its second byte is reserved.
        let length = if *kind == 44 { 0 } else { number };
        packet.extend_from_slice(&[next, length, 0, 1, 0, 0, 0, 0]);
        packet.extend(std::iter::repeat_n(0, 8 * usize::from(length)));
    }
    packet.extend_from_slice(payload);
    packet
}

fn to(port: u16) -> Vec<u8> {
    [&[0, 80][..], &port.to_be_bytes(), &[0; 16]].concat()
}

#[test]
fn lets_through_what_may_be_an_answer() {
    let icmp = |kind: u8| vec![kind, 0, 0, 0, 0, 0, 0, 0];
    for (ether_type, packet, expect) in [
        (V4, v4(0, 0, 6, &to(61_000)), TCP_BYTES),
        (V4, v4(0, 0, 6, &to(65_095)), TCP_BYTES),
        (V4, v4(0, 0, 6, &to(60_999)), 0),
        (V4, v4(0, 0, 6, &to(65_096)), 0),
        (V4, v4(10, 0, 6, &to(61_000)), TCP_BYTES),
        (V4, v4(0, 0, 17, &to(61_000)), OTHER_BYTES),
        (V4, v4(0, 0, 17, &to(53)), 0),
        (V4, v4(0, 0x2000, 17, &to(61_000)), OTHER_BYTES),
        (V4, v4(0, 0x4000, 6, &to(61_000)), TCP_BYTES),
        (V4, v4(0, 1, 6, &to(61_000)), 0),
        (V4, v4(0, 0x2001, 1, &icmp(3)), 0),
        (V4, v4(0, 0, 47, &to(61_000)), 0),
        (V4, v4(0, 0, 6, &[0, 80, 0xee]), 0),
        (V4, vec![0x45], 0),
        (V6, v6(&[], 6, &to(61_000)), TCP_BYTES),
        (V6, v6(&[], 6, &to(80)), 0),
        (V6, v6(&[], 17, &to(65_095)), OTHER_BYTES),
        (V6, v6(&[0], 6, &to(61_000)), TCP_BYTES),
        (V6, v6(&[0, 43, 60, 44], 6, &to(61_000)), TCP_BYTES),
        (V6, v6(&[60, 60, 60, 60], 6, &to(80)), 0),
        (V6, v6(&[60, 60, 60, 60, 60], 6, &to(61_000)), 0),
        (V6, v6(&[50], 6, &to(61_000)), 0),
        (V6, vec![0x60; 8], 0),
        // ARP's replies and nothing else of it.
        (0x0806, vec![0, 1, 8, 0, 6, 4, 0, 2], OTHER_BYTES),
        (0x0806, vec![0, 1, 8, 0, 6, 4, 0, 1], 0),
        (0x0806, vec![0, 1, 8, 0, 6, 4], 0),
        // No ARP, and an IPv4 packet that says it is something else.
        (0x0806, v4(0, 0, 6, &to(61_000)), 0),
        (0, v4(0, 0, 6, &to(61_000)), 0),
    ] {
        assert_eq!(keeps(ether_type, &packet), expect, "{packet:?}");
    }
    for kind in 0..=u8::MAX {
        let (four, six) = ([0, 3, 11, 12, 14].contains(&kind), [1, 2, 3, 4, 129, 136].contains(&kind));
        assert_eq!(keeps(V4, &v4(0, 0, 1, &icmp(kind))) == OTHER_BYTES, four, "{kind}");
        assert_eq!(keeps(V6, &v6(&[], 58, &icmp(kind))) == OTHER_BYTES, six, "{kind}");
        assert_eq!(keeps(V6, &v6(&[0, 44], 58, &icmp(kind))) == OTHER_BYTES, six, "{kind}");
    }
    // A later fragment behind an extension header.
    let mut fragment = v6(&[44], 6, &to(61_000));
    fragment[42] = 1;
    assert_eq!(keeps(V6, &fragment), 0);
}

#[test]
fn programs_fit_any_block_and_the_kernels_limit() {
    for (first, length) in [(1, 256), (61_000, 4096), (65_280, 256)] {
        let program = Filter { ports: PortBlock::new(first, length).expect("a block") }.program();
        assert!(program.len() <= 4096, "{}", program.len());
        for (port, kept) in [(first, true), (first + (length - 1), true), (first - 1, false)] {
            assert_eq!(run(&program, V4, &v4(0, 0, 6, &to(port))) > 0, kept, "{port} of {first}+{length}");
        }
    }
}

proptest! {
    /// What the reader makes of a packet and what the filter lets through are the same, but for IPv6 packets behind more
    /// headers than honest ones have.
    #[test]
    fn filter_and_reader_agree(
        six: bool,
        first in 0_u8..16,
        fragment in prop_oneof![Just(0_u16), any::<u16>()],
        extensions in prop::collection::vec(prop::sample::select(vec![0_u8, 43, 44, 60]), 0..4),
        protocol in prop::sample::select(vec![1_u8, 6, 17, 47, 58]),
        port in prop_oneof![any::<u16>(), 60_990_u16..61_010, 65_090_u16..65_100],
        mut payload in prop::collection::vec(any::<u8>(), 0..60),
        cut in 0_usize..200,
    ) {
        if let Some(place) = payload.get_mut(2..4) {
            place.copy_from_slice(&port.to_be_bytes());
        }
        let mut packet =
            if six { v6(&extensions, protocol, &payload) } else { v4(first.min(10), fragment, protocol, &payload) };
        packet.truncate(cut);
        let kept = keeps(if six { V6 } else { V4 }, &packet);
        match read(&packet) {
            Some(Heard::Tcp(it)) => prop_assert_eq!(kept == TCP_BYTES, PortBlock::default().contains(it.our_port)),
            Some(Heard::Udp(it)) => prop_assert_eq!(kept == OTHER_BYTES, PortBlock::default().contains(it.our_port)),
            Some(_) => prop_assert_eq!(kept, OTHER_BYTES),
            None => {}
        }
    }

    #[test]
    fn no_bytes_confuse_it(packet in prop::collection::vec(any::<u8>(), 0..100), ether_type in prop::sample::select(vec![V4, V6, 0x0806])) {
        let kept = keeps(ether_type, &packet);
        prop_assert!([0, TCP_BYTES, OTHER_BYTES].contains(&kept));
    }
}
