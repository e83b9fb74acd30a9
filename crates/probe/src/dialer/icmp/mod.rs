//! Who refused a connection: the host by RST, or something on the way by ICMP.
//!
//! Linux says `ECONNREFUSED` for both. With `CAP_NET_RAW` we get a copy of every ICMP error, and the kernel hands it out before
//! it tells the connection's socket; so when a connection was refused, what it was refused by is already in the queue here. A
//! copy that was lost (a full queue) leaves the refusal ambiguous, as it is without the capability: nothing is ever made
//! more certain by an absence. Nothing is sent from these sockets.

mod quote;

use quote::Quoted;
use rustix::{io::Errno, net::RecvFlags};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A connection drains the queue for all others as well: what it finds is kept for them for this long, and no more of it.
const KEPT: Duration = Duration::from_secs(5);
const MOST_KEPT: usize = 4_096;
/// Messages read at a time. More in the queue than that are not ours.
const MOST_READ: usize = 1_024;
/// What is asked of the kernel for the queue; it gives what `net.core.rmem_max` allows.
const QUEUE_BYTES: usize = 4 << 20;
/// All of a message that is looked at: two IPv4 headers with all options, and the ICMP header between them.
const LONGEST: u8 = 255;

type Read = fn(&[u8]) -> Option<Quoted>;

/// Ears for ICMP port-unreachables that quote a TCP segment of this machine.
#[derive(Debug)]
pub(super) struct Listener {
    v4: Option<Socket>,
    v6: Option<Socket>,
    heard: Mutex<HashMap<Quoted, Instant>>,
}

impl Listener {
    /// Err where this process may not have such sockets, for neither family.
    pub(super) fn open() -> io::Result<Self> {
        let v4 = socket(Domain::IPV4, Protocol::ICMPV4, &filter_v4());
        let v6 = socket(Domain::IPV6, Protocol::ICMPV6, &filter_v6());
        let (v4, v6) = match (v4, v6) {
            (Err(error), Err(_)) => return Err(error),
            (v4, v6) => (v4.ok(), v6.ok()),
        };
        Ok(Self { v4, v6, heard: Mutex::default() })
    }

    /// Whether an ICMP port-unreachable came for the connection from this port of ours to that endpoint.
    pub(super) fn heard_of(&self, to: SocketAddr, from_port: u16) -> bool {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for quoted in self.queued(to.ip()) {
            if heard.len() >= MOST_KEPT {
                heard.retain(|_, at| now.duration_since(*at) < KEPT);
            }
            if heard.len() < MOST_KEPT {
                heard.insert(quoted, now);
            }
        }
        let quoted = Quoted { to: to.ip(), to_port: to.port(), from_port };
        heard.remove(&quoted).is_some_and(|at| now.duration_since(at) < KEPT)
    }

    /// Empties the queue of that family.
    fn queued(&self, family: IpAddr) -> impl Iterator<Item = Quoted> {
        let (socket, read) =
            if family.is_ipv4() { (&self.v4, quote::of_ipv4 as Read) } else { (&self.v6, quote::of_icmpv6 as Read) };
        let mut reads = 0;
        std::iter::from_fn(move || {
            let socket = socket.as_ref()?;
            let mut buffer = [0; LONGEST as usize];
            while reads < MOST_READ {
                reads += 1;
                match rustix::net::recv(socket, &mut buffer, RecvFlags::DONTWAIT) {
                    Ok((count, _)) => {
                        if let Some(quoted) = buffer.get(..count).and_then(read) {
                            return Some(quoted);
                        }
                    }
                    Err(Errno::INTR) => {}
                    // Empty, or broken: either way there is no more to be had now.
                    Err(_) => return None,
                }
            }
            None
        })
    }
}

fn socket(domain: Domain, protocol: Protocol, filter: &[SockFilter]) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
    // Without either it works as well, only that the queue fills sooner.
    for failed in
        [socket.attach_filter(filter), socket.set_recv_buffer_size(QUEUE_BYTES)].into_iter().filter_map(Result::err)
    {
        tracing::debug!(error = %failed, "the ICMP socket is not as large or as choosy as it should be");
    }
    Ok(socket)
}

// Classic BPF (Linux, Documentation/networking/filter.rst): load a byte at a fixed place, or one relative to the index
// register; load the length of the IPv4 header into the index register; compare; return how much to keep.
const LOAD: u16 = 0x30;
const LOAD_INDEXED: u16 = 0x50;
const INDEX_IPV4_HEADER: u16 = 0xb1;
const EQUALS: u16 = 0x15;
const KEEP: u16 = 0x06;

/// Only port-unreachables about TCP (RFC 792: type 3, code 3), so that nothing else fills the queue. The bytes begin with the
/// IP header.
fn filter_v4() -> [SockFilter; 9] {
    [
        SockFilter::new(INDEX_IPV4_HEADER, 0, 0, 0),
        SockFilter::new(LOAD_INDEXED, 0, 0, 0),
        SockFilter::new(EQUALS, 0, 5, u32::from(quote::UNREACHABLE_V4)),
        SockFilter::new(LOAD_INDEXED, 0, 0, 1),
        SockFilter::new(EQUALS, 0, 3, u32::from(quote::PORT_V4)),
        // The protocol, in the quoted header.
        SockFilter::new(LOAD_INDEXED, 0, 0, 8 + 9),
        SockFilter::new(EQUALS, 0, 1, u32::from(quote::TCP)),
        SockFilter::new(KEEP, 0, 0, u32::from(LONGEST)),
        SockFilter::new(KEEP, 0, 0, 0),
    ]
}

/// The same for IPv6 (RFC 4443: type 1, code 4). The bytes begin with the ICMP header.
fn filter_v6() -> [SockFilter; 8] {
    [
        SockFilter::new(LOAD, 0, 0, 0),
        SockFilter::new(EQUALS, 0, 5, u32::from(quote::UNREACHABLE_V6)),
        SockFilter::new(LOAD, 0, 0, 1),
        SockFilter::new(EQUALS, 0, 3, u32::from(quote::PORT_V6)),
        SockFilter::new(LOAD, 0, 0, 8 + 6),
        SockFilter::new(EQUALS, 0, 1, u32::from(quote::TCP)),
        SockFilter::new(KEEP, 0, 0, u32::from(LONGEST)),
        SockFilter::new(KEEP, 0, 0, 0),
    ]
}
