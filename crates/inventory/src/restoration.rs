//! Taking up where the last run ended, host by host: a million of them never exist unpacked at once.

use crate::{CertificateState, HostState, Inventory, Region, identity::Holders, table::Table, watch::Watch};
use model::Vantage;
use std::sync::Arc;

/// An inventory that is being read back. Hosts may come in any order and in as many pieces as is convenient.
#[derive(Debug)]
pub struct Restoration {
    vantage: Vantage,
    hosts: Table,
    holders: Holders,
    watch: Watch,
    foreign: bool,
}

impl Restoration {
    pub fn new(vantage: Vantage) -> Self {
        Self {
            hosts: Table::new(vantage.clone()),
            vantage,
            holders: Holders::default(),
            watch: Watch::default(),
            foreign: false,
        }
    }

    /// The rest of what was known. Where all hosts were another vantage's, everything is learnt anew.
    pub fn finish(
        mut self,
        certificates: Vec<CertificateState>,
        regions: Vec<Region>,
        baselines: Vec<Arc<str>>,
    ) -> Inventory {
        if self.foreign && self.hosts.len() == 0 {
            return Inventory::new(self.vantage);
        }
        self.hosts.close_up();
        Inventory::with(self.vantage, self.hosts, (self.holders, self.watch), certificates, regions, baselines)
    }
}

impl Extend<HostState> for Restoration {
    /// Takes a piece. Reachability is a fact about a pair: what another vantage saw is left out.
    fn extend<T: IntoIterator<Item = HostState>>(&mut self, hosts: T) {
        for host in hosts {
            if host.key.vantage == self.vantage {
                self.holders.replace(host.key.ip, &[], &host.identities);
                self.watch.note(&host);
                self.hosts.insert(&host);
            } else {
                self.foreign = true;
            }
        }
    }
}
