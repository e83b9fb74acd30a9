use crate::{
    Batch, Link, LinkKind, NextHop, Transmit, TransmitCounters, WireError,
    batch::{ETHERNET, ether_type},
    sys::{Address, Messages, bind_to_link, set_option},
    transmit::drain,
    transmit_ring::TransmitRing,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::os::fd::AsFd;

/// What the kernel may keep of ours on its way to the link.
const SEND_BUFFER: usize = 4 << 20;

/// Packets past the kernel's routing and netfilter, over one link to one next hop or to neighbours, through a ring or with
/// `sendmmsg(2)`. Needs `CAP_NET_RAW`.
///
/// On Ethernet the header is written in front of each packet and the whole is sent (`SOCK_RAW`); where there is no link layer the
/// packets are all there is (`SOCK_DGRAM`). The socket asks for no protocol, so that it receives nothing.
#[derive(Debug)]
pub struct PacketTransmit {
    link: String,
    index: u32,
    socket: Socket,
    head: Head,
    messages: Messages,
    /// For batches of short packets. None where there is no link layer, or the kernel does not give one.
    ring: Option<TransmitRing>,
    counters: TransmitCounters,
}

/// What stands in front of each packet.
#[derive(Debug, Clone, Copy)]
enum Head {
    Nothing,
    /// Destination and source of the Ethernet header.
    Same([u8; 12]),
    /// The source; each packet has its destination.
    Own([u8; 6]),
}

impl PacketTransmit {
    /// A gateway or neighbours on an Ethernet, or the point at the other end of a link without link layer.
    pub fn open(link: &Link, hop: NextHop) -> Result<Self, WireError> {
        let (kind, head) = match (link.kind, hop) {
            (LinkKind::Ethernet { mac }, NextHop::Gateway(gateway)) => {
                let mut addresses = [0; 12];
                addresses[..6].copy_from_slice(&gateway);
                addresses[6..].copy_from_slice(&mac);
                (Type::RAW, Head::Same(addresses))
            }
            (LinkKind::Ethernet { mac }, NextHop::Neighbours) => (Type::RAW, Head::Own(mac)),
            (LinkKind::NoLinkLayer, NextHop::Point) => (Type::DGRAM, Head::Nothing),
            (_, hop) => {
                let hop = match hop {
                    NextHop::Gateway(_) => "a gateway",
                    NextHop::Neighbours => "neighbours",
                    NextHop::Point => "a single other end",
                    NextHop::Kernel => "wherever the kernel says",
                };
                return Err(WireError::NoSuchHop { link: link.name.clone(), hop });
            }
        };
        let open = |step| move |error| WireError::open(&link.name, step, error);
        let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(0))).map_err(open("open it"))?;
        grow_send_buffer(&socket).map_err(open("give it room"))?;
        bind_to_link(socket.as_fd(), link.index, 0).map_err(open("bind it"))?;
        // Only faster: without one, everything is sent by messages.
        let is_ethernet = !matches!(head, Head::Nothing);
        let ring = is_ethernet.then(|| TransmitRing::open(link.index).ok()).flatten();
        if ring.is_none() && is_ethernet {
            tracing::debug!(link = link.name, "the kernel gives no ring to send by; messages do as well");
        }
        Ok(Self {
            link: link.name.clone(),
            index: link.index,
            socket,
            head,
            messages: Messages::new(Batch::PACKETS),
            ring,
            counters: TransmitCounters::default(),
        })
    }

    /// Sends past the link's queue (`PACKET_QDISC_BYPASS`), or not, which is how it begins. A little faster; but nothing is kept for
    /// a busy card, other packet sockets do not see the packets, and traffic shaping does not count them.
    pub fn bypass_queue(&self, bypass: bool) -> Result<(), WireError> {
        set_option(self.socket.as_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, i32::from(bypass))
            .and_then(|()| self.ring.as_ref().map_or(Ok(()), |ring| ring.bypass_queue(bypass)))
            .map_err(|error| WireError::open(&self.link, "send past the queue", error))
    }
}

impl Transmit for PacketTransmit {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
        let Self { link, index, socket, head, messages, ring, counters } = self;
        match head {
            Head::Nothing => {}
            Head::Same(addresses) => batch.address(*addresses),
            Head::Own(mac) => batch.address_from(*mac),
        }
        let ring = ring.as_mut().filter(|_| batch.longest() + ETHERNET <= TransmitRing::LONGEST);
        let result = if let Some(ring) = ring {
            drain(batch, counters, |batch| ring.send(batch.frames(ETHERNET)))
        } else if matches!(head, Head::Nothing) {
            drain(batch, counters, |batch| {
                let packets = batch.packets().map(|packet| {
                    let protocol = ether_type(packet.first().copied().unwrap_or_default());
                    (packet, Address::Link { index: *index, protocol })
                });
                messages.send(socket.as_fd(), packets)
            })
        } else {
            drain(batch, counters, |batch| {
                messages.send(socket.as_fd(), batch.frames(ETHERNET).map(|frame| (frame, Address::Bound)))
            })
        };
        result.map_err(|error| WireError::send(link, error))
    }

    fn counters(&self) -> TransmitCounters {
        self.counters
    }
}

/// Past the administrator's limit where we may, up to it otherwise.
pub(crate) fn grow_send_buffer(socket: &Socket) -> std::io::Result<()> {
    let bytes = i32::try_from(SEND_BUFFER).unwrap_or(i32::MAX);
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes)
        .or_else(|_| socket.set_send_buffer_size(SEND_BUFFER))
}
