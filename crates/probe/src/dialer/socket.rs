//! Sockets as the dialer wants them, and the question whether one is ready without waiting.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    time::Duration,
};

/// How a TCP connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// By RST at once: only whether somebody answers was asked, and neither side keeps a TIME-WAIT.
    Reset,
    /// In the ordinary way: kinder to a server we talked to.
    Graceful,
}

/// Why there is no socket: told apart because the same number means different things.
#[derive(Debug)]
pub(crate) enum Failure {
    Bind(io::Error),
    Other(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Other(error)
    }
}

/// A non-blocking TCP socket, not yet connected. For a question of liveness, the kernel gives up (and stops repeating its
/// SYN) after `timeout`; a conversation outlives that time, and its socket is dropped by whoever waits.
pub(crate) fn stream(
    to: SocketAddr,
    source: Option<IpAddr>,
    close: Close,
    timeout: Duration,
) -> Result<Socket, Failure> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if close == Close::Reset {
        socket.set_linger(Some(Duration::ZERO))?;
        socket.set_tcp_user_timeout(Some(timeout))?;
    } else {
        socket.set_tcp_nodelay(true)?;
    }
    bind(&socket, to, source)?;
    Ok(socket)
}

/// A non-blocking UDP socket, not yet connected.
pub(crate) fn datagram(to: SocketAddr, source: Option<IpAddr>) -> Result<Socket, Failure> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    bind(&socket, to, source)?;
    Ok(socket)
}

/// To the configured source, where it is of the target's family and the target is not this machine's loopback (which
/// would be asked from an address it does not expect).
fn bind(socket: &Socket, to: SocketAddr, source: Option<IpAddr>) -> Result<(), Failure> {
    match source {
        Some(source) if source.is_ipv4() == to.is_ipv4() && source.is_loopback() == to.ip().is_loopback() => {
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0))).map_err(Failure::Bind)
        }
        _ => Ok(()),
    }
}

/// Begins to connect: whether it is through already (`false`: under way).
pub(crate) fn connect(socket: &Socket, to: SocketAddr) -> io::Result<bool> {
    match socket.connect(&SockAddr::from(to)) {
        Ok(()) => Ok(true),
        // A signal does not stop a connection from being made.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The port it is bound to; also of one whose connection has failed.
pub(crate) fn port(socket: &Socket) -> Option<u16> {
    socket.local_addr().ok()?.as_socket().map(|local| local.port())
}

/// Whether one of these has come to pass, without waiting. Errors and hang-ups count.
pub(crate) fn is_ready(socket: &impl AsFd, what: PollFlags) -> bool {
    let mut entries = [PollFd::new(socket, what)];
    // An interrupted or refused poll says nothing; the caller then waits in the ordinary way.
    poll(&mut entries, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Both ends the same: the kernel chose the very port that was asked for, and TCP's simultaneous open (RFC 9293, 3.5) joined the
/// socket to itself. Nobody listens there.
pub(crate) fn is_connected_to_itself(socket: &Socket) -> bool {
    match (socket.local_addr(), socket.peer_addr()) {
        (Ok(local), Ok(peer)) => local.as_socket() == peer.as_socket(),
        _ => false,
    }
}
