//! Pools: addresses behind which interchangeable hosts come and go. No member is news; what the pool offers is. Its profile
//! is learnt from its members, and a member that offers something else, or nobody that offers something any more, is told
//! once, as news of the pool.

use crate::{Change, EndpointState, HostState, Inventory, PoolOffer, PoolPlace, PoolState, PortStatus, confirm, event};
use crate::{
    apply::{Key, Plan},
    software,
};
use jiff::{SignedDuration, Timestamp};
use model::{Event, EventEndpoint, EventType, Service, Transport};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// What no living member has had for so long is gone. The loss of a member, or of its port, took its own confirmation.
const GONE_AFTER: Duration = Duration::from_mins(15);
/// A kind of service that none of its members had for so long is no part of the profile any more.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);
/// When an offer was last seen is kept this coarsely, so that a look at a member seldom changes the pool.
const GRAIN: i64 = 300;

/// Whether a member's own event of that kind is no news. Weaknesses, findings and certificates that run out are.
pub(crate) fn is_silent(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::HostFound
            | EventType::HostUp
            | EventType::HostLost
            | EventType::HostPurged
            | EventType::HostUpdated
            | EventType::HostReplaced
            | EventType::HostNameChanged
            | EventType::HostkeyChanged
            | EventType::PortOpen
            | EventType::PortChanged
            | EventType::PortClosed
            | EventType::SoftwareAdded
            | EventType::SoftwareUpdated
            | EventType::SoftwareRemoved
            | EventType::SslNew
            | EventType::SslChanged
            | EventType::SslRemoved
    )
}

impl PoolState {
    pub(crate) fn new(asset: Arc<str>) -> Self {
        Self { asset, offers: BTreeMap::new(), lost_since: None }
    }

    fn at(&self, (transport, port): Key) -> impl Iterator<Item = &PoolOffer> {
        self.offers.keys().filter(move |offer| (offer.transport, offer.port) == (transport, port))
    }

    fn see(&mut self, offer: PoolOffer, first: Timestamp, last: Timestamp) {
        let last = coarse(last);
        let place = self.offers.entry(offer).or_insert(PoolPlace { first_seen: first, last_seen: last });
        place.first_seen = place.first_seen.min(first);
        place.last_seen = place.last_seen.max(last);
    }

    /// Takes what a host has as the pool's own.
    fn learn(&mut self, host: &HostState) {
        for endpoint in host.open() {
            for offer in offers_of(endpoint) {
                self.see(offer, endpoint.first_seen, endpoint.last_seen);
            }
        }
    }

    /// Whether an identified service is one more kind of what the pool has there; not where nobody said yet what it is.
    fn is_stranger(&self, offer: &PoolOffer) -> bool {
        let mut known = self.at((offer.transport, offer.port)).filter(|known| known.service.is_some()).peekable();
        known.peek().is_some()
            && known.all(|known| {
                known.service != offer.service
                    || (known.product != offer.product && known.product.is_some() && offer.product.is_some())
            })
    }
}

fn coarse(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second().div_euclid(GRAIN) * GRAIN).unwrap_or(time)
}

/// What an endpoint is to the pool: each kind of service on it, or that it is open where nobody says what it is.
fn offers_of(endpoint: &EndpointState) -> BTreeSet<PoolOffer> {
    let bare = PoolOffer { transport: endpoint.transport, port: endpoint.port, service: None, product: None };
    let said = endpoint.services.iter().filter_map(|state| kind_of(state.service.as_deref()?));
    let mut offers: BTreeSet<_> =
        said.map(|(service, product)| PoolOffer { service: Some(service), product, ..bare.clone() }).collect();
    if offers.is_empty() {
        offers.insert(bare);
    }
    offers
}

fn kind_of(service: &Service) -> Option<(String, Option<String>)> {
    let name = service.name.to_lowercase();
    let is_known = !matches!(name.as_str(), "" | "tls" | "unknown");
    is_known.then(|| (name, service.product.as_deref().map(software::product_key)))
}

