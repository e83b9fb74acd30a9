//! What is asked, while it is asked. A slip that is dropped before its end was cut short: what had left has left.

use super::{Accounted, book::Kind};
use jiff::Timestamp;
use model::Endpoint;
use probe::{Asked, Round, SweepJob, SweepOutcome};
use scope::{
    Numbering, Permutation,
    ledger::{Entry, Mode, Order, Territory, Volley},
};
use std::sync::Arc;

/// A few questions at once.
pub(super) struct Few<'a> {
    network: &'a Accounted,
    began: Timestamp,
    mode: Mode,
    /// None once it is over.
    asked: Option<Vec<Endpoint>>,
}

impl<'a> Few<'a> {
    pub(super) fn begin(network: &'a Accounted, asked: &[Endpoint]) -> Self {
        let mode = network.mode(asked.iter().copied());
        Self { network, began: network.clock.now(), mode, asked: Some(asked.to_vec()) }
    }

    /// A conversation, which always goes through the kernel.
    pub(super) fn talk(network: &'a Accounted, with: Endpoint) -> Self {
        Self { network, began: network.clock.now(), mode: Mode::Connect, asked: Some(vec![with]) }
    }

    pub(super) fn end(mut self, left: impl IntoIterator<Item = Endpoint>) {
        self.asked = None;
        self.enter(left, false);
    }

    fn enter(&self, asked: impl IntoIterator<Item = Endpoint>, some: bool) {
        let kind =
            Kind { errand: self.network.errand.clone(), attempts: self.network.attempts(), mode: self.mode, some };
        self.network.book.gather(&kind, asked, self.began, self.network.clock.now());
    }
}

impl Drop for Few<'_> {
    fn drop(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        let scope = self.network.scope.load();
        let mine = asked.into_iter().filter(|endpoint| scope.authorize(*endpoint, self.began).is_ok());
        self.enter(mine, true);
    }
}

/// Many, one after the other.
pub(super) struct Many<'a> {
    network: &'a Accounted,
    /// None once it is over, and where there was nothing to ask.
    entry: Option<Entry>,
}

impl<'a> Many<'a> {
    pub(super) fn begin(network: &'a Accounted, asked: &[Endpoint]) -> Self {
        let now = network.clock.now();
        let (space, _) = network.scope.load().list_for(asked.iter().copied(), now);
        let mut entry = network.open(space.numbering(), Order::Ascending, network.attempts(), now);
        if let Some(entry) = &mut entry {
            entry.volley.mode = network.mode(asked.iter().copied());
        }
        Self { network, entry }
    }

    pub(super) fn end(mut self, left: usize) {
        let Some(mut entry) = self.entry.take() else { return };
        if left == 0 {
            entry.volley.indices = 0..0;
        }
        entry.volley.some = (left as u64) < entry.volley.indices.end;
        self.network.shut(entry);
    }
}

impl Drop for Many<'_> {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.volley.some = true;
        self.network.shut(entry);
    }
}

/// A sweep.
pub(super) struct Swept<'a> {
    network: &'a Accounted,
    numbering: Option<Numbering>,
    seed: u64,
    entry: Option<Entry>,
}

impl<'a> Swept<'a> {
    pub(super) fn begin(network: &'a Accounted, job: &SweepJob) -> Self {
        let now = network.clock.now();
        // As the sweep itself numbers them.
        let numbering = Numbering::product(&job.addresses, &job.tcp, &job.udp);
        let order = Order::Permuted(job.seed);
        let entry = numbering.as_ref().and_then(|numbering| network.open(numbering, order, (1, 1), now));
        Self { network, numbering, seed: job.seed, entry }
    }

