use crate::{
    Batch, Link, Transmit, TransmitCounters, WireError,
    packet::grow_send_buffer,
    sys::{Address, Messages},
    transmit::drain,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
};

/// Packets by the kernel's own routing, over one link, with `sendmmsg(2)` on raw IP sockets that leave the IP header to us. Needs
/// `CAP_NET_RAW`.
///
/// The kernel finds the neighbours (ARP, neighbour discovery) and takes care of loopback; netfilter and connection tracking see
/// the packets. Of IPv4 the kernel writes the header's checksum anew.
#[derive(Debug)]
pub struct RawTransmit {
    link: String,
    index: u32,
    v4: Socket,
    /// None where the kernel has no IPv6.
    v6: Option<Socket>,
    messages: Messages,
    counters: TransmitCounters,
}

impl RawTransmit {
    pub fn open(link: &Link) -> Result<Self, WireError> {
        let v4 = socket(link, Domain::IPV4)?.ok_or_else(|| {
            let error = io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
            WireError::open(&link.name, "open a raw IP socket", error)
        })?;
        Ok(Self {
            link: link.name.clone(),
            index: link.index,
            v4,
            v6: socket(link, Domain::IPV6)?,
            messages: Messages::new(Batch::PACKETS),
            counters: TransmitCounters::default(),
        })
    }
}

/// None where the kernel does not know the family.
fn socket(link: &Link, domain: Domain) -> Result<Option<Socket>, WireError> {
    let open = |step| move |error| WireError::open(&link.name, step, error);
    // Of this protocol nothing is received.
    let protocol = Protocol::from(libc::IPPROTO_RAW);
    let socket = match Socket::new(domain, Type::RAW, Some(protocol)) {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => return Ok(None),
        result => result.map_err(open("open a raw IP socket"))?,
    };
    if domain == Domain::IPV4 {
        socket.set_header_included_v4(true).map_err(open("leave the header to us"))?;
    } else {
        socket.set_header_included_v6(true).map_err(open("leave the header to us"))?;
    }
    grow_send_buffer(&socket).map_err(open("give it room"))?;
    socket.bind_device(Some(link.name.as_bytes())).map_err(open("bind it"))?;
    Ok(Some(socket))
}

impl Transmit for RawTransmit {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
        let Self { link, index, v4, v6, messages, counters } = self;
        drain(batch, counters, |batch| {
            // One socket a family: packets of one are sent until one of the other comes.
            let is_v6 = batch.packets().next().and_then(version) == Some(6);
            let socket = if is_v6 { v6.as_ref() } else { Some(&*v4) };
            let socket = socket.ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?;
            let family = batch.packets().map_while(|packet| {
                let to = destination(packet, *index)?;
                (matches!(to, Address::V6 { .. }) == is_v6).then_some((packet, to))
            });
            let mut handed = 0;
            let sent = messages.send(socket.as_fd(), family.inspect(|_| handed += 1))?;
            // What is no IP packet stops those behind it.
            if handed == 0 { Err(io::Error::from_raw_os_error(libc::EINVAL)) } else { Ok(sent) }
        })
        .map_err(|error| WireError::send(link, error))
    }

    fn counters(&self) -> TransmitCounters {
        self.counters
    }
}

fn version(packet: &[u8]) -> Option<u8> {
    packet.first().map(|first| first >> 4)
}

/// Where an IP packet wants to go.
fn destination(packet: &[u8], link: u32) -> Option<Address> {
    match version(packet)? {
        4 => Some(Address::V4(Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?))),
        6 => {
            let ip = Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?);
            Some(Address::V6 { ip, scope: if ip.is_unicast_link_local() { link } else { 0 } })
        }
        _ => None,
    }
}
