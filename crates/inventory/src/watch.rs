//! What time alone may bring about: the few hosts and pools to look at every minute, so that nobody walks all hosts for them.
//! All but the pools follows from the hosts.

use crate::{HostState, Inventory, PoolState, Row};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    pub(crate) flapping: BTreeSet<IpAddr>,
    pub(crate) blocked: BTreeSet<IpAddr>,
    pub(crate) pools: BTreeMap<Arc<str>, PoolState>,
    members: BTreeMap<Arc<str>, BTreeSet<IpAddr>>,
}

impl Watch {
    /// Takes note of a host's new state.
    pub(crate) fn note(&mut self, host: &HostState) {
        let ip = host.key.ip;
        keep(&mut self.flapping, ip, host.flaps.iter().any(|flap| flap.flapping.is_some()));
        keep(&mut self.blocked, ip, host.blocked_since.is_some());
        for asset in self.pools.keys() {
            let is_member = host.assets.contains(asset);
            if is_member || self.members.contains_key(asset) {
                keep(self.members.entry(asset.clone()).or_default(), ip, is_member);
            }
        }
    }

    pub(crate) fn forget(&mut self, ip: IpAddr) {
        self.flapping.remove(&ip);
        self.blocked.remove(&ip);
        self.members.values_mut().for_each(|members| {
            members.remove(&ip);
        });
    }

    pub(crate) fn members(&self, asset: &str) -> impl Iterator<Item = IpAddr> {
        self.members.get(asset).into_iter().flatten().copied()
    }

    /// Takes a pool; says whether its members have still to be looked for.
    pub(crate) fn take_pool(&mut self, pool: PoolState) -> bool {
        self.pools.insert(pool.asset.clone(), pool).is_none()
    }

    pub(crate) fn set_members(&mut self, asset: &Arc<str>, members: BTreeSet<IpAddr>) {
        self.members.insert(asset.clone(), members);
    }

    pub(crate) fn remove_pool(&mut self, asset: &str) -> bool {
        self.members.remove(asset);
        self.pools.remove(asset).is_some()
    }
}

fn keep(set: &mut BTreeSet<IpAddr>, ip: IpAddr, is_in: bool) {
    if is_in {
        set.insert(ip);
    } else {
        set.remove(&ip);
    }
}

impl Inventory {
    pub(crate) fn install_pool(&mut self, pool: PoolState) {
        let asset = pool.asset.clone();
        if self.watch.take_pool(pool) {
            let members = self.hosts.rows().filter(|host| host.assets().contains(&asset)).map(Row::ip).collect();
            self.watch.set_members(&asset, members);
        }
    }

    /// Goes on with the pools that were kept. After [`Inventory::restore`].
    pub fn restore_pools(&mut self, pools: Vec<PoolState>) {
        for pool in pools {
            self.install_pool(pool);
        }
    }

    /// Ascending by asset.
    pub fn pools(&self) -> impl Iterator<Item = &PoolState> {
        self.watch.pools.values()
    }

    /// An asset is no pool any more: its hosts stand for themselves again. Says whether there was anything to forget, in
    /// the store too.
    pub fn remove_pool(&mut self, asset: &str) -> bool {
        self.watch.remove_pool(asset)
    }

    /// The pool a host is a member of, if it is one.
    pub fn pool_of(&self, ip: IpAddr) -> Option<&PoolState> {
        let assets = self.hosts.row(ip)?.assets();
        assets.iter().filter_map(|asset| self.watch.pools.get(asset)).min_by_key(|pool| &pool.asset)
    }

    /// Whether all of them are members of one pool: what they share, an SSH host key say, is the pool's own, and no finding.
    pub fn are_of_one_pool(&self, ips: impl IntoIterator<Item = IpAddr>) -> bool {
        let mut pools = ips.into_iter().map(|ip| self.pool_of(ip).map(|pool| &pool.asset));
        match pools.next() {
            Some(Some(first)) => pools.all(|other| other == Some(first)),
            _ => false,
        }
    }
}
