//! What a sweep has learnt so far: some bits for each endpoint, some words for each host.

use super::{HostResult, MOST_ATTEMPTS, SweepCounts, SweepOutcome, bits::Bits, run::Work};
use crate::dialer::is_shortage;
use model::{ClosedReason, Outcome, PortObservation};
use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
    ops::Range,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

/// Open endpoints listed of one host. A peer that answers on every port must not make memory grow.
const MOST_OPEN: usize = 4096;
/// So many open ports of a host that was asked for so many, if hardly any refuses, are too many for anybody to be behind.
const MANY_OPEN: u64 = 16;
const MANY_ASKED: u64 = 24;
/// Where fewer ports are asked about at all, they may be the very ones somebody has.
const MANY_PORTS: u64 = 512;
/// Silent ports of a host that answers elsewhere are asked again up to this many; beyond it only if the host answers most
/// questions. (A firewall that drops leaves tens of thousands silent, and asking them again finds nothing.)
const FEW_SILENT: u32 = 4096;
/// So many doubted refusals of a host are few. More are asked about once only, and not at all where it accepts nothing: most
/// such hosts are addresses for which a firewall refuses everything.
const FEW_REFUSED: u32 = 1024;
/// Endpoints asked again in one go.
const BATCH: usize = 1 << 18;

#[derive(Debug)]
pub(super) struct Progress {
    ports: u64,
    few: Few,
    hosts: Vec<Mutex<Host>>,
    /// Hosts that answered, and those that answer everything.
    alive: Bits,
    traps: Bits,
    /// Open endpoints that answered to the second question first.
    heard_second: Mutex<HashSet<u64>>,
    /// Endpoints of which anything was heard, and how many those are.
    heard: Bits,
    heard_of: AtomicU64,
    /// Endpoints whose last answer was silence.
    silent: Bits,
    /// Endpoints our own shortages spoilt.
    spoilt: Bits,
    /// Endpoints that must not be asked, or not any more: neither silence nor trouble of ours is known of them.
    unasked: Bits,
    /// Endpoints that were asked again already, to make up for what this machine lost, and how many of them were spared the next
    /// question for it.
    again: Bits,
    spared: AtomicU64,
    /// Endpoints whose refusal is doubted.
    refused: Bits,
    /// Refusals were taken back: they had been somebody else's.
    were_forged: AtomicBool,
    /// Silent ones among the known, whatever their host does.
    known_silent: Mutex<BTreeSet<u64>>,
    counts: Mutex<SweepCounts>,
}

#[derive(Debug, Default)]
struct Host {
    /// Endpoints with an answer or silence to show.
    asked: u32,
    answered: u32,
    silent: u32,
    refused: u32,
    opens: usize,
    /// The latest attempt that one of its endpoints answered to which had been silent before.
    late: u8,
    answers_everything: bool,
    /// As they came: of an endpoint that is there more than once, the last one counts. Most hosts have few to show, and there may be
    /// a million hosts.
    listed: Vec<PortObservation>,
    first_answer: Option<Box<PortObservation>>,
}

/// What is little of a host, in this part of it.
#[derive(Debug, Clone, Copy)]
struct Few {
    silent: u32,
    refused: u32,
}

impl Host {
    fn is_worth_asking(&self, few: Few) -> bool {
        self.answered > 0 && (self.silent <= few.silent || self.answered >= self.silent)
    }

    fn list(&mut self, observation: &PortObservation) {
        if self.listed.is_empty() {
            self.listed.reserve_exact(1);
        }
        self.listed.push(observation.clone());
    }

    /// What came of each endpoint that is listed, ascending by time.
    fn ports(&self) -> Vec<PortObservation> {
        let mut latest: Vec<&PortObservation> = self.listed.iter().rev().collect();
        let key = |port: &PortObservation| (port.endpoint.transport, port.endpoint.port);
        latest.sort_by_key(|port| key(port));
        latest.dedup_by_key(|port| key(port));
        let mut ports: Vec<PortObservation> = latest.into_iter().cloned().collect();
        if self.opens == 0
            && let Some(first) = self.first_answer.as_deref()
            && !ports.contains(first)
        {
            ports.push(first.clone());
        }
        ports.sort_by_key(|port| port.at);
        ports
    }

    /// Lists an open endpoint. False where there are too many of them.
    fn accept(&mut self, observation: &PortObservation) -> bool {
        if self.opens >= MOST_OPEN {
            self.answers_everything = true;
            return false;
        }
        self.opens += 1;
        self.list(observation);
        true
    }

