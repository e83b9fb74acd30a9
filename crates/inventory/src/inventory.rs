use crate::{
    CertificateState, Change, ConfirmRequest, EndpointState, HostState, PortStatus, Region, apply::Plan, confirm,
    identity::Holders, shared::Shared, watch::Watch,
};
use jiff::Timestamp;
use model::{AddressSet, Coverage, Endpoint, HostPolicy, HostSlice, Lane, ServiceName, Sha256, Transport, Vantage};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// What one vantage knows, and the decisions that follow from it.
///
/// The planners take `&self` and change nothing: the caller commits what they return and then gives it to
/// [`Inventory::install`]. One change is installed before the next is planned.
#[derive(Debug, Clone)]
pub struct Inventory {
    pub(crate) vantage: Vantage,
    pub(crate) hosts: BTreeMap<IpAddr, HostState>,
    pub(crate) certificates: BTreeMap<Sha256, CertificateState>,
    pub(crate) regions: BTreeMap<(Arc<str>, Lane), Region>,
    pub(crate) baselines: Vec<Arc<str>>,
    pub(crate) holders: Holders,
    pub(crate) watch: Watch,
    shared: Shared,
}

/// How much is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Without the provisional ones.
    pub hosts: usize,
    pub hosts_up: usize,
    /// Open now.
    pub endpoints: usize,
    /// Open ones with something recognised on them.
    pub services: usize,
    /// Served now.
    pub certificates: usize,
}

impl Inventory {
    /// Knows nothing yet.
    pub fn new(vantage: Vantage) -> Self {
        Self {
            vantage,
            hosts: BTreeMap::new(),
            certificates: BTreeMap::new(),
            regions: BTreeMap::new(),
            baselines: Vec::new(),
            holders: Holders::default(),
            watch: Watch::default(),
            shared: Shared::default(),
        }
    }

    /// Goes on where it was. Reachability is a fact about a pair: what another vantage saw is left out, and where all of it
    /// was another's, everything is learnt anew.
    pub fn restore(
        vantage: Vantage,
        hosts: Vec<HostState>,
        certificates: Vec<CertificateState>,
        regions: Vec<Region>,
        baselines: Vec<Arc<str>>,
    ) -> Self {
        let foreign = !hosts.is_empty() && hosts.iter().all(|host| host.key.vantage != vantage);
        if foreign {
            return Self::new(vantage);
        }
        let (mut shared, mut holders, mut watch) = (Shared::default(), Holders::default(), Watch::default());
        let mut ours: BTreeMap<IpAddr, HostState> = BTreeMap::new();
        for mut host in hosts.into_iter().filter(|host| host.key.vantage == vantage) {
            shared.share(&mut host);
            holders.replace(host.key.ip, &[], &host.identities);
            watch.note(&host);
            ours.insert(host.key.ip, host);
        }
        Self {
            hosts: ours,
            certificates: certificates.into_iter().map(|state| (state.certificate.sha256, state)).collect(),
            regions: regions.into_iter().map(|region| ((region.profile.clone(), region.lane), region)).collect(),
            baselines,
            vantage,
            holders,
            watch,
            shared,
        }
    }

    pub fn vantage(&self) -> &Vantage {
        &self.vantage
    }

    /// What a slice changes. Cost follows the slice and its host, not the inventory. A slice of another vantage, or an
    /// observation of another address, changes nothing.
    pub fn apply(&self, slice: &HostSlice, policy: &HostPolicy, now: Timestamp) -> Change {
        if slice.vantage != self.vantage {
            return Change::default();
        }
        Plan::new(self, slice, policy, now).run()
    }

    /// A group of addresses is done: from now on an opening there is news. Called after the group's slices were installed.
    /// Only lanes that ask the same ports of every address say anything about what is *not* open; others change nothing.
    pub fn group_done(
        &self,
        profile: &Arc<str>,
        lane: Lane,
        coverage: &Coverage,
        addresses: &AddressSet,
        _now: Timestamp,
    ) -> Change {
        if matches!(lane, Lane::Known | Lane::Confirm) || coverage.is_empty() || addresses.is_empty() {
            return Change::default();
        }
        let key = (profile.clone(), lane);
        let stored = self.regions.get(&key);
        let mut region = stored.cloned().unwrap_or_else(|| Region::new(profile.clone(), lane, coverage));
        region.extend(coverage, addresses);
        let regions = if stored == Some(&region) { Vec::new() } else { vec![region] };
        Change { regions, ..Change::default() }
    }

    pub fn has_baseline(&self, profile: &str) -> bool {
        self.baselines.iter().any(|known| &**known == profile)
    }

    /// Whether some lane has asked this endpoint completely before.
    pub fn is_covered(&self, ip: IpAddr, transport: Transport, port: u16) -> bool {
        self.regions.values().any(|region| region.contains(ip, transport, port))
    }

    /// What left the scope because a name moved is forgotten in silence (see [`Inventory::purge_targets`]): hosts, where certificates are served, and what was covered, so that an
    /// address that comes back is learnt.
    pub fn retire(&self, ips: &[IpAddr], now: Timestamp) -> Change {
        crate::lease::retire(self, ips, now)
    }

