use super::{
    checksum::{finish, of_u32, sum},
    header,
};
use crate::Mark;
use pnet_packet::ip::IpNextHeaderProtocols;
use std::net::IpAddr;

/// A UDP header.
const UDP: usize = 8;
const V4: usize = header::V4 + UDP;
const V6: usize = header::V6 + UDP;

/// UDP datagrams from one source address, each with a payload of its own.
#[derive(Debug, Clone)]
pub struct UdpTemplate {
    bytes: Bytes,
    /// Of the pseudo-header's words that are the same for every target.
    pseudo: u32,
    /// Of the IPv4 header's, the total length taken as 0.
    header: u32,
}

#[derive(Debug, Clone)]
enum Bytes {
    V4([u8; V4]),
    V6([u8; V6]),
}

impl UdpTemplate {
    pub fn new(source: IpAddr) -> Self {
        match source {
            IpAddr::V4(source) => {
                let mut bytes = [0; V4];
                header::v4(&mut bytes, source, IpNextHeaderProtocols::Udp);
                bytes[2..4].fill(0);
                Self { pseudo: sum(&source.octets()) + 17, header: sum(&bytes[..header::V4]), bytes: Bytes::V4(bytes) }
            }
            IpAddr::V6(source) => {
                let mut bytes = [0; V6];
                header::v6(&mut bytes, source, IpNextHeaderProtocols::Udp);
                Self { pseudo: sum(&source.octets()) + 17, header: 0, bytes: Bytes::V6(bytes) }
            }
        }
    }

    /// Bytes of a packet with a payload of that many bytes, the IP header included.
    pub fn len(&self, payload: usize) -> usize {
        payload
            + match self.bytes {
                Bytes::V4(_) => V4,
                Bytes::V6(_) => V6,
            }
    }

    /// Writes the datagram for one target. Of the mark, the sequence number is left to the payload.
    ///
    /// # Panics
    /// If the target is of the other family, or `out` is not [`UdpTemplate::len`] bytes long, or that is more than 65,535.
    pub fn stamp(&self, out: &mut [u8], to: IpAddr, port: u16, mark: &Mark, payload: &[u8]) {
        assert_eq!(out.len(), self.len(payload.len()), "room for the packet and nothing else");
        let total = u16::try_from(out.len()).expect("an IP packet is at most 65,535 bytes long");
        let (out, place) = out.split_at_mut(self.len(0));
        place.copy_from_slice(payload);
        let (target, ip) = match (&self.bytes, to) {
            (Bytes::V4(template), IpAddr::V4(to)) => {
                out.copy_from_slice(template);
                let target = of_u32(to.to_bits());
                let sum = self.header + target + u32::from(mark.ip_id) + u32::from(total);
                out[2..4].copy_from_slice(&total.to_be_bytes());
                out[4..6].copy_from_slice(&mark.ip_id.to_be_bytes());
                out[10..12].copy_from_slice(&finish(sum).to_be_bytes());
                out[16..20].copy_from_slice(&to.octets());
                (target, header::V4)
            }
            (Bytes::V6(template), IpAddr::V6(to)) => {
                out.copy_from_slice(template);
                let length = total - u16::try_from(header::V6).unwrap_or_default();
                out[2..4].copy_from_slice(&mark.ip_id.to_be_bytes());
                out[4..6].copy_from_slice(&length.to_be_bytes());
                out[24..40].copy_from_slice(&to.octets());
                (sum(&to.octets()), header::V6)
            }
            _ => panic!("a datagram for {to} from an address of the other family"),
        };
        let length = total - u16::try_from(ip).unwrap_or_default();
        let udp = &mut out[ip..];
        udp[0..2].copy_from_slice(&mark.source_port.to_be_bytes());
        udp[2..4].copy_from_slice(&port.to_be_bytes());
        udp[4..6].copy_from_slice(&length.to_be_bytes());
        // The length counts twice: in the header and in the pseudo-header.
        let fields = u32::from(mark.source_port) + u32::from(port) + 2 * u32::from(length);
        // 0 would mean that there is none (RFC 768; RFC 8200, 8.1).
        let checksum = match finish(self.pseudo + target + fields + sum(payload)) {
            0 => u16::MAX,
            checksum => checksum,
        };
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    }
}
