//! Who has an address on a link: ARP replies (RFC 826) and neighbour advertisements (RFC 4861, 4.4).

use super::{
    heard::{Heard, Neighbour},
    ip::Packet,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// An ARP packet, as it stands behind the Ethernet header. None for what is no reply.
pub(super) fn arp(bytes: &[u8]) -> Option<Heard<'_>> {
    // Ethernet, IPv4, their lengths, a reply.
    let rest = bytes.strip_prefix(&[0, 1, 8, 0, 6, 4, 0, 2])?;
    let (mac, rest) = rest.split_first_chunk::<6>()?;
    let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
    neighbour(ip.into(), *mac)
}

/// An `ICMPv6` message of type 136. One that may come from beyond the link is none.
pub(super) fn advertisement<'a>(packet: &Packet<'a>) -> Option<Heard<'a>> {
    const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
    let (head, mut options) = packet.payload.split_first_chunk::<24>()?;
    if packet.ttl != 255 || head[1] != 0 {
        return None;
    }
    let ip = Ipv6Addr::from(*head.last_chunk::<16>()?);
    while let [kind, units, ..] = options {
        // Each is at least a unit of 8 bytes long.
        if *units == 0 {
            return None;
        }
        let (option, rest) = options.split_at_checked(usize::from(*units) * 8)?;
        if *kind == TARGET_LINK_LAYER_ADDRESS {
            return neighbour(ip.into(), *option.get(2..)?.first_chunk()?);
        }
        options = rest;
    }
    None
}

/// Groups are nobody's address.
fn neighbour<'a>(ip: std::net::IpAddr, mac: [u8; 6]) -> Option<Heard<'a>> {
    let is_somebody = mac[0] & 1 == 0 && mac != [0; 6] && !ip.is_multicast() && !ip.is_unspecified();
    is_somebody.then_some(Heard::Neighbour(Neighbour { ip, mac }))
}

#[cfg(test)]
mod tests {
    use crate::{Heard, Neighbour, read};
    use std::net::IpAddr;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn arp(operation: u8, mac: [u8; 6]) -> Vec<u8> {
        let head = [0, 1, 8, 0, 6, 4, 0, operation];
        [&head[..], &mac, &[192, 0, 2, 9], &[2, 0, 0, 0, 0, 1], &[192, 0, 2, 1], &[0; 18]].concat()
    }

    fn advertisement(hop_limit: u8, options: &[u8]) -> Vec<u8> {
        let target: std::net::Ipv6Addr = "2001:db8::9".parse().expect("an address");
        let length = u8::try_from(24 + options.len()).expect("short");
        let head = [0x60, 0, 0, 0, 0, length, 58, hop_limit];
        let message = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &target.octets(), options].concat();
        [&head[..], &target.octets(), &[0x20; 16], &message].concat()
    }

    fn heard(packet: &[u8]) -> Option<(IpAddr, [u8; 6])> {
        match read(packet) {
            Some(Heard::Neighbour(Neighbour { ip, mac })) => Some((ip, mac)),
            _ => None,
        }
    }

    #[test]
    fn replies_tell_who_it_is() {
        let v4: IpAddr = "192.0.2.9".parse().expect("an address");
        let v6: IpAddr = "2001:db8::9".parse().expect("an address");
        let own = [&[2, 1][..], &MAC].concat();
        for (packet, expect) in [
            (arp(2, MAC), Some(v4)),
            // A question, a group, nobody, cut off.
            (arp(1, MAC), None),
            (arp(2, [0xff; 6]), None),
            (arp(2, [0; 6]), None),
            (arp(2, MAC)[..17].to_vec(), None),
            (advertisement(255, &own), Some(v6)),
            (advertisement(255, &[&[1, 1, 0, 0, 0, 0, 0, 0][..], &own].concat()), Some(v6)),
            // From beyond the link, without the address, an option without length, one that is cut off.
            (advertisement(64, &own), None),
            (advertisement(255, &[]), None),
            (advertisement(255, &[1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 9]), None),
            (advertisement(255, &[2, 2, 2, 0, 0, 0, 0, 9]), None),
        ] {
            assert_eq!(heard(&packet), expect.map(|ip| (ip, MAC)), "{packet:02x?}");
        }
    }
}
