//! The thread that sends: whose turn it is, at what pace, by which way.

mod aside;
mod holds;
mod pick;
#[cfg(test)]
mod tests;

use super::rate::Limiting;
use super::{
    allowance::Allowance,
    exit::{Entry, Exit, Owner},
    paths::Paths,
    questions::Question,
    rate::{Controller, Sight},
    shared::{CANARIES, QUESTIONS, Shared, State},
    side::Side,
    volley::{Knock, Order, Report, Sink, Stretch},
};
use crate::dialer::{Buckets, Pace, Pacer, Turn};
use holds::{Hold, Holds};
use model::{Clock, Endpoint, LocalErrorKind, NotProbed, Outcome, Transport};
use pick::Deferred;
use scope::{InScope, LastGuard, ScopeHandle};
use std::{
    collections::{BinaryHeap, VecDeque},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};
use tokio::sync::oneshot;
use tokio::time::Instant;
use wire::{Batch, Epoch, Tag};

/// What the thread is told.
pub(super) enum Command {
    Volley(Box<Volley>),
    /// Packets leave by these paths from now on, each with its exits.
    Paths(Arc<Paths>, Vec<Exit>, Vec<Side>),
    /// There is a question to send, or something else to look at.
    Wake,
}

/// Questions to send, from whom they come, and who wants to know.
pub(super) struct Volley {
    pub(super) id: u64,
    pub(super) order: Box<dyn Order>,
    pub(super) slot: u8,
    /// What is asked of the hosts; none asks their endpoints.
    pub(super) knock: Option<Knock>,
    pub(super) attempt: u8,
    pub(super) pace: Option<Pace>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) done: Option<oneshot::Sender<Report>>,
}

/// A volley on its way.
struct Active {
    volley: Volley,
    /// How far the order is.
    turns: u64,
    is_exhausted: bool,
    /// Taken and not yet sent.
    deferred: usize,
    report: Report,
    stretch: Option<(u64, Instant)>,
}

/// A question to send.
#[derive(Debug, Clone, Copy)]
struct Packet {
    endpoint: InScope<Endpoint>,
    owner: Owner,
    tag: Tag,
    knock: Option<Knock>,
    /// Its host's turn has come.
    is_due: bool,
    /// When it was taken from its order: what tells the stretch that it belongs to.
    picked_at: Instant,
}

/// What the thread works with.
pub(super) struct Transmitter {
    pub(super) shared: Arc<Shared>,
    pub(super) pacer: Arc<Pacer>,
    pub(super) scope: ScopeHandle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) commands: Receiver<Command>,
}

/// Deferred packets at a time. Beyond it, everybody waits for the hosts that are asked too fast.
const MOST_DEFERRED: usize = 4096;
/// Packets of a single turn of the loop.
const AT_ONCE: usize = Batch::PACKETS;
/// The shortest wait: packets gather meanwhile, and a system call is made for several.
const SHORTEST: Duration = Duration::from_micros(100);
/// The longest while there is nothing to do.
const LONGEST: Duration = Duration::from_millis(250);
const TICK: Duration = Duration::from_millis(250);
/// Canaries a second, and one for so many packets in between.
const FEWEST_CANARIES: f64 = 20.0;
const MOST_CANARIES: f64 = 500.0;
const PACKETS_OF_A_CANARY: f64 = 64.0;

/// Sends until the engine ends.
pub(super) fn run(transmitter: Transmitter) {
    Running::new(transmitter).run();
}

