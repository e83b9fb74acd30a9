//! From what was observed to what is committed: the inventory decides what changed, the rules who cares, the routes who
//! is told. Knows no socket and no disk.

use crate::{
    AnswerPlace, Batch, KeptAnswer, Violations, chains, folding::Parents, index::Index, mirage::Mirage, review::Ahead,
    storm::Storms,
};
use config::Config;
use inventory::{Change, ConfirmRequest, HostState, Inventory, Label};
use jiff::Timestamp;
use model::{
    AddressSet, AllowList, Coverage, Endpoint, Event, EventType, HostKey, HostPolicy, HostSlice, Lane, ServiceName,
    Vantage,
};
use rules::{Engine, Standing};
use scope::Scope;
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, RwLockReadGuard},
};

/// The pure middle, with the state it works on.
#[derive(Debug)]
pub(crate) struct Decider {
    pub(crate) index: Index,
    pub(crate) vantage: Vantage,
    pub(crate) config: Arc<Config>,
    pub(crate) engine: Engine,
    standing: HashMap<HostKey, Vec<Standing>>,
    pub(crate) parents: Parents,
    pub(crate) storms: Storms,
    pub(crate) ahead: Ahead,
    /// Policies by profile and assets, as the configuration gives them: hosts are many, and these few.
    policies: HashMap<(Arc<str>, Vec<Arc<str>>), HostPolicy>,
    roots_since: Option<Timestamp>,
}

impl Decider {
    pub(crate) fn new(
        vantage: Vantage,
        config: Arc<Config>,
        inventory: Inventory,
        violations: Vec<Violations>,
    ) -> Self {
        let engine = Engine::new(&config);
        let standing = violations.into_iter().map(|known| (known.host, known.broken)).collect();
        Self {
            index: Index::new(inventory),
            vantage,
            config,
            engine,
            standing,
            parents: Parents::default(),
            storms: Storms::default(),
            ahead: Ahead::default(),
            policies: HashMap::new(),
            roots_since: None,
        }
    }

    /// Chains are judged by other roots than before that moment.
    pub(crate) fn judge_by_roots_since(&mut self, since: Option<Timestamp>) {
        self.roots_since = since;
        self.policies.clear();
    }

