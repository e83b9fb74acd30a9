//! An endpoint in eighty bytes, where nothing about it is out of the ordinary.

use super::{
    moment::Moment,
    pool::{Id, NONE},
    values::Values,
};
use crate::{EndpointState, PortStatus, ServiceState};
use model::{Service, Transport};
use std::sync::Arc;

const UDP: u8 = 1;
const CLOSED: u8 = 1 << 1;
const OPENING: u8 = 1 << 2;
const LEARNT: u8 = 1 << 3;
/// It has a service, asked under no name.
const ASKED: u8 = 1 << 4;
/// Some service on it is recognised.
const RECOGNISED: u8 = 1 << 5;
/// The slot does not hold all of it: it is kept in its working form among the host's [`super::extra::Extra`].
const RARE: u8 = 1 << 6;

#[derive(Debug, Clone)]
pub(super) struct Slot {
    first_seen: Moment,
    pub(super) last_seen: Moment,
    pub(super) changed_at: Moment,
    pub(super) last_observed: Moment,
    service_first_seen: Moment,
    /// Seen and observed.
    service_last_seen: Moment,
    service_changed_at: Moment,
    pub(super) reason: Id,
    service: Id,
    key: Id,
    tls: Id,
    port: u16,
    flags: u8,
    recovered: u8,
}

impl Slot {
    /// None where it does not fit; then nothing of it is among the values.
    pub(super) fn pack(state: &EndpointState, values: &mut Values) -> Option<Self> {
        if state.pending.is_some() {
            return None;
        }
        let mut slot = Self {
            first_seen: Moment::new(state.first_seen)?,
            last_seen: Moment::new(state.last_seen)?,
            changed_at: Moment::new(state.changed_at)?,
            last_observed: Moment::new(state.last_observed)?,
            recovered: state.recovered,
            ..Self::stub(state)
        };
        let service = match state.services.as_slice() {
            [] => None,
            [only] if is_plain(only) => Some(only),
            _ => return None,
        };
        if let Some(service) = service {
            slot.flags |= ASKED;
            slot.service_first_seen = Moment::new(service.first_seen)?;
            slot.service_last_seen = Moment::new(service.last_seen)?;
            slot.service_changed_at = Moment::new(service.changed_at)?;
        }
        // From here on every number taken is given back where one that follows cannot be had.
        slot.reason = values.text(&state.reason)?;
        if let Some(service) = service
            && slot.pack_service(service, values).is_none()
        {
            slot.release(values);
            return None;
        }
        Some(slot)
    }

    fn pack_service(&mut self, state: &ServiceState, values: &mut Values) -> Option<()> {
        if let Some(service) = &state.service {
            (self.service, self.key) = values.service_and_key(service)?;
        }
        if let Some(tls) = &state.tls {
            self.tls = values.tls(tls)?;
        }
        Some(())
    }

    /// Says where an endpoint is that is kept elsewhere, and what is asked of all endpoints at once.
    pub(super) fn rare(state: &EndpointState) -> Self {
        let mut slot = Self::stub(state);
        slot.flags |= RARE;
        slot
    }

    fn stub(state: &EndpointState) -> Self {
        let mut flags = match state.status {
            PortStatus::Open => 0,
            PortStatus::Closed => CLOSED,
            PortStatus::Opening => OPENING,
        };
        if state.transport == Transport::Udp {
            flags |= UDP;
        }
        if state.learnt {
            flags |= LEARNT;
        }
        if state.services.iter().any(|service| service.service.is_some()) {
            flags |= RECOGNISED;
        }
        Self {
            first_seen: Moment::default(),
            last_seen: Moment::default(),
            changed_at: Moment::default(),
            last_observed: Moment::default(),
            service_first_seen: Moment::default(),
            service_last_seen: Moment::default(),
            service_changed_at: Moment::default(),
            reason: NONE,
            service: NONE,
            key: NONE,
            tls: NONE,
            port: state.port,
            flags,
            recovered: 0,
        }
    }

    pub(super) fn unpack(&self, values: &Values) -> EndpointState {
        EndpointState {
            transport: self.transport(),
            port: self.port,
            status: self.status(),
            reason: values.text_of(self.reason).to_owned(),
            first_seen: self.first_seen.time(),
            last_seen: self.last_seen.time(),
            changed_at: self.changed_at.time(),
            last_observed: self.last_observed.time(),
            pending: None,
            recovered: self.recovered,
            learnt: self.flags & LEARNT != 0,
            services: self.unpack_service(values).into_iter().collect(),
        }
    }

    fn unpack_service(&self, values: &Values) -> Option<ServiceState> {
        (self.flags & ASKED != 0).then(|| ServiceState {
            name: None,
            learnt: false,
            service: self.service(values),
            tls: values.tls_of(self.tls).map(Box::new),
            first_seen: self.service_first_seen.time(),
            last_seen: self.service_last_seen.time(),
            changed_at: self.service_changed_at.time(),
            last_observed: self.service_last_seen.time(),
            pending_service: None,
            pending_certificate: None,
            pending_key: None,
            pending_trust: None,
        })
    }

    pub(super) fn release(&self, values: &mut Values) {
        values.release_text(self.reason);
        values.release_service(self.service);
        values.release_key(self.key);
        values.release_tls(self.tls);
    }

    pub(super) fn key(&self) -> (Transport, u16) {
        (self.transport(), self.port)
    }

    fn transport(&self) -> Transport {
        if self.flags & UDP == 0 { Transport::Tcp } else { Transport::Udp }
    }

    pub(super) fn status(&self) -> PortStatus {
        match self.flags & (CLOSED | OPENING) {
            0 => PortStatus::Open,
            CLOSED => PortStatus::Closed,
            _ => PortStatus::Opening,
        }
    }

    pub(super) fn is_rare(&self) -> bool {
        self.flags & RARE != 0
    }

    pub(super) fn is_recognised(&self) -> bool {
        self.flags & RECOGNISED != 0
    }

    /// An unsteady path: what an answer means there is the detector's to say.
    pub(super) fn is_unsteady(&self) -> bool {
        self.recovered > 0
    }

    pub(super) fn service(&self, values: &Values) -> Option<Arc<Service>> {
        values.service_of(self.service, self.key)
    }

    pub(super) fn has_tls(&self) -> bool {
        self.tls != NONE
    }

    /// When it was last asked who it is.
    pub(super) fn identified(&self) -> Option<Moment> {
        (self.flags & ASKED != 0).then_some(self.service_last_seen)
    }

    /// Whether nothing but times and the reason differs.
    pub(super) fn says_what(&self, before: &Self) -> bool {
        let what = |slot: &Self| (slot.port, slot.flags, slot.recovered, slot.service, slot.key, slot.tls);
        what(self) == what(before)
    }

    /// The latest time in it.
    pub(super) fn latest(&self) -> Moment {
        let endpoint = self.first_seen.max(self.last_seen).max(self.changed_at).max(self.last_observed);
        if self.flags & ASKED == 0 {
            return endpoint;
        }
        endpoint.max(self.service_first_seen).max(self.service_last_seen).max(self.service_changed_at)
    }
}

/// Whether a slot can hold it.
fn is_plain(state: &ServiceState) -> bool {
    state.name.is_none()
        && !state.learnt
        && state.last_observed == state.last_seen
        && state.pending_service.is_none()
        && state.pending_certificate.is_none()
        && state.pending_key.is_none()
        && state.pending_trust.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_small() {
        assert_eq!(size_of::<Slot>(), 80);
    }
}
