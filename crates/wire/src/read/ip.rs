//! IP headers: of what came in, and of what an ICMP error quotes.

use super::bytes::{u16_at, u32_at};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP_V6: u8 = 58;

/// IPv6 extension headers that are walked through (RFC 8200, 4; RFC 4302 for AH).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// More are not found in honest packets.
const MOST_EXTENSIONS: usize = 8;

/// An IP packet, or the beginning of one.
pub(super) struct Packet<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) ttl: u8,
    /// The IPv4 identification, or the lower 16 bits of the IPv6 flow label.
    pub(super) id: u16,
    pub(super) payload: &'a [u8],
}

/// A packet that came in: cut to the length it says it has.
#[inline]
pub(super) fn outer(bytes: &[u8]) -> Option<Packet<'_>> {
    match bytes.first()? >> 4 {
        4 => {
            let length = usize::from(u16_at(bytes.first_chunk::<4>()?, 2));
            // 0 is what segmentation offload leaves of a length.
            v4(if length == 0 { bytes } else { bytes.get(..length).unwrap_or(bytes) })
        }
        6 => {
            let length = usize::from(u16_at(bytes.first_chunk::<6>()?, 4));
            v6(if length == 0 { bytes } else { bytes.get(..40 + length).unwrap_or(bytes) })
        }
        _ => None,
    }
}

/// A packet that an ICMP error quotes. Its length is not looked at: it is cut off anyway, and some stacks quote their own idea of it.
pub(super) fn quoted(bytes: &[u8]) -> Option<Packet<'_>> {
    match bytes.first()? >> 4 {
        4 => v4(bytes),
        6 => v6(bytes),
        _ => None,
    }
}

#[inline]
fn v4(bytes: &[u8]) -> Option<Packet<'_>> {
    let header = bytes.first_chunk::<20>()?;
    let length = usize::from(header[0] & 0xf) * 4;
    // The first fragment's offset is 0.
    if length < 20 || u16_at(header, 6) & 0x1fff != 0 {
        return None;
    }
    Some(Packet {
        source: Ipv4Addr::from_bits(u32_at(header, 12)).into(),
        destination: Ipv4Addr::from_bits(u32_at(header, 16)).into(),
        protocol: header[9],
        ttl: header[8],
        id: u16_at(header, 4),
        payload: bytes.get(length..)?,
    })
}

#[inline]
fn v6(bytes: &[u8]) -> Option<Packet<'_>> {
    let (header, mut payload) = bytes.split_first_chunk::<40>()?;
    let mut protocol = header[6];
    for _ in 0..MOST_EXTENSIONS {
        let (next, rest) = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let length = usize::from(*payload.get(1)?) * 8 + 8;
                (payload.first()?, payload.get(length..)?)
            }
            AUTHENTICATION => {
                let length = usize::from(*payload.get(1)?) * 4 + 8;
                (payload.first()?, payload.get(length..)?)
            }
            FRAGMENT => {
                let (fragment, rest) = payload.split_first_chunk::<8>()?;
                if u16_at(fragment, 2) & 0xfff8 != 0 {
                    return None;
                }
                (&fragment[0], rest)
            }
            _ => break,
        };
        protocol = *next;
        payload = rest;
    }
    let address = |at: usize| {
        let octets: Option<&[u8; 16]> = header.get(at..).and_then(<[u8]>::first_chunk);
        octets.map(|octets| IpAddr::V6(Ipv6Addr::from(*octets)))
    };
    Some(Packet {
        source: address(8)?,
        destination: address(24)?,
        protocol,
        ttl: header[7],
        id: u16_at(header, 2),
        payload,
    })
}