impl Plan<'_> {
    /// Takes from the events what is no news of a member, and adds what is news of its pool. Gives the pool as it is after
    /// the slice, where that is another. The host's endpoints are back in it by now.
    pub(crate) fn judge_pool(&self, events: &mut Vec<Event>) -> Option<PoolState> {
        let asset = self.policy.pool.as_ref()?;
        let stored = self.inventory.watch.pools.get(asset);
        let mut pool = stored.cloned().unwrap_or_else(|| {
            let mut pool = PoolState::new(asset.clone());
            // It was a group of hosts until now: what they have is what it has.
            self.inventory.hosts().filter(|host| host.assets.contains(asset)).for_each(|host| pool.learn(&host));
            pool
        });
        let mut own: Vec<Event> = Vec::new();
        events.retain(|event| {
            if is_silent(event.kind) {
                own.push(event.clone());
            }
            !is_silent(event.kind)
        });
        if self.host.up {
            for endpoint in self.host.open() {
                self.judge_offers(&mut pool, endpoint, &own, events);
            }
            if let Some(since) = pool.lost_since.take() {
                let last = self.host.last_seen;
                let away = confirm::between(since, last);
                let mut event = Event::new(EventType::HostUp, self.now, &self.inventory.vantage, asset);
                event.old = Some("lost".to_owned());
                event.new = Some("up".to_owned());
                event.metric = i64::try_from(away.as_secs()).ok();
                event.reason = Some(format!("a member of pool {asset} answers again after {}", whole_seconds(away)));
                event.evidence = vec![event::evidence(last, "answered")];
                event.first_seen = Some(self.host.first_seen);
                event.last_seen = Some(last);
                events.insert(0, event);
            }
        }
        (stored != Some(&pool)).then_some(pool)
    }

    fn judge_offers(&self, pool: &mut PoolState, endpoint: &EndpointState, own: &[Event], events: &mut Vec<Event>) {
        let key = (endpoint.transport, endpoint.port);
        let told = |kind: EventType| {
            let here = EventEndpoint { transport: key.0, port: key.1 };
            own.iter().find(|event| event.kind == kind && event.endpoint == Some(here)).cloned()
        };
        let is_new = pool.at(key).next().is_none();
        if is_new && let Some(mut event) = told(EventType::PortOpen) {
            let reason = event.reason.take().unwrap_or_default();
            event.reason = Some(format!("{reason}; no member of pool {} had it open", pool.asset));
            events.push(event);
        }
        for offer in offers_of(endpoint) {
            let is_known = pool.offers.contains_key(&offer);
            // That a member does not say what another one says is no difference.
            let says_less = !is_known
                && pool.at(key).any(|known| {
                    known.service.is_some()
                        && (offer.service.is_none() || (known.service == offer.service && offer.product.is_none()))
                });
            if says_less {
                let heard: Vec<PoolOffer> = pool
                    .at(key)
                    .filter(|known| offer.service.is_none() || known.service == offer.service)
                    .cloned()
                    .collect();
                for known in heard {
                    pool.see(known, endpoint.first_seen, endpoint.last_seen);
                }
                continue;
            }
            let changed = told(EventType::PortChanged);
            // What came with a baseline is the pool's own, and only a change of it is another thing.
            let is_learnt = endpoint.learnt && changed.is_none();
            if !is_known && !is_new && !is_learnt && pool.is_stranger(&offer) {
                if changed.is_none() && !is_heard_again(endpoint, &offer) {
                    continue;
                }
                let mut event = changed.unwrap_or_else(|| self.stranger(endpoint, &offer));
                event.old = Some(
                    pool.at(key).filter(|known| known.service.is_some()).map(shown).collect::<Vec<_>>().join(", "),
                );
                event.new = Some(shown(&offer));
                event.reason = Some(format!("no member of pool {} had that there", pool.asset));
                events.push(event);
            }
            pool.see(offer, endpoint.first_seen, endpoint.last_seen);
        }
    }

    fn stranger(&self, endpoint: &EndpointState, offer: &PoolOffer) -> Event {
        let subject = (self.slice.ip, offer.transport, offer.port, &offer.service, &offer.product);
        let mut event = Event::new(EventType::PortChanged, self.now, &self.inventory.vantage, &subject);
        event::on_endpoint(&mut event, endpoint);
        event.service = event::shown_service(endpoint);
        event.evidence = vec![event::evidence(endpoint.last_seen, &format!("identified as {}", shown(offer)))];
        let known = endpoint.services.iter().find_map(|state| state.service.as_deref());
        event.evidence.extend(event::banner(endpoint.last_seen, known));
        event
    }
}

/// Whether two conversations at least agree that it is there.
fn is_heard_again(endpoint: &EndpointState, offer: &PoolOffer) -> bool {
    endpoint.services.iter().any(|state| {
        let is_it = state.service.as_deref().and_then(kind_of)
            == offer.service.clone().map(|service| (service, offer.product.clone()));
        is_it && state.doubt().is_none() && state.last_observed > state.changed_at
    })
}

/// `http (nginx)`.
fn shown(offer: &PoolOffer) -> String {
    let service = offer.service.as_deref().unwrap_or("unknown");
    offer.product.as_ref().map_or_else(|| service.to_owned(), |product| format!("{service} ({product})"))
}

