//! The workers of a sweep.

use super::{Asked, Round, Sweep};
use crate::{
    ask::{Answer, question},
    dialer::Begun,
};
use jiff::Timestamp;
use model::{Endpoint, NotProbed, Outcome, Transport};
use scope::Permutation;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};
use tokio_util::task::TaskTracker;

/// The endpoints of one round, by number.
pub(super) enum Work {
    /// All, in this order.
    All(Permutation),
    Some(Vec<u64>),
}

impl Work {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::All(order) => order.len(),
            Self::Some(numbers) => numbers.len() as u64,
        }
    }

    pub(super) fn get(&self, turn: u64) -> Option<u64> {
        match self {
            Self::All(order) => order.at(turn),
            Self::Some(numbers) => usize::try_from(turn).ok().and_then(|turn| numbers.get(turn).copied()),
        }
    }

    /// How many of a list are so; of all, nobody is looked at.
    pub(super) fn count(&self, is_so: impl Fn(u64) -> bool) -> u64 {
        match self {
            Self::All(_) => 0,
            Self::Some(numbers) => numbers.iter().filter(|number| is_so(**number)).count() as u64,
        }
    }

    /// Who was asked, once so many turns had been taken.
    pub(super) fn asked(&self, turns: u64, sweep: &Sweep) -> Asked {
        match self {
            Self::All(order) => Asked::First(turns.min(order.len())),
            Self::Some(numbers) => {
                let taken = numbers.iter().take(usize::try_from(turns).unwrap_or(usize::MAX));
                Asked::those(taken.filter_map(|number| sweep.endpoint(*number)).map(|(_, endpoint)| endpoint).collect())
            }
        }
    }
}

struct Run {
    work: Arc<Work>,
    attempt: u8,
    turn: AtomicU64,
    workers: AtomicUsize,
    /// Workers between taking a number and sending its question.
    queueing: AtomicUsize,
    tasks: TaskTracker,
}

impl Run {
    /// More workers would only make the queue for a turn longer, and everybody else's wait in it.
    fn has_enough_queueing(&self) -> bool {
        self.queueing.load(Relaxed) >= FIRST_WORKERS
    }
}

/// Notes the round when it is over.
struct Noted {
    sweep: Arc<Sweep>,
    run: Arc<Run>,
    began: Timestamp,
}

impl Drop for Noted {
    fn drop(&mut self) {
        let asked = self.run.work.asked(self.run.turn.load(Relaxed), &self.sweep);
        let ended = self.sweep.dialer.clock().now();
        self.sweep.note(Round { attempt: self.run.attempt, asked, raw: false, began: self.began, ended });
    }
}

/// A worker's place in the queue for a turn, until its question is sent.
struct Queueing<'a>(&'a AtomicUsize);

impl<'a> Queueing<'a> {
    fn join(run: &'a Run) -> Self {
        run.queueing.fetch_add(1, Relaxed);
        Self(&run.queueing)
    }
}

impl Drop for Queueing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A worker that never has to wait (loopback) lets others have the thread this often.
const BETWEEN_YIELDS: u32 = 32;
const FIRST_WORKERS: usize = 2;

impl Sweep {
    /// Asks each endpoint of the round once: by packets where they can, all others by connections and datagrams.
    pub(super) async fn run(self: &Arc<Self>, work: Work, attempt: u8) {
        let work = Arc::new(work);
        let Some(packets) = &self.packets else { return self.run_workers(work, attempt).await };
        let again = self.by_packets(packets, &work);
        self.progress.unspoil(&again);
        if packets.ask_everything() {
            self.send(packets, Arc::clone(&work), attempt).await;
        } else {
            tokio::join!(self.send(packets, Arc::clone(&work), attempt), self.run_workers(Arc::clone(&work), attempt));
        }
        if attempt == 1 && matches!(*work, Work::All(_)) && !self.stop.is_cancelled() {
            self.settle(packets);
        } else if !self.stop.is_cancelled() {
            self.settle_again(packets, &again);
        }
    }

