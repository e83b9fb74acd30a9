use super::{
    checksum::{finish, of_u32, sum},
    header,
};
use crate::Mark;
use pnet_packet::{
    ip::IpNextHeaderProtocols,
    tcp::{MutableTcpPacket, TcpFlags},
};
use std::net::IpAddr;

const TCP: usize = 20;
const V4: usize = header::V4 + TCP;
const V6: usize = header::V6 + TCP;

/// Acknowledgements of what nobody sent, from one source address: a host that is there answers with a RST, whether the port is
/// open or closed, unless a firewall keeps track of connections. It says that the host is up, and nothing about the port.
///
/// What is acknowledged is the mark's sequence number, which the RST repeats as its own
/// ([`Cookies::check_ack`](crate::Cookies::check_ack)).
#[derive(Debug, Clone)]
pub struct AckTemplate {
    bytes: Box<[u8]>,
    is_v4: bool,
    /// Of the pseudo-header's and the segment's words that are the same for every target.
    segment: u32,
    /// Of the IPv4 header's.
    header: u32,
}

impl AckTemplate {
    pub fn new(source: IpAddr) -> Self {
        let length = u32::try_from(TCP).unwrap_or_default();
        match source {
            IpAddr::V4(source) => {
                let mut bytes = [0; V4];
                header::v4(&mut bytes, source, IpNextHeaderProtocols::Tcp);
                segment(&mut bytes[header::V4..]);
                let segment = sum(&source.octets()) + 6 + length + sum(&bytes[header::V4..]);
                Self { segment, header: sum(&bytes[..header::V4]), is_v4: true, bytes: bytes.into() }
            }
            IpAddr::V6(source) => {
                let mut bytes = [0; V6];
                header::v6(&mut bytes, source, IpNextHeaderProtocols::Tcp);
                segment(&mut bytes[header::V6..]);
                let segment = sum(&source.octets()) + 6 + length + sum(&bytes[header::V6..]);
                Self { segment, header: 0, is_v4: false, bytes: bytes.into() }
            }
        }
    }

    /// Bytes of each packet, the IP header included.
    #[expect(clippy::len_without_is_empty, reason = "a packet is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the acknowledgement for one target.
    ///
    /// # Panics
    /// If the target is of the other family, or `out` is not [`AckTemplate::len`] bytes long.
    pub fn stamp(&self, out: &mut [u8], to: IpAddr, port: u16, mark: &Mark) {
        assert_eq!(out.len(), self.len(), "room for the packet and nothing else");
        out.copy_from_slice(&self.bytes);
        let (target, tcp) = match to {
            IpAddr::V4(to) if self.is_v4 => {
                let target = of_u32(to.to_bits());
                let checksum = finish(self.header + target + u32::from(mark.ip_id));
                out[4..6].copy_from_slice(&mark.ip_id.to_be_bytes());
                out[10..12].copy_from_slice(&checksum.to_be_bytes());
                out[16..20].copy_from_slice(&to.octets());
                (target, &mut out[header::V4..])
            }
            IpAddr::V6(to) if !self.is_v4 => {
                out[2..4].copy_from_slice(&mark.ip_id.to_be_bytes());
                out[24..40].copy_from_slice(&to.octets());
                (sum(&to.octets()), &mut out[header::V6..])
            }
            to => panic!("an acknowledgement for {to} from an address of the other family"),
        };
        // As if this were the first of ours: what an ICMP error quotes of it is the cookie, too.
        let fields = u32::from(mark.source_port) + u32::from(port) + 2 * of_u32(mark.sequence);
        tcp[0..2].copy_from_slice(&mark.source_port.to_be_bytes());
        tcp[2..4].copy_from_slice(&port.to_be_bytes());
        tcp[4..8].copy_from_slice(&mark.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&mark.sequence.to_be_bytes());
        tcp[16..18].copy_from_slice(&finish(self.segment + target + fields).to_be_bytes());
    }
}

/// The segment with ports, both numbers and checksum 0.
fn segment(bytes: &mut [u8]) {
    let mut tcp = MutableTcpPacket::new(bytes).expect("a template holds its own headers");
    tcp.set_data_offset(5);
    tcp.set_flags(TcpFlags::ACK);
    // Linux's first window, scaled as it usually is.
    tcp.set_window(502);
}