impl Inventory {
    /// What is gone from a pool, and whether anybody is left in it. Walks the members of pools and nobody else.
    pub(crate) fn judge_pools(&self, now: Timestamp, change: &mut Change) {
        for pool in self.watch.pools.values() {
            let members: Vec<HostState> = self
                .watch
                .members(&pool.asset)
                .filter_map(|ip| self.host(ip))
                .filter(|host| !host.is_provisional() && !change.removed_hosts.contains(&host.key))
                .collect();
            let mut after = pool.clone();
            let living: Vec<&HostState> = members.iter().filter(|host| host.up).collect();
            if let Some(newest) = living.iter().map(|host| host.last_seen).max() {
                self.judge_gone(&mut after, &living, newest, now, change);
            } else if let Some(last) = members.iter().max_by_key(|host| (host.lost_since, host.key.ip))
                && pool.lost_since.is_none()
                && let Some(since) = last.lost_since.filter(|&since| confirm::between(since, now) >= GONE_AFTER)
            {
                after.lost_since = Some(since);
                let mut event = Event::new(EventType::HostLost, now, &self.vantage, &pool.asset);
                event.host = Some(event::host(last));
                event.old = Some("up".to_owned());
                event.new = Some("lost".to_owned());
                event.metric = i64::try_from(confirm::between(last.last_seen, now).as_secs()).ok();
                event.reason = Some(format!("no member of pool {} answers", pool.asset));
                event.evidence = vec![event::evidence(since, "the last member was lost")];
                event.first_seen = Some(last.first_seen);
                event.last_seen = Some(last.last_seen);
                about(&mut event, pool, last);
                change.events.push(event);
            }
            if after != *pool {
                change.pools.push(after);
            }
        }
    }

    fn judge_gone(
        &self,
        pool: &mut PoolState,
        living: &[&HostState],
        newest: Timestamp,
        now: Timestamp,
        change: &mut Change,
    ) {
        let open = || living.iter().flat_map(|host| host.open());
        let ports: BTreeSet<Key> = open().map(|endpoint| (endpoint.transport, endpoint.port)).collect();
        let kinds: BTreeSet<PoolOffer> = open().flat_map(offers_of).collect();
        let mut last_seen: BTreeMap<Key, (Timestamp, Timestamp)> = BTreeMap::new();
        for (offer, place) in &pool.offers {
            let seen = last_seen.entry((offer.transport, offer.port)).or_insert((place.first_seen, place.last_seen));
            *seen = (seen.0.min(place.first_seen), seen.1.max(place.last_seen));
        }
        for (key, (first, last)) in last_seen {
            // The others were seen long after: it is not the sensor that has seen nothing.
            let is_gone = !ports.contains(&key)
                && confirm::between(last, newest) >= GONE_AFTER
                && confirm::between(last, now) >= GONE_AFTER
                && !living.iter().any(|host| host.endpoint(key.0, key.1).is_some_and(is_opening));
            if is_gone {
                change.events.push(self.offer_gone(pool, living, key, (first, last), now));
                pool.offers.retain(|offer, _| (offer.transport, offer.port) != key);
            }
        }
        let forgotten = now.checked_sub(SignedDuration::try_from(FORGOTTEN_AFTER).unwrap_or_default()).unwrap_or(now);
        pool.offers.retain(|offer, place| {
            !ports.contains(&(offer.transport, offer.port)) || kinds.contains(offer) || place.last_seen >= forgotten
        });
    }

    fn offer_gone(
        &self,
        pool: &PoolState,
        living: &[&HostState],
        (transport, port): (Transport, u16),
        (first, last): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Event {
        let mut event = Event::new(EventType::PortClosed, now, &self.vantage, &(&pool.asset, transport, port));
        event.endpoint = Some(EventEndpoint { transport, port });
        event.old = Some("open".to_owned());
        event.new = Some("closed".to_owned());
        event.reason = Some(format!(
            "on no living member of pool {} for {}",
            pool.asset,
            whole_seconds(confirm::between(last, now))
        ));
        event.evidence = vec![event::evidence(last, "open")];
        event.first_seen = Some(first);
        event.last_seen = Some(last);
        if let Some(member) = living.first() {
            about(&mut event, pool, member);
        }
        event
    }
}

/// What the configuration says of the pool, as its member knows it.
fn about(event: &mut Event, pool: &PoolState, member: &HostState) {
    event.assets = vec![pool.asset.to_string()];
    event.tags = member.tags.iter().map(ToString::to_string).collect();
}

fn is_opening(endpoint: &EndpointState) -> bool {
    endpoint.status == PortStatus::Opening
}

fn whole_seconds(duration: Duration) -> String {
    model::format_duration(Duration::from_secs(duration.as_secs()))
}
