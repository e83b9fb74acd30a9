//! What few hosts have, in its working form.

use super::{
    moment::Moment,
    pool::{Id, NONE},
    values::Values,
};
use crate::{
    EndpointState, Flap, HostFinding, HostState, Identity, IdentityKey, NameTurns, Pending, PendingOs, ServiceState,
    Turnover,
};
use jiff::Timestamp;
use model::{Mac, NameSource, PartOf, Vantage};
use std::collections::{BTreeMap, BTreeSet};

/// The rare parts of a host. Most hosts have none of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    /// Endpoints that do not fit their slots, by their place among all.
    pub(super) endpoints: Vec<(u32, Rare)>,
    pub(super) misses: Option<Pending>,
    pub(super) pending_os: Option<Box<PendingOs>>,
    pub(super) name_turns: Option<Box<NameTurns>>,
    pub(super) turnover: Option<Box<Turnover>>,
    pub(super) found: Option<PartOf>,
    pub(super) flaps: Vec<Flap>,
    pub(super) findings: Vec<HostFinding>,
    pub(super) blocked_since: Option<Timestamp>,
    /// Where one of them does not fit.
    pub(super) identities: Vec<Identity>,
    pub(super) times: Option<Box<Times>>,
    /// Where it is not the table's.
    pub(super) vantage: Option<Vantage>,
}

/// Those of a host of which one does not fit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Times {
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
    pub(super) lost_since: Option<Timestamp>,
}

/// An endpoint in its working form. Its services are shared all the same.
#[derive(Debug, Clone)]
pub(super) struct Rare {
    pub(super) state: EndpointState,
    services: Box<[Id]>,
}

impl Extra {
    pub(super) fn is_empty(&self) -> bool {
        let Self { endpoints, misses, pending_os, name_turns, turnover, .. } = self;
        let Self { found, flaps, findings, blocked_since, identities, times, vantage, .. } = self;
        endpoints.is_empty()
            && misses.is_none()
            && pending_os.is_none()
            && name_turns.is_none()
            && turnover.is_none()
            && found.is_none()
            && flaps.is_empty()
            && findings.is_empty()
            && blocked_since.is_none()
            && identities.is_empty()
            && times.is_none()
            && vantage.is_none()
    }

    /// Nothing is doubted, awaited or damped: what is seen again as it is known means nothing more than that.
    pub(super) fn is_settled(&self) -> bool {
        self.misses.is_none()
            && self.pending_os.is_none()
            && self.name_turns.is_none()
            && self.turnover.is_none()
            && self.found.is_none()
            && self.flaps.is_empty()
            && self.findings.is_empty()
            && self.blocked_since.is_none()
            && self.times.is_none()
            && self.vantage.is_none()
            && self.identities.is_empty()
            && self.endpoints.iter().all(|(_, rare)| rare.is_settled())
    }

    pub(super) fn rare(&self, place: usize) -> Option<&Rare> {
        let place = u32::try_from(place).ok()?;
        let index = self.endpoints.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.endpoints.get(index).map(|(_, rare)| rare)
    }

    pub(super) fn rare_mut(&mut self, place: usize) -> Option<&mut Rare> {
        let place = u32::try_from(place).ok()?;
        let index = self.endpoints.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.endpoints.get_mut(index).map(|(_, rare)| rare)
    }

    pub(super) fn release(&self, values: &mut Values) {
        for (_, rare) in &self.endpoints {
            for &id in &rare.services {
                values.release_service(id);
            }
        }
    }
}

impl Rare {
    pub(super) fn new(state: &EndpointState, values: &mut Values) -> Self {
        let mut state = state.clone();
        let mut ids = Vec::new();
        for service in state.services.iter_mut().filter_map(|service| service.service.as_mut()) {
            if let Some(id) = values.service(service) {
                ids.push(id);
                if let Some(shared) = values.service_of(id, NONE) {
                    *service = shared;
                }
            }
        }
        Self { state, services: ids.into() }
    }

