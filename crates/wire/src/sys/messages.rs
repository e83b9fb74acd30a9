use super::options::link_address;
use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// Where one packet goes, as far as its socket does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Address {
    /// The packet has its own link-layer header, and the socket is bound to a link.
    Bound,
    /// Over a link, with this Ethernet type.
    Link {
        index: u32,
        protocol: u16,
    },
    V4(Ipv4Addr),
    /// `scope`: the link of a link-local address, 0 of others.
    V6 {
        ip: Ipv6Addr,
        scope: u32,
    },
}

/// What `sendmmsg(2)` takes: made once, filled anew for every call.
pub(crate) struct Messages {
    headers: Box<[libc::mmsghdr]>,
    slices: Box<[libc::iovec]>,
    names: Box<[Name]>,
}

/// One of the address types; which one, the message's `msg_namelen` and the family inside say.
#[derive(Clone, Copy)]
#[repr(C)]
union Name {
    link: libc::sockaddr_ll,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

// SAFETY: the pointers inside are written anew by each `send` before the kernel sees them, and not followed after it; between
// calls they are only numbers.
unsafe impl Send for Messages {}

impl Messages {
    /// For at most `capacity` packets a call.
    pub(crate) fn new(capacity: usize) -> Self {
        // SAFETY: a message header is made of numbers and pointers that may be null; all zeros are a valid one, without packet.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let slice = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let name = Name { link: link_address(0, 0) };
        Self {
            headers: vec![header; capacity].into(),
            slices: vec![slice; capacity].into(),
            names: vec![name; capacity].into(),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// `sendmmsg(2)` with `MSG_DONTWAIT`: as many packets as there is capacity for. Gives how many the kernel took; an error is
    /// about the first packet.
    pub(crate) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        packets: impl Iterator<Item = (&'a [u8], Address)>,
    ) -> io::Result<usize> {
        let places = self.headers.iter_mut().zip(&mut self.slices).zip(&mut self.names);
        let mut count = 0;
        for (((header, slice), name), (packet, to)) in places.zip(packets) {
            // The kernel only reads from it.
            *slice = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            let length = name.set(to);
            header.msg_hdr.msg_name = if length == 0 { ptr::null_mut() } else { (&raw mut *name).cast() };
            header.msg_hdr.msg_namelen = length;
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        // SAFETY: the first `count` headers were filled in above. Each points to one slice and at most one name in this struct, which is
        // borrowed exclusively until the call is over, and each slice to a packet that is borrowed for `'a`, which is longer than the
        // call. The kernel writes only to the headers' `msg_len`. The control parts are null and 0 since the headers were made.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

impl Name {
    /// Gives its length in bytes; 0: none is needed.
    fn set(&mut self, to: Address) -> libc::socklen_t {
        let length = match to {
            Address::Bound => 0,
            Address::Link { index, protocol } => {
                self.link = link_address(index, protocol);
                size_of::<libc::sockaddr_ll>()
            }
            Address::V4(ip) => {
                self.v4 = libc::sockaddr_in {
                    sin_family: family(libc::AF_INET),
                    sin_port: 0,
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                    sin_zero: [0; 8],
                };
                size_of::<libc::sockaddr_in>()
            }
            Address::V6 { ip, scope } => {
                self.v6 = libc::sockaddr_in6 {
                    sin6_family: family(libc::AF_INET6),
                    sin6_port: 0,
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: ip.octets() },
                    sin6_scope_id: scope,
                };
                size_of::<libc::sockaddr_in6>()
            }
        };
        libc::socklen_t::try_from(length).unwrap_or_default()
    }
}

fn family(number: i32) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
