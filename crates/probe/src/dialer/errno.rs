//! What the kernel's errors mean: whose trouble it is, ours or the target's.
//!
//! Linux delivers both through the same numbers; what tells them apart is when they come. An error straight from
//! `socket()`, `bind()`, `connect()` or `send()` is about this machine; one that arrives later, through `SO_ERROR`, came
//! from the network (RST or ICMP; see `icmp_err_convert` in Linux, ip(7), icmp(7)).

use model::{ClosedReason, FilteredReason, LocalErrorKind, OpenReason, Outcome};
use std::io;

/// An error straight from `socket()` or `connect()`.
pub(crate) fn synchronous(error: &io::Error) -> Outcome {
    match error.raw_os_error() {
        // Loopback can be as fast as that.
        Some(libc::ECONNREFUSED) => Outcome::Closed(ClosedReason::Refused),
        _ => Outcome::LocalError(local(error)),
    }
}

/// An error straight from `bind()` to the configured source address.
pub(crate) fn binding(error: &io::Error) -> Outcome {
    Outcome::LocalError(match error.raw_os_error() {
        Some(libc::EADDRINUSE) => LocalErrorKind::SourcePorts,
        // The source address is not one of this machine's.
        Some(libc::EADDRNOTAVAIL) => LocalErrorKind::NoRoute,
        _ => local(error),
    })
}

/// What `SO_ERROR` says of a TCP connection that had been under way.
pub(crate) fn arrived(error: &io::Error) -> Outcome {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Outcome::Closed(ClosedReason::Refused),
        // A RST or a FIN after the SYN-ACK: it accepted, and hung up before we looked.
        Some(libc::ECONNRESET | libc::EPIPE) => Outcome::Open(OpenReason::Connected),
        Some(libc::ETIMEDOUT) => Outcome::Silent,
        _ => from_path(error),
    }
}

/// What a connected UDP socket reports after a datagram was sent.
pub(crate) fn datagram(error: &io::Error) -> Outcome {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Outcome::Closed(ClosedReason::PortUnreachable),
        _ => from_path(error),
    }
}

/// Whether fewer connections at a time, and trying again, may help.
pub(crate) fn is_shortage(kind: LocalErrorKind) -> bool {
    matches!(kind, LocalErrorKind::Descriptors | LocalErrorKind::SourcePorts | LocalErrorKind::Buffers)
}

/// ICMP unreachables of any kind mean filtered, never closed.
fn from_path(error: &io::Error) -> Outcome {
    match error.raw_os_error() {
        Some(libc::EHOSTUNREACH | libc::EHOSTDOWN) => Outcome::Filtered(FilteredReason::HostUnreachable),
        Some(libc::ENETUNREACH | libc::ENONET) => Outcome::Filtered(FilteredReason::NetUnreachable),
        Some(libc::EACCES | libc::EPERM) => Outcome::Filtered(FilteredReason::Prohibited),
        Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EPROTO | libc::EMSGSIZE) => {
            Outcome::Filtered(FilteredReason::Other)
        }
        // The interface went away, memory ran out, …: not the target's.
        _ => Outcome::LocalError(local(error)),
    }
}

fn local(error: &io::Error) -> LocalErrorKind {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => LocalErrorKind::Descriptors,
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => LocalErrorKind::SourcePorts,
        // ENOSPC: no room left for another watch in epoll.
        Some(libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN | libc::ENOSPC) => LocalErrorKind::Buffers,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EAFNOSUPPORT | libc::ENODEV) => {
            LocalErrorKind::NoRoute
        }
        Some(libc::EPERM | libc::EACCES) => LocalErrorKind::Denied,
        _ => LocalErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FilteredReason::{HostUnreachable, NetUnreachable, Prohibited};
    use LocalErrorKind::{Buffers, Denied, Descriptors, NoRoute, SourcePorts};

    #[test]
    fn an_error_at_once_is_ours() {
        for (number, expect) in [
            (libc::EMFILE, Outcome::LocalError(Descriptors)),
            (libc::ENFILE, Outcome::LocalError(Descriptors)),
            (libc::EADDRNOTAVAIL, Outcome::LocalError(SourcePorts)),
            (libc::ENOBUFS, Outcome::LocalError(Buffers)),
            (libc::ENOMEM, Outcome::LocalError(Buffers)),
            (libc::EAGAIN, Outcome::LocalError(Buffers)),
            (libc::ENETUNREACH, Outcome::LocalError(NoRoute)),
            (libc::EHOSTUNREACH, Outcome::LocalError(NoRoute)),
            (libc::EAFNOSUPPORT, Outcome::LocalError(NoRoute)),
            (libc::EPERM, Outcome::LocalError(Denied)),
            (libc::EACCES, Outcome::LocalError(Denied)),
            (libc::EINVAL, Outcome::LocalError(LocalErrorKind::Other)),
            (libc::ECONNREFUSED, Outcome::Closed(ClosedReason::Refused)),
        ] {
            assert_eq!(synchronous(&io::Error::from_raw_os_error(number)), expect, "{number}");
        }
        assert_eq!(synchronous(&io::Error::other("no number")), Outcome::LocalError(LocalErrorKind::Other));
        for (number, expect) in
            [(libc::EADDRINUSE, SourcePorts), (libc::EADDRNOTAVAIL, NoRoute), (libc::EACCES, Denied)]
        {
            assert_eq!(binding(&io::Error::from_raw_os_error(number)), Outcome::LocalError(expect), "{number}");
        }
    }

    #[test]
    fn an_error_that_arrives_is_the_paths() {
        for (number, tcp, udp) in [
            (
                libc::ECONNREFUSED,
                Outcome::Closed(ClosedReason::Refused),
                Outcome::Closed(ClosedReason::PortUnreachable),
            ),
            (libc::EHOSTUNREACH, Outcome::Filtered(HostUnreachable), Outcome::Filtered(HostUnreachable)),
            (libc::EHOSTDOWN, Outcome::Filtered(HostUnreachable), Outcome::Filtered(HostUnreachable)),
            (libc::ENETUNREACH, Outcome::Filtered(NetUnreachable), Outcome::Filtered(NetUnreachable)),
            (libc::EACCES, Outcome::Filtered(Prohibited), Outcome::Filtered(Prohibited)),
            (libc::EPERM, Outcome::Filtered(Prohibited), Outcome::Filtered(Prohibited)),
            (libc::ENOPROTOOPT, Outcome::Filtered(FilteredReason::Other), Outcome::Filtered(FilteredReason::Other)),
            (libc::ENOBUFS, Outcome::LocalError(Buffers), Outcome::LocalError(Buffers)),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!((arrived(&error), datagram(&error)), (tcp, udp), "{number}");
        }
        assert_eq!(arrived(&io::Error::from_raw_os_error(libc::ETIMEDOUT)), Outcome::Silent);
        assert!(arrived(&io::Error::from_raw_os_error(libc::ECONNRESET)).is_open());
    }

    #[test]
    fn nothing_of_ours_ever_counts_as_closed() {
        for number in 1..200 {
            let error = io::Error::from_raw_os_error(number);
            for outcome in [synchronous(&error), binding(&error), arrived(&error), datagram(&error)] {
                assert!(number == libc::ECONNREFUSED || !matches!(outcome, Outcome::Closed(_)), "{number}");
            }
        }
    }
}
