//! The one place connections are begun and datagrams are sent from: paced, limited, and held to the scope.
//!
//! Order of things for each packet: its host's turn, a place among the sockets, the turn of the whole, then (nothing that waits
//! comes after) the halt switch and the scope's last guard, then the packet. Connections on loopback and fast networks are through
//! before `connect()` has returned; they are recognised by a poll that does not wait, and never reach the runtime's reactor.
//!
//! Linux' own repetitions of a SYN nobody answers (after one second, and again two later) are charged to the ceilings as
//! well, after the fact.

mod conn;
mod errno;
pub(crate) mod limit;
mod pacer;
mod socket;
#[cfg(test)]
mod tests;

pub use conn::Conn;
pub(crate) use errno::is_shortage;
pub use pacer::Pace;

use crate::counters::{Counters, DialerCounters};
use arc_swap::ArcSwap;
use limit::{Limit, Permit};
use model::{Clock, Endpoint, LocalErrorKind, NotProbed, OpenReason, Outcome, Rate};
use pacer::Pacer;
use rustix::event::PollFlags;
use scope::{InScope, Refusal, ScopeHandle};
use socket::{Close, Failure};
use socket2::Socket;
use std::{
    io,
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// How fast, from where, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialerSettings {
    /// Ceiling of packets per second over everything.
    pub rate: Rate,
    pub rate_per_host: Rate,
    /// The address to send from; none leaves it to the kernel. Ignored for the other family.
    pub source: Option<IpAddr>,
    pub identity: Identity,
}

/// Who we are, for those who see us: conversations put it where their protocol has room for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The sensor's name.
    pub sensor: Arc<str>,
    /// Where to complain: a URL or an address.
    pub contact: Option<Arc<str>>,
    /// perimeterd's version.
    pub version: Arc<str>,
}

/// What a question for liveness yielded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    pub outcome: Outcome,
    /// Until the answer, where there was one.
    pub rtt: Option<Duration>,
}

/// Asks endpoints by the kernel's own sockets, so without any privilege. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Dialer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scope: ScopeHandle,
    clock: Arc<dyn Clock>,
    settings: ArcSwap<DialerSettings>,
    pacer: Pacer,
    limit: Arc<Limit>,
    halted: watch::Sender<bool>,
    counters: Counters,
}

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

/// How often a question is tried again when this machine runs short, and the first wait (doubled each time).
const SHORTAGE_TRIES: u32 = 5;
const SHORTAGE_WAIT: Duration = Duration::from_millis(50);
/// Connections to ourselves in a row before giving up on a question.
const SELF_TRIES: u32 = 8;
/// With fewer sockets than this in use, a lack of source ports or buffers has another cause than their number.
const PLENTY: usize = 256;
const LARGEST_DATAGRAM: usize = 65_535;

impl Dialer {
    /// As many sockets at a time as file descriptors allow; raises the process's soft limit towards the hard one.
    pub fn new(scope: ScopeHandle, clock: Arc<dyn Clock>, settings: DialerSettings) -> Self {
        Self::with_concurrency(scope, clock, settings, limit::ceiling_from_descriptors())
    }

