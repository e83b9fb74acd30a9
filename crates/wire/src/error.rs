use std::io;

/// Why packets cannot be sent or heard, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The operator's: the process lacks a capability.
    #[error(
        "raw packets on {link} need CAP_NET_RAW: run the daemon as root, give its binary the capability, or set \
         `mode = \"connect\"` ({source})"
    )]
    NoPermission { link: String, source: io::Error },
    /// The machine's: a socket could not be made ready.
    #[error("no packet socket on {link}: the kernel refused to {step} ({source})")]
    Open { link: String, step: &'static str, source: io::Error },
    /// The machine's: the link is down or gone. It may come back; a link that was removed needs new sockets.
    #[error("the link {link} is down or gone ({source})")]
    LinkDown { link: String, source: io::Error },
    /// The kernel will not take the packet that is first in the batch. The others were not tried.
    #[error("the kernel does not send this packet on {link}: {source}")]
    Refused { link: String, source: io::Error },
    /// The machine's: waiting for packets failed.
    #[error("nothing can be received on {link}: {source}")]
    Receive { link: String, source: io::Error },
    /// A bug of the caller's: what was asked for does not exist on this kind of link.
    #[error("{link} has no way for packets to {hop}")]
    NoSuchHop { link: String, hop: &'static str },
    /// The operator's: not a block that source ports can be taken from.
    #[error(
        "{first} and {length} make no block of source ports: write a first port and a power of two from 256 to 4096, \
         and end below 65536"
    )]
    PortBlock { first: u16, length: u16 },
    /// The operator's: what was recorded is not whole.
    #[error("packets could not be recorded: {0}")]
    Record(#[source] io::Error),
}

impl WireError {
    /// What opening a socket for a link met.
    pub(crate) fn open(link: &str, step: &'static str, source: io::Error) -> Self {
        let link = link.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NoPermission { link, source },
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => Self::LinkDown { link, source },
            _ => Self::Open { link, step, source },
        }
    }

    /// What the kernel said to the first packet of a batch.
    pub(crate) fn send(link: &str, source: io::Error) -> Self {
        let link = link.to_owned();
        match source.raw_os_error() {
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => Self::LinkDown { link, source },
            _ => Self::Refused { link, source },
        }
    }

    /// What waiting for packets met.
    pub(crate) fn receive(link: &str, source: io::Error) -> Self {
        let link = link.to_owned();
        match source.raw_os_error() {
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => Self::LinkDown { link, source },
            _ => Self::Receive { link, source },
        }
    }
}
