//! One connection, for a conversation or only to see whether it comes about.

use super::{
    Conn, Dialer, Probed, errno,
    limit::Permit,
    ours,
    socket::{self, Close},
};
use crate::{ask::Answer, raw::Raw};
use model::{ClosedReason, Endpoint, FilteredReason, LocalErrorKind, NotProbed, OpenReason, Outcome};
use rustix::event::PollFlags;
use scope::InScope;
use socket2::Socket;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// A TCP socket with its place, on its way or through.
#[derive(Debug)]
pub(crate) struct Dialled {
    socket: Socket,
    permit: Permit,
    endpoint: Endpoint,
    begun: Instant,
    timeout: Duration,
}

/// What became of a TCP connection without waiting for the network.
#[derive(Debug)]
pub(crate) enum Begun {
    Done(Probed),
    Connected(Dialled, Duration),
    Pending(Dialled),
}

/// Connections to ourselves in a row before giving up on a question.
const SELF_TRIES: u32 = 8;
/// How long a doubtful connection may take to be reset, at least and at most; in between, four round trips.
const EXAMINED_FOR: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(2));
pub(super) const CONNECTED: Outcome = Outcome::Open(OpenReason::Connected);

impl Dialer {
    /// Connects for a conversation; the connection closes in the ordinary way when it is dropped.
    ///
    /// `Err` is the outcome of the question. It is `Open` where the other end accepted and hung up before anything could be said.
    pub async fn connect(&self, endpoint: InScope<Endpoint>, timeout: Duration) -> Result<Conn, Outcome> {
        let result = match self.begin(endpoint, Close::Graceful, timeout).await {
            Begun::Done(probed) => Err(probed.outcome),
            Begun::Connected(dialled, rtt) => self.noted(dialled.into_conn(rtt)),
            Begun::Pending(dialled) => self.noted(self.wait(dialled).await),
        };
        if result.is_ok() {
            self.met(endpoint.get());
        }
        self.0.counters.count(result.as_ref().map_or_else(|outcome| *outcome, |_| CONNECTED));
        result
    }

    /// Asks whether a TCP endpoint accepts, and hangs up by RST: by raw packets where they have a way, else by a connection.
    pub async fn probe(&self, endpoint: InScope<Endpoint>, timeout: Duration) -> Probed {
        if let Some(raw) = self.raw_to(endpoint.get().ip) {
            let probed = self.probe_raw(raw, endpoint, timeout).await;
            return if probed.outcome.is_doubtful() { self.examine(endpoint, timeout).await } else { probed };
        }
        self.probe_connecting(endpoint, timeout).await
    }

    /// The same by a connection, whatever way packets have.
    pub(crate) async fn probe_connecting(&self, endpoint: InScope<Endpoint>, timeout: Duration) -> Probed {
        let begun = self.begin(endpoint, Close::Reset, timeout).await;
        self.finish(begun).await
    }

