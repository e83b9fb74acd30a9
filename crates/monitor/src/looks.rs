//! When the TLS of an endpoint was last looked at a second time: that is due once a day, not at every conversation.

use crate::index::Index;
use jiff::{SignedDuration, Timestamp};
use model::{Endpoint, ServiceName, ServiceObservation};
use probe::conversation::Earlier;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Endpoints remembered. Where there are more, the others are looked at when they are met and when their certificate changes.
const MOST: usize = 262_144;
/// After this a look is due again in any case.
const OLD: SignedDuration = SignedDuration::from_hours(24);

/// Shared by all passes and the confirmations. Not kept over a restart: after one, each endpoint is looked at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks(Arc<Mutex<HashMap<Endpoint, Timestamp>>>);

impl Looks {
    /// What is known of the TLS spoken at an endpoint, under a name or none. None where none is known to be.
    pub(crate) fn earlier(
        &self,
        index: &Index,
        endpoint: &Endpoint,
        name: Option<&ServiceName>,
        now: Timestamp,
    ) -> Option<Earlier> {
        let state = index.read().row(endpoint.ip)?.endpoint(endpoint.transport, endpoint.port)?;
        let tls = state.services.into_iter().find(|service| service.name.as_ref() == name)?.tls?;
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = all.get(endpoint).copied().or_else(|| (all.len() >= MOST).then_some(now));
        Some(Earlier {
            by_hand: Earlier::takes_a_hand(&tls.version, &tls.cipher),
            certificates: tls.certificate.into_iter().chain(tls.alternates.into_keys()).collect(),
            looked,
        })
    }

    /// Takes note of what a conversation brought.
    pub(crate) fn note(&self, seen: Option<&ServiceObservation>) {
        let Some(seen) = seen.filter(|seen| seen.name.is_none()) else { return };
        let posture = seen.tls.as_ref().and_then(|tls| tls.posture.as_ref());
        let Some(at) = posture.and_then(|posture| posture.at) else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&seen.endpoint) {
            all.retain(|_, then| at.duration_since(*then) < OLD);
        }
        if all.len() < MOST || all.contains_key(&seen.endpoint) {
            all.insert(seen.endpoint, at);
        }
    }
}
