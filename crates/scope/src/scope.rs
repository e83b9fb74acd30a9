mod space;

pub use space::Space;

use crate::{Refusal, guard::Guard, hours::Hours, never};
use jiff::Timestamp;
use model::{AddressRange, AddressSet, Endpoint, ServiceName, Target, Windows};
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// What an asset allows: its targets, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetScope {
    pub name: Arc<str>,
    pub targets: Vec<Target>,
    /// The authorization ends here; none never ends.
    pub until: Option<Timestamp>,
}

/// The addresses a host name of an asset has, for as long as its DNS records live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub asset: Arc<str>,
    pub name: ServiceName,
    pub addresses: Vec<IpAddr>,
    pub until: Timestamp,
}

/// Leave to probe: what is inside was in scope when it was minted. Only a [`Scope`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InScope<T>(T);

impl<T: Copy> InScope<T> {
    pub fn get(&self) -> T {
        self.0
    }
}

/// Everything that may be touched: assets, leases, exclusions. Immutable; see [`crate::ScopeHandle`] for the current one.
#[derive(Debug, Clone)]
pub struct Scope {
    assets: Arc<[Asset]>,
    exclude: AddressSet,
    no_host: AddressSet,
    leases: Vec<Lease>,
    /// Positions in `leases`.
    leased: HashMap<IpAddr, Vec<usize>>,
    guard: Guard,
}

#[derive(Debug, Clone)]
struct Asset {
    scope: AssetScope,
    own: AddressSet,
    /// What of `own` is small enough to be swept.
    sweepable: AddressSet,
    /// None is always.
    hours: Option<Arc<Hours>>,
}

impl Asset {
    fn is_open(&self, now: Timestamp) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.is_open(now))
    }

    fn is_authorized(&self, now: Timestamp) -> bool {
        self.scope.until.is_none_or(|until| now < until)
    }
}

/// An IPv6 target of more addresses than a /104 has is scope, but nothing to sweep.
const LARGEST_SWEEP: u128 = 1 << 24;

impl Scope {
    /// `exclude` is never touched, whatever else is said.
    pub fn new(assets: Vec<AssetScope>, exclude: AddressSet) -> Self {
        let guard = Guard::new(&assets, &[], &exclude, |_| None);
        let assets = assets
            .into_iter()
            .map(|scope| {
                let ranges = || scope.targets.iter().filter_map(Target::range);
                let (own, sweepable) = (ranges().collect(), ranges().filter(|range| is_sweepable(*range)).collect());
                Asset { scope, own, sweepable, hours: None }
            })
            .collect();
        Self { assets, exclude, no_host: never::no_host(), leases: Vec::new(), leased: HashMap::new(), guard }
    }

    /// The same scope, whose assets are asked while one of these windows of theirs is open, and those that are not named at all hours.
    ///
    /// What is closed stays scope: only leave to probe it is refused ([`Refusal::Closed`]).
    #[must_use]
    pub fn within(&self, windows: &HashMap<Arc<str>, Vec<Windows>>) -> Self {
        let mut assets = self.assets.to_vec();
        for asset in &mut assets {
            asset.hours = windows.get(&asset.scope.name).map(|windows| Arc::new(Hours::new(windows.clone())));
        }
        Self { assets: assets.into(), ..self.clone() }.with_leases(self.leases.clone())
    }

    /// The same scope with these leases in place of those it had.
    ///
    /// A lease counts only where its asset lists its name. It never brings loopback, link-local, multicast or metadata
    /// addresses into scope: such an address stays in it only where the asset's own targets contain it anyway.
    #[must_use]
    pub fn with_leases(&self, leases: Vec<Lease>) -> Self {
        let never = never::no_lease();
        let leases: Vec<Lease> = leases
            .into_iter()
            .filter_map(|mut lease| {
                let asset = self.assets.iter().find(|asset| asset.scope.name == lease.asset)?;
                let lists_it = |target: &Target| matches!(target, Target::Name(name) if name == lease.name.as_str());
                if !asset.scope.targets.iter().any(lists_it) {
                    return None;
                }
                lease.addresses.retain(|&ip| !never.contains(ip) || asset.own.contains(ip));
                Some(lease)
            })
            .collect();
        let mut leased: HashMap<IpAddr, Vec<usize>> = HashMap::new();
        for (position, lease) in leases.iter().enumerate() {
            for &ip in &lease.addresses {
                leased.entry(ip).or_default().push(position);
            }
        }
        let raw: Vec<AssetScope> = self.assets.iter().map(|asset| asset.scope.clone()).collect();
        let hours = |name: &Arc<str>| self.asset(name).and_then(|asset| asset.hours.clone());
        let guard = Guard::new(&raw, &leases, &self.exclude, hours);
        Self {
            assets: Arc::clone(&self.assets),
            exclude: self.exclude.clone(),
            no_host: self.no_host.clone(),
            leases,
            leased,
            guard,
        }
    }

