//! What is watched: the scope and the configuration, and what their changes mean for what is remembered.

use super::{Monitor, touched::RELOAD_WRITES_FOR};
use crate::{Batch, Journal, MonitorError, PassRecord, ground::Ground, lanes, leases::Moved};
use config::{Asset, Config};
use inventory::Row;
use jiff::Timestamp;
use model::{AddressRange, AddressSet, Endpoint, EventType, NotEnumerable, PassId, ServiceName, Target, Windows};
use scope::{AssetScope, Refusal, Scope};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    ops::Bound,
    sync::Arc,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

impl<J: Journal> Monitor<J> {
    /// Rebuilds the scope from the configuration and the living leases.
    pub(super) fn rescope(&mut self) {
        self.scope.replace(scope_of(&self.config).with_leases(self.leases.for_scope()));
        // What lanes have before them is counted anew.
        self.targets.1.clear();
    }

    /// What the lanes of a profile visit now.
    pub(super) fn ground(&self, profile: &Arc<str>, now: Timestamp) -> Ground {
        let Some(profile) = self.config.profiles.get(profile) else { return Ground::default() };
        self.ground_of(&profile.assets, now)
    }

    fn ground_of(&self, assets: &[Arc<str>], now: Timestamp) -> Ground {
        let scope = self.scope.load();
        let swept = scope.sweep_space(assets, now);
        let open = scope.unsweepable_space(assets, now);
        if open.is_empty() {
            return Ground { swept, ..Ground::default() };
        }
        let open = open.difference(&swept);
        let inventory = self.decider.inventory();
        let known = open.ranges().iter().flat_map(|range| {
            let rows = inventory.rows(Bound::Included(range.first())).map(Row::ip);
            rows.take_while(|ip| *ip <= range.last())
        });
        let candidates = known.chain(self.candidates.met_in(&open)).map(AddressRange::single).collect();
        let familiar = self.candidates.familiar(&open, Instant::now());
        Ground { swept, open, candidates, familiar }
    }

    /// Looks from time to time whom this machine has met in prefixes too large to sweep.
    pub(super) fn gather_candidates(&mut self) {
        let (now, instant) = (self.clock.now(), Instant::now());
        if !self.candidates.is_due(instant) {
            return;
        }
        let scope = self.scope.load();
        let assets: Vec<Arc<str>> = self.config.assets.keys().cloned().collect();
        let open = scope.unsweepable_space(&assets, now);
        let neighbours = if open.is_empty() { open.clone() } else { self.tools.network.neighbours(&open) };
        self.candidates.note(&neighbours, &open, instant);
        let ground = if open.is_empty() { Ground::default() } else { self.ground_of(&assets, now) };
        let asked = ground.swept.union(&ground.candidates);
        let of = |target: &Target| {
            let all: AddressSet = target.range().into_iter().collect();
            let candidates = asked.ranges().iter().filter(|range| all.contains(range.first())).copied();
            let candidates = candidates.collect::<AddressSet>().intersection(&all).len();
            NotEnumerable { target: target.to_string(), candidates: u64::try_from(candidates).unwrap_or(u64::MAX) }
        };
        self.not_enumerable = scope.unsweepable(&assets).iter().map(of).collect();
    }

    pub(super) fn profiles_of<'a>(&'a self, asset: &'a Arc<str>) -> impl Iterator<Item = Arc<str>> + 'a {
        self.config.profiles.iter().filter(|(_, profile)| profile.assets.contains(asset)).map(|(name, _)| name.clone())
    }

    /// A configured name has other addresses than before: told once, the new ones are learnt and the old ones forgotten,
    /// unless something else keeps them in scope. Nothing is told of addresses that it has in turns.
    pub(super) fn move_lease(&mut self, key: &(Arc<str>, ServiceName), moved: &Moved, batch: &mut Batch) {
        let (asset, name) = key;
        let Moved { old, new, is_news } = moved;
        tracing::info!(%name, ?old, ?new, is_news, "a host name has other addresses");
        let now = self.clock.now();
        let scope = self.scope.load();
        let profile = self.profiles_of(asset).next().unwrap_or_default();
        if *is_news && let Some(&ip) = new.first().or(old.first()) {
            let mut policy = self.decider.policy(&scope, ip, &profile, now);
            if policy.assets.is_empty() {
                policy.assets = [asset.clone()].into();
                policy.tags =
                    self.config.assets.get(asset).map(|asset| asset.tags.iter().cloned().collect()).unwrap_or_default();
            }
            self.decider.lease_moved(name, old, new, &policy, now, batch);
        }
        let leased = self.leased();
        let gone: Vec<IpAddr> = old.iter().copied().filter(|&ip| has_left(&scope, &leased, ip, now)).collect();
        self.decider.retire(&gone, now, batch);
    }

    /// What may be asked now or again: a name whose records have run out is asked once it has an address.
    pub(super) fn watched(&self, now: Timestamp) -> AddressSet {
        let leased = self.leased().into_iter().map(AddressRange::single).collect();
        self.scope.load().space(now).union(&leased)
    }

    /// The addresses of all host names, with living records or not.
    fn leased(&self) -> HashSet<IpAddr> {
        self.leases.for_scope().into_iter().flat_map(|lease| lease.addresses).collect()
    }

