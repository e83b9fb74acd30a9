//! What came in: one total, bounds-checked reader for packets from the network.
//!
//! Checksums are not verified: the network card and the kernel have done that, or offload has left them open; and nothing is
//! believed without a [cookie](crate::Cookies).

mod bytes;
mod heard;
mod icmp;
mod ip;
mod neighbour;
mod tcp;

pub use heard::{
    Datagram, EchoReply, Flags, Heard, Neighbour, Quoted, QuotedPart, Segment, TcpOptions, TimestampReply, Unreachable,
    Why,
};

use std::net::SocketAddr;

/// Reads a packet that starts with its IP header, or an ARP packet. Total: any bytes give an answer or none, in time proportional to their number.
///
/// None for what is no answer to a probe: other protocols, fragments but the first, requests, what is cut off before
/// its headers end. IPv6 extension headers are walked through, eight at most; trailing bytes (Ethernet's padding) are cut off.
pub fn read(packet: &[u8]) -> Option<Heard<'_>> {
    if packet.first() == Some(&0) {
        return neighbour::arp(packet);
    }
    let packet = ip::outer(packet)?;
    match packet.protocol {
        ip::TCP => tcp::read(&packet).map(Heard::Tcp),
        ip::UDP => {
            let (header, payload) = packet.payload.split_first_chunk::<8>()?;
            // A length that is too short says nothing about the ports.
            let length = usize::from(bytes::u16_at(header, 4)).checked_sub(8);
            let payload = length.and_then(|length| payload.get(..length)).unwrap_or(payload);
            Some(Heard::Udp(Datagram {
                from: packet.source,
                to: packet.destination,
                port: bytes::u16_at(header, 0),
                our_port: bytes::u16_at(header, 2),
                payload,
                ttl: packet.ttl,
            }))
        }
        ip::ICMP if packet.source.is_ipv4() => icmp::v4(&packet),
        ip::ICMP_V6 if packet.source.is_ipv6() => icmp::v6(&packet),
        _ => None,
    }
}

/// One line for a person about any packet, read or not: who, to whom, which protocol.
pub(crate) fn outline(packet: &[u8]) -> String {
    match ip::quoted(packet) {
        None => format!("{} bytes that are no IP packet", packet.len()),
        Some(packet) => {
            let ports = packet.payload.first_chunk::<4>().filter(|_| matches!(packet.protocol, ip::TCP | ip::UDP));
            let [from, to] = match ports {
                Some(ports) => {
                    [(packet.source, bytes::u16_at(ports, 0)), (packet.destination, bytes::u16_at(ports, 2))]
                        .map(|(ip, port)| SocketAddr::new(ip, port).to_string())
                }
                None => [packet.source, packet.destination].map(|ip| ip.to_string()),
            };
            format!("protocol {} {from} > {to} id {} ttl {}", packet.protocol, packet.id, packet.ttl)
        }
    }
}

#[cfg(test)]
mod tests;
