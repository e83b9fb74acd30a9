use crate::Scope;
use jiff::Timestamp;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// The last check before packets leave, by their bytes: it reads where they go by its own code and asks the second
/// representation of the configuration, so that whatever made them may be wrong.
///
/// It holds for the moment it was made, so it is made anew for each batch ([`crate::ScopeHandle::last_guard`]).
#[derive(Debug, Clone)]
pub struct LastGuard {
    scope: Arc<Scope>,
    now: Timestamp,
}

impl LastGuard {
    pub(crate) fn new(scope: Arc<Scope>, now: Timestamp) -> Self {
        Self { scope, now }
    }

    /// Whether anything may be sent to an address.
    #[inline]
    pub fn permits(&self, ip: IpAddr) -> bool {
        self.scope.guard().permits(ip, self.now)
    }

    /// Whether a packet, from its IP header on, may be sent. What cannot be read is refused, and so is what this engine never
    /// sends and whose real destination would stand elsewhere: IPv4 options and IPv6 extension headers (source routes),
    /// fragments, protocols other than TCP, UDP and ICMP. Port 0 is refused.
    #[inline]
    pub fn permits_packet(&self, packet: &[u8]) -> bool {
        destination(packet).is_some_and(|ip| self.permits(ip))
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;

#[inline]
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => {
            let header = packet.first_chunk::<20>()?;
            // Version and five words: no options. Neither a fragment nor the first of several; "do not fragment" may stand.
            let is_plain = header[0] == 0x45 && header[6] & 0b1011_1111 == 0 && header[7] == 0;
            let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let payload = packet.get(20..total)?;
            let ip = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
            (is_plain && reaches(header[9], ICMP, payload)).then_some(IpAddr::V4(ip))
        }
        6 => {
            let (header, rest) = packet.split_first_chunk::<40>()?;
            let payload = rest.get(..usize::from(u16::from_be_bytes([header[4], header[5]])))?;
            let (_, ip) = header.split_last_chunk::<16>()?;
            reaches(header[6], ICMP6, payload).then_some(IpAddr::V6(Ipv6Addr::from(*ip)))
        }
        _ => None,
    }
}

/// Whether it is of a protocol this engine sends, and to a port where that has ports. The destination's is the second number of
/// both headers.
#[inline]
fn reaches(protocol: u8, icmp: u8, payload: &[u8]) -> bool {
    match protocol {
        TCP | UDP => payload.get(2..4).is_some_and(|port| port != [0, 0]),
        other => other == icmp,
    }
}

#[cfg(test)]
mod tests;