struct Running {
    it: Transmitter,
    paths: Arc<Paths>,
    exits: Vec<Exit>,
    sides: Vec<Side>,
    /// A datagram, while it is signed.
    datagram: Vec<u8>,
    /// Neighbours that are to be asked for again, and the places of their paths.
    unsure: Vec<(usize, IpAddr)>,
    /// Second datagrams for those that were sent the first.
    seconds: Vec<aside::Second>,
    active: Vec<Active>,
    /// The volley whose turn it is.
    next: usize,
    deferred: BinaryHeap<Deferred>,
    /// Those that could not leave because nobody could.
    held: VecDeque<Packet>,
    /// Room for those of one batch, and for where their buckets are.
    picked: Vec<Packet>,
    buckets: Vec<Buckets>,
    sequence: u64,
    controller: Controller,
    /// The rate the controller allows.
    allowance: Allowance,
    canary_credit: f64,
    ticked: Instant,
    sent_at_tick: u64,
    lost_at_tick: u64,
    /// Whether a volley was there at all since the last tick.
    was_busy: bool,
    /// What was waited for since then.
    holds: Holds,
    /// What held the rate down when there was anything to send, where the way did not.
    held_by: Limiting,
}

impl Running {
    fn new(it: Transmitter) -> Self {
        let now = Instant::now();
        let ceiling = it.pacer.per_second();
        Self {
            it,
            paths: Arc::default(),
            exits: Vec::new(),
            sides: Vec::new(),
            datagram: Vec::new(),
            unsure: Vec::new(),
            seconds: Vec::new(),
            active: Vec::new(),
            next: 0,
            deferred: BinaryHeap::new(),
            held: VecDeque::new(),
            picked: Vec::with_capacity(AT_ONCE),
            buckets: Vec::with_capacity(AT_ONCE),
            sequence: 0,
            controller: Controller::new(ceiling, now),
            allowance: Allowance::default(),
            canary_credit: 0.0,
            ticked: now,
            sent_at_tick: 0,
            lost_at_tick: 0,
            was_busy: false,
            holds: Holds::default(),
            held_by: Limiting::default(),
        }
    }

