use super::{
    checksum::{finish, of_u32, sum},
    header,
};
use crate::EchoMark;
use pnet_packet::{
    icmp::{IcmpTypes, MutableIcmpPacket},
    icmpv6::{Icmpv6Types, MutableIcmpv6Packet},
    ip::IpNextHeaderProtocols,
};
use std::net::{IpAddr, Ipv4Addr};

/// An ICMP header, and the 56 bytes of data that `ping` sends: some firewalls take only what looks like it.
const ECHO: usize = 8 + 56;
/// An ICMP header and three timestamps (RFC 792).
const TIMESTAMP: usize = 8 + 12;
const V4_ECHO: usize = header::V4 + ECHO;
const V4_TIMESTAMP: usize = header::V4 + TIMESTAMP;
const V6_ECHO: usize = header::V6 + ECHO;

/// ICMP requests from one source address: echo (RFC 792, RFC 4443), or timestamp (RFC 792; only IPv4 has it).
#[derive(Debug, Clone)]
pub struct EchoTemplate {
    bytes: Box<[u8]>,
    kind: Kind,
    /// Of the words that are the same for every target: the message's, with IPv6 the pseudo-header's, too.
    message: u32,
    /// Of the IPv4 header's.
    header: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    V4Echo,
    V4Timestamp,
    V6Echo,
}

impl EchoTemplate {
    /// The longest request, in bytes.
    pub const LONGEST: usize = V6_ECHO;

    /// Echo requests.
    pub fn echo(source: IpAddr) -> Self {
        // As `ping` does: counting bytes, after what it keeps for itself.
        let data = |data: &mut [u8]| data.iter_mut().zip(0_u8..).skip(8).for_each(|(byte, n)| *byte = n);
        match source {
            IpAddr::V4(source) => {
                let mut bytes = [0; V4_ECHO];
                data(&mut bytes[header::V4 + 8..]);
                Self::v4(bytes.into(), source, Kind::V4Echo)
            }
            IpAddr::V6(source) => {
                let mut bytes = [0; V6_ECHO];
                header::v6(&mut bytes, source, IpNextHeaderProtocols::Icmpv6);
                let message = &mut bytes[header::V6..];
                data(&mut message[8..]);
                let mut icmp = MutableIcmpv6Packet::new(message).expect("a template holds its own headers");
                icmp.set_icmpv6_type(Icmpv6Types::EchoRequest);
                let pseudo = sum(&source.octets()) + 58 + u32::try_from(ECHO).unwrap_or_default();
                let message = pseudo + sum(&bytes[header::V6..]);
                Self { bytes: bytes.into(), kind: Kind::V6Echo, message, header: 0 }
            }
        }
    }

    /// Timestamp requests.
    pub fn timestamp(source: Ipv4Addr) -> Self {
        Self::v4([0; V4_TIMESTAMP].into(), source, Kind::V4Timestamp)
    }

    fn v4(mut bytes: Box<[u8]>, source: Ipv4Addr, kind: Kind) -> Self {
        header::v4(&mut bytes, source, IpNextHeaderProtocols::Icmp);
        let mut icmp = MutableIcmpPacket::new(&mut bytes[header::V4..]).expect("a template holds its own headers");
        icmp.set_icmp_type(if kind == Kind::V4Echo { IcmpTypes::EchoRequest } else { IcmpTypes::Timestamp });
        let (message, header) = (sum(&bytes[header::V4..]), sum(&bytes[..header::V4]));
        Self { bytes, kind, message, header }
    }

    /// Bytes of each packet, the IP header included.
    #[expect(clippy::len_without_is_empty, reason = "a packet is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the request for one target.
    ///
    /// # Panics
    /// If the target is of the other family, or `out` is not [`EchoTemplate::len`] bytes long.
    pub fn stamp(&self, out: &mut [u8], to: IpAddr, mark: &EchoMark) {
        assert_eq!(out.len(), self.len(), "room for the packet and nothing else");
        out.copy_from_slice(&self.bytes);
        let (target, message) = match (to, self.kind) {
            (IpAddr::V4(to), Kind::V4Echo | Kind::V4Timestamp) => {
                let sum = self.header + of_u32(to.to_bits()) + u32::from(mark.ip_id);
                out[4..6].copy_from_slice(&mark.ip_id.to_be_bytes());
                out[10..12].copy_from_slice(&finish(sum).to_be_bytes());
                out[16..20].copy_from_slice(&to.octets());
                (0, &mut out[header::V4..])
            }
            (IpAddr::V6(to), Kind::V6Echo) => {
                out[2..4].copy_from_slice(&mark.ip_id.to_be_bytes());
                out[24..40].copy_from_slice(&to.octets());
                (sum(&to.octets()), &mut out[header::V6..])
            }
            _ => panic!("a request for {to} from an address of the other family"),
        };
        let cookie = mark.cookie.to_be_bytes();
        let proof = if self.kind == Kind::V4Timestamp { &cookie[4..] } else { &cookie[..] };
        message[4..6].copy_from_slice(&mark.identifier.to_be_bytes());
        message[6..8].copy_from_slice(&mark.sequence.to_be_bytes());
        message[8..8 + proof.len()].copy_from_slice(proof);
        let fields = u32::from(mark.identifier) + u32::from(mark.sequence) + sum(proof);
        message[2..4].copy_from_slice(&finish(self.message + target + fields).to_be_bytes());
    }
}
