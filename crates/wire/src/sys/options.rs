use std::{
    ffi::{c_int, c_uint},
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// What options of packet sockets are made of: plain numbers, of which every bit pattern is one.
pub(crate) trait Value: Copy {}
impl Value for c_int {}
impl Value for c_uint {}
impl Value for libc::tpacket_req {}
impl Value for libc::tpacket_req3 {}

/// `setsockopt(2)`.
pub(crate) fn set_option<T: Value>(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: T) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `value`, which lives until the call is over; the kernel copies from it.
    let code =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length_of::<T>()) };
    done(code)
}

/// `PACKET_STATISTICS` of a socket with a ring of version 3. Reading sets the kernel's counters back to 0.
pub(crate) fn statistics(socket: BorrowedFd<'_>) -> io::Result<libc::tpacket_stats_v3> {
    let mut value = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut length = length_of::<libc::tpacket_stats_v3>();
    // SAFETY: the kernel writes at most `length` bytes to the pointer, which is that of a live value of that length; the value is made
    // of plain numbers, so that it is valid whatever and however much is written. A socket of version 1 or 2 writes less.
    let code = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    done(code).map(|()| value)
}

/// `bind(2)` of a packet socket to one link. `protocol` is an Ethernet type in host order; 0: nothing is received.
pub(crate) fn bind_to_link(socket: BorrowedFd<'_>, index: u32, protocol: u16) -> io::Result<()> {
    let address = link_address(index, protocol);
    // SAFETY: the pointer and the length are those of `address`, which lives until the call is over; the kernel copies from it.
    let code = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length_of::<libc::sockaddr_ll>()) };
    done(code)
}

/// A link, and the Ethernet type of what is sent to it.
pub(super) fn link_address(index: u32, protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: protocol.to_be(),
        // The kernel's own numbers are positive; any other is refused by it.
        sll_ifindex: c_int::try_from(index).unwrap_or(-1),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

fn done(code: c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
