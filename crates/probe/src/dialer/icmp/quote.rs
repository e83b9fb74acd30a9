//! What a port-unreachable says it is about: the beginning of the packet that caused it (RFC 792, RFC 4443 §3.1).

use identify::Reader;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const UNREACHABLE_V4: u8 = 3;
pub(super) const PORT_V4: u8 = 3;
pub(super) const UNREACHABLE_V6: u8 = 1;
pub(super) const PORT_V6: u8 = 4;
pub(super) const TCP: u8 = 6;
const ICMP: u8 = 1;

/// A TCP segment of ours, by what makes its connection unlike all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Quoted {
    pub(super) to: IpAddr,
    pub(super) to_port: u16,
    pub(super) from_port: u16,
}

/// From a whole IPv4 packet, as a raw socket gives it. None unless it is a port-unreachable about a TCP segment.
pub(super) fn of_ipv4(packet: &[u8]) -> Option<Quoted> {
    let mut reader = Reader::new(packet);
    let outer = ipv4(&mut reader)?;
    let [kind, code] = reader.array()?;
    if (outer.protocol, kind, code) != (ICMP, UNREACHABLE_V4, PORT_V4) {
        return None;
    }
    reader.take(6)?;
    let quoted = ipv4(&mut reader)?;
    // Only the first fragment carries the ports.
    if quoted.protocol != TCP || quoted.offset != 0 {
        return None;
    }
    ports(reader, quoted.to.into())
}

/// From a message of IPv6's ICMP, which is all that a raw socket gives. None unless it is a port-unreachable about a TCP segment
/// (without extension headers, which we do not send).
pub(super) fn of_icmpv6(message: &[u8]) -> Option<Quoted> {
    let mut reader = Reader::new(message);
    if reader.array()? != [UNREACHABLE_V6, PORT_V6] {
        return None;
    }
    reader.take(6)?;
    let version = reader.u8()? >> 4;
    reader.take(5)?;
    let next = reader.u8()?;
    // Hop limit and source.
    reader.take(1 + 16)?;
    let to = Ipv6Addr::from(reader.array::<16>()?);
    ((version, next) == (6, TCP)).then(|| ports(reader, to.into())).flatten()
}

fn ports(mut reader: Reader<'_>, to: IpAddr) -> Option<Quoted> {
    let (from_port, to_port) = (reader.u16()?, reader.u16()?);
    Some(Quoted { to, to_port, from_port })
}

struct Ipv4 {
    protocol: u8,
    /// Of a fragment, in units of eight bytes.
    offset: u16,
    to: Ipv4Addr,
}

/// An IPv4 header with its options (RFC 791 §3.1).
fn ipv4(reader: &mut Reader<'_>) -> Option<Ipv4> {
    let first = reader.u8()?;
    let options = (usize::from(first & 0x0f) * 4).checked_sub(20)?;
    if first >> 4 != 4 {
        return None;
    }
    reader.take(5)?;
    let offset = reader.u16()? & 0x1fff;
    reader.u8()?;
    let protocol = reader.u8()?;
    // Checksum and source.
    reader.take(2 + 4)?;
    let to = Ipv4Addr::from(reader.array::<4>()?);
    reader.take(options)?;
    Some(Ipv4 { protocol, offset, to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ipv4_header(words: u8, protocol: u8, offset: u16, to: [u8; 4]) -> Vec<u8> {
        let mut header = vec![0x40 | words, 0, 0, 60, 0, 1];
        header.extend(offset.to_be_bytes());
        header.extend([64, protocol, 0, 0, 192, 0, 2, 1]);
        header.extend(to);
        header.resize(usize::from(words) * 4, 1);
        header
    }

    fn message(outer: u8, kind: [u8; 2], inner: Vec<u8>, ports: &[u8]) -> Vec<u8> {
        let mut packet = ipv4_header(outer, ICMP, 0, [192, 0, 2, 1]);
        packet.extend(kind);
        packet.extend([0; 6]);
        packet.extend(inner);
        packet.extend(ports);
        packet
    }

    const PORTS: [u8; 4] = [0xc0, 0x01, 0x0d, 0x3d];

    fn quoted(to: &str) -> Quoted {
        Quoted { to: to.parse().expect("an address"), to_port: 3389, from_port: 49_153 }
    }

    #[test]
    fn reads_port_unreachables_about_tcp() {
        let to = [198, 51, 100, 7];
        let tcp = |words| ipv4_header(words, TCP, 0, to);
        for (what, packet, expect) in [
            ("plain", message(5, [3, 3], tcp(5), &PORTS), Some(quoted("198.51.100.7"))),
            ("options in both headers", message(15, [3, 3], tcp(15), &PORTS), Some(quoted("198.51.100.7"))),
            // "Don't fragment" is no offset.
            ("a flag", message(5, [3, 3], ipv4_header(5, TCP, 0x4000, to), &PORTS), Some(quoted("198.51.100.7"))),
            ("host unreachable", message(5, [3, 1], tcp(5), &PORTS), None),
            ("time exceeded", message(5, [11, 0], tcp(5), &PORTS), None),
            ("about a datagram", message(5, [3, 3], ipv4_header(5, 17, 0, to), &PORTS), None),
            ("a later fragment", message(5, [3, 3], ipv4_header(5, TCP, 3, to), &PORTS), None),
            ("half a port", message(5, [3, 3], tcp(5), &PORTS[..3]), None),
            (
                "a header shorter than itself",
                message(5, [3, 3], tcp(5).into_iter().map(|b| if b == 0x45 { 0x44 } else { b }).collect(), &PORTS),
                None,
            ),
            (
                "another version",
                message(5, [3, 3], tcp(5).into_iter().map(|b| if b == 0x45 { 0x65 } else { b }).collect(), &PORTS),
                None,
            ),
        ] {
            assert_eq!(of_ipv4(&packet), expect, "{what}");
        }
    }

    fn message_v6(kind: [u8; 2], version: u8, next: u8) -> Vec<u8> {
        let mut message = kind.to_vec();
        message.extend([0; 6]);
        message.extend([version << 4, 0, 0, 0, 0, 40, next, 64]);
        message.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        message.extend([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        message.extend(PORTS);
        message
    }

    #[test]
    fn reads_the_same_of_ipv6() {
        for (what, message, expect) in [
            ("plain", message_v6([1, 4], 6, TCP), Some(quoted("2001:db8:1::7"))),
            ("prohibited", message_v6([1, 1], 6, TCP), None),
            ("packet too big", message_v6([2, 4], 6, TCP), None),
            ("about a datagram", message_v6([1, 4], 6, 17), None),
            ("another version", message_v6([1, 4], 4, TCP), None),
        ] {
            assert_eq!(of_icmpv6(&message), expect, "{what}");
        }
    }

    proptest! {
        #[test]
        fn takes_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
            let _ = (of_ipv4(&bytes), of_icmpv6(&bytes));
        }

        #[test]
        fn a_message_cut_short_says_nothing(end in 0_usize..52) {
            let whole = message(5, [3, 3], ipv4_header(5, TCP, 0, [198, 51, 100, 7]), &PORTS);
            prop_assert_eq!(whole.len(), 52);
            prop_assert_eq!(of_ipv4(&whole[..end]), None);
            let whole = message_v6([1, 4], 6, TCP);
            prop_assert_eq!(whole.len(), 52);
            prop_assert_eq!(of_icmpv6(&whole[..end]), None);
        }
    }
}