    pub(super) fn retire_out_of_scope(&mut self, batch: &mut Batch) {
        let now = self.clock.now();
        let scope = self.scope.load();
        let leased = self.leased();
        let gone: Vec<IpAddr> = {
            let inventory = self.decider.inventory();
            let hosts = inventory.rows(Bound::Unbounded).map(Row::ip);
            hosts.filter(|&ip| has_left(&scope, &leased, ip, now)).collect()
        };
        if !gone.is_empty() {
            tracing::info!(hosts = gone.len(), "hosts are no targets any more; they are purged");
            self.decider.purge_targets(&gone, now, batch);
        }
        let ranges = self.config.assets.values().flat_map(|asset| &asset.targets).filter_map(Target::range);
        let kept: AddressSet = ranges.chain(leased.into_iter().map(AddressRange::single)).collect();
        self.decider.forget_outside(&kept.difference(&self.config.sensor.exclude), now, batch);
    }

    pub(super) async fn reconfigure(
        &mut self,
        config: Arc<Config>,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        // The old passes hand in what they have before their lanes are replaced.
        self.drain_passes(shutdown).await?;
        self.write_touched(RELOAD_WRITES_FOR, shutdown).await?;
        let now = self.clock.now();
        self.remember_passes();
        self.config = config.clone();
        self.decider.reconfigure(config.clone());
        self.leases.retain(&scope_of(&config));
        self.rescope();
        let old = std::mem::replace(&mut self.lanes, lanes::lanes(&config, &self.ledger));
        lanes::succeed(&mut self.lanes, &old);
        self.learning.configure(&config, &self.lanes);
        self.choice.reset(Instant::now());
        let mut batch = Batch { leases: Some(self.leases.records()), ..Batch::default() };
        self.retire_out_of_scope(&mut batch);
        self.dissolve_pools(&mut batch);
        let fill = |event: &mut model::Event| event.reason = Some("the new configuration is in force".to_owned());
        self.decider.own_event(EventType::ConfigReloaded, "config", fill, now, &mut batch);
        self.say_what_is_closed();
        self.commit(batch, shutdown).await
    }

    /// What is a pool no more is watched host by host from now on.
    pub(super) fn dissolve_pools(&mut self, batch: &mut Batch) {
        let is_pool =
            |name: &str| self.config.assets.get(name).is_some_and(|asset| asset.kind == config::AssetKind::Pool);
        let gone: Vec<Arc<str>> = {
            let inventory = self.decider.inventory();
            inventory.pools().map(|pool| pool.asset.clone()).filter(|asset| !is_pool(asset)).collect()
        };
        for asset in &gone {
            self.decider.index.write().remove_pool(asset);
        }
        batch.removed_pools.extend(gone);
    }

    /// Keeps what the lanes know of their last passes, for the lanes of the next configuration.
    pub(super) fn remember_passes(&mut self) {
        let mut ledger: BTreeMap<PassId, PassRecord> = BTreeMap::new();
        for state in &self.lanes {
            let running = state.running.as_ref().map(|running| &running.record);
            for record in [running, state.last(), state.finished.as_ref()].into_iter().flatten() {
                ledger.insert(record.id, record.clone());
            }
        }
        self.ledger = ledger.into_values().collect();
    }
}

/// The scope a configuration gives, without leases.
pub fn scope_of(config: &Config) -> Scope {
    let assets = config
        .assets
        .iter()
        .map(|(name, asset)| AssetScope {
            name: name.clone(),
            targets: asset.targets.clone(),
            until: authorized_until(asset),
        })
        .collect();
    Scope::new(assets, config.sensor.exclude.clone()).within(&hours_of(config))
}

/// When assets may be asked that are not always: while the window of any profile that watches them is open.
fn hours_of(config: &Config) -> HashMap<Arc<str>, Vec<Windows>> {
    let mut hours: HashMap<Arc<str>, Option<Vec<Windows>>> = HashMap::new();
    for profile in config.profiles.values().filter(|profile| profile.active) {
        for asset in &profile.assets {
            let known = hours.entry(asset.clone()).or_insert_with(|| Some(Vec::new()));
            match (&profile.scan.windows, &mut *known) {
                (Some(windows), Some(known)) => known.push(windows.clone()),
                (_, known) => *known = None,
            }
        }
    }
    hours.into_iter().filter_map(|(asset, windows)| Some((asset, windows?))).collect()
}

/// When the authorization of an asset is over. "Until" names the last day: scanning ends when that day has, in UTC.
pub(super) fn authorized_until(asset: &Asset) -> Option<Timestamp> {
    let day = asset.authorization.as_ref()?.until?;
    Some(day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Whether nothing keeps an address in what is watched. A name's address stays until its lease moves (a daemon that starts
/// without DNS must not forget), and one whose authorization has ended stays until its asset goes: neither is probed, but
/// what is known of it counts when it may be probed again.
fn has_left(scope: &Scope, leased: &HashSet<IpAddr>, ip: IpAddr, now: Timestamp) -> bool {
    match scope.authorize(Endpoint::tcp(ip, 1), now) {
        Ok(_) | Err(Refusal::Expired { .. } | Refusal::Closed { .. }) => false,
        Err(Refusal::OutOfScope(_)) => !leased.contains(&ip),
        Err(_) => true,
    }
}
