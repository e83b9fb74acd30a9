//! A clock that was set back. What was remembered under the wrong time would look newer than anything seen from now on, and
//! nothing would count until the clock has caught up.

use crate::{HostState, Pending, confirm};
use jiff::{SignedDuration, Timestamp};
use model::HostSlice;
use std::time::Duration;

/// Clocks are corrected by so much all the time; waiting it out does no harm.
const USUAL: Duration = Duration::from_mins(1);

impl HostState {
    /// Moves what lies in the future to just before the slice.
    pub(crate) fn bring_back(&mut self, slice: &HostSlice, now: Timestamp) {
        let limit = confirm::after(now, USUAL);
        let seen = slice.ports.iter().map(|seen| seen.at).chain(slice.services.iter().map(|seen| seen.at));
        let shown = slice.presence.map(|presence| presence.at);
        let first = seen.chain(shown).chain([slice.at]).min().unwrap_or(slice.at);
        let before = first.checked_sub(SignedDuration::from_millis(1)).unwrap_or(first);
        if before > limit {
            return;
        }
        let back = |time: &mut Timestamp| {
            if *time > limit {
                *time = before;
            }
        };
        let pending_back = |pending: &mut Pending| {
            if pending.since > limit || pending.last > limit {
                pending.due = now;
            }
            back(&mut pending.since);
            back(&mut pending.last);
        };
        let changes = self.flaps.iter_mut().flat_map(|flap| &mut flap.changes);
        let times = [&mut self.first_seen, &mut self.last_seen].into_iter();
        for time in times.chain(&mut self.lost_since).chain(&mut self.blocked_since).chain(changes) {
            back(time);
        }
        self.misses.iter_mut().for_each(pending_back);
        self.named_at.values_mut().for_each(back);
        for turn in self.name_turns.iter_mut().flat_map(|turns| turns.by_source.values_mut()) {
            turn.recent.values_mut().for_each(back);
            turn.pending.iter_mut().for_each(|pending| pending_back(&mut pending.evidence));
        }
        if let Some(signs) = &mut self.turnover {
            let times = [&mut signs.mac, &mut signs.key, &mut signs.os, &mut signs.products, &mut signs.told];
            times.into_iter().flatten().for_each(back);
        }
        self.identities.iter_mut().flat_map(|held| [&mut held.since, &mut held.last]).for_each(back);
        self.findings.iter_mut().flat_map(|found| [&mut found.since, &mut found.last_seen]).for_each(back);
        self.pending_os.iter_mut().for_each(|pending| pending_back(&mut pending.evidence));
        for endpoint in &mut self.endpoints {
            let times = [
                &mut endpoint.first_seen,
                &mut endpoint.last_seen,
                &mut endpoint.changed_at,
                &mut endpoint.last_observed,
            ];
            times.into_iter().for_each(back);
            endpoint.pending.iter_mut().for_each(pending_back);
            for service in &mut endpoint.services {
                let times = [
                    &mut service.first_seen,
                    &mut service.last_seen,
                    &mut service.changed_at,
                    &mut service.last_observed,
                ];
                times.into_iter().for_each(back);
                service.tls.iter_mut().flat_map(|tls| tls.alternates.values_mut()).for_each(back);
                if let Some(pending) = &mut service.pending_service {
                    pending_back(&mut pending.evidence);
                    pending.turns.iter_mut().for_each(|turn| back(&mut turn.last));
                }
                service.pending_certificate.iter_mut().for_each(|pending| pending_back(&mut pending.evidence));
                service.pending_key.iter_mut().for_each(|pending| pending_back(&mut pending.evidence));
                service.pending_trust.iter_mut().for_each(|pending| pending_back(&mut pending.evidence));
            }
        }
    }
}
