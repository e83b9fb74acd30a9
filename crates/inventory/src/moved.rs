//! A machine that answers at another address now. It is followed only by a key that it alone has held for a month, and only
//! when it is surely gone from where it was: two machines never become one by mistake.

use crate::{EndpointState, HostState, IdentityKey, PortStatus, apply::Plan, confirm, event, finding, software};
use model::{Event, EventType};
use std::{collections::BTreeSet, time::Duration};

const DAY: Duration = Duration::from_hours(24);
/// A key held alone for so long names its machine.
const ALONE: Duration = Duration::from_hours(30 * 24);

impl Plan<'_> {
    /// Takes over what was known under the old address. The host's endpoints are in place.
    pub(crate) fn judge_move(&mut self, events: &mut Vec<Event>) {
        if self.host.is_provisional() {
            return;
        }
        let Some((old, key)) = self.met.iter().find_map(|met| Some((self.moved_from(&met.key)?, met.key.clone())))
        else {
            return;
        };
        let alone = old.identity(&key).map(|held| confirm::between(held.since, held.last)).unwrap_or_default();
        let was_open: BTreeSet<_> = old.open().map(|endpoint| (endpoint.transport, endpoint.port)).collect();
        let products: BTreeSet<String> = software::product_keys(&old);
        events.retain(|event| match event.kind {
            EventType::HostFound => false,
            EventType::PortOpen => {
                event.endpoint.is_none_or(|endpoint| !was_open.contains(&(endpoint.transport, endpoint.port)))
            }
            EventType::SoftwareAdded => event
                .software
                .as_ref()
                .is_none_or(|software| !products.contains(&software::product_key(&software.product))),
            _ => true,
        });
        // Told of at the old address.
        let mut rogue = BTreeSet::new();
        for endpoint in &old.endpoints {
            let place = old.endpoint_at(endpoint);
            for state in &endpoint.services {
                let served = state.tls.iter().flat_map(|tls| tls.certificates());
                let told = served.filter(|sha256| {
                    let known = self.known(sha256);
                    known.is_some_and(|known| known.rogue_told.iter().any(|(place, _)| place.ip == old.key.ip))
                });
                rogue.extend(told);
                self.withdraw_all(place, state);
            }
        }
        for (sha256, state) in &mut self.certificates {
            let told = state.rogue_told.len();
            state.rogue_told.retain(|(place, _)| place.ip != old.key.ip);
            if state.rogue_told.len() < told {
                rogue.insert(*sha256);
            }
        }
        events.retain(|event| {
            event.kind != EventType::SslRogue
                || event.certificate.as_ref().is_none_or(|certificate| !rogue.contains(&certificate.sha256))
        });
        events.insert(0, self.moved_event(&old, &key, alone));
        self.inherit(old);
    }

    /// The host that held this key alone for long enough, and is gone from its address since before the key turned up here.
    fn moved_from(&self, key: &IdentityKey) -> Option<HostState> {
        let here = self.host.identity(key)?;
        let mut holders = self.inventory.holders.of(key).filter(|&ip| ip != self.slice.ip);
        let (Some(ip), None) = (holders.next(), holders.next()) else { return None };
        let old = self.inventory.known(ip)?;
        let held = old.identity(key)?;
        let is_alone = confirm::between(held.since, held.last) >= ALONE && old.still_holds(key);
        let is_gone = !old.up && old.lost_since.is_some() && !old.is_provisional();
        let came_after = held.last < here.since && old.last_seen < self.host.first_seen;
        (is_alone && is_gone && came_after && !finding::is_shared(&old, key)).then_some(old)
    }

    fn moved_event(&self, old: &HostState, key: &IdentityKey, alone: Duration) -> Event {
        let subject = (old.key.ip, self.slice.ip, "address");
        let mut event = Event::new(EventType::HostUpdated, self.now, &self.inventory.vantage, &subject);
        event.old = Some(old.key.ip.to_string());
        event.new = Some(self.slice.ip.to_string());
        let days = alone.as_secs() / DAY.as_secs();
        event.reason = Some(format!("moved: the same {}, held alone for {days} days", key.word()));
        event.evidence = vec![
            event::evidence(old.last_seen, &format!("last answered at {}", old.key.ip)),
            event::evidence(self.host.last_seen, &format!("{} {} at {}", key.word(), key.shown(), self.slice.ip)),
        ];
        event.endpoints =
            old.open().take(event::MOST_LISTED).map(|endpoint| old.endpoint_at(endpoint).to_string()).collect();
        event.first_seen = Some(old.first_seen);
        event.last_seen = Some(self.host.last_seen);
        event
    }

    /// What was open there is expected here, and learnt again in silence.
    fn inherit(&mut self, old: HostState) {
        let (at, first_seen) = (self.slice.at, old.first_seen);
        let host = &mut self.host;
        host.found = None;
        host.first_seen = first_seen;
        host.approved = host.approved.take().or(old.approved);
        host.os = old.os.or(host.os.take());
        for held in old.identities {
            match host.identities.iter_mut().find(|known| known.key == held.key) {
                Some(known) => known.since = known.since.min(held.since),
                None => host.identities.push(held),
            }
        }
        host.identities.sort_by(|one, other| one.key.cmp(&other.key));
        for was in old.endpoints.into_iter().filter(|endpoint| endpoint.status == PortStatus::Open) {
            let key = |endpoint: &EndpointState| (endpoint.transport, endpoint.port);
            match host.endpoints.binary_search_by_key(&key(&was), key) {
                Ok(index) => {
                    let known = &mut host.endpoints[index];
                    known.first_seen = was.first_seen;
                    known.learnt = true;
                    if known.status == PortStatus::Opening {
                        known.status = PortStatus::Open;
                        known.pending = None;
                    }
                }
                Err(index) => host.endpoints.insert(
                    index,
                    EndpointState {
                        changed_at: at,
                        last_observed: self.slice.at.min(was.last_observed),
                        pending: None,
                        recovered: 0,
                        learnt: true,
                        services: Vec::new(),
                        ..was
                    },
                ),
            }
        }
        self.left = Some(old.key);
    }
}
