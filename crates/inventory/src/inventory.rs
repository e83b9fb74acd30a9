use crate::{
    CertificateState, Change, ConfirmRequest, EndpointState, HostState, Known, PortStatus, Region, Restoration, Row,
    apply::Plan, confirm, expiry::Expiries, identity::Holders, table::Table, watch::Watch,
};
use jiff::Timestamp;
use model::{AddressSet, Coverage, Endpoint, HostPolicy, HostSlice, Lane, ServiceName, Sha256, Transport, Vantage};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
    sync::Arc,
};

/// What one vantage knows, and the decisions that follow from it.
///
/// The planners take `&self` and change nothing: the caller commits what they return and then gives it to
/// [`Inventory::install`]. One change is installed before the next is planned.
#[derive(Debug, Clone)]
pub struct Inventory {
    pub(crate) vantage: Vantage,
    pub(crate) hosts: Table,
    pub(crate) certificates: BTreeMap<Sha256, CertificateState>,
    pub(crate) regions: BTreeMap<(Arc<str>, Lane), Region>,
    pub(crate) baselines: Vec<Arc<str>>,
    pub(crate) holders: Holders,
    pub(crate) watch: Watch,
    /// How many certificates are served now.
    served: usize,
    pub(crate) expiries: Expiries,
    /// Keys, each with the certificates that have it.
    pub(crate) keys: BTreeSet<(Sha256, Sha256)>,
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
            hosts: Table::new(vantage.clone()),
            vantage,
            certificates: BTreeMap::new(),
            regions: BTreeMap::new(),
            baselines: Vec::new(),
            holders: Holders::default(),
            watch: Watch::default(),
            served: 0,
            expiries: Expiries::default(),
            keys: BTreeSet::new(),
        }
    }

    /// Goes on where it was: [`Restoration`] in one go, for those who have all of it at hand.
    pub fn restore(
        vantage: Vantage,
        hosts: Vec<HostState>,
        certificates: Vec<CertificateState>,
        regions: Vec<Region>,
        baselines: Vec<Arc<str>>,
    ) -> Self {
        let mut restoration = Restoration::new(vantage);
        restoration.extend(hosts);
        restoration.finish(certificates, regions, baselines)
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
        let before = self.hosts.get(&slice.ip);
        Plan::new(self, before.as_ref(), slice, policy, now).run()
    }

    /// Takes a slice that says nothing but what is known, where it is such a one: a living host about which nothing is in
    /// doubt shows again what it showed before. Times move on in place, exactly as [`Inventory::apply`] and
    /// [`Inventory::install`] would have moved them, which would have told nothing and asked nothing. False where the slice
    /// says anything else, or may: then nothing has changed and the caller plans with [`Inventory::apply`].
    ///
    /// The host counts as touched until [`Inventory::take_touched`] hands it out or an installed change replaces it.
    pub fn note_unchanged(&mut self, slice: &HostSlice, policy: &HostPolicy, now: Timestamp) -> bool {
        self.hosts.note_unchanged(slice, policy, now, &self.holders)
    }

    /// From now on the next slice of every host takes the long way, whatever it says: for callers who make more of a look at
    /// a host than the inventory does (rules), when that has changed. So it is after a restart, too.
    pub fn meet_anew(&mut self) {
        self.hosts.meet_anew();
    }

    /// Touched hosts to be written, at most so many, going round by address. They count as written from then on.
    pub fn take_touched(&mut self, limit: usize) -> Vec<HostState> {
        self.hosts.take_touched(limit)
    }

    /// How many hosts wait to be written.
    pub fn touched(&self) -> usize {
        self.hosts.touched()
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

    /// At these addresses nobody is: they were asked in every way there is. A host that shows itself there later is news, told once it
    /// has done so twice; one that showed itself before that was so is learnt.
    pub fn nobody_at(&self, profile: &Arc<str>, lane: Lane, addresses: &AddressSet) -> Change {
        let key = (profile.clone(), lane);
        let stored = self.regions.get(&key);
        let mut region = stored.cloned().unwrap_or_else(|| Region::new(profile.clone(), lane, &Coverage::default()));
        region.absent = region.absent.union(addresses);
        let regions = if stored == Some(&region) || region.absent.is_empty() { Vec::new() } else { vec![region] };
        Change { regions, ..Change::default() }
    }

    /// Whether nobody was at that address when it was asked in every way.
    pub fn is_absent(&self, ip: IpAddr) -> bool {
        self.regions.values().any(|region| region.absent.contains(ip))
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
            let before = self.hosts.row(host.key.ip).map(Row::identities).unwrap_or_default();
            self.holders.replace(host.key.ip, &before, &host.identities);
            self.watch.note(host);
            self.hosts.install(host);
        }
        for key in &change.removed_hosts {
            self.watch.forget(key.ip);
            let before = self.hosts.row(key.ip).map(Row::identities).unwrap_or_default();
            self.holders.replace(key.ip, &before, &[]);
            self.hosts.remove(&key.ip);
        }
        for state in &change.certificates {
            self.served += usize::from(state.is_served());
            let old = self.certificates.insert(state.certificate.sha256, state.clone());
            if let Some(old) = &old {
                self.expiries.remove(old);
            }
            self.expiries.add(state);
            self.keys.insert(state.carries());
            self.served -= usize::from(old.is_some_and(|old| old.is_served()));
        }
        for sha256 in &change.removed_certificates {
            let old = self.certificates.remove(sha256);
            if let Some(old) = &old {
                self.expiries.remove(old);
                self.keys.remove(&old.carries());
            }
            self.served -= usize::from(old.is_some_and(|old| old.is_served()));
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
        let unsettled = self.hosts.rows().filter(|row| row.is_unsettled());
        let mut requests: Vec<_> = unsettled.flat_map(|row| confirm::requests_of(&row.unpack())).collect();
        requests.sort_unstable();
        requests
    }

    /// Those about one address.
    pub fn pending_about(&self, ip: IpAddr) -> Vec<ConfirmRequest> {
        self.hosts.get(&ip).map(|host| confirm::requests_of(&host)).unwrap_or_default().into_iter().collect()
    }

    /// A copy, unpacked. Where a look at it is enough, [`Inventory::row`] is cheaper.
    pub fn host(&self, ip: IpAddr) -> Option<HostState> {
        self.hosts.get(&ip)
    }

    /// Ascending by address, each unpacked as it is reached.
    pub fn hosts(&self) -> impl Iterator<Item = HostState> + '_ {
        self.hosts.values()
    }

    /// The host as it lies.
    pub fn row(&self, ip: IpAddr) -> Option<Row<'_>> {
        self.hosts.row(ip)
    }

    /// Hosts as they lie, ascending by address: all, or those from a bound on, where an earlier walk ended.
    pub fn rows(&self, from: Bound<IpAddr>) -> impl Iterator<Item = Row<'_>> {
        self.hosts.rows_from(from)
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
    pub fn known_endpoints(&self) -> impl Iterator<Item = (Endpoint, EndpointState)> + '_ {
        self.hosts.values().flat_map(|host| {
            let ip = host.key.ip;
            let known = host.endpoints.into_iter().filter(|endpoint| endpoint.status != PortStatus::Opening);
            known.map(move |state| (Endpoint { ip, transport: state.transport, port: state.port }, state))
        })
    }

    /// Whether a slice has to say what came of asking this endpoint, whatever it was: it was seen open, is about to be
    /// confirmed, or is the one that shows its host lives.
    pub fn is_known(&self, endpoint: &Endpoint) -> bool {
        self.hosts.row(endpoint.ip).is_some_and(|row| row.is_known(endpoint.transport, endpoint.port))
    }

    /// What is remembered of who answers there; none where [`Inventory::is_known`] is not true.
    pub fn remembered(&self, endpoint: &Endpoint) -> Option<Known> {
        self.hosts.row(endpoint.ip)?.known(endpoint.transport, endpoint.port)
    }

    /// Kept as things change: asking costs nothing.
    pub fn counts(&self) -> Counts {
        Counts { certificates: self.served, ..self.hosts.counts() }
    }

    pub(crate) fn with(
        vantage: Vantage,
        hosts: Table,
        (holders, watch): (Holders, Watch),
        certificates: Vec<CertificateState>,
        regions: Vec<Region>,
        baselines: Vec<Arc<str>>,
    ) -> Self {
        let certificates: BTreeMap<_, _> =
            certificates.into_iter().map(|state| (state.certificate.sha256, state)).collect();
        Self {
            vantage,
            hosts,
            holders,
            watch,
            expiries: certificates.values().collect(),
            keys: certificates.values().map(CertificateState::carries).collect(),
            served: certificates.values().filter(|state| state.is_served()).count(),
            certificates,
            regions: regions.into_iter().map(|region| ((region.profile.clone(), region.lane), region)).collect(),
            baselines,
        }
    }
}

impl CertificateState {
    /// Its key, and itself.
    fn carries(&self) -> (Sha256, Sha256) {
        (self.certificate.spki_sha256, self.certificate.sha256)
    }

    fn is_served(&self) -> bool {
        !self.endpoints.is_empty()
    }
}