    pub(super) fn end(mut self, outcome: &SweepOutcome) {
        for round in &outcome.knocks {
            if let Asked::Those(those) = &round.asked {
                let list = Numbering::list(those.iter().copied());
                let territory = Arc::new(Territory::of(&list));
                self.again_by(Mode::Knock, round, Order::Ascending, &list, territory, outcome.aborted);
            }
        }
        let (Some(mut entry), Some(numbering)) = (self.entry.take(), self.numbering.take()) else { return };
        let mut first: Option<(u64, Round)> = None;
        for round in &outcome.rounds {
            match &round.asked {
                Asked::First(count) => {
                    let (least, known) = first.get_or_insert_with(|| (*count, round.clone()));
                    *least = (*least).min(*count);
                    known.raw |= round.raw;
                    (known.began, known.ended) = (known.began.min(round.began), known.ended.max(round.ended));
                }
                Asked::Those(those) => {
                    let (list, order) = in_their_order(&numbering, self.seed, those);
                    self.again(round, order, &list, Arc::new(Territory::of(&list)), false);
                }
                Asked::Some(_) => {
                    self.again(round, Order::Permuted(self.seed), &numbering, Arc::clone(&entry.territory), true);
                }
            }
        }
        if let Some((count, round)) = first {
            entry.volley.indices = 0..count;
            entry.volley.mode = mode_of(&round);
            (entry.volley.began, entry.volley.ended) = (round.began, Some(round.ended));
            self.network.book.enter(entry, self.network.clock.now());
        } else {
            // One that does not say how far it came, or what it did in which round.
            entry.volley.some = outcome.aborted || !outcome.rounds.is_empty();
            self.network.shut(entry);
        }
    }

    fn again(&self, round: &Round, order: Order, numbering: &Numbering, territory: Arc<Territory>, some: bool) {
        self.again_by(mode_of(round), round, order, numbering, territory, some);
    }

    fn again_by(
        &self,
        mode: Mode,
        round: &Round,
        order: Order,
        numbering: &Numbering,
        territory: Arc<Territory>,
        some: bool,
    ) {
        let attempts = (round.attempt, round.attempt);
        let mut volley = self.network.volley(numbering.len(), order, attempts, round.began);
        (volley.some, volley.ended, volley.mode) = (some, Some(round.ended), mode);
        self.network.book.enter(Entry { volley, territory }, self.network.clock.now());
    }
}

impl Drop for Swept<'_> {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.volley.some = true;
        self.network.shut(entry);
    }
}

/// Endpoints of a sweep that were asked again, in the order of the sweep, each at its turn.
fn in_their_order(numbering: &Numbering, seed: u64, those: &[Endpoint]) -> (Numbering, Order) {
    let list = Numbering::list(those.iter().copied());
    let order = Permutation::new(numbering.len(), seed);
    let index = |endpoint: &Endpoint| numbering.number_of(endpoint).and_then(|number| order.index_of(number));
    let mut turns: Vec<(Option<u64>, u64)> =
        (0..list.len()).filter_map(|number| Some((index(&list.at(number)?), number))).collect();
    turns.sort_unstable();
    let mut moments = vec![0; turns.len()];
    let last = turns.len().saturating_sub(1).max(1);
    for (turn, (_, number)) in turns.iter().enumerate() {
        if let Some(moment) = usize::try_from(*number).ok().and_then(|number| moments.get_mut(number)) {
            *moment = u8::try_from(turn * 255 / last).unwrap_or(u8::MAX);
        }
    }
    (list, Order::Moments(moments.into()))
}

fn mode_of(round: &Round) -> Mode {
    if round.raw { Mode::Raw } else { Mode::Connect }
}

impl Accounted {
    /// How most of these are asked.
    fn mode(&self, endpoints: impl Iterator<Item = Endpoint>) -> Mode {
        let by_packets = |endpoint: &Endpoint| self.network.sends_packets_to(endpoint.ip);
        let (packets, others): (Vec<_>, Vec<_>) = endpoints.partition(by_packets);
        if packets.len() > others.len() { Mode::Raw } else { Mode::Connect }
    }

    /// Whoever stays silent is asked once more, and so is whoever refuses.
    fn attempts(&self) -> (u8, u8) {
        (self.attempt, self.attempt + 1)
    }

    fn volley(&self, len: u64, order: Order, attempts: (u8, u8), began: Timestamp) -> Volley {
        Volley {
            id: self.book.id(began),
            errand: self.errand.clone(),
            attempts,
            mode: Mode::Connect,
            source: None,
            order,
            indices: 0..len,
            some: false,
            began,
            ended: None,
        }
    }

    /// Enters what begins now: a daemon that is killed meanwhile has told of it. None where there is nothing to ask.
    fn open(&self, numbering: &Numbering, order: Order, attempts: (u8, u8), now: Timestamp) -> Option<Entry> {
        if numbering.is_empty() {
            return None;
        }
        let volley = self.volley(numbering.len(), order, attempts, now);
        let entry = Entry { volley, territory: Arc::new(Territory::of(numbering)) };
        self.book.enter(entry.clone(), now);
        Some(entry)
    }

    fn shut(&self, mut entry: Entry) {
        let now = self.clock.now();
        entry.volley.ended = Some(now);
        self.book.enter(entry, now);
    }
}
