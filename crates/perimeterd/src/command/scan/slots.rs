//! Whose turn it is to be talked to, over everything and at each host.

use std::{collections::HashMap, net::IpAddr, sync::Arc};
use tokio::sync::Semaphore;

/// At once on one host, and on ourselves.
const PER_HOST: usize = 4;
const PER_LOOPBACK: usize = 32;

/// Room for conversations.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) all: Arc<Semaphore>,
    /// What there is of it at each host that is talked to, and how many of its ports have opened so far.
    pub(super) hosts: HashMap<IpAddr, (Option<Arc<Semaphore>>, usize)>,
}

impl Slots {
    /// Takes note of a port that opened: the host's how-manieth it is.
    pub(super) fn count(&mut self, ip: IpAddr) -> usize {
        let (_, ports) = self.hosts.entry(ip).or_default();
        *ports += 1;
        *ports
    }

    pub(super) fn of(&mut self, ip: IpAddr) -> Arc<Semaphore> {
        let room = if ip.is_loopback() { PER_LOOPBACK } else { PER_HOST };
        let (host, _) = self.hosts.entry(ip).or_default();
        Arc::clone(host.get_or_insert_with(|| Arc::new(Semaphore::new(room))))
    }
}

/// One port of a host that opened.
#[derive(Debug)]
pub(super) struct Opening {
    /// Room for conversations with the host.
    pub(super) host: Arc<Semaphore>,
    /// Its how-manieth.
    pub(super) number: usize,
}