    /// At most `concurrency` sockets at a time (1 to 8192), whatever the limit of file descriptors.
    pub fn with_concurrency(
        scope: ScopeHandle,
        clock: Arc<dyn Clock>,
        settings: DialerSettings,
        concurrency: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            scope,
            clock,
            pacer: Pacer::new(settings.rate, settings.rate_per_host),
            settings: ArcSwap::from_pointee(settings),
            limit: Arc::new(Limit::new(concurrency)),
            halted: watch::Sender::new(false),
            counters: Counters::default(),
        }))
    }

    /// New ceilings and identity from the next packet on.
    pub fn reconfigure(&self, settings: DialerSettings) {
        self.0.pacer.set(settings.rate, settings.rate_per_host);
        self.0.settings.store(Arc::new(settings));
    }

    pub fn settings(&self) -> Arc<DialerSettings> {
        self.0.settings.load_full()
    }

    pub fn identity(&self) -> Identity {
        self.0.settings.load().identity.clone()
    }

    /// Sockets at a time at most.
    pub fn concurrency(&self) -> usize {
        self.0.limit.ceiling()
    }

    pub fn scope(&self) -> &ScopeHandle {
        &self.0.scope
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Stops everything (or lets it go on). No packet leaves afterwards, and connections under way are dropped, so that the
    /// kernel does not repeat their SYNs either. Conversations watch [`Dialer::halted`].
    pub fn halt(&self, halted: bool) {
        self.0.halted.send_replace(halted);
    }

    pub fn is_halted(&self) -> bool {
        *self.0.halted.borrow()
    }

    /// Returns once halted: at once if it is already.
    pub async fn halted(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.halted.subscribe().wait_for(|halted| *halted).await;
    }

    /// Leave to probe an endpoint now, by the present scope.
    pub fn authorize(&self, endpoint: Endpoint) -> Result<InScope<Endpoint>, Refusal> {
        self.0.scope.load().authorize(endpoint, self.0.clock.now())
    }

    pub fn counters(&self) -> DialerCounters {
        self.0.counters.snapshot(&self.0.limit, self.0.settings.load().rate)
    }

    /// Connects for a conversation; the connection closes in the ordinary way when it is dropped.
    ///
    /// `Err` is the outcome of the question. It is `Open` where the other end accepted and hung up before anything could be said.
    pub async fn connect(&self, endpoint: InScope<Endpoint>, timeout: Duration) -> Result<Conn, Outcome> {
        let result = match self.begin(endpoint, Close::Graceful, timeout).await {
            Begun::Done(probed) => Err(probed.outcome),
            Begun::Connected(dialled, rtt) => self.noted(dialled.into_conn(rtt)),
            Begun::Pending(dialled) => self.noted(self.wait(dialled).await),
        };
        self.0.counters.count(result.as_ref().map_or_else(|outcome| *outcome, |_| CONNECTED));
        result
    }

    /// Asks whether a TCP endpoint accepts, and hangs up by RST.
    pub async fn probe(&self, endpoint: InScope<Endpoint>, timeout: Duration) -> Probed {
        let begun = self.begin(endpoint, Close::Reset, timeout).await;
        self.finish(begun).await
    }

    /// The first half of [`Dialer::probe`]: everything up to the packet, and the answer if it is there already.
    pub(crate) async fn begin_probe(&self, endpoint: InScope<Endpoint>, timeout: Duration) -> Begun {
        self.begin(endpoint, Close::Reset, timeout).await
    }

    /// The second half of [`Dialer::probe`].
    pub(crate) async fn finish(&self, begun: Begun) -> Probed {
        let probed = match begun {
            Begun::Done(probed) => probed,
            Begun::Connected(_, rtt) => Probed { outcome: CONNECTED, rtt: Some(rtt) },
            Begun::Pending(dialled) => {
                let started = dialled.begun;
                match self.noted(self.wait(dialled).await) {
                    Ok(conn) => Probed { outcome: CONNECTED, rtt: Some(conn.rtt()) },
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

    /// Sends one datagram from a socket of its own and waits for one in return, of at most 64 KiB and from that very endpoint.
    /// Repeating is the caller's.
    pub async fn datagram(
        &self,
        endpoint: InScope<Endpoint>,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, Outcome> {
        self.exchange(endpoint, payload, timeout).await.0
    }

    /// [`Dialer::datagram`], with the time until the answer.
    pub(crate) async fn exchange(
        &self,
        endpoint: InScope<Endpoint>,
        payload: &[u8],
        timeout: Duration,
    ) -> (Result<Vec<u8>, Outcome>, Duration) {
        let mut shortages = 0;
        let (result, rtt) = loop {
            let permit = match self.turn(endpoint.get()).await {
                Ok(permit) => permit,
                Err(outcome) => break (Err(outcome), Duration::ZERO),
            };
            let sent = Instant::now();
            match self.send(endpoint.get(), payload) {
                Ok(socket) => {
                    self.0.limit.succeeded();
                    let result = self.noted(self.reply(socket, timeout).await);
                    break (result, sent.elapsed());
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

    async fn begin(&self, endpoint: InScope<Endpoint>, close: Close, timeout: Duration) -> Begun {
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
            let source = self.0.settings.load().source;
            let connecting = socket::stream(to, source, close, timeout)
                .and_then(|socket| Ok((socket::connect(&socket, to)?, socket)));
            match connecting {
                Err(failure) => {
                    let outcome = failure.outcome();
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
                    match dialled.settled() {
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

    /// Waits for a connection under way; the kernel has sent its SYN.
    async fn wait(&self, dialled: Dialled) -> Result<Conn, Outcome> {
        let Dialled { socket, permit, endpoint, begun, timeout } = dialled;
        let stream = TcpStream::from_std(socket.into()).map_err(ours)?;
        let ready = tokio::select! {
            biased;
            () = self.halted() => return Err(Outcome::NotProbed(NotProbed::Halted)),
            ready = timeout_at(begun + timeout, stream.writable()) => ready,
        };
        let rtt = begun.elapsed();
        // Linux repeats an unanswered SYN after 1 s and after 3 s (before 6.5), or each second (since).
        self.0.pacer.debit(endpoint.ip, rtt.as_secs().min(u64::from(u8::MAX)));
        if let Ok(Err(error)) = ready {
            return Err(ours(error));
        }
        // Also when the time is up: an ICMP error that came while the socket was busy waits there.
        match stream.take_error() {
            Ok(Some(error)) | Err(error) => return Err(errno::arrived(&error)),
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

    /// Everything that comes before a packet. `Err`: it must not leave.
    async fn turn(&self, endpoint: Endpoint) -> Result<Permit, Outcome> {
        loop {
            match self.0.pacer.reserve_host(endpoint.ip) {
                Ok(at) => {
                    self.sleep_until(at).await?;
                    break;
                }
                Err(ask_again) => self.sleep_until(ask_again).await?,
            }
        }
        let Some(permit) = self.0.limit.acquire().await else {
            self.0.counters.count_local(LocalErrorKind::Descriptors);
            return Err(Outcome::LocalError(LocalErrorKind::Descriptors));
        };
        self.sleep_until(self.0.pacer.reserve()).await?;
        if self.is_halted() {
            return Err(Outcome::NotProbed(NotProbed::Halted));
        }
        if !self.0.scope.permits(endpoint.ip, self.0.clock.now()) {
            return Err(Outcome::NotProbed(NotProbed::OutOfScope));
        }
        Ok(permit)
    }

    async fn sleep_until(&self, at: Instant) -> Result<(), Outcome> {
        if at <= Instant::now() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = self.halted() => Err(Outcome::NotProbed(NotProbed::Halted)),
            () = sleep_until(at) => Ok(()),
        }
    }

    /// Counts our own trouble; where fewer sockets may help, lowers their number, waits, and says to try again.
    async fn try_again(&self, outcome: Outcome, shortages: &mut u32) -> bool {
        let Outcome::LocalError(kind) = outcome else { return false };
        self.0.counters.count_local(kind);
        if !is_shortage(kind) {
            return false;
        }
        let floor = if kind == LocalErrorKind::Descriptors { 1 } else { PLENTY };
        if floor > 1 && self.0.limit.in_use() < floor {
            // As an IPv6 connection from a machine without an IPv6 address: waiting would not help.
            return false;
        }
        self.0.limit.lower(floor);
        if *shortages >= SHORTAGE_TRIES {
            return false;
        }
        sleep(SHORTAGE_WAIT * 2_u32.pow(*shortages)).await;
        *shortages += 1;
        true
    }

    /// Counts our own trouble that came too late to be tried again here.
    fn noted<T>(&self, result: Result<T, Outcome>) -> Result<T, Outcome> {
        if let Err(Outcome::LocalError(kind)) = &result {
            self.0.counters.count_local(*kind);
        }
        result
    }

    fn send(&self, endpoint: Endpoint, payload: &[u8]) -> Result<std::net::UdpSocket, Outcome> {
        self.0.counters.attempts.fetch_add(1, Relaxed);
        let to = endpoint.socket_addr();
        let socket = socket::datagram(to, self.0.settings.load().source).map_err(|failure| failure.outcome())?;
        socket.connect(&to.into()).map_err(ours)?;
        socket.send(payload).map_err(ours)?;
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

const CONNECTED: Outcome = Outcome::Open(OpenReason::Connected);
pub(crate) const REPLIED: Outcome = Outcome::Open(OpenReason::Reply);

impl Dialled {
    /// What `SO_ERROR` says of a connection that is no longer under way.
    fn settled(&self) -> Result<(), Outcome> {
        match self.socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(errno::arrived(&error)),
        }
    }

    fn into_conn(self, rtt: Duration) -> Result<Conn, Outcome> {
        let stream = TcpStream::from_std(self.socket.into()).map_err(ours)?;
        Ok(Conn::new(stream, self.endpoint, rtt, self.permit))
    }
}

impl Failure {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Bind(error) => errno::binding(error),
            Self::Other(error) => errno::synchronous(error),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn ours(error: io::Error) -> Outcome {
    errno::synchronous(&error)
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
