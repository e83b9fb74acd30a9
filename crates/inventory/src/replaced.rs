//! Another machine at the same address. A new MAC alone is a failover, a new host key alone a key roll, a new operating
//! system alone an upgrade; two of them within a day are another machine, which nobody has approved yet.

use crate::{IdentityKey, apply::Plan, confirm, event};
use jiff::Timestamp;
use model::{Event, EventType, PartOf};
use std::time::Duration;

/// What changes within this time changes together.
pub(crate) const TOGETHER: Duration = Duration::from_hours(24);

impl Plan<'_> {
    /// `HOST_REPLACED` in front of the events of this slice that it explains.
    pub(crate) fn judge_replacement(&mut self, events: &mut Vec<Event>) {
        if !self.anything_answered() {
            return;
        }
        let at = self.slice.at;
        self.note_other_signs(events, at);
        let Some(signs) = &mut self.host.turnover else { return };
        let young = |time: &Timestamp| confirm::between(*time, at) <= TOGETHER;
        let told = signs.told.filter(young);
        for sign in
            [&mut signs.mac, &mut signs.key, &mut signs.other_key, &mut signs.os, &mut signs.products, &mut signs.told]
        {
            *sign = sign.filter(young);
        }
        // An upgrade brings other software and may bring one more key. Another address or another kind of system it does not.
        let is_elsewhere = signs.mac.is_some() || signs.os.is_some();
        let other_key = signs.other_key.filter(|_| signs.key.is_none() && is_elsewhere);
        let named = [
            (signs.mac, "the MAC address"),
            (signs.key, "the SSH host key"),
            (other_key, "the algorithm of the SSH host key"),
            (signs.os, "the operating system"),
            (signs.products, "the software"),
        ];
        let changed: Vec<(Timestamp, &str)> = named.into_iter().filter_map(|(at, what)| Some((at?, what))).collect();
        let is_machine = signs.mac.is_some() || signs.key.is_some() || other_key.is_some();
        if changed.is_empty() && told.is_none() && signs.other_key.is_none() {
            self.host.turnover = None;
            return;
        }
        if told.is_some() || !is_machine || changed.len() < 2 {
            return;
        }
        **signs = crate::Turnover { told: Some(at), ..crate::Turnover::default() };
        let mut event = Event::new(EventType::HostReplaced, self.now, &self.inventory.vantage, &self.slice.ip);
        let words: Vec<&str> = changed.iter().map(|(_, what)| *what).collect();
        let list =
            words.split_last().map_or_else(String::new, |(last, rest)| format!("{} and {last}", rest.join(", ")));
        event.reason = Some(format!("another machine: {list} changed"));
        event.evidence = changed.iter().map(|(at, what)| event::evidence(*at, &format!("{what} changed"))).collect();
        event.first_seen = Some(self.host.first_seen);
        event.last_seen = Some(self.host.last_seen);
        (event.old, event.new) = self.old_and_new();
        let part_of = Some(PartOf { id: event.id, kind: event.kind });
        for other in events.iter_mut() {
            if matches!(other.kind, EventType::HostkeyChanged | EventType::HostUpdated) {
                other.part_of = part_of;
            }
        }
        self.host.approved = None;
        let place = events.iter().take_while(|event| event.kind == EventType::HostUp).count();
        events.insert(place, event);
    }

    fn note_other_signs(&mut self, events: &[Event], at: Timestamp) {
        let products =
            events.iter().any(|event| matches!(event.kind, EventType::SoftwareAdded | EventType::SoftwareRemoved));
        let other_family = |old: &model::Os, new: &model::Os| !old.family.eq_ignore_ascii_case(&new.family);
        let before = self.before.and_then(|host| host.os.as_ref());
        let now_another = before.zip(self.host.os.as_ref()).is_some_and(|(old, new)| other_family(old, new))
            && events.iter().any(|event| event.kind == EventType::HostUpdated);
        let told = self.host.turnover.as_ref().and_then(|signs| signs.told);
        // As of when that was seen last: a doubt that nobody has met again for a day is no sign of today's, nor is one that
        // was told already.
        let soon_another = self
            .host
            .os
            .as_ref()
            .zip(self.host.pending_os.as_ref())
            .filter(|(old, pending)| pending.evidence.count >= 2 && other_family(old, &pending.os))
            .map(|(_, pending)| pending.evidence.last)
            .filter(|last| told.is_none_or(|told| told < *last));
        let is_new = self.before.is_none_or(crate::HostState::is_provisional);
        if is_new || !(products || now_another || soon_another.is_some()) {
            return;
        }
        let signs = self.host.turnover.get_or_insert_default();
        if products {
            signs.products = Some(at);
        }
        if now_another {
            signs.os = Some(at);
        } else if signs.os.is_none() {
            signs.os = soon_another;
        }
    }

    /// The keys it was known by, and those it is known by now.
    fn old_and_new(&self) -> (Option<String>, Option<String>) {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for held in &self.host.identities {
            let is_ssh = matches!(held.key, IdentityKey::Ssh(_));
            let superseded = self
                .host
                .identities
                .iter()
                .any(|other| matches!(other.key, IdentityKey::Ssh(_)) == is_ssh && other.since > held.last);
            if superseded { &mut old } else { &mut new }.push(held.key.shown());
        }
        let text = |keys: &[String]| (!keys.is_empty()).then(|| keys.join(", "));
        (text(&old), text(&new))
    }
}
