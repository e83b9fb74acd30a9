//! Which packets are next.

use super::{Active, CANARIES, MOST_DEFERRED, PACKETS_OF_A_CANARY, Packet, Running};
use crate::dialer::{Pace, spread};
use crate::raw::{Target, exit::Owner};
use model::Endpoint;
use scope::InScope;
use std::{cmp::Ordering, sync::atomic::Ordering::Relaxed};
use tokio::time::Instant;
use wire::Tag;

/// A packet whose host has its turn then, or is to be looked at again; those of one moment in the order they came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deferred {
    pub(super) due: u64,
    sequence: u64,
    pub(super) packet: Packet,
}

/// The earliest is the greatest, as a heap wants it.
impl Ord for Deferred {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}

impl PartialOrd for Deferred {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Deferred {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Deferred {}

impl Running {
    /// Whoever comes first, so many at most: those whose wait is over, canaries, volleys by turns.
    pub(super) fn pick(&mut self, now: u64, most: usize, picked: &mut Vec<Packet>) {
        let begin = picked.len();
        let mut canary = None;
        self.pick_in_turn(now, most, picked, &mut canary);
        // Whoever limits packets lets the first of every burst through: canaries would never see it there.
        if let Some(place) = canary {
            let span = (picked.len() - begin) as u64;
            let by_chance = usize::try_from(spread(self.sequence) % span.max(1)).unwrap_or_default();
            picked.swap(place, begin + by_chance);
        }
    }

    /// The last canary's place, if there is one, is left in `canary`.
    fn pick_in_turn(&mut self, now: u64, most: usize, picked: &mut Vec<Packet>, canary: &mut Option<usize>) {
        while picked.len() < most {
            if let Some(held) = self.held.pop_front() {
                if self.is_wanted(held.owner) {
                    self.note_late(&held);
                    picked.push(held);
                }
                continue;
            }
            if let Some(first) = self.deferred.peek()
                && first.due <= now
            {
                let packet = first.packet;
                self.deferred.pop();
                self.note_deferred(packet.owner, false);
                if self.is_wanted(packet.owner) {
                    self.note_late(&packet);
                    picked.push(packet);
                }
                continue;
            }
            // Each of them may have to wait for its host.
            let room = MOST_DEFERRED.saturating_sub(self.deferred.len()).min(most - picked.len());
            if room == 0 {
                return;
            }
            if canary.is_none() && self.canary_credit >= 1.0 {
                self.canary_credit -= 1.0;
                if let Some(endpoint) = self.canary() {
                    #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
                    let tag = Tag::new(CANARIES, self.sequence as u8);
                    self.sequence += 1;
                    let (owner, picked_at) = (Owner::Canary, Instant::now());
                    picked.push(Packet { endpoint, owner, tag, knock: None, is_due: false, picked_at });
                    *canary = Some(picked.len() - 1);
                    continue;
                }
            }
            if !self.pick_of_a_volley(room, picked) {
                return;
            }
        }
    }

    fn canary(&self) -> Option<InScope<Endpoint>> {
        let endpoint = self.it.shared.canaries.next().filter(|it| !self.it.shared.asides.spares(it.ip))?;
        self.it.scope.load().authorize(endpoint, self.it.clock.now()).ok()
    }

    /// From the first volley whose turn it is and that has any; false where none has.
    fn pick_of_a_volley(&mut self, most: usize, picked: &mut Vec<Packet>) -> bool {
        for _ in 0..self.active.len() {
            self.next = (self.next + 1) % self.active.len();
            let Active { volley, turns, is_exhausted, stretch, .. } = &mut self.active[self.next];
            if *is_exhausted || volley.cancelled.load(Relaxed) {
                continue;
            }
            let (before, tag) = (picked.len(), Tag::new(volley.slot, volley.attempt));
            let picked_at = Instant::now();
            while picked.len() - before < most && volley.pace.as_ref().is_none_or(Pace::take) {
                let Some(Target { number, endpoint }) = volley.order.next() else {
                    *is_exhausted = true;
                    break;
                };
                let owner = Owner::Volley { id: volley.id, number };
                picked.push(Packet { endpoint, owner, tag, knock: volley.knock, is_due: false, picked_at });
            }
            if picked.len() == before {
                continue;
            }
            stretch.get_or_insert((*turns, picked_at));
            *turns = volley.order.position();
            #[expect(clippy::cast_precision_loss, reason = "at most a batch")]
            let count = (picked.len() - before) as f64;
            self.canary_credit += count / PACKETS_OF_A_CANARY;
            return true;
        }
        false
    }

    /// It had to wait and leaves now, or soon: what is lost from now on may be its answer.
    fn note_late(&mut self, packet: &Packet) {
        if let Owner::Volley { id, .. } = packet.owner
            && let Some(active) = self.active.iter_mut().find(|active| active.volley.id == id)
        {
            active.report.extend(packet.picked_at, Instant::now());
        }
    }

    /// Whether a question that had to wait is still to be sent.
    pub(super) fn is_wanted(&self, owner: Owner) -> bool {
        let Owner::Volley { id, number } = owner else { return true };
        let volley = self.active.iter().find(|active| active.volley.id == id).map(|active| &active.volley);
        volley.is_some_and(|volley| !volley.cancelled.load(Relaxed) && volley.sink.wants(number))
    }

    pub(super) fn defer(&mut self, packet: Packet, due: u64) {
        self.sequence += 1;
        self.note_deferred(packet.owner, true);
        self.deferred.push(Deferred { due, sequence: self.sequence, packet });
    }

    pub(super) fn note_deferred(&mut self, owner: Owner, is_deferred: bool) {
        if let Owner::Volley { id, .. } = owner
            && let Some(active) = self.active.iter_mut().find(|active| active.volley.id == id)
        {
            active.deferred = if is_deferred { active.deferred + 1 } else { active.deferred.saturating_sub(1) };
        }
    }
}