    fn is_settled(&self) -> bool {
        let settled = |service: &ServiceState| {
            service.pending_service.is_none()
                && service.pending_certificate.is_none()
                && service.pending_key.is_none()
                && service.pending_trust.is_none()
        };
        self.state.pending.is_none() && self.state.recovered == 0 && self.state.services.iter().all(settled)
    }

    /// The latest time in it; of what gathers against it nothing is looked at.
    pub(super) fn latest(&self) -> Timestamp {
        let state = &self.state;
        let own = [state.first_seen, state.last_seen, state.changed_at, state.last_observed];
        let services = state.services.iter().flat_map(|service| {
            let alternates = service.tls.iter().flat_map(|tls| tls.alternates.values().copied());
            [service.first_seen, service.last_seen, service.changed_at, service.last_observed]
                .into_iter()
                .chain(alternates)
        });
        own.into_iter().chain(services).max().unwrap_or(state.last_seen)
    }
}

type Texts = Box<[Box<str>]>;

/// A host's names, and when each source last gave them.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    names: Box<[(NameSource, Texts)]>,
    at: Box<[(NameSource, Timestamp)]>,
}

impl Names {
    pub(super) fn pack(host: &HostState) -> Option<Box<Self>> {
        if host.names.is_empty() && host.named_at.is_empty() {
            return None;
        }
        let texts = |names: &BTreeSet<String>| names.iter().map(|name| name.as_str().into()).collect();
        Some(Box::new(Self {
            names: host.names.iter().map(|(source, names)| (*source, texts(names))).collect(),
            at: host.named_at.iter().map(|(source, at)| (*source, *at)).collect(),
        }))
    }

    pub(super) fn names(&self) -> BTreeMap<NameSource, BTreeSet<String>> {
        let texts = |names: &[Box<str>]| names.iter().map(ToString::to_string).collect();
        self.names.iter().map(|(source, names)| (*source, texts(names))).collect()
    }

    pub(super) fn named_at(&self) -> BTreeMap<NameSource, Timestamp> {
        self.at.iter().copied().collect()
    }

    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.at.iter().map(|(_, at)| *at).max()
    }
}

/// An identity in 24 bytes.
#[derive(Debug, Clone)]
pub(super) struct PackedIdentity {
    key: PackedKey,
    since: Moment,
    last: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PackedKey {
    Mac(Mac),
    Ssh(Id),
}

impl PackedIdentity {
    /// None where one does not fit.
    pub(super) fn pack_all(identities: &[Identity], values: &mut Values) -> Option<Box<[Self]>> {
        let mut packed = Vec::with_capacity(identities.len());
        for identity in identities {
            if let Some(one) = Self::pack(identity, values) {
                packed.push(one);
            } else {
                for one in &packed {
                    Self::release(one, values);
                }
                return None;
            }
        }
        Some(packed.into())
    }

    fn pack(identity: &Identity, values: &mut Values) -> Option<Self> {
        let (since, last) = (Moment::new(identity.since)?, Moment::new(identity.last)?);
        let key = match &identity.key {
            IdentityKey::Mac(mac) => PackedKey::Mac(*mac),
            IdentityKey::Ssh(key) => PackedKey::Ssh(values.key(key)?),
        };
        Some(Self { key, since, last })
    }

    pub(super) fn unpack(&self, values: &Values) -> Option<Identity> {
        let key = match self.key {
            PackedKey::Mac(mac) => IdentityKey::Mac(mac),
            PackedKey::Ssh(id) => IdentityKey::Ssh(values.key_of(id)?),
        };
        Some(Identity { key, since: self.since.time(), last: self.last.time() })
    }

    pub(super) fn release(&self, values: &mut Values) {
        if let PackedKey::Ssh(id) = self.key {
            values.release_key(id);
        }
    }

    pub(super) fn latest(&self) -> Moment {
        self.since.max(self.last)
    }

    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.key == other.key
    }

    pub(super) fn mac(&self) -> Option<Mac> {
        match self.key {
            PackedKey::Mac(mac) => Some(mac),
            PackedKey::Ssh(_) => None,
        }
    }

    pub(super) fn meet(&mut self, at: Moment) {
        self.last = self.last.max(at);
    }
}