    /// What is known. Not to be held over an `await`, nor while a slice is decided.
    pub(crate) fn inventory(&self) -> RwLockReadGuard<'_, Inventory> {
        self.index.read()
    }

    /// Takes a new configuration. Rules that became true or false by it are told at each host's next slice.
    pub(crate) fn reconfigure(&mut self, config: Arc<Config>) {
        self.engine = Engine::new(&config);
        self.config = config;
        self.policies.clear();
        self.index.write().meet_anew();
    }

    /// What the configuration says of an address, in the eyes of one profile.
    pub(crate) fn policy(&mut self, scope: &Scope, ip: IpAddr, profile: &Arc<str>, now: Timestamp) -> HostPolicy {
        let key = (profile.clone(), scope.assets_of(ip, now));
        if let Some(known) = self.policies.get(&key) {
            return known.clone();
        }
        let policy = self.policy_of(profile, &key.1);
        self.policies.insert(key, policy.clone());
        policy
    }

    fn policy_of(&self, profile: &str, assets: &[Arc<str>]) -> HostPolicy {
        let mut tags: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut value = 1;
        let mut allowed: Option<AllowList> = None;
        for asset in assets.iter().filter_map(|name| self.config.assets.get(name)) {
            tags.extend(asset.tags.iter().cloned());
            value = value.max(asset.value);
            if let Some(list) = &asset.certificates {
                let merged = allowed.get_or_insert_default();
                merged.issuers.extend(list.issuers.iter().cloned());
                merged.spki.extend(list.spki.iter().copied());
            }
        }
        let profile = self.config.profiles.get(profile);
        let confirm = profile.map(|profile| profile.confirm).unwrap_or_default();
        let identify = profile.map(|profile| profile.scan.identify).unwrap_or_default();
        let is_pool =
            |name: &&Arc<str>| self.config.assets.get(*name).is_some_and(|asset| asset.kind == config::AssetKind::Pool);
        let pool = assets.iter().filter(is_pool).min().cloned();
        HostPolicy {
            assets: assets.into(),
            tags: tags.into_iter().collect(),
            value,
            confirm,
            identify,
            certificates: allowed.map(Arc::new),
            roots_since: self.roots_since,
            pool,
        }
    }

    /// Hosts seen again as they were, of which the journal does not know yet when: at most so many.
    pub(crate) fn take_touched(&mut self, limit: usize) -> Vec<HostState> {
        self.index.write().take_touched(limit)
    }

    /// Applies a slice. One that only says that all is as it was leaves nothing in the batch, see [`Self::take_touched`].
    /// Memory holds the new state afterwards; the caller commits the batch before anybody is told, and
    /// repeats the commit until it succeeds.
    pub(crate) fn slice(
        &mut self,
        slice: &HostSlice,
        policy: &HostPolicy,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Vec<ConfirmRequest> {
        if self.index.write().note_unchanged(slice, policy, now) {
            return Vec::new();
        }
        let change = self.inventory().apply(slice, policy, now);
        chains::keep(slice, &self.inventory(), batch);
        keep_answers(slice, &change, batch);
        self.absorb(change, now, batch)
    }

    /// What is said of services by other rules than they were heard with: no event comes of it. Gives how many are called otherwise.
    pub(crate) fn relabel(&mut self, ip: IpAddr, labels: &[Label], now: Timestamp, batch: &mut Batch) -> usize {
        let (change, count) = self.inventory().relabel(ip, labels);
        if count > 0 {
            self.absorb(change, now, batch);
        }
        count
    }

    pub(crate) fn group_done(
        &mut self,
        profile: &Arc<str>,
        lane: Lane,
        coverage: &Coverage,
        addresses: &AddressSet,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let change = self.inventory().group_done(profile, lane, coverage, addresses, now);
        self.absorb(change, now, batch);
    }

    /// Nobody was at these addresses, in whatever way they were asked.
    pub(crate) fn nobody_at(
        &mut self,
        profile: &Arc<str>,
        lane: Lane,
        addresses: &AddressSet,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let change = self.inventory().nobody_at(profile, lane, addresses);
        self.absorb(change, now, batch);
    }

    /// The profile has learnt, or with `is_extension` what was added to it.
    pub(crate) fn baseline_done(&mut self, profile: &Arc<str>, is_extension: bool, now: Timestamp, batch: &mut Batch) {
        let change = if is_extension {
            self.inventory().baseline_extended(profile, now)
        } else {
            self.inventory().baseline_done(profile, now)
        };
        self.absorb(change, now, batch);
    }

    /// The sensor fell ill or got well: what was gathered against anybody around that moment proves nothing.
    pub(crate) fn forget_doubts(&mut self, now: Timestamp, batch: &mut Batch) {
        let change = self.inventory().forget_doubts();
        self.absorb(change, now, batch);
    }

    /// The same, about these hosts alone.
    pub(crate) fn forget_doubts_about(&mut self, hosts: &BTreeSet<IpAddr>, now: Timestamp, batch: &mut Batch) {
        if !hosts.is_empty() {
            let change = self.inventory().forget_doubts_about(hosts);
            self.absorb(change, now, batch);
        }
    }

    pub(crate) fn tick(&mut self, now: Timestamp, batch: &mut Batch) {
        let change = self.inventory().tick(now);
        self.absorb(change, now, batch);
    }

    /// Takes back what a clock that was ahead made of certificates.
    pub(crate) fn untell_expiries(&mut self, now: Timestamp, batch: &mut Batch) {
        let change = self.inventory().untell_expiries(now);
        if !change.certificates.is_empty() {
            let certificates = change.certificates.len();
            tracing::warn!(
                certificates,
                "a clock that was ahead had their ends told too early; they are told again in time"
            );
        }
        self.absorb(change, now, batch);
    }

    pub(crate) fn lease_moved(
        &mut self,
        name: &ServiceName,
        old: &[IpAddr],
        new: &[IpAddr],
        policy: &HostPolicy,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let change = self.inventory().lease_moved(name, old, new, policy, now);
        self.absorb(change, now, batch);
    }

    /// Forgets hosts that have been lost for longer than `retention`.
    pub(crate) fn purge(&mut self, retention: std::time::Duration, now: Timestamp, batch: &mut Batch) {
        let change = self.inventory().purge(now, retention);
        self.absorb(change, now, batch);
    }

    /// Forgets hosts that were taken out of the configuration.
    pub(crate) fn purge_targets(&mut self, ips: &[IpAddr], now: Timestamp, batch: &mut Batch) {
        let change = self.inventory().purge_targets(ips, now);
        self.absorb(change, now, batch);
    }

    /// Forgets hosts that a moved name left behind, silently.
    pub(crate) fn retire(&mut self, ips: &[IpAddr], now: Timestamp, batch: &mut Batch) {
        let change = self.inventory().retire(ips, now);
        self.absorb(change, now, batch);
    }

    /// Forgets what was covered outside these addresses: what is found there when they return is learnt.
    pub(crate) fn forget_outside(&mut self, kept: &AddressSet, now: Timestamp, batch: &mut Batch) {
        let change = self.inventory().forget_outside(kept);
        self.absorb(change, now, batch);
    }

    /// Forgets what only a mirage had answered for.
    pub(crate) fn disown(&mut self, mirage: Mirage, now: Timestamp, batch: &mut Batch) {
        let change = match mirage {
            Mirage::Unseen(prefix) => self.inventory().disown_unseen(prefix.range()),
            Mirage::Host(_) | Mirage::Prefix(..) => {
                self.inventory().disown(mirage.range(), |endpoint| mirage.holds(endpoint))
            }
        };
        self.absorb(change, now, batch);
    }

    /// An event about the monitor itself.
    pub(crate) fn own_event(
        &mut self,
        kind: EventType,
        subject: &str,
        fill: impl FnOnce(&mut Event),
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let mut event = Event::new(kind, now, &self.vantage, &subject);
        fill(&mut event);
        self.raise(event, now, batch);
    }

    pub(crate) fn absorb(&mut self, mut change: Change, now: Timestamp, batch: &mut Batch) -> Vec<ConfirmRequest> {
        self.greet(&mut change, now, batch);
        self.index.write().install(&change);
        for key in &change.removed_hosts {
            self.standing.remove(key);
        }
        for event in change.events {
            self.raise(event, now, batch);
        }
        for host in &change.hosts {
            self.judge(&host.key, now, batch);
        }
        // A batch may hold several slices of one host; the last state is the one to keep.
        for host in change.hosts {
            batch.hosts.retain(|earlier| earlier.key != host.key);
            batch.hosts.push(host);
        }
        for certificate in change.certificates {
            batch.certificates.retain(|earlier| earlier.certificate.sha256 != certificate.certificate.sha256);
            batch.certificates.push(certificate);
        }
        for region in change.regions {
            batch.regions.retain(|earlier| (&earlier.profile, earlier.lane) != (&region.profile, region.lane));
            batch.regions.push(region);
        }
        for pool in change.pools {
            batch.pools.retain(|earlier| earlier.asset != pool.asset);
            batch.pools.push(pool);
        }
        // What an earlier slice of the batch said of a host that is gone now must not be written after its removal.
        batch.hosts.retain(|host| !change.removed_hosts.contains(&host.key));
        batch.violations.retain(|known| !change.removed_hosts.contains(&known.host));
        batch.removed_hosts.extend(change.removed_hosts);
        batch.removed_certificates.extend(change.removed_certificates);
        batch.baselines.extend(change.baselines);
        change.requests
    }

    /// Re-evaluates the state rules for one host.
    fn judge(&mut self, key: &HostKey, now: Timestamp, batch: &mut Batch) {
        let Some(host) = self.inventory().host(key.ip) else { return };
        if !host.up {
            return;
        }
        let facts = host.facts();
        let broken = self.engine.violations(&facts);
        let before = self.standing.get(key).map(Vec::as_slice).unwrap_or_default();
        if broken.is_empty() && before.is_empty() {
            return;
        }
        let (raised, after) = rules::state_events(&self.engine, before, &broken, &facts, &self.vantage, now);
        if after != before {
            batch.violations.retain(|known| known.host != *key);
            batch.violations.push(Violations { host: key.clone(), broken: after.clone() });
            self.standing.insert(key.clone(), after);
        }
        for event in raised {
            self.raise(event, now, batch);
        }
    }
}

/// What those services were recognised by that are now held to be what they said: of one in doubt the answer in force stays kept.
fn keep_answers(slice: &HostSlice, change: &Change, batch: &mut Batch) {
    let Some(host) = change.hosts.iter().find(|host| host.key.ip == slice.ip) else { return };
    for seen in &slice.services {
        let Some((heard, said)) = seen.heard.as_deref().zip(seen.service.as_ref()) else { continue };
        let endpoint = host.endpoint(seen.endpoint.transport, seen.endpoint.port);
        let state = endpoint.and_then(|endpoint| endpoint.services.iter().find(|state| state.name == seen.name));
        let is_held = state.and_then(|state| state.service.as_deref()).is_some_and(|known| {
            (&known.name, &known.product, &known.version) == (&said.name, &said.product, &said.version)
        });
        if is_held {
            let Endpoint { ip, transport, port } = seen.endpoint;
            let place = AnswerPlace { ip, transport, port, name: seen.name.clone() };
            batch.answers.push(KeptAnswer { place, digest: identify::sha256(&heard.bytes), heard: heard.clone() });
        }
    }
}