    /// What was covered outside these addresses is forgotten, so that what is found there when they return is learnt.
    pub fn forget_outside(&self, kept: &AddressSet) -> Change {
        let shrunk = self.regions.values().map(|region| region.within(kept));
        let regions = shrunk.zip(self.regions.values()).filter(|(shrunk, known)| shrunk != *known);
        Change { regions: regions.map(|(shrunk, _)| shrunk).collect(), ..Change::default() }
    }

    /// A configured name resolves to other addresses now: one `HOST_NAME_CHANGED`, `old` to `new`. The names of the hosts
    /// concerned follow in silence. Retiring the old addresses is the caller's decision. A first resolution (`old` empty)
    /// is learnt.
    pub fn lease_moved(
        &self,
        name: &ServiceName,
        old: &[IpAddr],
        new: &[IpAddr],
        policy: &HostPolicy,
        now: Timestamp,
    ) -> Change {
        crate::lease::moved(self, name, old, new, policy, now)
    }

    /// Takes over what was committed.
    pub fn install(&mut self, change: &Change) {
        for host in &change.hosts {
            let mut host = host.clone();
            self.shared.share(&mut host);
            let before = self.hosts.get(&host.key.ip).map(|known| known.identities.as_slice()).unwrap_or_default();
            self.holders.replace(host.key.ip, before, &host.identities);
            self.watch.note(&host);
            self.hosts.insert(host.key.ip, host);
        }
        for key in &change.removed_hosts {
            self.watch.forget(key.ip);
            if let Some(gone) = self.hosts.remove(&key.ip) {
                self.holders.replace(key.ip, &gone.identities, &[]);
            }
        }
        for state in &change.certificates {
            self.certificates.insert(state.certificate.sha256, state.clone());
        }
        for sha256 in &change.removed_certificates {
            self.certificates.remove(sha256);
        }
        for region in &change.regions {
            self.regions.insert((region.profile.clone(), region.lane), region.clone());
        }
        for pool in &change.pools {
            self.install_pool(pool.clone());
        }
        for profile in &change.baselines {
            if !self.has_baseline(profile) {
                self.baselines.push(profile.clone());
            }
        }
    }

    /// Forgets what profiles that are no longer configured covered; gives what to remove from the store.
    pub fn remove_profile(&mut self, profile: &str) -> Vec<(Arc<str>, Lane)> {
        let gone: Vec<_> = self.regions.keys().filter(|(name, _)| &**name == profile).cloned().collect();
        for key in &gone {
            self.regions.remove(key);
        }
        self.baselines.retain(|known| &**known != profile);
        gone
    }

    /// Every question that is still open, ascending by time: what a restart has to ask again.
    pub fn pending(&self) -> Vec<ConfirmRequest> {
        let mut requests: Vec<_> = self.hosts.values().flat_map(confirm::requests_of).collect();
        requests.sort_unstable();
        requests
    }

    /// Those about one address.
    pub fn pending_about(&self, ip: IpAddr) -> Vec<ConfirmRequest> {
        self.hosts.get(&ip).map(confirm::requests_of).unwrap_or_default().into_iter().collect()
    }

    pub fn host(&self, ip: IpAddr) -> Option<&HostState> {
        self.hosts.get(&ip)
    }

    /// Ascending by address.
    pub fn hosts(&self) -> impl Iterator<Item = &HostState> {
        self.hosts.values()
    }

    pub fn certificates(&self) -> impl Iterator<Item = &CertificateState> {
        self.certificates.values()
    }

    pub fn certificate(&self, sha256: &Sha256) -> Option<&CertificateState> {
        self.certificates.get(sha256)
    }

    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.values()
    }

    pub fn baselines(&self) -> &[Arc<str>] {
        &self.baselines
    }

    /// Every endpoint ever seen open, those of lost hosts and closed ones too; those still to be confirmed are not in it.
    pub fn known_endpoints(&self) -> impl Iterator<Item = (Endpoint, &EndpointState)> {
        self.hosts.values().flat_map(|host| {
            host.endpoints
                .iter()
                .filter(|endpoint| endpoint.status != PortStatus::Opening)
                .map(|endpoint| (host.endpoint_at(endpoint), endpoint))
        })
    }

    /// Whether a slice has to say what came of asking this endpoint, whatever it was: it was seen open, is about to be
    /// confirmed, or is the one that shows its host lives.
    pub fn is_known(&self, endpoint: &Endpoint) -> bool {
        self.hosts.get(&endpoint.ip).is_some_and(|host| {
            host.endpoint(endpoint.transport, endpoint.port).is_some()
                || host.answered_by == Some((endpoint.transport, endpoint.port))
        })
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            certificates: self.certificates.values().filter(|state| !state.endpoints.is_empty()).count(),
            ..Counts::default()
        };
        for host in self.hosts.values().filter(|host| !host.is_provisional()) {
            counts.hosts += 1;
            counts.hosts_up += usize::from(host.up);
            for endpoint in host.open() {
                counts.endpoints += 1;
                counts.services += usize::from(endpoint.services.iter().any(|service| service.service.is_some()));
            }
        }
        counts
    }
}
