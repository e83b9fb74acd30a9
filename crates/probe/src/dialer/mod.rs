//! The one place connections are begun and datagrams are sent from: paced, limited, and held to the scope.
//!
//! Order of things for each packet: its host's turn, a place among the sockets, the turn of the whole, then (nothing that waits
//! comes after) the halt switch and the scope's last guard, then the packet. Connections on loopback and fast networks are through
//! before `connect()` has returned; they are recognised by a poll that does not wait, and never reach the runtime's reactor.
//!
//! A refusal by ICMP is no closure: where this process may hear ICMP, it is told from a host's own RST.
//!
//! Linux' own repetitions of a SYN nobody answers (after one second, and again two later) are charged to the ceilings as
//! well, when they leave.

mod conn;
mod errno;
mod icmp;
pub(crate) mod limit;
mod pacer;
mod socket;
mod sources;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub use conn::Conn;
pub(crate) use errno::{is_shortage, synchronous};
pub use pacer::Pace;
pub(crate) use pacer::{Buckets, Pacer, Turn, spread};
pub use sources::Compared;
pub(crate) use tcp::Begun;
pub(crate) use udp::{Datagrams, REPLIED};

use crate::{
    counters::{Counters, DialerCounters},
    raw::{Raw, RawSettings},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use identify::Fingerprints;
use limit::{Limit, Permit};
use model::{Clock, Endpoint, LocalErrorKind, NotProbed, Outcome, PortSet, Rate};
use scope::{InScope, Refusal, ScopeHandle};
use socket::Failure;
use std::{
    io,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
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
    /// The operator's own rules for naming who answers.
    fingerprints: ArcSwapOption<Fingerprints>,
    fragile: OnceLock<PortSet>,
    pacer: Arc<Pacer>,
    limit: Arc<Limit>,
    halted: watch::Sender<bool>,
    counters: Counters,
    /// None without the capability for it.
    icmp: Option<icmp::Listener>,
    /// Asks in place of connections where it can.
    raw: OnceLock<Raw>,
    second: sources::Second,
}

/// How often a question is tried again when this machine runs short, and the first wait (doubled each time).
const SHORTAGE_TRIES: u32 = 5;
const SHORTAGE_WAIT: Duration = Duration::from_millis(50);
/// With fewer sockets than this in use, a lack of source ports or buffers has another cause than their number.
const PLENTY: usize = 256;

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
            pacer: Arc::new(Pacer::new(settings.rate, settings.rate_per_host)),
            settings: ArcSwap::from_pointee(settings),
            fingerprints: ArcSwapOption::empty(),
            fragile: OnceLock::new(),
            limit: Arc::new(Limit::new(concurrency)),
            halted: watch::Sender::new(false),
            counters: Counters::default(),
            icmp: hear_icmp(),
            raw: OnceLock::new(),
            second: sources::Second::default(),
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

    /// Names who answers by these rules, too, from now on.
    pub fn use_fingerprints(&self, fingerprints: Fingerprints) {
        self.0.fingerprints.store(Some(Arc::new(fingerprints)));
    }

    /// Allows these ports to be asked though they are fragile. Once.
    pub fn ask_fragile(&self, ports: PortSet) {
        _ = self.0.fragile.set(ports);
    }

    /// Whether more than listening is allowed on that TCP port.
    pub(crate) fn may_ask(&self, port: u16) -> bool {
        !identify::is_fragile(port) || self.0.fragile.get().is_some_and(|allowed| allowed.contains(port))
    }

    /// The operator's own rules; none unless they were given.
    pub fn fingerprints(&self) -> Option<Arc<Fingerprints>> {
        self.0.fingerprints.load_full()
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
        if let Some(raw) = self.0.raw.get() {
            raw.halt(halted);
        }
    }

    pub fn is_halted(&self) -> bool {
        *self.0.halted.borrow()
    }

    /// Returns once halted: at once if it is already.
    pub async fn halted(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.halted.subscribe().wait_for(|halted| *halted).await;
    }

    /// Whether a host's own refusal (RST) can be told from one by ICMP on the way (a firewall's REJECT, a ban). It takes
    /// `CAP_NET_RAW`; without it both read [`ClosedReason::Refused`](model::ClosedReason::Refused).
    pub fn tells_refusals_apart(&self) -> bool {
        self.0.icmp.is_some()
    }

    /// Leave to probe an endpoint now, by the present scope.
    pub fn authorize(&self, endpoint: Endpoint) -> Result<InScope<Endpoint>, Refusal> {
        self.0.scope.load().authorize(endpoint, self.0.clock.now())
    }

    pub fn counters(&self) -> DialerCounters {
        self.0.counters.snapshot(&self.0.limit, self.0.settings.load().rate)
    }

    /// Asks by raw packets from now on where there is a way for them, and gives what does so. Conversations stay with the
    /// kernel.
    pub(crate) fn engage(&self, settings: RawSettings) -> io::Result<Raw> {
        if let Some(raw) = self.0.raw.get() {
            return Ok(raw.clone());
        }
        let raw = Raw::start(self.0.scope.clone(), Arc::clone(&self.0.clock), Arc::clone(&self.0.pacer), settings)?;
        raw.halt(self.is_halted());
        Ok(self.0.raw.get_or_init(|| raw).clone())
    }

    /// Returns, with why, once nothing more may be said to an address: halted, or excluded by another scope.
    pub(crate) async fn stopped(&self, ip: IpAddr) -> NotProbed {
        tokio::select! {
            biased;
            () = self.halted() => NotProbed::Halted,
            () = self.excluded(ip) => NotProbed::OutOfScope,
        }
    }

    /// Returns once another scope has excluded an address: at once where it has already.
    pub(crate) async fn excluded(&self, ip: IpAddr) {
        self.0.scope.withdrawn(ip, || self.0.clock.now()).await;
    }

    /// What asks by raw packets, where anything does.
    pub fn raw(&self) -> Option<&Raw> {
        self.0.raw.get()
    }

    /// Everything that comes before a packet that needs no socket of its own. `Err`: it must not leave.
    pub(crate) async fn turn_of_packet(&self, endpoint: Endpoint) -> Result<(), Outcome> {
        self.sleep_until(self.0.pacer.reserve_host(endpoint.ip)).await?;
        self.sleep_until(self.0.pacer.reserve()).await?;
        self.may_leave(endpoint)
    }

    fn may_leave(&self, endpoint: Endpoint) -> Result<(), Outcome> {
        if self.is_halted() {
            return Err(Outcome::NotProbed(NotProbed::Halted));
        }
        if !self.0.scope.permits(endpoint.ip, self.0.clock.now()) {
            return Err(Outcome::NotProbed(NotProbed::OutOfScope));
        }
        Ok(())
    }

    /// Everything that comes before a packet. `Err`: it must not leave.
    async fn turn(&self, endpoint: Endpoint) -> Result<Permit, Outcome> {
        self.sleep_until(self.0.pacer.reserve_host(endpoint.ip)).await?;
        let Some(permit) = self.0.limit.acquire().await else {
            self.0.counters.count_local(LocalErrorKind::Descriptors);
            return Err(Outcome::LocalError(LocalErrorKind::Descriptors));
        };
        self.sleep_until(self.0.pacer.reserve()).await?;
        self.may_leave(endpoint)?;
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
}

fn hear_icmp() -> Option<icmp::Listener> {
    icmp::Listener::open()
        .inspect_err(|error| tracing::debug!(%error, "no ICMP messages can be heard; a REJECT reads as refused"))
        .ok()
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
