//! The answer for every target at one moment.

use model::{AddressRange, Mac};
use std::{fmt, net::IpAddr, sync::Arc};

/// A link of this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// As the kernel numbers it.
    pub index: u32,
    pub name: String,
    pub kind: LinkKind,
    /// Bytes of the largest packet, IP header on.
    pub mtu: u32,
}

/// What a link's frames look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkKind {
    /// With this address of ours. Bridges, bonds, VLANs and virtual cables look the same.
    Ethernet(Mac),
    /// To this machine itself.
    Loopback,
    /// Bare packets: tun, `WireGuard`, PPP, tunnels.
    NoLinkLayer,
    /// Something only the kernel can address.
    Other,
}

/// How packets to a target leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    pub link: Arc<Link>,
    /// Our address they come from.
    pub source: IpAddr,
    pub next_hop: NextHop,
}

/// Whom the frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextHop {
    /// A router on an Ethernet link, for all targets that go this way.
    ///
    /// `mac` is none until the kernel knows it. Who has to send meanwhile sends through the kernel, which asks for the address as
    /// for any packet; it keeps only some two hundred packets while it waits for the answer and drops the oldest, so one packet
    /// and a look at the next generation is better than many.
    Gateway { ip: IpAddr, mac: Option<Mac> },
    /// The target itself: somebody has to ask for the link-layer address of each.
    OnLink,
    /// Whoever is at the other end of a link without addresses.
    Point,
    /// The target is this machine: only the kernel delivers that.
    Local,
}

/// Why nothing can be sent to a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    #[error("there is no route to it")]
    NoRoute,
    #[error("a route of this machine says that it cannot be reached (unreachable)")]
    Unreachable,
    #[error("a route of this machine forbids to send to it (prohibit)")]
    Prohibited,
    #[error("a route of this machine drops what is sent to it (blackhole)")]
    BlackHole,
    #[error("it is the broadcast address of a link of this machine")]
    Broadcast,
    #[error("it is a multicast address, and no host")]
    Multicast,
    #[error("this machine has no address to send from")]
    NoSource,
    #[error("{0}, which is configured to send from, is no address of this machine")]
    NotOurs(IpAddr),
    #[error("{0}, which is configured to send by, is no interface of this machine")]
    NoLink(String),
    #[error("the kernel would not say how to reach it ({0})")]
    Refused(String),
}

/// A stretch of targets and the one way to all of them, or why there is none. What lies between targets may be in it too.
pub type Part = (AddressRange, Result<Way, NoWay>);

/// The ways to all targets, as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ways {
    parts: Vec<Part>,
    limit: Option<String>,
}

impl Ways {
    /// `parts` are ascending and do not overlap. Neighbours that are alike become one.
    pub(super) fn new(parts: impl IntoIterator<Item = Part>, limit: Option<String>) -> Self {
        let mut merged: Vec<Part> = Vec::new();
        for (range, way) in parts {
            if let Some((known, same)) = merged.last_mut()
                && *same == way
                && let Some(both) = AddressRange::new(known.first(), range.last())
            {
                *known = both;
            } else {
                merged.push((range, way));
            }
        }
        Self { parts: merged, limit }
    }

    /// How packets to a target leave, in logarithmic time. None where it is not among the targets that were asked about; between
    /// two of them the answer means nothing.
    pub fn way(&self, target: IpAddr) -> Option<Result<&Way, &NoWay>> {
        let place = self.parts.partition_point(|(range, _)| range.last() < target);
        let (range, way) = self.parts.get(place)?;
        range.contains(target).then_some(way.as_ref())
    }

    /// All of them, ascending, IPv4 first; neighbours differ.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What is not as exact as the kernel's own tables, in a sentence. None: nothing.
    pub fn limit(&self) -> Option<&str> {
        self.limit.as_deref()
    }

    /// The links that packets to the targets leave by, each once.
    pub fn links(&self) -> Vec<Arc<Link>> {
        let mut links: Vec<Arc<Link>> =
            self.parts.iter().filter_map(|(_, way)| Some(way.as_ref().ok()?.link.clone())).collect();
        links.sort_unstable();
        links.dedup();
        links
    }

    /// The same with what is known of the gateways' link-layer addresses now.
    pub(super) fn with_gateways(&self, mac: impl Fn(u32, IpAddr) -> Option<Mac>) -> Self {
        let filled = self.parts.iter().cloned().map(|(range, mut way)| {
            if let Ok(Way { link, next_hop: NextHop::Gateway { ip, mac: known }, .. }) = &mut way {
                *known = mac(link.index, *ip);
            }
            (range, way)
        });
        Self::new(filled, self.limit.clone())
    }

    /// The first target that goes by a router.
    pub(super) fn first_behind(&self, link: u32, router: IpAddr) -> Option<IpAddr> {
        let goes_by =
            |way: &Way| way.link.index == link && matches!(way.next_hop, NextHop::Gateway { ip, .. } if ip == router);
        let (range, _) = self.parts.iter().find(|(_, way)| way.as_ref().is_ok_and(goes_by))?;
        Some(range.first())
    }

    /// Every router there is on the ways, with the link it is on.
    pub(super) fn gateways(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        self.parts.iter().filter_map(|(_, way)| match way {
            Ok(Way { link, next_hop: NextHop::Gateway { ip, .. }, .. }) => Some((link.index, *ip)),
            _ => None,
        })
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway { ip, mac: Some(mac) } => write!(f, "by the router {ip} ({mac})"),
            Self::Gateway { ip, mac: None } => {
                write!(f, "by the router {ip}, whose link-layer address is not known yet")
            }
            Self::OnLink => f.write_str("on the link"),
            Self::Point => f.write_str("over a link without link-layer addresses"),
            Self::Local => f.write_str("to this machine itself"),
        }
    }
}
