//! One group of addresses times a list of ports, in permuted order.
//!
//! Every endpoint is asked once. Silence is asked again only where that pays: of endpoints known to be open, and of hosts
//! that answer otherwise, so that a dark network costs one question a port. Of what was never asked before, which is doubted,
//! silence is asked again more often, and a refusal too, most often where one was taken back: somebody forges them there. Our own shortages are asked again in any case and never count as an answer. Memory is a few bits for each endpoint of the group and a little for each of its hosts.

mod bits;
mod counts;
mod knocks;
mod packets;
mod progress;
mod round;
mod run;
#[cfg(test)]
mod tests;

pub use counts::{MOST_ATTEMPTS, SweepCounts};
pub use round::{Asked, Round};

use crate::{Dialer, Knock, Pace};
use model::{AddressSet, Endpoint, PortObservation, PortSet, Transport};
use packets::{Ear, Packets};
use progress::Progress;
use run::Work;
use scope::Permutation;
use std::{
    collections::BTreeSet,
    fmt, mem,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// The datagram to ask a UDP port with; none sends an empty one.
pub type UdpPayload = Arc<dyn Fn(u16) -> Option<Vec<u8>> + Send + Sync>;

/// Whether something is the case with an endpoint, such as that the inventory knows it as open.
pub type Known = Arc<dyn Fn(&Endpoint) -> bool + Send + Sync>;

/// Who is told that something answers for every port of a host. Called while the sweep goes on: it must not wait.
pub type Trap = Arc<dyn Fn(IpAddr) + Send + Sync>;

/// What to sweep.
#[derive(Clone)]
pub struct SweepJob {
    /// One group: memory grows with it.
    pub addresses: AddressSet,
    pub tcp: Arc<PortSet>,
    pub udp: Arc<PortSet>,
    /// Of the order.
    pub seed: u64,
    /// Below the dialer's ceilings, shared by the groups of a pass: what its deadline asks for.
    pub pace: Option<Pace>,
    pub known: Known,
    /// All of the known ones, where packets of our own ask: nobody answers for what stays silent then. May have others among them.
    pub expected: Vec<Endpoint>,
    /// Where neither silence nor a refusal by TCP is taken at its word, because it is the first that is heard of the endpoint: a
    /// packet may have been lost or a refusal forged on the way, and the port would be believed closed.
    pub doubted: Known,
    /// Questions to an endpoint that stays silent, where asking again pays; at least 1.
    pub attempts: u8,
    /// The same to one of a host that never answered, where packets of our own ask: more than once pays where there is little to ask of
    /// each, and the third time only what is lost calls for.
    pub dark: u8,
    /// Of what hosts are asked this is one part of so many, at least 1: whether much or little of a host is silent depends on all of it.
    pub parts: u32,
    /// For one question.
    pub timeout: Duration,
    /// Answers are waited for as long as others took, not as long as the timeout: the sooner it is over the better.
    pub quick: bool,
    pub udp_payload: UdpPayload,
    /// Hears at once of a host more of whose ports open than anybody can be behind: the rest of it is not asked any more.
    pub trap: Trap,
    /// So often hosts that answer by none of their ports are asked whether they are there at all, in every way there is, where packets
    /// of our own ask; a sweep without ports does nothing else.
    pub knock: u8,
}

/// An endpoint that answered, with what it said if it was asked by UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub observation: PortObservation,
    pub reply: Option<Vec<u8>>,
}

/// What a sweep of a group found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SweepOutcome {
    /// Addresses with anything to list, ascending.
    pub hosts: Vec<HostResult>,
    /// Addresses of which not every port was asked, ascending: aborted, halted, out of scope, or our own trouble. All others
    /// of the group are covered, listed or not.
    pub incomplete: Vec<IpAddr>,
    pub counts: SweepCounts,
    /// Who was asked when, in the order of asking; a few rounds.
    pub rounds: Vec<Round>,
    /// Hosts that are there although none of their ports answered, ascending.
    pub discovered: Vec<Discovered>,
    /// Addresses that were asked in every way whether anybody is there, and nobody was, ascending.
    pub silent: Vec<IpAddr>,
    /// Who was asked whether he is there: each by an endpoint that stands for its host.
    pub knocks: Vec<Round>,
    /// Ended before its time: cancelled or halted.
    pub aborted: bool,
}

