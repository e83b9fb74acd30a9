//! Asking who has an address on a link.

use crate::{Link, LinkKind, WireError, layout::neighbour_question, sys::bind_to_link};
use socket2::{Domain, Protocol, Socket, Type};
use std::{net::IpAddr, os::fd::AsFd};

/// Asks an Ethernet for link-layer addresses by ARP and neighbour discovery of our own: the kernel's keeps a thousand neighbours,
/// and a few packets while it waits for each. Answers come in by any [`Receive`](crate::Receive) of the link, as
/// [`Heard::Neighbour`](crate::Heard). Needs `CAP_NET_RAW`.
#[derive(Debug)]
pub struct NeighbourQuestions {
    link: String,
    mac: [u8; 6],
    socket: Socket,
}

impl NeighbourQuestions {
    pub fn open(link: &Link) -> Result<Self, WireError> {
        let LinkKind::Ethernet { mac } = link.kind else {
            return Err(WireError::NoSuchHop { link: link.name.clone(), hop: "neighbours" });
        };
        let open = |step| move |error| WireError::open(&link.name, step, error);
        // It asks for no protocol, so that it receives nothing.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0))).map_err(open("open it"))?;
        socket.set_nonblocking(true).map_err(open("open it"))?;
        bind_to_link(socket.as_fd(), link.index, 0).map_err(open("bind it"))?;
        Ok(Self { link: link.name.clone(), mac, socket })
    }

    /// Asks once for `target`, as `source`. The caller sees to it that it may be asked. Addresses of different families are a
    /// bug of the caller's, and refused.
    pub fn ask(&self, source: IpAddr, target: IpAddr) -> Result<(), WireError> {
        let frame = neighbour_question(self.mac, source, target)
            .ok_or_else(|| WireError::send(&self.link, std::io::Error::from_raw_os_error(libc::EAFNOSUPPORT)))?;
        self.socket.send(&frame).map(|_| ()).map_err(|error| WireError::send(&self.link, error))
    }
}