    /// Workers beyond the first are only started when one has to wait for the network and hardly another is about to send: the
    /// ceilings' queue is first come, first served, and conversations stand in it too.
    async fn run_workers(self: &Arc<Self>, work: Arc<Work>, attempt: u8) {
        let run = Arc::new(Run {
            work,
            attempt,
            turn: AtomicU64::new(0),
            workers: AtomicUsize::new(0),
            queueing: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
        });
        let began = self.dialer.clock().now();
        // Also where the sweep is cut short and this future with it: what has left has left.
        let _noted = Noted { sweep: Arc::clone(self), run: Arc::clone(&run), began };
        for _ in 0..FIRST_WORKERS {
            self.one_more(&run);
        }
        run.tasks.close();
        run.tasks.wait().await;
    }

    /// A question is on its way and its worker waits: somebody has to send the next one.
    fn replace_waiting(self: &Arc<Self>, run: &Arc<Run>) {
        if !run.has_enough_queueing() {
            self.one_more(run);
        }
    }

    fn one_more(self: &Arc<Self>, run: &Arc<Run>) {
        let room = |workers: usize| (workers < self.workers).then_some(workers + 1);
        if run.workers.fetch_update(Relaxed, Relaxed, room).is_ok() {
            run.tasks.spawn(work(Arc::clone(self), Arc::clone(run)));
        }
    }
}

/// Whether the worker, back from the network, is one too many now. Those that queue go on, so the last never leaves.
fn leaves(run: &Run) -> bool {
    let too_many = run.has_enough_queueing();
    if too_many {
        run.workers.fetch_sub(1, Relaxed);
    }
    too_many
}

async fn work(sweep: Arc<Sweep>, run: Arc<Run>) {
    let mut since_yield = 0;
    while !sweep.stop.is_cancelled()
        && !leaves(&run)
        && let Some(number) = run.work.get(run.turn.fetch_add(1, Relaxed))
        && let Some((host, endpoint)) = sweep.endpoint(number)
    {
        if sweep.packets.as_ref().is_some_and(|packets| packets.ask(host)) {
            continue;
        }
        if sweep.progress.is_trap(host) {
            continue;
        }
        let answer = tokio::select! {
            biased;
            answer = ask(&sweep, &run, endpoint) => answer,
            () = sweep.stop.cancelled() => Answer::of(Outcome::NotProbed(NotProbed::Aborted)),
        };
        if answer.outcome == Outcome::NotProbed(NotProbed::Halted) {
            sweep.stop.cancel();
        }
        let known = (sweep.job.known)(&endpoint);
        let found = answer.into_found(&sweep.dialer, endpoint, run.attempt);
        let is_news = sweep.progress.record(host, number, known, &found.observation);
        let is_refusal =
            matches!(found.observation.outcome, Outcome::Closed(_)) && endpoint.transport == Transport::Tcp;
        if is_refusal && (sweep.job.doubted)(&endpoint) {
            sweep.progress.doubt(host, number);
        }
        if found.observation.outcome.is_open() && endpoint.transport == Transport::Tcp {
            sweep.suspect(host, sweep.progress.asked_of(host));
        }
        if is_news && sweep.found.send(found).await.is_err() {
            sweep.stop.cancel();
        }
        since_yield += 1;
        if since_yield >= BETWEEN_YIELDS {
            since_yield = 0;
            tokio::task::yield_now().await;
        }
    }
}

async fn ask(sweep: &Arc<Sweep>, run: &Arc<Run>, endpoint: Endpoint) -> Answer {
    let queueing = Queueing::join(run);
    if let Some(pace) = &sweep.job.pace {
        pace.turn().await;
    }
    match endpoint.transport {
        Transport::Tcp => {
            let Ok(target) = sweep.dialer.authorize(endpoint) else {
                return Answer::of(Outcome::NotProbed(NotProbed::OutOfScope));
            };
            let begun = sweep.dialer.begin_probe(target, sweep.job.timeout).await;
            drop(queueing);
            if matches!(begun, Begun::Pending(_)) {
                sweep.replace_waiting(run);
            }
            let probed = sweep.dialer.finish(begun).await;
            Answer { outcome: probed.outcome, rtt: probed.rtt, reply: None }
        }
        Transport::Udp => {
            let mut queueing = Some(queueing);
            let sent = || {
                if queueing.take().is_some() {
                    sweep.replace_waiting(run);
                }
            };
            question(&sweep.dialer, endpoint, sweep.job.timeout, &sweep.job.udp_payload, sent).await
        }
    }
}
