//! The packets of one block of a ring (`TPACKET_V3`, Linux's `packet_mmap.rst`).
//!
//! The kernel is trusted to give blocks away whole, but not further: every number in a block is looked at before it is used as a place
//! in it.

use crate::Arrival;
use std::{mem::offset_of, time::Duration};

/// Where in a block its number of packets is, and the place of the first.
const COUNT: usize = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, num_pkts);
const FIRST: usize = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt);

/// A packet's header; the link-layer address of whoever sent it stands behind.
const HEADER: usize = size_of::<libc::tpacket3_hdr>();
const ADDRESS: usize = HEADER.next_multiple_of(libc::TPACKET_ALIGNMENT);

/// Hands over every packet of a block, in order. `now`: since 1970 UTC.
pub(super) fn walk(block: &[u8], now: Duration, each: &mut dyn FnMut(&[u8], &Arrival)) {
    let Some(count) = u32_at(block, COUNT) else { return };
    let mut at = u32_at(block, FIRST).unwrap_or_default();
    for _ in 0..count {
        let Some(frame) = usize::try_from(at).ok().and_then(|at| block.get(at..)) else { return };
        let Some((packet, arrival)) = packet(frame, now) else { return };
        each(packet, &arrival);
        let next = u32_at(frame, offset_of!(libc::tpacket3_hdr, tp_next_offset)).unwrap_or_default();
        // Every packet is further on than the one before it.
        match at.checked_add(next) {
            Some(further) if next > 0 => at = further,
            _ => return,
        }
    }
}

fn packet(frame: &[u8], now: Duration) -> Option<(&[u8], Arrival)> {
    let header = frame.get(..HEADER)?;
    let number = |at| u32_at(header, at).unwrap_or_default();
    let start = u16_at(header, offset_of!(libc::tpacket3_hdr, tp_net))?;
    let length = usize::try_from(number(offset_of!(libc::tpacket3_hdr, tp_snaplen))).ok()?;
    let packet = frame.get(usize::from(start)..)?.get(..length)?;
    let seconds = number(offset_of!(libc::tpacket3_hdr, tp_sec));
    let nanoseconds = number(offset_of!(libc::tpacket3_hdr, tp_nsec));
    let is_tagged = number(offset_of!(libc::tpacket3_hdr, tp_status)) & libc::TP_STATUS_VLAN_VALID != 0;
    let tag = offset_of!(libc::tpacket3_hdr, hv1) + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci);
    let at = Duration::from_secs(seconds.into()) + Duration::from_nanos(nanoseconds.into());
    let arrival = Arrival {
        at,
        waited: now.saturating_sub(at),
        length: number(offset_of!(libc::tpacket3_hdr, tp_len)),
        vlan: is_tagged.then(|| u16::try_from(number(tag) & 0xffff).unwrap_or_default()),
        sender: frame.get(ADDRESS..).and_then(sender),
    };
    Some((packet, arrival))
}

/// From a `sockaddr_ll`: the sender's address, if it is one of Ethernet's.
fn sender(address: &[u8]) -> Option<[u8; 6]> {
    let kind = u16_at(address, offset_of!(libc::sockaddr_ll, sll_hatype))?;
    let length = *address.get(offset_of!(libc::sockaddr_ll, sll_halen))?;
    let bytes = address.get(offset_of!(libc::sockaddr_ll, sll_addr)..)?.first_chunk::<6>()?;
    (kind == libc::ARPHRD_ETHER && length == 6).then_some(*bytes)
}

/// In the machine's own order.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests;
