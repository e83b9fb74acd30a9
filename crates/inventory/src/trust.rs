//! Whether anybody vouches for the certificate in force. It can stay while that goes: a server is set up without what stands between it
//! and a root, or its authority revokes it.
//!
//! Machines behind one address may have the same certificate and send another chain. So what holds is believed until it was absent as
//! often in a row as another certificate has to be shown ([`turns::rule_for`]), either way; that it is lost is told. Where the roots
//! themselves are others than before (an update, another configuration), nothing has changed at the server: the next handshake is
//! gone by in silence.

use crate::{
    EndpointState, Pending, PendingTrust, ServiceState, apply::Plan, certificate::Leaf, confirm, event, turns,
};
use model::{Event, Verdict};

impl Plan<'_> {
    /// Of a handshake with the certificate in force. Gives the verdicts to go by where its own are not believed yet. `SSL_CHANGED`
    /// once they are, and nobody vouches for it any more.
    pub(crate) fn settle_trust(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        leaf: Leaf<'_>,
        told: &mut Vec<Event>,
    ) -> Option<Vec<Verdict>> {
        let tls = state.tls.as_deref()?;
        let (known, seen) = (distrust(&tls.verdicts), distrust(leaf.verdicts));
        if known.is_some() == seen.is_some() || self.is_first_by_these_roots(endpoint, state) {
            let is_forgotten = |pending: &mut Box<PendingTrust>| {
                pending.wavers = true;
                pending.evidence.count = 0;
                confirm::between(pending.evidence.last, leaf.at) >= turns::FORSAKEN.at_least
            };
            state.pending_trust.take_if(is_forgotten);
            return None;
        }
        let text = seen.map_or("verifies again", Verdict::as_str);
        let pass = &self.slice.pass;
        let begun = Pending::begin(leaf.at, pass, text, self.now);
        let mut pending = match state.pending_trust.take() {
            None => Box::new(PendingTrust { evidence: begun, wavers: false }),
            Some(before) if before.evidence.count == 0 => {
                let wavers = confirm::between(before.evidence.last, leaf.at) < turns::FORSAKEN.at_least;
                Box::new(PendingTrust { evidence: begun, wavers })
            }
            Some(mut before) => {
                before.evidence.add(leaf.at, pass, text);
                before
            }
        };
        let rule =
            turns::rule_for(self.policy.confirm.certificate_changed, self.policy.identify, state.changed_at, leaf.at);
        if !pending.evidence.satisfies(&rule) {
            pending.evidence.schedule(&rule, self.now);
            if pending.wavers {
                // Who sends now this and now that is asked no more often for it.
                pending.evidence.due = pending.evidence.due.max(confirm::after(self.now, self.policy.identify));
            }
            state.pending_trust = Some(pending);
            let others = leaf.verdicts.iter().copied().filter(|verdict| !is_distrust(*verdict));
            let mut verdicts: Vec<_> =
                others.chain(tls.verdicts.iter().copied().filter(|verdict| is_distrust(*verdict))).collect();
            verdicts.sort_unstable();
            return Some(verdicts);
        }
        match seen {
            Some(verdict) => told.extend(self.lost_trust(endpoint, state, leaf, verdict, &pending.evidence)),
            // Should it be lost again, that is news.
            None => self.forget_replacement(leaf.certificate.sha256),
        }
        None
    }

    fn lost_trust(
        &mut self,
        endpoint: &EndpointState,
        state: &ServiceState,
        leaf: Leaf<'_>,
        verdict: Verdict,
        evidence: &Pending,
    ) -> Option<Event> {
        let known = self.known(&leaf.certificate.sha256)?;
        let mut event = self.changed_leaf(endpoint, state, Some(&known), Some(verdict), leaf);
        event.reason = Some(format!("the same certificate, but nobody vouches for it any more: {}", evidence.told()));
        event.evidence.extend(event::gathered(evidence));
        Some(event)
    }

    /// Whether the last conversation with it went by other roots.
    fn is_first_by_these_roots(&self, endpoint: &EndpointState, state: &ServiceState) -> bool {
        let Some(since) = self.policy.roots_since else { return false };
        let before = self.before.and_then(|host| host.endpoint(endpoint.transport, endpoint.port));
        let before = before.into_iter().flat_map(|endpoint| &endpoint.services).find(|one| one.name == state.name);
        before.is_some_and(|before| before.last_observed < since)
    }
}

/// The first reason of those for which nobody trusts a certificate.
pub(crate) fn distrust(verdicts: &[Verdict]) -> Option<Verdict> {
    verdicts.iter().copied().find(|verdict| is_distrust(*verdict))
}

fn is_distrust(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::SelfSigned | Verdict::UntrustedRoot | Verdict::IncompleteChain | Verdict::Revoked)
}
