//! Hosts that show themselves otherwise than by a port: by ICMP, or by answering for their address on a link.
//!
//! Such a sign keeps a host alive whose ports have all fallen silent; they close as those of a living host do. A host of which there is
//! nothing but signs is believed in after [`SIGNS`]: two, a minute apart at least, without a silence between them. Where nobody was
//! there when the address was asked before, that is `HOST_FOUND`; else it is learnt, as what is open at the first look is. A host
//! that was lost is called back by signs on the same terms.

use crate::{Pending, apply::Plan, confirm, event};
use jiff::Timestamp;
use model::{ConfirmRule, Sign};
use std::time::Duration;

/// What it takes to believe in a host that shows itself by signs alone.
const SIGNS: ConfirmRule = ConfirmRule { passes: 2, at_least: Duration::from_mins(1) };

impl Plan<'_> {
    /// The sign of life in this slice, with when it came.
    pub(crate) fn sign(&self) -> Option<(Timestamp, Sign)> {
        let presence = self.slice.presence?;
        presence.sign.map(|sign| (presence.at, sign))
    }

    fn is_silent(&self) -> bool {
        self.slice.presence.is_some_and(|presence| presence.is_silent())
    }

    /// Gathers the signs of a host that is not up, in `misses`, with nothing in `answered_by`; tells whether they are enough to believe
    /// that it lives.
    pub(crate) fn shows_itself_surely(&mut self) -> bool {
        let Some((at, sign)) = self.sign().filter(|(_, sign)| sign.finds()) else { return false };
        let gathered = self.host.misses.take().filter(|_| self.host.answered_by.is_none());
        // Refusals that gathered before are outdone: they would have taken longer.
        self.host.answered_by = None;
        let mut pending = match gathered {
            Some(mut pending) => {
                if confirm::between(pending.last, at) >= SIGNS.at_least && pending.last_pass != self.slice.pass.id {
                    pending.add(at, &self.slice.pass, sign.as_str());
                }
                pending
            }
            None => Pending::begin(at, &self.slice.pass, sign.as_str(), self.now),
        };
        pending.schedule(&SIGNS, self.now);
        let is_sure = pending.satisfies(&SIGNS);
        self.host.misses = Some(pending);
        is_sure
    }

    /// Nobody shows himself any more: what gathered for a host that is not up is taken back.
    pub(crate) fn forget_signs(&mut self) {
        if self.is_silent() && self.host.answered_by.is_none() && !self.host.up {
            self.host.misses = None;
        }
    }

    /// A host is there that nothing is known of but its signs.
    pub(crate) fn find_unseen(&mut self) {
        let Some(signs) = self.host.misses.take() else { return };
        if self.inventory.is_absent(self.slice.ip) {
            let (reason, evidence) = (signs.told(), event::gathered(&signs));
            self.found(reason, evidence);
        } else {
            self.host.up = true;
        }
    }

    /// Of a host without ports only this shows that it is gone.
    pub(crate) fn is_unseen_and_silent(&self) -> bool {
        self.is_silent() && self.endpoints.is_empty() && self.host.answered_by.is_none()
    }
}