    /// Leave to probe an endpoint by its address.
    pub fn authorize(&self, endpoint: Endpoint, now: Timestamp) -> Result<InScope<Endpoint>, Refusal> {
        let ip = self.probeable(endpoint)?;
        let mut closed = None;
        let mut is_open = |asset: &Asset| {
            let is_open = asset.is_open(now);
            if !is_open {
                closed = Some(Arc::clone(&asset.scope.name));
            }
            is_open
        };
        if self.assets.iter().any(|asset| asset.is_authorized(now) && asset.own.contains(ip) && is_open(asset))
            || self.live_leases(ip, now).any(|lease| self.asset(&lease.asset).is_some_and(&mut is_open))
        {
            return Ok(InScope(endpoint));
        }
        if let Some(asset) = closed {
            let opens = self.asset(&asset).and_then(|asset| asset.hours.as_ref()).map_or(now, |hours| hours.opens(now));
            return Err(Refusal::Closed { ip, asset, opens });
        }
        // Why not: only asked once it is refused.
        let leased = self.leases_of(ip).filter_map(|lease| self.asset(&lease.asset));
        let expired = self
            .assets
            .iter()
            .filter(|asset| asset.own.contains(ip))
            .chain(leased)
            .find_map(|asset| asset.scope.until.filter(|end| *end <= now).map(|until| (asset, until)));
        Err(match expired {
            Some((asset, until)) => Refusal::Expired { ip, asset: Arc::clone(&asset.scope.name), until },
            None => Refusal::OutOfScope(ip),
        })
    }

    /// Leave to ask an endpoint under a host name: only while a lease of that name for that address lives.
    pub fn authorize_name(
        &self,
        endpoint: Endpoint,
        name: &ServiceName,
        now: Timestamp,
    ) -> Result<InScope<Endpoint>, Refusal> {
        let ip = self.probeable(endpoint)?;
        let is_open = |lease: &Lease| self.asset(&lease.asset).is_some_and(|asset| asset.is_open(now));
        if self.live_leases(ip, now).any(|lease| lease.name == *name && is_open(lease)) {
            Ok(InScope(endpoint))
        } else {
            Err(Refusal::Name { ip, name: name.clone() })
        }
    }

    /// Whether [`Scope::authorize`] would give leave for some port of it, at some hour of the day.
    pub fn contains(&self, ip: IpAddr, now: Timestamp) -> bool {
        matches!(self.authorize(Endpoint::tcp(ip, 1), now), Ok(_) | Err(Refusal::Closed { .. }))
    }

    /// The assets an address belongs to now, in the order of the configuration; none where it may not be probed.
    pub fn assets_of(&self, ip: IpAddr, now: Timestamp) -> Vec<Arc<str>> {
        if self.exclude.contains(ip) || self.no_host.contains(ip) {
            return Vec::new();
        }
        self.assets
            .iter()
            .filter(|asset| {
                asset.is_authorized(now)
                    && (asset.own.contains(ip)
                        || self.live_leases(ip, now).any(|lease| lease.asset == asset.scope.name))
            })
            .map(|asset| Arc::clone(&asset.scope.name))
            .collect()
    }