/// A host that is there. It says nothing of its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    pub ip: IpAddr,
    /// What it answered to.
    pub by: BTreeSet<Knock>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostResult {
    pub ip: IpAddr,
    /// Ascending by time: open endpoints, every known endpoint with whatever came of it, and where nothing is open the first
    /// answer that shows the host lives.
    pub ports: Vec<PortObservation>,
    /// Every port got its answer or its silence.
    pub complete: bool,
    /// More ports were open than any host has services: something answers for all of them. Only the first are listed, so it is
    /// never complete.
    pub answers_everything: bool,
}

/// Silence is asked again this long after the question at the earliest: bursts of loss are over by then (RFC 6298's first RTO).
const RTO: Duration = Duration::from_secs(1);
/// Questions to an endpoint whose silence is doubted, or where refusals are forged its refusal. Where one packet in fifty is lost
/// each way, 2·10⁻⁶ of the open ports are silent all along; where one SYN in twenty is refused by somebody else, 6·10⁻⁶ are
/// refused.
const MOST_DOUBTED: u8 = 4;
/// Questions to an endpoint at most. More than the usual are asked only of hosts that answered to the one before: there it pays.
const MOST_FRUITFUL: u8 = 10;
/// Rounds over what our own shortages spoilt, and the pause before each.
const SHORTAGE_ROUNDS: u32 = 4;
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);

/// Sweeps a group. Open endpoints go to `found` at once; if its receiver is gone, the sweep is given up.
///
/// Ends early when `cancel` is, or when the dialer is halted; dropping the future ends it as well.
pub async fn sweep(
    dialer: &Dialer,
    job: SweepJob,
    found: mpsc::Sender<Found>,
    cancel: CancellationToken,
) -> SweepOutcome {
    sweep_and_tell(dialer, job, found, cancel, oneshot::channel().0).await
}

/// The same, and tells when every endpoint was asked once and only answers are waited for, or silence asked again: time for another
/// group. Only where packets of our own ask all of it; otherwise, and where it ends before, the sender is only dropped.
pub async fn sweep_and_tell(
    dialer: &Dialer,
    job: SweepJob,
    found: mpsc::Sender<Found>,
    cancel: CancellationToken,
    gone_through: oneshot::Sender<()>,
) -> SweepOutcome {
    let stop = cancel.child_token();
    let _stops_with_the_future = stop.clone().drop_guard();
    let packets = packets_for(dialer, &job).await;
    let (sweep, mut heard) = Sweep::new(dialer, job, found, stop, packets, gone_through);
    if let Some(packets) = &sweep.packets {
        packets.slot.listen(Box::new(Ear::of(&sweep)));
    }
    if !sweep.order.is_empty() || sweep.job.knock > 0 {
        // The workers end by `stop`; only then is what they did complete.
        let stop_when_halted = async {
            dialer.halted().await;
            sweep.stop.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = sweep.all_rounds() => {}
            () = stop_when_halted => {}
            () = sweep.pass_on(&mut heard) => {}
        }
    }
    if let Some(packets) = &sweep.packets {
        packets.slot.listen_no_more();
    }
    while let Ok(hit) = heard.try_recv() {
        // Whoever gave the sweep up does not want them.
        let _ = sweep.found.send(hit).await;
    }
    sweep.outcome()
}

/// Packets of our own, where the dialer has an engine for them and any of the addresses a way.
async fn packets_for(dialer: &Dialer, job: &SweepJob) -> Option<Packets> {
    let raw = dialer.raw()?;
    let by_packets: Vec<bool> = job.addresses.iter().map(|ip| dialer.raw_to(ip).is_some()).collect();
    if !by_packets.contains(&true) {
        return None;
    }
    let (scope, now) = (dialer.scope().load(), dialer.clock().now());
    let total = by_packets.len() as u64 * (u64::from(job.tcp.len()) + u64::from(job.udp.len()));
    let space = scope.space_for(&job.addresses, &job.tcp, &job.udp, now).ok().filter(|space| space.len() == total);
    Some(Packets::new(raw.slot().await?, by_packets, space, job))
}

