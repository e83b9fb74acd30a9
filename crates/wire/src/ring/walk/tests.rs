use super::*;
use proptest::prelude::*;

/// A block as the kernel writes it: a header, and these packets one after the other.
fn block(packets: &[(&[u8], Option<u16>, bool)]) -> Vec<u8> {
    let mut block = vec![0; size_of::<libc::tpacket_block_desc>().next_multiple_of(16)];
    let first = u32::try_from(block.len()).expect("short");
    put(&mut block, COUNT, u32::try_from(packets.len()).expect("few"));
    put(&mut block, FIRST, first);
    for (number, (packet, vlan, is_ethernet)) in packets.iter().enumerate() {
        let net = (ADDRESS + size_of::<libc::sockaddr_ll>()).next_multiple_of(16);
        let length = (net + packet.len()).next_multiple_of(16);
        let mut frame = vec![0; length];
        let last = number + 1 == packets.len();
        let captured = u32::try_from(packet.len()).expect("short");
        put(
            &mut frame,
            offset_of!(libc::tpacket3_hdr, tp_next_offset),
            if last { 0 } else { u32::try_from(length).expect("short") },
        );
        put(&mut frame, offset_of!(libc::tpacket3_hdr, tp_sec), 1_700_000_000);
        put(&mut frame, offset_of!(libc::tpacket3_hdr, tp_nsec), 5);
        put(&mut frame, offset_of!(libc::tpacket3_hdr, tp_snaplen), captured);
        put(&mut frame, offset_of!(libc::tpacket3_hdr, tp_len), captured + 100);
        let status = libc::TP_STATUS_USER | if vlan.is_some() { libc::TP_STATUS_VLAN_VALID } else { 0 };
        put(&mut frame, offset_of!(libc::tpacket3_hdr, tp_status), status);
        let tag = offset_of!(libc::tpacket3_hdr, hv1) + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci);
        put(&mut frame, tag, vlan.unwrap_or_default().into());
        let at = offset_of!(libc::tpacket3_hdr, tp_net);
        frame[at..at + 2].copy_from_slice(&u16::try_from(net).expect("short").to_ne_bytes());
        let kind = if *is_ethernet { libc::ARPHRD_ETHER } else { 0xfffe };
        let at = ADDRESS + offset_of!(libc::sockaddr_ll, sll_hatype);
        frame[at..at + 2].copy_from_slice(&kind.to_ne_bytes());
        frame[ADDRESS + offset_of!(libc::sockaddr_ll, sll_halen)] = if *is_ethernet { 6 } else { 0 };
        let at = ADDRESS + offset_of!(libc::sockaddr_ll, sll_addr);
        frame[at..at + 6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        frame[net..net + packet.len()].copy_from_slice(packet);
        block.extend_from_slice(&frame);
    }
    block
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

fn walked(block: &[u8]) -> Vec<(Vec<u8>, Arrival)> {
    let mut seen = Vec::new();
    walk(block, Duration::from_secs(1_700_000_001), &mut |packet, arrival| seen.push((packet.to_vec(), *arrival)));
    seen
}

#[test]
fn every_packet_is_handed_over() {
    let arrival = Arrival {
        at: Duration::new(1_700_000_000, 5),
        waited: Duration::from_nanos(999_999_995),
        length: 105,
        vlan: Some(7),
        sender: Some([2, 0, 0, 0, 0, 9]),
    };
    let there = block(&[(b"first", Some(7), true), (b"", None, false), (&[9; 200], None, true)]);
    assert_eq!(
        walked(&there),
        [
            (b"first".to_vec(), arrival),
            (Vec::new(), Arrival { length: 100, vlan: None, sender: None, ..arrival }),
            (vec![9; 200], Arrival { length: 300, vlan: None, ..arrival }),
        ]
    );
    assert_eq!(walked(&block(&[])), []);
}

#[test]
fn numbers_that_lead_out_of_the_block_lead_nowhere() {
    let whole = block(&[(b"first", None, true), (b"second", None, true)]);
    let start = usize::try_from(u32_at(&whole, FIRST).expect("a place")).expect("a place");
    for (at, value, expect) in [
        (COUNT, u32::MAX, 2),
        (COUNT, 1, 1),
        (COUNT, 0, 0),
        (FIRST, u32::MAX, 0),
        (FIRST, u32::try_from(whole.len()).expect("short"), 0),
        (start, u32::MAX, 1),
        (start, 0, 1),
        (start + offset_of!(libc::tpacket3_hdr, tp_snaplen), u32::MAX, 0),
        (start + offset_of!(libc::tpacket3_hdr, tp_mac), u32::MAX, 0),
    ] {
        let mut odd = whole.clone();
        put(&mut odd, at, value);
        assert_eq!(walked(&odd).len(), expect, "{value} at {at}");
    }
    for length in 0..whole.len() {
        // Whole packets or none.
        assert!(walked(&whole).starts_with(&walked(&whole[..length])), "{length}");
    }
}

proptest! {
    #[test]
    fn any_block_is_walked_to_an_end(mut bytes in prop::collection::vec(any::<u8>(), 0..600), count: u32, first in 0_u32..100) {
        if bytes.len() >= 20 {
            put(&mut bytes, COUNT, count);
            put(&mut bytes, FIRST, first);
        }
        // Each packet starts further on than the one before.
        prop_assert!(walked(&bytes).len() <= bytes.len());
    }
}
