//! Which endpoints are the canaries: what the operator names, else the soundest of each asset.

use crate::canary::Place;
use config::{AssetKind, Config};
use inventory::{HostState, Inventory, Row};
use jiff::Timestamp;
use model::{Endpoint, Transport};
use scope::Scope;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Of one asset: three are asked at a time, and the rest stands in for those that are concerned themselves or have ended.
const OF_AN_ASSET: usize = 12;
/// And of one host, where there are few: a port may close, and its host live.
const OF_A_HOST: usize = 3;
/// With fewer hosts that are sound, others are looked for.
const ENOUGH: usize = 3;
/// They are looked through this often, and chosen anew at most so often.
const EVERY: Duration = Duration::from_mins(1);
/// Where choosing found no more than there were. It looks at every host.
const IN_VAIN: Duration = Duration::from_mins(10);
/// Below so many hosts choosing costs nothing worth waiting for,
const FEW: usize = 10_000;
/// and below so many it is done at once when there may be better ones.
const VERY_FEW: usize = 500;
const SOON: Duration = Duration::from_secs(5);

/// When to choose, and what was chosen.
#[derive(Debug)]
pub(crate) struct Choice {
    look_at: Instant,
    choose_from: Instant,
    /// Those the operator named have not answered for a day.
    named_are_dead: bool,
}

impl Choice {
    pub(crate) fn new(now: Instant) -> Self {
        Self { look_at: now, choose_from: now, named_are_dead: false }
    }

    /// Others have taken the place of those the operator named, until the configuration is read again.
    pub(crate) fn give_up_named(&mut self) {
        self.named_are_dead = true;
    }

    /// Whether the operator's own are in force.
    pub(crate) fn is_named(&self, config: &Config) -> bool {
        !config.sensor.canaries.is_empty() && !self.named_are_dead
    }

    /// The configuration, and so the scope, is another.
    pub(crate) fn reset(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// New canaries, where those there are have become too few.
    pub(crate) fn turn(
        &mut self,
        present: &[Place],
        config: &Config,
        scope: &Scope,
        inventory: &Inventory,
        (wall, now): (Timestamp, Instant),
    ) -> Option<Vec<Place>> {
        if now < self.look_at {
            return None;
        }
        let few = inventory.counts().hosts < VERY_FEW;
        let (every, wanted) = if few { (SOON, OF_AN_ASSET) } else { (EVERY, ENOUGH) };
        self.look_at = now + every;
        if self.is_named(config) {
            let named: Vec<Place> =
                config.sensor.canaries.iter().map(|&endpoint| Place { endpoint, asset: None }).collect();
            return (named != present).then_some(named);
        }
        let lasting = config.assets.iter().filter(|(_, asset)| asset.kind != AssetKind::Pool);
        let mut sound: BTreeMap<Option<&Arc<str>>, BTreeSet<IpAddr>> =
            lasting.map(|(name, _)| (Some(name), BTreeSet::new())).collect();
        for place in present {
            let host = inventory.host(place.endpoint.ip);
            let is_sound = host.is_some_and(|host| is_sound(&host, place.endpoint))
                && scope.authorize(place.endpoint, wall).is_ok();
            let hosts = sound.entry(place.asset.as_ref()).or_default();
            hosts.extend(is_sound.then_some(place.endpoint.ip));
        }
        let is_enough = sound.values().all(|hosts| hosts.len() >= wanted);
        if is_enough || now < self.choose_from {
            return None;
        }
        let mut hosts = 0;
        let chosen = choose(config, scope, inventory.rows(Bound::Unbounded).inspect(|_| hosts += 1), wall);
        let in_vain = hosts > FEW && chosen.len() <= present.len();
        self.choose_from = now + if in_vain { IN_VAIN } else { every };
        (chosen != present).then_some(chosen)
    }
}

/// The soundest of each asset, those open the longest first, spread over networks.
fn choose<'a>(config: &Config, scope: &Scope, hosts: impl Iterator<Item = Row<'a>>, now: Timestamp) -> Vec<Place> {
    // By how many of the same host come first, and since when it is open.
    type Best = BTreeSet<(usize, Timestamp, Endpoint)>;
    let mut assets: BTreeMap<Option<Arc<str>>, BTreeMap<Prefix, Best>> = BTreeMap::new();
    let is_pool = |name: &Arc<str>| config.assets.get(name).is_some_and(|asset| asset.kind == AssetKind::Pool);
    for host in hosts {
        if host.assets().iter().any(is_pool) || !host.is_up() {
            continue;
        }
        // Nothing speaks against what is settled; only the others have to be looked at closely.
        let doubted = host.is_unsettled().then(|| host.unpack());
        let is_steady = |endpoint: Endpoint| match &doubted {
            Some(host) => is_sound(host, endpoint),
            None => endpoint.transport == Transport::Tcp,
        };
        let mut open: Vec<_> = host
            .opened()
            .filter(|(_, endpoint)| is_steady(*endpoint) && scope.authorize(*endpoint, now).is_ok())
            .collect();
        if open.is_empty() {
            continue;
        }
        open.sort_unstable();
        let best = assets.entry(host.assets().first().cloned()).or_default().entry(prefix(host.ip())).or_default();
        for (nth, (since, endpoint)) in open.into_iter().take(OF_A_HOST).enumerate() {
            best.insert((nth, since, endpoint));
            if best.len() > OF_AN_ASSET {
                best.pop_last();
            }
        }
    }
    let mut places = Vec::new();
    for (asset, networks) in assets {
        let mut ranked: Vec<(usize, Timestamp, Endpoint)> = networks
            .into_values()
            .flat_map(|best| best.into_iter().enumerate().map(|(rank, (_, since, endpoint))| (rank, since, endpoint)))
            .collect();
        // The first of each network before the second of any.
        ranked.sort_unstable();
        ranked.truncate(OF_AN_ASSET);
        places.extend(ranked.into_iter().map(|(_, _, endpoint)| Place { endpoint, asset: asset.clone() }));
    }
    places
}

/// Up and steady, and nothing speaks against it.
fn is_sound(host: &HostState, endpoint: Endpoint) -> bool {
    let state = host.endpoint(endpoint.transport, endpoint.port);
    endpoint.transport == Transport::Tcp
        && host.up
        && host.misses.is_none()
        && host.blocked_since.is_none()
        && host.flaps.iter().all(|flap| flap.flapping.is_none())
        && host.findings.iter().all(|finding| !finding.id.starts_with("answers-every"))
        && state.is_some_and(|state| state.status == inventory::PortStatus::Open && state.pending.is_none())
}

/// A /24, or a /64.
type Prefix = (bool, u64);

fn prefix(ip: IpAddr) -> Prefix {
    match ip {
        IpAddr::V4(ip) => (false, u64::from(u32::from(ip) >> 8)),
        IpAddr::V6(ip) => (true, u64::try_from(u128::from(ip) >> 64).unwrap_or(u64::MAX)),
    }
}
