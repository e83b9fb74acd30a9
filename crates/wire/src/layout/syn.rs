use super::{
    checksum::{finish, of_u32, sum},
    header,
};
use crate::Mark;
use pnet_packet::{
    ip::IpNextHeaderProtocols,
    tcp::{MutableTcpPacket, TcpFlags, TcpOption},
};
use std::net::IpAddr;

/// A TCP header with the five options of Linux.
const TCP: usize = 40;
const V4: usize = header::V4 + TCP;
const V6: usize = header::V6 + TCP;

/// SYNs as Linux sends them, from one source address: maximum segment size, selective acknowledgements, timestamps, window scale,
/// in this order, and a window that fits. About one host in fifty ignores a SYN without options.
#[derive(Debug, Clone)]
pub struct SynTemplate {
    bytes: Bytes,
    /// Of the pseudo-header's and the segment's words that are the same for every target.
    segment: u32,
    /// Of the IPv4 header's.
    header: u32,
}

#[derive(Debug, Clone)]
enum Bytes {
    V4([u8; V4]),
    V6([u8; V6]),
}

impl SynTemplate {
    /// The longest SYN, in bytes.
    pub const LONGEST: usize = V6;

    /// From `source`, over a link of this MTU (in bytes).
    pub fn new(source: IpAddr, mtu: u32) -> Self {
        match source {
            IpAddr::V4(source) => {
                let mut bytes = [0; V4];
                header::v4(&mut bytes, source, IpNextHeaderProtocols::Tcp);
                segment(&mut bytes[header::V4..], mtu, header::V4);
                let pseudo = sum(&source.octets()) + 6 + 40;
                Self {
                    segment: pseudo + sum(&bytes[header::V4..]),
                    header: sum(&bytes[..header::V4]),
                    bytes: Bytes::V4(bytes),
                }
            }
            IpAddr::V6(source) => {
                let mut bytes = [0; V6];
                header::v6(&mut bytes, source, IpNextHeaderProtocols::Tcp);
                segment(&mut bytes[header::V6..], mtu, header::V6);
                let pseudo = sum(&source.octets()) + 6 + 40;
                Self { segment: pseudo + sum(&bytes[header::V6..]), header: 0, bytes: Bytes::V6(bytes) }
            }
        }
    }

    /// Bytes of each packet, the IP header included.
    #[expect(clippy::len_without_is_empty, reason = "a packet is never empty")]
    pub fn len(&self) -> usize {
        match self.bytes {
            Bytes::V4(_) => V4,
            Bytes::V6(_) => V6,
        }
    }

    /// Writes the SYN for one target. `tsval`: see [`crate::ticks`].
    ///
    /// # Panics
    /// If the target is of the other family, or `out` is not [`SynTemplate::len`] bytes long.
    #[inline]
    pub fn stamp(&self, out: &mut [u8], to: IpAddr, port: u16, mark: &Mark, tsval: u32) {
        let fields = u32::from(mark.source_port) + u32::from(port) + of_u32(mark.sequence) + of_u32(tsval);
        match (&self.bytes, to) {
            (Bytes::V4(template), IpAddr::V4(to)) => {
                let out: &mut [u8; V4] = out.try_into().expect("a SYN over IPv4 is 60 bytes long");
                *out = *template;
                let target = of_u32(to.to_bits());
                out[4..6].copy_from_slice(&mark.ip_id.to_be_bytes());
                out[10..12].copy_from_slice(&finish(self.header + target + u32::from(mark.ip_id)).to_be_bytes());
                out[16..20].copy_from_slice(&to.octets());
                let out: &mut [u8; TCP] = out.last_chunk_mut().expect("TCP comes last");
                write(out, port, *mark, tsval, finish(self.segment + target + fields));
            }
            (Bytes::V6(template), IpAddr::V6(to)) => {
                let out: &mut [u8; V6] = out.try_into().expect("a SYN over IPv6 is 80 bytes long");
                *out = *template;
                let to = to.octets();
                // The lower 16 of the flow label's 20 bits.
                out[2..4].copy_from_slice(&mark.ip_id.to_be_bytes());
                out[24..40].copy_from_slice(&to);
                let out: &mut [u8; TCP] = out.last_chunk_mut().expect("TCP comes last");
                write(out, port, *mark, tsval, finish(self.segment + sum(&to) + fields));
            }
            _ => panic!("a SYN for {to} from an address of the other family"),
        }
    }
}

#[inline]
fn write(out: &mut [u8; TCP], port: u16, mark: Mark, tsval: u32, checksum: u16) {
    out[0..2].copy_from_slice(&mark.source_port.to_be_bytes());
    out[2..4].copy_from_slice(&port.to_be_bytes());
    out[4..8].copy_from_slice(&mark.sequence.to_be_bytes());
    out[16..18].copy_from_slice(&checksum.to_be_bytes());
    out[28..32].copy_from_slice(&tsval.to_be_bytes());
}

/// The SYN with ports, sequence number, timestamp and checksum 0.
fn segment(bytes: &mut [u8], mtu: u32, ip_header: usize) {
    let headers = u32::try_from(ip_header + 20).unwrap_or(60);
    // No less than every IPv4 host takes (RFC 9293, 3.7.1), no more than the field holds.
    let mss = u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX).max(536);
    let mut tcp = MutableTcpPacket::new(bytes).expect("a template holds its own headers");
    tcp.set_data_offset(10);
    tcp.set_flags(TcpFlags::SYN);
    // As many whole segments as the field holds: Linux's first window.
    tcp.set_window(u16::MAX / mss * mss);
    tcp.set_options(&[
        TcpOption::mss(mss),
        TcpOption::sack_perm(),
        TcpOption::timestamp(0, 0),
        TcpOption::nop(),
        TcpOption::wscale(7),
    ]);
}