    /// Whether anybody is behind an answer that a proxy may have given: one that finds nobody there resets the connection.
    async fn examine(&self, endpoint: InScope<Endpoint>, timeout: Duration) -> Probed {
        let mut conn = match self.connect(endpoint, timeout).await {
            Ok(conn) => conn,
            // Reset before we could look.
            Err(Outcome::Open(_)) => return Probed { outcome: Outcome::Closed(ClosedReason::Refused), rtt: None },
            Err(outcome) => return Probed { outcome, rtt: None },
        };
        let rtt = conn.rtt();
        // The proxy asks the host meanwhile.
        let patience = (rtt * 4).clamp(EXAMINED_FOR.0, EXAMINED_FOR.1);
        let outcome = match timeout_at(Instant::now() + patience, conn.read(&mut [0; 1])).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Outcome::Closed(ClosedReason::Refused),
            // It said something, hung up in the ordinary way, or waits for us to speak.
            _ => CONNECTED,
        };
        Probed { outcome, rtt: Some(rtt) }
    }

    /// By raw packets, whose way there is.
    pub(crate) async fn probe_raw(&self, raw: &Raw, endpoint: InScope<Endpoint>, timeout: Duration) -> Probed {
        let Answer { outcome, rtt, .. } = self.ask_raw(raw, endpoint, None, timeout, || ()).await;
        Probed { outcome, rtt }
    }

    /// By a raw packet, with the reply where that is a datagram. `sent` hears that its turn has come.
    pub(crate) async fn ask_raw(
        &self,
        raw: &Raw,
        endpoint: InScope<Endpoint>,
        datagram: Option<Vec<u8>>,
        timeout: Duration,
        mut sent: impl FnMut(),
    ) -> Answer {
        let asked = async {
            let meeting = self.meet(raw, [endpoint.get().ip]).await;
            self.0.counters.attempts.fetch_add(meeting.asked, Relaxed);
            if !meeting.absent.is_empty() {
                return Ok(None);
            }
            self.turn_of_packet(endpoint.get()).await?;
            self.0.counters.attempts.fetch_add(1, Relaxed);
            sent();
            Ok(raw.question(endpoint, datagram, timeout, || self.0.pacer.debit(endpoint.get().ip, 1)).await)
        };
        let answer = tokio::select! {
            biased;
            () = self.halted() => Err(Outcome::NotProbed(NotProbed::Halted)),
            answer = asked => answer,
        };
        if answer.as_ref().is_ok_and(|answer| answer.as_ref().is_some_and(|answer| answer.outcome.is_open())) {
            self.met(endpoint.get());
        }
        let answer = match answer {
            Ok(Some(answer)) => {
                let reply = answer.reply.map(|reply| reply.to_vec());
                Answer { outcome: answer.outcome, rtt: answer.rtt, reply }
            }
            Ok(None) => Answer::of(Outcome::Silent),
            Err(outcome) => Answer::of(outcome),
        };
        if let Outcome::LocalError(kind) = answer.outcome {
            self.0.counters.count_local(kind);
        }
        self.0.counters.count(answer.outcome);
        answer
    }

    /// The first half of [`Dialer::probe`]: everything up to the packet, and the answer if it is there already.
    pub(crate) async fn begin_probe(&self, endpoint: InScope<Endpoint>, timeout: Duration) -> Begun {
        self.begin(endpoint, Close::Reset, timeout).await
    }

    /// The second half of [`Dialer::probe`].
    pub(crate) async fn finish(&self, begun: Begun) -> Probed {
        let probed = match begun {
            Begun::Done(probed) => probed,
            Begun::Connected(dialled, rtt) => {
                self.met(dialled.endpoint);
                Probed { outcome: CONNECTED, rtt: Some(rtt) }
            }
            Begun::Pending(dialled) => {
                let (started, endpoint) = (dialled.begun, dialled.endpoint);
                match self.noted(self.wait(dialled).await) {
                    Ok(conn) => {
                        self.met(endpoint);
                        Probed { outcome: CONNECTED, rtt: Some(conn.rtt()) }
                    }
                    Err(outcome) => {
                        let answered = outcome.is_answer() || matches!(outcome, Outcome::Filtered(_));
                        Probed { outcome, rtt: answered.then(|| started.elapsed()) }
                    }
                }
            }
        };
        self.0.counters.count(probed.outcome);
        probed
    }

    async fn begin(&self, endpoint: InScope<Endpoint>, close: Close, timeout: Duration) -> Begun {
        self.begin_from(self.source_for(endpoint.get().ip), endpoint, close, timeout).await
    }

    pub(super) async fn begin_from(
        &self,
        source: Option<IpAddr>,
        endpoint: InScope<Endpoint>,
        close: Close,
        timeout: Duration,
    ) -> Begun {
        let endpoint = endpoint.get();
        let (mut shortages, mut to_ourselves) = (0, 0);
        loop {
            let permit = match self.turn(endpoint).await {
                Ok(permit) => permit,
                Err(outcome) => return Begun::Done(Probed { outcome, rtt: None }),
            };
            self.0.counters.attempts.fetch_add(1, Relaxed);
            let begun = Instant::now();
            let to = endpoint.socket_addr();
            let connecting =
                socket::stream(to, source, close, timeout).map_err(|failure| failure.outcome()).and_then(|socket| {
                    match socket::connect(&socket, to) {
                        Ok(through) => Ok((through, socket)),
                        Err(error) => Err(self.refined(errno::synchronous(&error), to, socket::port(&socket))),
                    }
                });
            match connecting {
                Err(outcome) => {
                    drop(permit);
                    if self.try_again(outcome, &mut shortages).await {
                        continue;
                    }
                    return Begun::Done(Probed { outcome, rtt: outcome.is_answer().then(|| begun.elapsed()) });
                }
                Ok((through, socket)) => {
                    self.0.limit.succeeded();
                    let dialled = Dialled { socket, permit, endpoint, begun, timeout };
                    if !through && !socket::is_ready(&dialled.socket, PollFlags::OUT) {
                        return Begun::Pending(dialled);
                    }
                    let rtt = begun.elapsed();
                    match dialled.settled(self) {
                        Ok(()) if !socket::is_connected_to_itself(&dialled.socket) => {
                            return Begun::Connected(dialled, rtt);
                        }
                        Ok(()) if to_ourselves < SELF_TRIES => {
                            to_ourselves += 1;
                            self.0.counters.self_connects.fetch_add(1, Relaxed);
                        }
                        Ok(()) => {
                            let outcome = Outcome::LocalError(LocalErrorKind::SourcePorts);
                            self.0.counters.count_local(LocalErrorKind::SourcePorts);
                            return Begun::Done(Probed { outcome, rtt: None });
                        }
                        Err(outcome) => {
                            let rtt = outcome.is_evidence().then_some(rtt);
                            return Begun::Done(Probed { outcome, rtt });
                        }
                    }
                }
            }
        }
    }

    /// A refusal that came by ICMP is something's on the way, and says nothing of the port.
    fn refined(&self, outcome: Outcome, to: SocketAddr, from_port: Option<u16>) -> Outcome {
        match (outcome, &self.0.icmp, from_port) {
            (Outcome::Closed(ClosedReason::Refused), Some(icmp), Some(from_port)) if icmp.heard_of(to, from_port) => {
                Outcome::Filtered(FilteredReason::PortUnreachable)
            }
            _ => outcome,
        }
    }

    /// Waits for a connection under way; the kernel has sent its SYN.
    async fn wait(&self, dialled: Dialled) -> Result<Conn, Outcome> {
        let Dialled { socket, permit, endpoint, begun, timeout } = dialled;
        let stream = TcpStream::from_std(socket.into()).map_err(ours)?;
        let ready = tokio::select! {
            biased;
            why = self.stopped(endpoint.ip) => return Err(Outcome::NotProbed(why)),
            ready = timeout_at(begun + timeout, self.writable(&stream, endpoint.ip, begun)) => ready,
        };
        let rtt = begun.elapsed();
        if let Ok(Err(error)) = ready {
            return Err(ours(error));
        }
        // Also when the time is up: an ICMP error that came while the socket was busy waits there.
        match stream.take_error() {
            Ok(Some(error)) | Err(error) => {
                let from_port = stream.local_addr().ok().map(|local| local.port());
                return Err(self.refined(errno::arrived(&error), endpoint.socket_addr(), from_port));
            }
            Ok(None) if ready.is_err() => return Err(Outcome::Silent),
            Ok(None) => {}
        }
        match (stream.local_addr(), stream.peer_addr()) {
            (Ok(local), Ok(peer)) if local == peer => {
                self.0.counters.self_connects.fetch_add(1, Relaxed);
                Err(Outcome::LocalError(LocalErrorKind::SourcePorts))
            }
            // Accepted and reset in between.
            (_, Err(_)) => Err(CONNECTED),
            _ => Ok(Conn::new(stream, endpoint, rtt, permit)),
        }
    }

    /// Waits for an answer and charges each SYN the kernel repeats meanwhile to the ceilings, when it leaves: Linux does so
    /// after 1 s and after 3 s (before 6.5), or each second (since).
    async fn writable(&self, stream: &TcpStream, ip: IpAddr, begun: Instant) -> io::Result<()> {
        for second in 1..=u64::from(u8::MAX) {
            match timeout_at(begun + Duration::from_secs(second), stream.writable()).await {
                Ok(ready) => return ready,
                Err(_elapsed) => self.0.pacer.debit(ip, 1),
            }
        }
        stream.writable().await
    }
}

impl Dialled {
    /// What `SO_ERROR` says of a connection that is no longer under way.
    fn settled(&self, dialer: &Dialer) -> Result<(), Outcome> {
        match self.socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => {
                let to = self.endpoint.socket_addr();
                Err(dialer.refined(errno::arrived(&error), to, socket::port(&self.socket)))
            }
        }
    }

    fn into_conn(self, rtt: Duration) -> Result<Conn, Outcome> {
        let stream = TcpStream::from_std(self.socket.into()).map_err(ours)?;
        Ok(Conn::new(stream, self.endpoint, rtt, self.permit))
    }
}
