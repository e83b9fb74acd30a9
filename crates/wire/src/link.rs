//! A network link of this machine, and where packets go from it.

/// A network link: what a packet socket is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of it, unique in its network namespace.
    pub index: u32,
    /// As the operator knows it: `eth0`.
    pub name: String,
    pub kind: LinkKind,
    /// The longest IP packet it carries, in bytes.
    pub mtu: u32,
}

/// What stands in front of an IP packet on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// Ethernet and what looks like it (veth, bridge, VLAN): a header with two addresses.
    Ethernet {
        /// The link's own address.
        mac: [u8; 6],
    },
    /// `lo`. Frames injected into it with a packet socket are martians to the kernel, so only [`NextHop::Kernel`] works.
    Loopback,
    /// Nothing: tun, `WireGuard`, ppp.
    NoLinkLayer,
}

/// Where the packets of a batch go below IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// To this Ethernet address, past routing and netfilter: a packet socket, `SOCK_RAW`.
    Gateway([u8; 6]),
    /// To the target itself on an Ethernet, past routing and netfilter: each packet of a batch says to whom
    /// ([`Batch::direct`](crate::Batch::direct)).
    Neighbours,
    /// To whoever is at the other end of a link without link layer: a packet socket, `SOCK_DGRAM`.
    Point,
    /// Wherever the kernel's routing says, with neighbours resolved by the kernel: a raw IP socket. The only way to
    /// loopback.
    Kernel,
}