/// A sweep under way, shared by its workers.
struct Sweep {
    dialer: Dialer,
    job: SweepJob,
    addresses: Vec<IpAddr>,
    ports: Vec<(Transport, u16)>,
    /// Of all numbers of endpoints: address by address, port by port.
    order: Permutation,
    progress: Progress,
    rounds: Mutex<Vec<Round>>,
    found: mpsc::Sender<Found>,
    workers: usize,
    stop: CancellationToken,
    /// None where connections ask everything.
    packets: Option<Packets>,
    /// What packets find, on its way to `found`.
    news: mpsc::UnboundedSender<Found>,
    /// Hears when every endpoint was asked once.
    gone_through: Mutex<Option<oneshot::Sender<()>>>,
}

/// An eighth of the sockets is left to conversations.
fn workers(dialer: &Dialer, total: u64) -> usize {
    let most = (dialer.concurrency() - dialer.concurrency() / 8).max(1);
    usize::try_from(total).unwrap_or(most).clamp(1, most)
}

impl Sweep {
    /// With what its packets find.
    fn new(
        dialer: &Dialer,
        job: SweepJob,
        found: mpsc::Sender<Found>,
        stop: CancellationToken,
        packets: Option<Packets>,
        gone_through: oneshot::Sender<()>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Found>) {
        let addresses: Vec<IpAddr> = job.addresses.iter().collect();
        let tcp = job.tcp.iter().map(|port| (Transport::Tcp, port));
        let ports: Vec<(Transport, u16)> = tcp.chain(job.udp.iter().map(|port| (Transport::Udp, port))).collect();
        let total = addresses.len() as u64 * ports.len() as u64;
        let (news, heard) = mpsc::unbounded_channel();
        let sweep = Self {
            progress: Progress::new(&addresses, ports.len()).in_parts(job.parts),
            rounds: Mutex::default(),
            order: Permutation::new(total, job.seed),
            workers: workers(dialer, total),
            dialer: dialer.clone(),
            addresses,
            ports,
            job,
            found,
            stop,
            packets,
            news,
            gone_through: Mutex::new(Some(gone_through)),
        };
        (Arc::new(sweep), heard)
    }