    /// The configured host names that have this address now, ascending.
    pub fn names_of(&self, ip: IpAddr, now: Timestamp) -> Vec<ServiceName> {
        if self.exclude.contains(ip) {
            return Vec::new();
        }
        let mut names: Vec<_> = self.live_leases(ip, now).map(|lease| lease.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Every host name that is a target, with its asset.
    pub fn names(&self) -> Vec<(Arc<str>, ServiceName)> {
        let names_of = |asset: &Asset| -> Vec<(Arc<str>, ServiceName)> {
            let parse = |target: &Target| match target {
                Target::Name(name) => name.parse().ok(),
                Target::Addresses(_) | Target::Network { .. } => None,
            };
            asset.scope.targets.iter().filter_map(parse).map(|name| (Arc::clone(&asset.scope.name), name)).collect()
        };
        self.assets.iter().flat_map(names_of).collect()
    }

    /// The leases that were accepted, live or not.
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// Every address in scope now, in however large ranges, without exclusions, at whatever hours it may be asked.
    pub fn space(&self, now: Timestamp) -> AddressSet {
        self.space_of(now, |_| true)
    }

    /// Those that may be asked at this hour.
    pub fn open_space(&self, now: Timestamp) -> AddressSet {
        self.space_of(now, |asset| asset.is_open(now))
    }

    fn space_of(&self, now: Timestamp, counts: impl Fn(&Asset) -> bool) -> AddressSet {
        let own = self.assets.iter().filter(|asset| asset.is_authorized(now) && counts(asset));
        let own = own.flat_map(|asset| asset.own.ranges());
        let live = self
            .leases
            .iter()
            .filter(|lease| self.is_live(lease, now) && self.asset(&lease.asset).is_some_and(&counts));
        let leased = live.flat_map(|lease| lease.addresses.iter().copied().map(AddressRange::single));
        own.copied().chain(leased).collect::<AddressSet>().difference(&self.exclude)
    }

    /// The addresses a sweep of these assets visits now: their own and leased ones, without exclusions and without IPv6
    /// targets larger than a /104.
    pub fn sweep_space(&self, assets: &[Arc<str>], now: Timestamp) -> AddressSet {
        let asked = |name: &Arc<str>| assets.contains(name);
        let own = self
            .assets
            .iter()
            .filter(|asset| asked(&asset.scope.name) && asset.is_authorized(now))
            .flat_map(|asset| asset.sweepable.ranges().iter().copied());
        let leased = self
            .leases
            .iter()
            .filter(|lease| asked(&lease.asset) && self.is_live(lease, now))
            .flat_map(|lease| lease.addresses.iter().copied().map(AddressRange::single));
        own.chain(leased).collect::<AddressSet>().difference(&self.exclude).difference(&self.no_host)
    }

    /// What of these assets' targets is scope now but too large to sweep, without exclusions. Smaller targets and leased addresses
    /// may lie in it.
    pub fn unsweepable_space(&self, assets: &[Arc<str>], now: Timestamp) -> AddressSet {
        let asked = self.assets.iter().filter(|asset| assets.contains(&asset.scope.name) && asset.is_authorized(now));
        let ranges = asked.flat_map(|asset| asset.scope.targets.iter().filter_map(Target::range));
        let large: AddressSet = ranges.filter(|range| !is_sweepable(*range)).collect();
        large.difference(&self.exclude).difference(&self.no_host)
    }

    /// The targets of these assets that are scope but too large to sweep.
    pub fn unsweepable(&self, assets: &[Arc<str>]) -> Vec<Target> {
        self.assets
            .iter()
            .filter(|asset| assets.contains(&asset.scope.name))
            .flat_map(|asset| &asset.scope.targets)
            .filter(|target| target.range().is_some_and(|range| !is_sweepable(range)))
            .cloned()
            .collect()
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    fn probeable(&self, endpoint: Endpoint) -> Result<IpAddr, Refusal> {
        if endpoint.port == 0 {
            Err(Refusal::Port)
        } else if self.no_host.contains(endpoint.ip) {
            Err(Refusal::NotAHost(endpoint.ip))
        } else if self.exclude.contains(endpoint.ip) {
            Err(Refusal::Excluded(endpoint.ip))
        } else {
            Ok(endpoint.ip)
        }
    }

    fn asset(&self, name: &Arc<str>) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.scope.name == *name)
    }

    fn leases_of(&self, ip: IpAddr) -> impl Iterator<Item = &Lease> {
        self.leased.get(&ip).into_iter().flatten().filter_map(|&position| self.leases.get(position))
    }

    fn live_leases(&self, ip: IpAddr, now: Timestamp) -> impl Iterator<Item = &Lease> {
        self.leases_of(ip).filter(move |lease| self.is_live(lease, now))
    }

    fn is_live(&self, lease: &Lease, now: Timestamp) -> bool {
        now < lease.until && self.asset(&lease.asset).is_some_and(|asset| asset.is_authorized(now))
    }
}

fn is_sweepable(range: AddressRange) -> bool {
    range.first().is_ipv4() || range.len() <= LARGEST_SWEEP
}

#[cfg(test)]
mod tests;
