//! Questions for link-layer addresses: ARP (RFC 826) and neighbour solicitations (RFC 4861, 4.3), whole Ethernet frames.

use super::{checksum, header};
use pnet_packet::ip::IpNextHeaderProtocols;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ETHERNET: usize = crate::batch::ETHERNET;
/// An ARP packet for Ethernet and IPv4, with the padding that fills a frame.
const ARP: usize = 28;
const SHORTEST_FRAME: usize = 60;
/// A neighbour solicitation with the source's link-layer address.
const SOLICITATION: usize = 24 + 8;

/// The frame that asks who on the link has `target`, from `source`, whose link-layer address is `mac`. None where they are of
/// different families.
pub(crate) fn question(mac: [u8; 6], source: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => Some(arp(mac, source, target)),
        (IpAddr::V6(source), IpAddr::V6(target)) => Some(solicitation(mac, source, target)),
        _ => None,
    }
}

fn arp(mac: [u8; 6], source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(SHORTEST_FRAME);
    frame.extend([0xff; 6]);
    frame.extend(mac);
    frame.extend([0x08, 0x06]);
    // Ethernet, IPv4, their lengths, a request.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(source.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    debug_assert_eq!(frame.len(), ETHERNET + ARP);
    frame.resize(SHORTEST_FRAME, 0);
    frame
}

fn solicitation(mac: [u8; 6], source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    // The target's solicited-node address (RFC 4291, 2.7.1), and the Ethernet group for it (RFC 2464, 7).
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let mut packet = [0; header::V6 + SOLICITATION];
    header::v6(&mut packet, source, IpNextHeaderProtocols::Icmpv6);
    // Nobody believes one that a router may have passed on.
    packet[7] = 255;
    packet[24..40].copy_from_slice(&group.octets());
    let message = &mut packet[header::V6..];
    message[0] = 135;
    message[8..24].copy_from_slice(&target.octets());
    // Our own link-layer address, of one unit of 8 bytes.
    message[24..26].copy_from_slice(&[1, 1]);
    message[26..32].copy_from_slice(&mac);
    let length = u32::try_from(SOLICITATION).unwrap_or_default();
    let pseudo = checksum::sum(&source.octets()) + checksum::sum(&group.octets()) + 58 + length;
    let whole = checksum::finish(pseudo + checksum::sum(message));
    message[2..4].copy_from_slice(&whole.to_be_bytes());
    let mut frame = Vec::with_capacity(ETHERNET + packet.len());
    frame.extend([0x33, 0x33, 0xff, a, b, c]);
    frame.extend(mac);
    frame.extend([0x86, 0xdd]);
    frame.extend(packet);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use pnet_packet::{
        Packet,
        arp::{ArpOperations, ArpPacket},
        ethernet::EthernetPacket,
        icmpv6::{self, Icmpv6Packet, ndp::NeighborSolicitPacket},
        ipv6::Ipv6Packet,
    };

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn asked(source: &str, target: &str) -> Option<Vec<u8>> {
        question(MAC, source.parse().expect("an address"), target.parse().expect("an address"))
    }

    #[test]
    fn arp_asks_everybody() {
        let frame = asked("192.0.2.1", "192.0.2.9").expect("one family");
        let ethernet = EthernetPacket::new(&frame).expect("a frame");
        assert_eq!((ethernet.get_destination().octets(), ethernet.get_source().octets()), ([0xff; 6], MAC));
        assert_eq!((ethernet.get_ethertype().0, frame.len()), (0x0806, 60));
        let arp = ArpPacket::new(ethernet.payload()).expect("ARP");
        assert_eq!(arp.get_operation(), ArpOperations::Request);
        assert_eq!((arp.get_sender_hw_addr().octets(), arp.get_sender_proto_addr()), (MAC, [192, 0, 2, 1].into()));
        assert_eq!(arp.get_target_proto_addr(), Ipv4Addr::new(192, 0, 2, 9));
    }

    #[test]
    fn a_solicitation_asks_the_few_it_may_concern() {
        let frame = asked("2001:db8::1", "2001:db8::abcd:1234").expect("one family");
        assert_eq!(&frame[..14], b"\x33\x33\xff\xcd\x12\x34\x02\x00\x00\x00\x00\x07\x86\xdd");
        let ip = Ipv6Packet::new(&frame[14..]).expect("IPv6");
        let group: Ipv6Addr = "ff02::1:ffcd:1234".parse().expect("an address");
        assert_eq!((ip.get_destination(), ip.get_hop_limit()), (group, 255));
        assert_eq!(usize::from(ip.get_payload_length()), frame.len() - 54);
        let message = Icmpv6Packet::new(ip.payload()).expect("ICMPv6");
        assert_eq!(message.get_checksum(), icmpv6::checksum(&message, &ip.get_source(), &group));
        let asks = NeighborSolicitPacket::new(ip.payload()).expect("a solicitation");
        assert_eq!(asks.get_target_addr(), "2001:db8::abcd:1234".parse::<Ipv6Addr>().expect("an address"));
        assert_eq!(&ip.payload()[24..], b"\x01\x01\x02\x00\x00\x00\x00\x07");
        assert_eq!(asked("192.0.2.1", "2001:db8::1"), None);
    }
}