    fn run(mut self) {
        while !self.it.shared.stopped.load(Relaxed) {
            while let Ok(command) = self.it.commands.try_recv() {
                self.obey(command);
            }
            if self.it.shared.halted.load(Relaxed) {
                self.give_up();
            }
            let sent = self.send_some();
            self.end_volleys();
            self.tick();
            if sent < AT_ONCE {
                let (wait, hold) = self.wait();
                let began = Instant::now();
                let command = self.it.commands.recv_timeout(wait);
                self.holds.add(hold, began.elapsed());
                match command {
                    Ok(command) => self.obey(command),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Volley(volley) => self.active.push(Active {
                volley: *volley,
                turns: 0,
                is_exhausted: false,
                deferred: 0,
                report: Report::default(),
                stretch: None,
            }),
            Command::Paths(paths, exits, sides) => {
                self.flush();
                self.let_out(None);
                (self.paths, self.exits, self.sides) = (paths, exits, sides);
            }
            Command::Wake => {}
        }
    }

    /// Nothing leaves any more: what waits is dropped, and its volleys end.
    fn give_up(&mut self) {
        let why = Outcome::NotProbed(NotProbed::Halted);
        while let Some(Question { endpoint, .. }) = self.it.shared.questions.pop() {
            self.it.shared.questions.failed(endpoint.get(), why);
        }
        let waiting: Vec<Packet> = self.held.drain(..).chain(self.deferred.drain().map(|it| it.packet)).collect();
        for packet in waiting {
            self.drop_packet(packet.endpoint.get(), packet.owner, why);
        }
        for active in &mut self.active {
            active.volley.cancelled.store(true, Relaxed);
        }
    }

    /// One batch at most; gives how many packets it had.
    fn send_some(&mut self) -> usize {
        if self.it.shared.halted.load(Relaxed) {
            return 0;
        }
        let since_start = self.it.shared.since_start();
        let (epoch, tsval) = (Epoch::at(since_start), wire::ticks(since_start));
        let mut count = self.send_questions(epoch, tsval);
        let pacer = Arc::clone(&self.it.pacer);
        let now = pacer.now();
        let mut turns = pacer.turns();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1e9")]
        let interval = (1e9 / self.controller.rate().max(1.0)) as u64;
        // Whose turn it is, is looked at for as many at once as may leave now: one lock, one clock, and their buckets on the way.
        let (mut picked, mut buckets) = (std::mem::take(&mut self.picked), std::mem::take(&mut self.buckets));
        loop {
            let most = turns.at_hand(now).min(self.allowance.at_hand(now, interval)).min(AT_ONCE - count);
            self.pick(now, most, &mut picked);
            if picked.is_empty() {
                break;
            }
            buckets.extend(picked.iter().map(|packet| turns.look_up(packet.endpoint.get().ip)));
            for (packet, buckets) in picked.drain(..).zip(buckets.drain(..)) {
                let endpoint = packet.endpoint.get();
                let Some(place) = self.paths.place(endpoint.ip) else {
                    self.drop_packet(endpoint, packet.owner, self.why_no_way(endpoint.ip));
                    continue;
                };
                let turn = if packet.is_due { turns.take_reserved(now) } else { turns.take_at(buckets, now) };
                match turn {
                    Turn::Now => {}
                    Turn::Later(due) => {
                        self.defer(Packet { is_due: true, ..packet }, due);
                        continue;
                    }
                    Turn::NotBefore(at) => {
                        self.defer(packet, at);
                        continue;
                    }
                    Turn::NobodyBefore(_) => {
                        self.held.push_back(packet);
                        continue;
                    }
                }
                self.allowance.take(now, interval);
                // Before it may turn out that it cannot leave.
                if packet.owner == Owner::Canary {
                    self.it.shared.canaries.asked(endpoint, Instant::now());
                }
                self.put(place, packet, epoch, tsval);
                count += 1;
            }
        }
        (self.picked, self.buckets) = (picked, buckets);
        drop(turns);
        self.make_sure();
        if count > 0 {
            self.flush();
        }
        if self.send_seconds(epoch) {
            self.flush();
        }
        count
    }

    /// Single questions had their turn before they came here.
    fn send_questions(&mut self, epoch: Epoch, tsval: u32) -> usize {
        let mut count = 0;
        while count < AT_ONCE
            && let Some(Question { endpoint, datagram }) = self.it.shared.questions.pop()
        {
            let tag = Tag::new(QUESTIONS, self.it.shared.questions.attempt(endpoint.get()));
            let (owner, picked_at) = (Owner::Question, Instant::now());
            let packet = Packet { endpoint, owner, tag, knock: None, is_due: true, picked_at };
            if let Some(place) = self.paths.place(endpoint.get().ip) {
                self.datagram.clear();
                self.datagram.extend_from_slice(&datagram);
                self.put(place, packet, epoch, tsval);
                count += 1;
            } else {
                let why = self.why_no_way(endpoint.get().ip);
                self.it.shared.questions.failed(endpoint.get(), why);
            }
        }
        count
    }

    /// Why there is no path to an address: those to what has left the scope are gone with it.
    fn why_no_way(&self, ip: IpAddr) -> Outcome {
        if self.it.scope.permits(ip, self.it.clock.now()) {
            Outcome::LocalError(LocalErrorKind::NoRoute)
        } else {
            Outcome::NotProbed(NotProbed::OutOfScope)
        }
    }

    fn put(&mut self, place: usize, packet: Packet, epoch: Epoch, tsval: u32) {
        let endpoint = packet.endpoint.get();
        let neighbour = match self.neighbour(place, endpoint.ip) {
            Ok(neighbour) => neighbour,
            Err(why) => return self.drop_packet(endpoint, packet.owner, why),
        };
        if let Some(knock) = packet.knock {
            return self.put_knock(place, packet, knock, epoch, neighbour);
        }
        if endpoint.transport == Transport::Udp {
            return self.put_datagram(place, packet, epoch, neighbour);
        }
        if let Some(exit) = self.exits.get_mut(place) {
            let mark = self.it.shared.cookies.mark(epoch, exit.source(), endpoint, packet.tag);
            exit.add(Entry { endpoint, owner: packet.owner }, mark, tsval);
            if let Some(to) = neighbour {
                exit.direct(to);
            }
        }
    }

    /// It does not leave: whoever asked is told why.
    fn drop_packet(&mut self, endpoint: Endpoint, owner: Owner, why: Outcome) {
        self.it.shared.counts.unsent.fetch_add(1, Relaxed);
        match owner {
            Owner::Question => self.it.shared.questions.failed(endpoint, why),
            Owner::Canary => self.it.shared.canaries.forget(&endpoint),
            Owner::Second => {}
            Owner::Volley { id, number } => {
                if let Some(active) = self.active.iter_mut().find(|active| active.volley.id == id) {
                    active.volley.sink.unsent(number, why);
                }
            }
        }
    }

    fn flush(&mut self) {
        let guard = self.it.scope.last_guard(self.it.clock.now());
        self.let_out(Some(&guard));
    }

    /// By every exit: sends what there is, which the guard has a last look at; without one, waits until what was handed on has left.
    fn let_out(&mut self, guard: Option<&LastGuard>) {
        let mut kept = Vec::new();
        let Self { exits, sides, active, it, .. } = self;
        for exit in exits.iter_mut().chain(sides.iter_mut().map(|side| &mut side.exit)) {
            let mut left = 0;
            let sent = |entry: &Entry| {
                left += 1;
                if entry.owner == Owner::Canary {
                    it.shared.asides.note(entry.endpoint, true, it.clock.now());
                }
                if let Owner::Volley { id, .. } = entry.owner
                    && let Some(active) = active.iter_mut().find(|active| active.volley.id == id)
                {
                    active.report.sent += 1;
                }
            };
            let unsent = |entry: &Entry, why| kept.push((*entry, why));
            match guard {
                Some(guard) => exit.flush(guard, sent, unsent),
                None => exit.settle(sent, unsent),
            }
            it.shared.counts.sent.fetch_add(left, Relaxed);
        }
        for active in &self.active {
            active.volley.sink.sent(active.report.sent);
        }
        for (entry, why) in kept {
            self.drop_packet(entry.endpoint, entry.owner, why);
        }
    }

    /// Those that are through say so.
    fn end_volleys(&mut self) {
        let may_end = |it: &Active| it.is_exhausted && it.deferred == 0 || it.volley.cancelled.load(Relaxed);
        if !self.active.iter().any(may_end) {
            return;
        }
        self.let_out(None);
        let now = Instant::now();
        let held = &self.held;
        self.active.retain_mut(|active| {
            let is_cancelled = active.volley.cancelled.load(Relaxed);
            let is_theirs =
                |packet: &Packet| matches!(packet.owner, Owner::Volley { id, .. } if id == active.volley.id);
            let is_through = active.is_exhausted && active.deferred == 0 && !held.iter().any(is_theirs);
            if !(is_cancelled || is_through) {
                return true;
            }
            active.close_stretch(now);
            active.report.complete = is_through;
            if let Some(done) = active.volley.done.take() {
                // Whoever sent it may have gone.
                let _ = done.send(std::mem::take(&mut active.report));
            }
            false
        });
    }

    fn tick(&mut self) {
        let elapsed = self.ticked.elapsed();
        if elapsed < TICK {
            return;
        }
        self.let_out(None);
        let now = Instant::now();
        for active in &mut self.active {
            active.close_stretch(now);
        }
        let counts = &self.it.shared.counts;
        let (sent, lost) = (counts.sent.load(Relaxed), counts.dropped.load(Relaxed));
        let verdicts = self.it.shared.canaries.judge(now, self.controller.changed());
        let ceiling = self.it.pacer.per_second();
        self.controller.set_ceiling(ceiling, now);
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = (sent - self.sent_at_tick) as f64 / elapsed.as_secs_f64();
        let is_busy = !self.active.is_empty();
        let before = self.controller.limiting();
        // Answers that were lost here tell only of a rate while something is asked.
        let sight = Sight { verdicts, sent_at: rate, lost_here: lost > self.lost_at_tick && is_busy };
        let judged = now.checked_sub(self.it.shared.canaries.time_to_answer()).unwrap_or(now);
        if let Some(overload) = self.controller.tick(now, judged, elapsed, sight) {
            self.it.shared.losses.note(overload.from, overload.to);
        }
        tracing::trace!(rate = self.controller.rate(), sent = rate, ?verdicts, lost, "a look at how packets fare");
        let by_prefix = self.it.pacer.turns().waits_by_prefix();
        if let Some(hold) = std::mem::take(&mut self.holds).greatest(by_prefix) {
            self.held_by = hold;
        }
        let limiting = self.controller.limiting();
        let shown = if limiting == Limiting::Ceiling { self.held_by } else { limiting };
        if limiting != before {
            tracing::debug!(
                limiting = limiting.as_str(),
                from = before.as_str(),
                rate = self.controller.rate(),
                sent = rate,
                "what limits the rate"
            );
        }
        let mut state = self.it.shared.state();
        state.canaries.add(verdicts);
        self.it.shared.set_state(State {
            rate: self.controller.rate(),
            limiting: shown,
            settled: self.controller.settled(),
            doubted: self.controller.doubted(),
            ..state
        });
        if self.was_busy && rate > 0.0 {
            let wanted = (FEWEST_CANARIES - rate / PACKETS_OF_A_CANARY).max(0.0) * elapsed.as_secs_f64();
            let most = MOST_CANARIES * elapsed.as_secs_f64();
            self.canary_credit = (self.canary_credit + wanted).min(most);
        } else {
            self.canary_credit = 0.0;
        }
        self.was_busy = is_busy;
        (self.sent_at_tick, self.lost_at_tick, self.ticked) = (sent, lost, now);
    }

    /// Until there is something to do again.
    fn wait(&self) -> (Duration, Option<Hold>) {
        let now = self.it.pacer.now();
        let has_room = self.deferred.len() < MOST_DEFERRED;
        let has_work = has_room && self.active.iter().any(|active| !active.is_exhausted)
            || !self.held.is_empty()
            || !self.it.shared.questions.is_empty();
        let mut until = now + u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let mut hold = None;
        if let Some(first) = self.deferred.peek() {
            until = until.min(first.due);
            hold = Some(Hold::Host);
        }
        if has_work {
            let everybody = self.it.pacer.next_turn();
            let paced = self
                .active
                .iter()
                .filter(|active| !active.is_exhausted)
                .map(|active| active.volley.pace.as_ref().map_or(Duration::ZERO, Pace::until_turn));
            let earliest = paced.min().unwrap_or_default();
            let earliest =
                if !self.held.is_empty() || !self.it.shared.questions.is_empty() { Duration::ZERO } else { earliest };
            let earliest = now + u64::try_from(earliest.as_nanos()).unwrap_or(u64::MAX);
            let all = everybody.max(self.allowance.from());
            hold = Some(if earliest > all { Hold::Pace } else { Hold::Everybody });
            until = until.min(earliest.max(all));
        }
        (Duration::from_nanos(until.saturating_sub(now)).max(SHORTEST), hold)
    }
}

impl Active {
    fn close_stretch(&mut self, now: Instant) {
        if let Some((first, began)) = self.stretch.take()
            && first < self.turns
        {
            self.report.add(Stretch { turns: first..self.turns, began, taken: now, ended: now });
        }
    }
}

/// The rest is what it says.
impl std::fmt::Debug for Volley {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volley")
            .field("id", &self.id)
            .field("slot", &self.slot)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
