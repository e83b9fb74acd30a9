//! One datagram, and perhaps one in return.

use super::{Dialer, Permit, errno, ours, socket};
use model::{Endpoint, NotProbed, OpenReason, Outcome};
use rustix::event::PollFlags;
use scope::InScope;
use std::{io, sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::{net::UdpSocket, time::Instant};

pub(crate) const REPLIED: Outcome = Outcome::Open(OpenReason::Reply);
const LARGEST_DATAGRAM: usize = 65_535;

/// A socket that speaks with one endpoint only.
#[derive(Debug)]
pub(crate) struct Datagrams<'a> {
    dialer: &'a Dialer,
    endpoint: InScope<Endpoint>,
    socket: UdpSocket,
    _permit: Permit,
}

impl Datagrams<'_> {
    /// Waits for its turn under the ceilings, like every packet.
    pub(crate) async fn send(&self, payload: &[u8]) -> Result<(), Outcome> {
        self.dialer.turn_of_packet(self.endpoint.get()).await?;
        self.dialer.0.counters.attempts.fetch_add(1, Relaxed);
        self.socket.send(payload).await.map_err(|error| errno::datagram(&error))?;
        Ok(())
    }

    /// The next datagram of at most 64 KiB; silent where none has come by then.
    pub(crate) async fn receive(&self, limit: Instant) -> Result<Vec<u8>, Outcome> {
        let mut buffer = vec![0; LARGEST_DATAGRAM];
        tokio::select! {
            biased;
            why = self.dialer.stopped(self.endpoint.get().ip) => Err(Outcome::NotProbed(why)),
            received = tokio::time::timeout_at(limit, self.socket.recv(&mut buffer)) => match received {
                Ok(Ok(length)) => {
                    buffer.truncate(length);
                    Ok(buffer)
                }
                Ok(Err(error)) => Err(errno::datagram(&error)),
                Err(_elapsed) => Err(Outcome::Silent),
            },
        }
    }
}

impl Dialer {
    /// Sends one datagram from a socket of its own and waits for one in return, of at most 64 KiB and from that very endpoint.
    /// Repeating is the caller's.
    pub async fn datagram(
        &self,
        endpoint: InScope<Endpoint>,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, Outcome> {
        self.exchange(endpoint, payload, timeout, || ()).await.0
    }

    /// [`Dialer::datagram`], with the time until the answer; `sent` is called once the datagram has left.
    pub(crate) async fn exchange(
        &self,
        endpoint: InScope<Endpoint>,
        payload: &[u8],
        timeout: Duration,
        mut sent: impl FnMut(),
    ) -> (Result<Vec<u8>, Outcome>, Duration) {
        let mut shortages = 0;
        let (result, rtt) = loop {
            let permit = match self.turn(endpoint.get()).await {
                Ok(permit) => permit,
                Err(outcome) => break (Err(outcome), Duration::ZERO),
            };
            let begun = Instant::now();
            match self.send(endpoint.get(), payload) {
                Ok(socket) => {
                    self.0.limit.succeeded();
                    sent();
                    let result = self.noted(self.reply(socket, timeout).await);
                    break (result, begun.elapsed());
                }
                Err(outcome) => {
                    drop(permit);
                    if !self.try_again(outcome, &mut shortages).await {
                        break (Err(outcome), Duration::ZERO);
                    }
                }
            }
        };
        self.0.counters.count(result.as_ref().map_or_else(|outcome| *outcome, |_| REPLIED));
        (result, rtt)
    }

    /// A socket for several datagrams there and back. Nothing is sent yet.
    pub(crate) async fn datagrams(&self, endpoint: InScope<Endpoint>) -> Result<Datagrams<'_>, Outcome> {
        let permit = self.turn(endpoint.get()).await?;
        let socket = UdpSocket::from_std(self.connected(endpoint.get())?).map_err(ours)?;
        Ok(Datagrams { dialer: self, endpoint, socket, _permit: permit })
    }

    fn send(&self, endpoint: Endpoint, payload: &[u8]) -> Result<std::net::UdpSocket, Outcome> {
        self.0.counters.attempts.fetch_add(1, Relaxed);
        let socket = self.connected(endpoint)?;
        socket.send(payload).map_err(ours)?;
        Ok(socket)
    }

    fn connected(&self, endpoint: Endpoint) -> Result<std::net::UdpSocket, Outcome> {
        let to = endpoint.socket_addr();
        let socket = socket::datagram(to, self.source_for(endpoint.ip)).map_err(|failure| failure.outcome())?;
        socket.connect(&to.into()).map_err(ours)?;
        Ok(socket.into())
    }

    async fn reply(&self, socket: std::net::UdpSocket, timeout: Duration) -> Result<Vec<u8>, Outcome> {
        if socket::is_ready(&socket, PollFlags::IN)
            && let Some(result) = received(|buffer| socket.recv(buffer))
        {
            return result;
        }
        let socket = UdpSocket::from_std(socket).map_err(ours)?;
        let receive = async {
            loop {
                socket.readable().await.map_err(ours)?;
                if let Some(result) = received(|buffer| socket.try_recv(buffer)) {
                    return result;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.halted() => Err(Outcome::NotProbed(NotProbed::Halted)),
            result = tokio::time::timeout(timeout, receive) => result.unwrap_or(Err(Outcome::Silent)),
        }
    }
}

/// Reads one datagram; none where there is nothing to read after all (a bad checksum wakes, too).
fn received(read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> Option<Result<Vec<u8>, Outcome>> {
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    match read(&mut buffer) {
        Ok(length) => {
            buffer.truncate(length);
            buffer.shrink_to_fit();
            Some(Ok(buffer))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => Some(Err(errno::datagram(&error))),
    }
}
