//! The IP headers in front of every template.

use pnet_packet::{
    ip::IpNextHeaderProtocol,
    ipv4::{Ipv4Flags, MutableIpv4Packet},
    ipv6::MutableIpv6Packet,
};
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) const V4: usize = 20;
pub(super) const V6: usize = 40;

/// What Linux sends.
const HOP_LIMIT: u8 = 64;

/// Writes an IPv4 header with identification, destination and checksum 0, for a packet of `packet.len()` bytes.
pub(super) fn v4(packet: &mut [u8], source: Ipv4Addr, protocol: IpNextHeaderProtocol) {
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    let mut header = MutableIpv4Packet::new(packet).expect("a template holds its own headers");
    header.set_version(4);
    header.set_header_length(5);
    header.set_total_length(length);
    header.set_flags(Ipv4Flags::DontFragment);
    header.set_ttl(HOP_LIMIT);
    header.set_next_level_protocol(protocol);
    header.set_source(source);
}

/// Writes an IPv6 header with flow label and destination 0, for a packet of `packet.len()` bytes.
pub(super) fn v6(packet: &mut [u8], source: Ipv6Addr, protocol: IpNextHeaderProtocol) {
    let length = u16::try_from(packet.len().saturating_sub(V6)).unwrap_or(u16::MAX);
    let mut header = MutableIpv6Packet::new(packet).expect("a template holds its own headers");
    header.set_version(6);
    header.set_payload_length(length);
    header.set_next_header(protocol);
    header.set_hop_limit(HOP_LIMIT);
    header.set_source(source);
}