    /// Whether its refusals are asked about for that time.
    fn is_worth_doubting(&self, attempt: u8, are_forged: bool, few: Few) -> bool {
        let (accepts, few) = (self.opens > 0, self.refused <= few.refused);
        match attempt {
            _ if are_forged => accepts || few,
            0..=2 => accepts || few,
            3 => accepts && few,
            _ => false,
        }
    }
}

impl Progress {
    pub(super) fn new(addresses: &[IpAddr], ports: usize) -> Self {
        let total = addresses.len() * ports;
        Self {
            ports: ports as u64,
            few: Few { silent: FEW_SILENT, refused: FEW_REFUSED },
            hosts: addresses.iter().map(|_| Mutex::default()).collect(),
            alive: Bits::new(addresses.len()),
            traps: Bits::new(addresses.len()),
            heard_second: Mutex::default(),
            heard: Bits::new(total),
            heard_of: AtomicU64::new(0),
            silent: Bits::new(total),
            spoilt: Bits::new(total),
            unasked: Bits::new(total),
            again: Bits::new(total),
            spared: AtomicU64::new(0),
            refused: Bits::new(total),
            were_forged: AtomicBool::new(false),
            known_silent: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Of what hosts are asked this is one part of so many.
    pub(super) fn in_parts(mut self, parts: u32) -> Self {
        let parts = parts.max(1);
        self.few = Few { silent: FEW_SILENT / parts, refused: FEW_REFUSED / parts };
        self
    }

    /// Takes one answer in. True: an open endpoint nobody has been told of yet.
    pub(super) fn record(&self, host: usize, number: u64, known: bool, observation: &PortObservation) -> bool {
        let place_of_host = host as u64;
        let Some(host) = self.hosts.get(host) else { return false };
        let mut host = lock(host);
        let mut counts = lock(&self.counts);
        let outcome = observation.outcome;
        if self.refused.get(number) {
            counts.attempts += u64::from(outcome.is_evidence());
            // Whatever else comes of it, the refusal stays what is known of it.
            if !outcome.is_open() {
                return false;
            }
            self.refused.set(number, false);
            self.were_forged.store(true, Relaxed);
            host.refused -= 1;
            let refused = observation.attempts.saturating_sub(1);
            return host.accept(&PortObservation { refused, ..observation.clone() });
        }
        if !outcome.is_evidence() {
            match outcome {
                // The silence before it stays what is known of it.
                _ if self.silent.get(number) => {}
                Outcome::LocalError(kind) if is_shortage(kind) => self.spoilt.set(number, true),
                _ => self.spoilt.set(number, false),
            }
            if known && !self.silent.get(number) {
                host.list(observation);
            }
            if matches!(outcome, Outcome::LocalError(kind) if !is_shortage(kind)) && !self.silent.get(number) {
                counts.local_errors += 1;
            }
            return false;
        }
        counts.attempts += 1;
        let attempt = place(observation.attempts);
        counts.asked_at[attempt] += 1;
        let was_heard = self.heard.get(number);
        if outcome != Outcome::Silent {
            self.heard.set(number, true);
            self.heard_of.fetch_add(u64::from(!was_heard), Relaxed);
        }
        let was_silent = self.silent.get(number);
        if !was_silent {
            self.spoilt.set(number, false);
            host.asked += 1;
            counts.probes += 1;
            if known {
                counts.known_asked += 1;
                counts.known_missed_first += u64::from(outcome == Outcome::Silent);
            }
        }
        if outcome == Outcome::Silent {
            if !was_silent {
                self.silent.set(number, true);
                host.silent += 1;
            }
            if known {
                lock(&self.known_silent).insert(number);
            }
        } else if was_silent {
            // How often a host says that UDP ports are closed is limited by itself (ICMP errors, RFC 1812 §4.3.2.8), and no sign
            // of loss.
            if observation.outcome != Outcome::Closed(ClosedReason::PortUnreachable) {
                host.late = host.late.max(observation.attempts);
            }
            self.silent.set(number, false);
            host.silent -= 1;
            lock(&self.known_silent).remove(&number);
        }
        if outcome.is_answer() {
            host.answered += 1;
            counts.answered += 1;
            counts.answered_at[attempt] += 1;
            self.alive.set(place_of_host, true);
            if outcome.is_open() {
                counts.open_at[attempt] += 1;
            }
            if outcome.is_open() && observation.attempts == 2 {
                lock(&self.heard_second).insert(number);
            }
            if host.first_answer.is_none() {
                host.first_answer = Some(Box::new(observation.clone()));
            }
        }
        if outcome.is_open() {
            return host.accept(observation);
        }
        if known {
            host.list(observation);
        }
        false
    }

    /// Takes in an answer that came by itself: one of several perhaps, or one to an earlier question.
    pub(super) fn hear(&self, host: usize, number: u64, known: bool, observation: &PortObservation) -> bool {
        let is_taken_back = || self.refused.get(number) && observation.outcome.is_open();
        if self.heard.get(number) && !is_taken_back() {
            return false;
        }
        let was_refused = self.refused.get(number);
        let is_news = self.record(host, number, known, observation);
        // Questions are counted where they are sent.
        let mut counts = lock(&self.counts);
        counts.attempts -= 1;
        if !was_refused {
            counts.asked_at[place(observation.attempts)] -= 1;
        }
        is_news
    }

    /// Nobody can be behind all that opened there: it is not asked any more.
    pub(super) fn is_trap(&self, host: usize) -> bool {
        self.traps.get(host as u64)
    }

    /// Questions that were sent, for which attempt and how many of them about refusals; none where they only made up for what was lost
    /// here.
    pub(super) fn sent(&self, questions: u64, attempt: Option<(u8, u64)>) {
        let spared = self.spared.swap(0, Relaxed);
        let mut counts = lock(&self.counts);
        counts.attempts += questions;
        if let Some((attempt, refusals)) = attempt {
            counts.asked_at[place(attempt)] += (questions + spared).saturating_sub(refusals);
        }
    }

    /// So many questions of an attempt were asked in vain, all in all.
    pub(super) fn lose(&self, questions: u64, attempt: u8) {
        lock(&self.counts).lost_at[place(attempt)] += questions;
    }

    /// So many hosts are not there: neighbours that nobody answers for.
    pub(super) fn absent(&self, hosts: u64) {
        lock(&self.counts).absent += hosts;
    }

    /// Stretches that are asked again.
    pub(super) fn replay(&self, stretches: u64) {
        lock(&self.counts).replayed += stretches;
    }

    pub(super) fn counts(&self) -> SweepCounts {
        *lock(&self.counts)
    }

    /// Another answer of one that was heard of: perhaps to the first question, after the second was answered.
    pub(super) fn hear_again(&self, number: u64, attempt: u8, outcome: Outcome) {
        if outcome.is_open() && attempt <= 1 && lock(&self.heard_second).remove(&number) {
            let mut counts = lock(&self.counts);
            counts.open_at[0] += 1;
            counts.open_at[1] -= 1;
        }
    }

    /// Whether anything was heard of a host.
    pub(super) fn is_alive(&self, host: usize) -> bool {
        self.alive.get(host as u64)
    }

    pub(super) fn has_heard_everything(&self) -> bool {
        self.has_heard_of() >= self.hosts.len() as u64 * self.ports
    }

    /// Of how many endpoints anything was heard.
    pub(super) fn has_heard_of(&self) -> u64 {
        self.heard_of.load(Relaxed)
    }

    /// Our own trouble kept these from being asked.
    pub(super) fn spoil(&self, numbers: &[u64]) {
        for &number in numbers {
            if !self.heard.get(number) && !self.silent.get(number) && !self.unasked.get(number) {
                self.spoilt.set(number, true);
            }
        }
    }

    /// It was not asked and must not be: its host is never complete, but that is no trouble of ours, and nothing to ask again.
    pub(super) fn pass_over(&self, number: u64) {
        if !self.heard.get(number) && !self.silent.get(number) {
            self.unasked.set(number, true);
            self.spoilt.set(number, false);
        }
    }

    /// It is asked once more, to make up for what was lost here.
    pub(super) fn ask_again(&self, number: u64) {
        self.again.set(number, true);
    }

    /// That was in vain.
    pub(super) fn ask_not_again(&self, number: u64) {
        self.again.set(number, false);
    }

    /// Whether it was asked again already, and need not be for once.
    pub(super) fn spare(&self, number: u64) -> bool {
        let is_spared = self.again.get(number);
        if is_spared {
            self.again.set(number, false);
        }
        self.spared.fetch_add(u64::from(is_spared), Relaxed);
        is_spared
    }

    pub(super) fn is_refused(&self, number: u64) -> bool {
        self.refused.get(number)
    }

    pub(super) fn is_heard(&self, number: u64) -> bool {
        self.heard.get(number)
    }

    /// All these ports (positions) of these hosts were asked and had its time to answer: what was not heard is silent. `known`:
    /// those to list whatever came of them, with their silence.
    pub(super) fn settle(
        &self,
        ports: Range<u64>,
        is_theirs: impl Fn(usize) -> bool,
        known: &[(usize, u64, PortObservation)],
    ) {
        let mut probes = 0;
        for (index, host) in self.hosts.iter().enumerate().filter(|(index, _)| is_theirs(*index)) {
            let mut host = lock(host);
            if host.answers_everything {
                continue;
            }
            let first = index as u64 * self.ports;
            let mut silent = 0;
            for number in self.heard.without(first + ports.start, first + ports.end) {
                if self.may_be_silent(number) {
                    self.silent.set(number, true);
                    silent += 1;
                }
            }
            host.asked += silent;
            host.silent += silent;
            probes += u64::from(silent);
        }
        lock(&self.counts).probes += probes;
        self.list_silent(known);
    }

    /// These are asked again: what spoilt them is over, unless it is [noted](Self::spoil) once more.
    pub(super) fn unspoil(&self, numbers: &[u64]) {
        for number in numbers {
            self.spoilt.set(*number, false);
        }
    }

    /// The same as [`Self::settle`] for single endpoints, which our own trouble had spoilt before.
    pub(super) fn settle_some(&self, numbers: &[u64], known: &[(usize, u64, PortObservation)]) {
        let is_new = |number: &u64| !self.heard.get(*number) && self.may_be_silent(*number);
        let silent: HashSet<u64> = numbers.iter().copied().filter(is_new).collect();
        for number in &silent {
            let host = usize::try_from(number / self.ports.max(1)).ok().and_then(|host| self.hosts.get(host));
            let Some(mut host) = host.map(lock).filter(|host| !host.answers_everything) else { continue };
            self.silent.set(*number, true);
            host.asked += 1;
            host.silent += 1;
            lock(&self.counts).probes += 1;
        }
        let known: Vec<_> = known.iter().filter(|(_, number, _)| silent.contains(number)).cloned().collect();
        self.list_silent(&known);
    }

    /// Whether it was asked, as far as is known, and is not called silent yet.
    fn may_be_silent(&self, number: u64) -> bool {
        !self.spoilt.get(number) && !self.unasked.get(number) && !self.silent.get(number)
    }

    fn list_silent(&self, known: &[(usize, u64, PortObservation)]) {
        for (host, number, observation) in known {
            if self.silent.get(*number)
                && let Some(host) = self.hosts.get(*host)
            {
                // The host first, as everywhere.
                let mut host = lock(host);
                let mut counts = lock(&self.counts);
                counts.known_asked += 1;
                counts.known_missed_first += 1;
                lock(&self.known_silent).insert(*number);
                host.list(observation);
            }
        }
    }

    /// Endpoints of the host that have their answer or their silence.
    pub(super) fn asked_of(&self, host: usize) -> u64 {
        self.hosts.get(host).map_or(0, |host| lock(host).asked.into())
    }

    /// An endpoint of the host has just opened, one of about so many of its that were asked: where so many of them open that
    /// nobody can be behind them all, the host is a trap. True where this shows it.
    pub(super) fn suspect(&self, host: usize, asked: u64) -> bool {
        let Some(row) = self.hosts.get(host).filter(|_| self.ports >= MANY_PORTS) else { return false };
        let mut row = lock(row);
        let (opens, closed) = (row.opens as u64, u64::from(row.answered).saturating_sub(row.opens as u64));
        let are_most = asked >= MANY_ASKED && opens >= MANY_OPEN && opens * 3 >= asked && closed * 4 <= opens;
        if !(are_most || row.answers_everything) || self.is_trap(host) {
            return false;
        }
        row.answers_everything = true;
        self.traps.set(host as u64, true);
        true
    }

    /// The refusal of an endpoint, which was just recorded, is doubted.
    pub(super) fn doubt(&self, host: usize, number: u64) {
        let Some(host) = self.hosts.get(host) else { return };
        let mut host = lock(host);
        if !self.refused.get(number) {
            self.refused.set(number, true);
            host.refused += 1;
        }
    }

    /// Endpoints whose refusal is worth being asked about for that time, from this number on, and the number to go on from; none
    /// when there is no more.
    pub(super) fn refused_worth_asking(&self, from: u64, attempt: u8) -> Option<(Vec<u64>, u64)> {
        let are_forged = self.were_forged.load(Relaxed);
        self.of_hosts(from, |host, begin, next, batch| {
            if host.is_worth_doubting(attempt, are_forged, self.few) {
                batch.extend(self.refused.within(begin, next));
            }
        })
    }

    /// Silent endpoints that pay being asked for that time, from this number on, and the number to go on from; none when there is no
    /// more. Beyond the `usual` times, only those that are doubted, or whose host answered to the time before.
    pub(super) fn silent_worth_asking(
        &self,
        from: u64,
        attempt: u8,
        usual: u8,
        is_doubted: impl Fn(u64) -> bool,
    ) -> Option<(Vec<u64>, u64)> {
        self.of_hosts(from, |host, begin, next, batch| {
            let pays = attempt <= usual.max(host.late.saturating_add(1));
            if host.is_worth_asking(self.few) {
                batch.extend(self.silent.within(begin, next).filter(|number| pays || is_doubted(*number)));
            } else {
                batch.extend(lock(&self.known_silent).range(begin..next).filter(|number| pays || is_doubted(**number)));
            }
        })
    }

    /// Whether all that a round's work was about is settled, one way or the other.
    pub(super) fn has_heard_all(&self, work: &Work) -> bool {
        match work {
            Work::All(_) => self.has_heard_everything(),
            Work::Some(numbers) => numbers.iter().all(|number| self.heard.get(*number)),
        }
    }

    pub(super) fn has_heard_any(&self) -> bool {
        lock(&self.counts).answered > 0
    }

    /// Gathers endpoints host by host, each given with the range of its numbers.
    fn of_hosts(&self, from: u64, gather: impl Fn(&Host, u64, u64, &mut Vec<u64>)) -> Option<(Vec<u64>, u64)> {
        let mut batch = Vec::new();
        let mut next = from;
        let first = usize::try_from(from / self.ports.max(1)).unwrap_or(usize::MAX);
        // Of a host that has not answered only what is known of it is ever asked again: in the dark there is nobody to look at.
        let in_the_dark = lock(&self.known_silent).is_empty();
        for (index, host) in self.hosts.iter().enumerate().skip(first) {
            if in_the_dark && !self.is_alive(index) {
                continue;
            }
            let begin = (index as u64 * self.ports).max(from);
            next = (index as u64 + 1) * self.ports;
            gather(&lock(host), begin, next, &mut batch);
            // A host's own endpoints are bounded by its ports.
            if batch.len() >= BATCH {
                break;
            }
        }
        (!batch.is_empty()).then_some((batch, next))
    }

    /// Endpoints our own shortages spoilt, from this number on, and the number to go on from; none when there is no more.
    pub(super) fn spoilt(&self, from: u64) -> Option<(Vec<u64>, u64)> {
        let batch: Vec<u64> = self.spoilt.within(from, u64::MAX).take(BATCH).collect();
        let next = batch.last()? + 1;
        Some((batch, next))
    }

    pub(super) fn outcome(&self, addresses: &[IpAddr]) -> SweepOutcome {
        let mut outcome = SweepOutcome { counts: *lock(&self.counts), ..SweepOutcome::default() };
        for (host, &ip) in self.hosts.iter().zip(addresses) {
            let host = lock(host);
            let complete = u64::from(host.asked) == self.ports && !host.answers_everything;
            if !complete {
                outcome.incomplete.push(ip);
            }
            let ports = host.ports();
            if !ports.is_empty() {
                let answers_everything = host.answers_everything;
                outcome.hosts.push(HostResult { ip, ports, complete, answers_everything });
            }
        }
        let total = self.hosts.len() as u64 * self.ports;
        let unanswered = total - outcome.counts.probes;
        outcome.counts.local_errors += self.spoilt.count();
        outcome.counts.not_probed = unanswered.saturating_sub(outcome.counts.local_errors);
        outcome
    }
}

/// Where an attempt is counted.
fn place(attempt: u8) -> usize {
    usize::from(attempt.max(1) - 1).min(MOST_ATTEMPTS - 1)
}

/// Nothing that holds one of these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