    /// Never ends by itself.
    async fn pass_on(&self, heard: &mut mpsc::UnboundedReceiver<Found>) {
        while let Some(hit) = heard.recv().await {
            if self.found.send(hit).await.is_err() {
                self.stop.cancel();
                break;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn all_rounds(self: &Arc<Self>) {
        self.meet().await;
        if self.ports.is_empty() {
            return self.knock().await;
        }
        self.run(Work::All(self.order), 1).await;
        self.after_shortages(1).await;
        self.ask_the_dark().await;
        let most = if self.packets.is_some() { MOST_FRUITFUL } else { self.job.attempts.max(MOST_DOUBTED) };
        for attempt in 2..=most {
            let mut from = 0;
            let mut waited = false;
            let is_doubted = |number| attempt <= MOST_DOUBTED && self.is_doubted(number);
            while let Some((batch, next)) =
                self.progress.silent_worth_asking(from, attempt, self.job.attempts, is_doubted)
            {
                from = next;
                if batch.is_empty() {
                    continue;
                }
                if !waited {
                    waited = true;
                    if (!self.job.quick || self.has_datagrams(&batch)) && !self.pause(self.until_again()).await {
                        return;
                    }
                }
                self.run(self.in_order(batch, attempt), attempt).await;
            }
            // Where nothing was asked, nothing more was spoilt, and what was had its chances.
            if waited {
                self.after_shortages(attempt).await;
            }
        }
        self.wait_for_the_last().await;
        self.knock().await;
        for attempt in 2..=MOST_DOUBTED {
            let mut from = 0;
            while let Some((batch, next)) = self.progress.refused_worth_asking(from, attempt) {
                if from == 0 && !self.pause(RTO).await {
                    return;
                }
                self.run(self.in_order(batch, attempt), attempt).await;
                from = next;
            }
        }
    }

    /// Who was silent by UDP perhaps only may not say yet that a port is closed: about once a second, where it is Linux.
    fn has_datagrams(&self, batch: &[u64]) -> bool {
        let is_udp = |number: &u64| self.endpoint(*number).is_some_and(|(_, it)| it.transport == Transport::Udp);
        !self.job.udp.is_empty() && batch.iter().any(is_udp)
    }

    /// What is left of [`RTO`] after the time that answers had.
    fn until_again(&self) -> Duration {
        RTO.saturating_sub(if self.packets.is_some() { self.patience() } else { self.job.timeout })
    }

    async fn after_shortages(self: &Arc<Self>, attempt: u8) {
        for _ in 0..SHORTAGE_ROUNDS {
            let mut from = 0;
            let mut waited = false;
            while let Some((batch, next)) = self.progress.spoilt(from) {
                if !waited {
                    waited = true;
                    if !self.pause(SHORTAGE_PAUSE).await {
                        return;
                    }
                }
                self.run(self.in_order(batch, attempt), attempt).await;
                from = next;
            }
            if !waited {
                return;
            }
        }
    }

    /// False: told to stop meanwhile.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = sleep(time) => true,
        }
    }

    fn is_known(&self, endpoint: &Endpoint) -> bool {
        (self.job.known)(endpoint)
    }

    fn is_doubted(&self, number: u64) -> bool {
        self.endpoint(number).is_some_and(|(_, endpoint)| (self.job.doubted)(&endpoint))
    }

    /// An endpoint of the host has just opened; so many of its were asked.
    fn suspect(&self, host: usize, asked: u64) {
        if self.progress.suspect(host, asked)
            && let Some(ip) = self.addresses.get(host)
        {
            (self.job.trap)(*ip);
        }
    }

    /// In another order each time: what one burst of losses took is not together in the next one as well.
    fn order_of(&self, attempt: u8) -> Permutation {
        let turn = u64::from(attempt.saturating_sub(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Permutation::new(self.order.len(), self.job.seed.wrapping_add(turn))
    }

    fn in_order(&self, mut batch: Vec<u64>, attempt: u8) -> Work {
        let order = self.order_of(attempt);
        batch.sort_by_cached_key(|&number| order.index_of(number));
        Work::Some(batch)
    }

    fn endpoint(&self, number: u64) -> Option<(usize, Endpoint)> {
        let ports = self.ports.len() as u64;
        let host = usize::try_from(number.checked_div(ports)?).ok()?;
        let (transport, port) = *self.ports.get(usize::try_from(number % ports).ok()?)?;
        Some((host, Endpoint { ip: *self.addresses.get(host)?, transport, port }))
    }

    fn note(&self, round: Round) {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        if !rounds.last_mut().is_some_and(|last| last.join(&round)) {
            rounds.push(round);
        }
    }

    /// Packets that were not to be used any more before the end have asked nobody: they were dropped on the way, or had none.
    fn distrust(&self, outcome: &mut SweepOutcome) {
        let Some(packets) = &self.packets else { return };
        let was_asked_in_vain = |host: usize, ip: IpAddr| packets.ask(host) && !self.dialer.sends_packets_to(ip);
        let in_vain: BTreeSet<IpAddr> = self
            .addresses
            .iter()
            .copied()
            .enumerate()
            .filter_map(|(host, ip)| was_asked_in_vain(host, ip).then_some(ip))
            .collect();
        if in_vain.is_empty() {
            return;
        }
        for host in outcome.hosts.iter_mut().filter(|host| in_vain.contains(&host.ip)) {
            host.complete = false;
        }
        outcome.incomplete = in_vain
            .into_iter()
            .chain(std::mem::take(&mut outcome.incomplete))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
    }

    fn outcome(&self) -> SweepOutcome {
        let mut outcome = self.progress.outcome(&self.addresses);
        self.distrust(&mut outcome);
        outcome.rounds = mem::take(&mut *self.rounds.lock().unwrap_or_else(PoisonError::into_inner));
        self.tell_of_knocks(&mut outcome);
        outcome.aborted = self.stop.is_cancelled();
        outcome
    }
}

impl fmt::Debug for SweepJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SweepJob")
            .field("addresses", &self.addresses.len())
            .field("tcp", &self.tcp.len())
            .field("udp", &self.udp.len())
            .field("attempts", &self.attempts)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
