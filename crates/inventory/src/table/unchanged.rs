//! Most of what is seen is what is known. A slice that says nothing else only moves times on, and that is done in place.

use super::{Table, extra::Rare, moment::Moment, record::Record, values::Values};
use crate::{IdentityKey, PortStatus, confirm, identity::Holders};
use jiff::Timestamp;
use model::{HostPolicy, HostSlice, Outcome, PortObservation};
use std::time::Duration;

/// What one observation repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeated {
    /// An open endpoint is open, a closed one is not.
    Endpoint(usize),
    /// The one that refused, refuses.
    Refusal,
}

impl Table {
    /// See [`crate::Inventory::note_unchanged`].
    pub(crate) fn note_unchanged(
        &mut self,
        slice: &HostSlice,
        policy: &HostPolicy,
        now: Timestamp,
        holders: &Holders,
    ) -> bool {
        let says_more = !slice.services.is_empty() || !slice.audits.is_empty() || !slice.names.is_empty();
        if says_more || policy.pool.is_some() || slice.vantage != self.vantage {
            return false;
        }
        let Self { chunks, values, .. } = self;
        chunks.touch(&slice.ip, |record| {
            if !record.repeats(slice, policy, now, values) || !record.repeats_mac(slice, holders) {
                return false;
            }
            record.move_on(slice, values);
            true
        })
    }
}

impl Record {
    /// Whether the slice tells nothing but what is known.
    fn repeats(&self, slice: &HostSlice, policy: &HostPolicy, now: Timestamp, values: &Values) -> bool {
        if !self.is_up()
            || !self.is_settled()
            || !self.is_met()
            || !self.agrees(policy, values)
            || !self.is_of_the_past(now)
        {
            return false;
        }
        // A silence may be the beginning of its end.
        if slice.presence.is_some_and(|presence| presence.is_silent() || Moment::new(presence.at).is_none()) {
            return false;
        }
        let mut answers = slice.presence.is_some();
        for seen in &slice.ports {
            if seen.endpoint.ip != slice.ip || Moment::new(seen.at).is_none() || self.repeated(seen).is_none() {
                return false;
            }
            answers |= seen.outcome.is_answer();
        }
        answers
    }

    /// The link-layer address is the only one the host ever had, and nobody else has it; or it names no machine.
    fn repeats_mac(&self, slice: &HostSlice, holders: &Holders) -> bool {
        let Some(mac) = slice.mac.filter(|mac| mac.names_a_machine()) else { return true };
        let mut known = self.identities.iter().filter_map(super::extra::PackedIdentity::mac);
        known.next() == Some(mac)
            && known.next().is_none()
            && Moment::new(slice.at).is_some()
            && holders.of(&IdentityKey::Mac(mac)).eq([slice.ip])
    }

    fn repeated(&self, seen: &PortObservation) -> Option<Repeated> {
        let key = (seen.endpoint.transport, seen.endpoint.port);
        let answered_by = self.answered_by();
        match (self.place(key.0, key.1), seen.outcome) {
            (None, Outcome::Closed(_)) if answered_by == Some(key) => Some(Repeated::Refusal),
            (Some(place), outcome) => {
                let slot = self.slots.get(place)?;
                let same = match slot.status() {
                    PortStatus::Open => outcome.is_open(),
                    // Where nothing shows that the host lives, a refusal would from now on.
                    PortStatus::Closed => match outcome {
                        Outcome::Closed(_) => answered_by.is_some(),
                        Outcome::Silent | Outcome::Filtered(_) => answered_by != Some(key),
                        _ => false,
                    },
                    PortStatus::Opening => false,
                };
                let stale = answered_by == Some(key) && slot.status() != PortStatus::Closed;
                (same && !slot.is_unsteady() && !stale).then_some(Repeated::Endpoint(place))
            }
            _ => None,
        }
    }

    /// Whether the configuration says of it what it said before.
    fn agrees(&self, policy: &HostPolicy, values: &Values) -> bool {
        values.words_of(self.words).is_some_and(|words| {
            words.value == policy.value && words.assets == policy.assets && words.tags == policy.tags
        })
    }

    /// Whether none of its times lies in the future: those of a clock that was set back have to be corrected.
    fn is_of_the_past(&self, now: Timestamp) -> bool {
        let limit = confirm::after(now, Duration::from_mins(1));
        let Some(latest) = Moment::new(limit) else { return false };
        let own = self.first_seen.max(self.last_seen);
        let slots = self.slots.iter().map(super::slot::Slot::latest);
        let identities = self.identities.iter().map(super::extra::PackedIdentity::latest);
        let rare = self.extra.iter().flat_map(|extra| extra.endpoints.iter().map(|(_, rare)| rare.latest()));
        let named = self.names.iter().filter_map(|names| names.latest());
        slots.chain(identities).all(|time| time <= latest)
            && own <= latest
            && rare.chain(named).all(|time| time <= limit)
    }

    fn move_on(&mut self, slice: &HostSlice, values: &mut Values) {
        let met = self.identities.iter_mut().find(|held| held.mac().is_some() && held.mac() == slice.mac);
        if let (Some(held), Some(at)) = (met, Moment::new(slice.at)) {
            held.meet(at);
        }
        if let Some(at) = slice.presence.and_then(|presence| Moment::new(presence.at)) {
            self.last_seen = self.last_seen.max(at);
        }
        for seen in &slice.ports {
            let Some(at) = Moment::new(seen.at) else { continue };
            if seen.outcome.is_answer() {
                self.last_seen = self.last_seen.max(at);
            }
            let Some(Repeated::Endpoint(place)) = self.repeated(seen) else { continue };
            if let Some(rare) = self.extra.as_mut().and_then(|extra| extra.rare_mut(place)) {
                rare.move_on(seen);
                continue;
            }
            let Some(slot) = self.slots.get_mut(place).filter(|slot| at > slot.last_observed) else { continue };
            slot.last_observed = at;
            if seen.outcome.is_open() {
                slot.last_seen = at;
                let reason = seen.outcome.as_str();
                if values.text_of(slot.reason) != reason
                    && let Some(id) = values.text(reason)
                {
                    values.release_text(slot.reason);
                    slot.reason = id;
                }
            }
        }
    }
}

impl Rare {
    fn move_on(&mut self, seen: &PortObservation) {
        let state = &mut self.state;
        if seen.at <= state.last_observed {
            return;
        }
        state.last_observed = seen.at;
        if seen.outcome.is_open() {
            state.last_seen = seen.at;
            seen.outcome.as_str().clone_into(&mut state.reason);
        }
    }
}
