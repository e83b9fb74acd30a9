use super::{HEADER, attribute};
use std::net::IpAddr;

/// A question to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::place) enum Question {
    Links,
    Link(u32),
    Addresses,
    /// How a packet would leave: to an address; from one of ours and by a link where those are given.
    Way {
        to: IpAddr,
        from: Option<IpAddr>,
        by: Option<u32>,
    },
    /// Every route of every table, of one family.
    Routes {
        v4: bool,
    },
    /// The rules that choose the tables, of one family.
    Rules {
        v4: bool,
    },
    Neighbours,
    Neighbour {
        link: u32,
        ip: IpAddr,
    },
    /// To find out, or to make sure, who answers for an address, as before a packet to it. Takes `CAP_NET_ADMIN`.
    Meet {
        link: u32,
        ip: IpAddr,
    },
}

impl Question {
    /// About one address, as the kernel sees fit to send.
    pub(in crate::place) fn way(to: IpAddr) -> Self {
        Self::Way { to, from: None, by: None }
    }

    /// Answered by any number of messages and `Done`, not by one.
    pub(in crate::place) fn is_dump(self) -> bool {
        matches!(self, Self::Links | Self::Addresses | Self::Routes { .. } | Self::Rules { .. } | Self::Neighbours)
    }

    pub(in crate::place) fn to_bytes(self, sequence: u32) -> Vec<u8> {
        let mut body = Vec::new();
        let (kind, more) = match self {
            Self::Links => (links(&mut body, 0), libc::NLM_F_DUMP),
            Self::Link(index) => (links(&mut body, index), 0),
            Self::Addresses => {
                // struct ifaddrmsg.
                body.extend([0; 8]);
                (libc::RTM_GETADDR, libc::NLM_F_DUMP)
            }
            Self::Way { to, from, by } => {
                let from = from.filter(|from| from.is_ipv4() == to.is_ipv4());
                // struct rtmsg: family, prefix lengths of destination and source, and the rest.
                body.extend([family(to.is_ipv4()), bits(to), from.map_or(0, bits)]);
                body.extend([0; 9]);
                attribute(&mut body, libc::RTA_DST, &octets(to));
                if let Some(from) = from {
                    attribute(&mut body, libc::RTA_SRC, &octets(from));
                }
                if let Some(index) = by {
                    attribute(&mut body, libc::RTA_OIF, &index.to_ne_bytes());
                }
                (libc::RTM_GETROUTE, 0)
            }
            Self::Routes { v4 } => {
                body.push(family(v4));
                body.extend([0; 11]);
                (libc::RTM_GETROUTE, libc::NLM_F_DUMP)
            }
            Self::Rules { v4 } => {
                // struct fib_rule_hdr is as long as rtmsg and begins alike.
                body.push(family(v4));
                body.extend([0; 11]);
                (libc::RTM_GETRULE, libc::NLM_F_DUMP)
            }
            Self::Neighbours => {
                // struct ndmsg.
                body.extend([0; 12]);
                (libc::RTM_GETNEIGH, libc::NLM_F_DUMP)
            }
            Self::Neighbour { link, ip } => {
                neighbour(&mut body, link, ip, 0);
                (libc::RTM_GETNEIGH, 0)
            }
            Self::Meet { link, ip } => {
                neighbour(&mut body, link, ip, libc::NTF_USE);
                (libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_ACK)
            }
        };
        let flags = u16::try_from(libc::NLM_F_REQUEST | more).unwrap_or(0);
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend(u32::try_from(HEADER + body.len()).unwrap_or(0).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }
}

fn links(body: &mut Vec<u8>, index: u32) -> u16 {
    // struct ifinfomsg: family, type, index, flags, change.
    body.extend([0; 4]);
    body.extend(index.to_ne_bytes());
    body.extend([0; 8]);
    libc::RTM_GETLINK
}

fn neighbour(body: &mut Vec<u8>, link: u32, ip: IpAddr, flags: u8) {
    // struct ndmsg: family, padding, link, state, flags, type.
    body.extend([family(ip.is_ipv4()), 0, 0, 0]);
    body.extend(link.to_ne_bytes());
    body.extend([0, 0, flags, 0]);
    attribute(body, libc::NDA_DST, &octets(ip));
}

fn family(v4: bool) -> u8 {
    u8::try_from(if v4 { libc::AF_INET } else { libc::AF_INET6 }).unwrap_or(0)
}

fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
