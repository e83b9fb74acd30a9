//! The Internet checksum (RFC 1071).

use super::packet::{ICMP, ICMPV6, TCP, UDP};
use std::net::IpAddr;

/// The ones' complement sum of 16-bit words over `start` and the bytes. Over a whole checked part it gives `0xffff`.
pub(crate) fn sum(start: u32, bytes: &[u8]) -> u16 {
    let mut total = u64::from(start);
    for pair in bytes.chunks(2) {
        total += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).unwrap_or(u16::MAX)
}

/// The sum of the pseudo header that TCP, UDP and `ICMPv6` count in (RFC 9293 §3.1, RFC 8200 §8.1). The same over both
/// families, since the words of a longer length field are zero.
pub(crate) fn pseudo_header(source: IpAddr, target: IpAddr, protocol: u8, length: usize) -> u32 {
    let of = |address: IpAddr| match address {
        IpAddr::V4(address) => u32::from(sum(0, &address.octets())),
        IpAddr::V6(address) => u32::from(sum(0, &address.octets())),
    };
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    of(source) + of(target) + u32::from(protocol) + (length & 0xffff) + (length >> 16)
}

/// Where in its transport header a protocol keeps its checksum.
fn place(protocol: u8) -> Option<usize> {
    match protocol {
        TCP => Some(16),
        UDP => Some(6),
        ICMP | ICMPV6 => Some(2),
        _ => None,
    }
}

/// Writes the right checksum into an IPv4 header; an IPv6 header has none.
pub(crate) fn seal_header(bytes: &mut [u8], body: usize) {
    if bytes.first().is_none_or(|first| first >> 4 != 4) || body > bytes.len() || body < 20 {
        return;
    }
    bytes[10..12].fill(0);
    let checksum = !sum(0, &bytes[..body]);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// Writes the right checksum into the transport header that begins at `body`.
pub(crate) fn seal_transport(bytes: &mut [u8], body: usize, source: IpAddr, target: IpAddr, protocol: u8) {
    let Some(transport) = bytes.get_mut(body..) else { return };
    let Some(at) = place(protocol).filter(|at| at + 2 <= transport.len()) else { return };
    transport[at..at + 2].fill(0);
    let start = if protocol == ICMP { 0 } else { pseudo_header(source, target, protocol, transport.len()) };
    let checksum = match !sum(start, transport) {
        // Zero would say that there is none (RFC 768).
        0 if protocol == UDP => u16::MAX,
        checksum => checksum,
    };
    transport[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}
