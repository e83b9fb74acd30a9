//! Where questions are sent from: the configured source, and a second one for hosts that have banned it.

use super::{Dialer, socket::Close};
use crate::raw::Raw;
use arc_swap::ArcSwap;
use model::{AddressSet, Endpoint, NotProbed, Outcome};
use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// For one question: the kernel's first two repetitions of a SYN fit in.
const PATIENCE: Duration = Duration::from_millis(3_500);

#[derive(Debug, Default)]
pub(super) struct Second {
    source: RwLock<Option<IpAddr>>,
    /// Who is asked from it.
    hosts: ArcSwap<AddressSet>,
}

/// What an endpoint said to the same question from both sources, asked at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    pub endpoint: Endpoint,
    pub first: Outcome,
    pub second: Outcome,
}

impl Dialer {
    /// Another address of this machine, of whose family hosts can be asked from it where the first source is banned. None: there is
    /// none, and everybody is asked from the first again.
    pub fn set_second_source(&self, source: Option<IpAddr>) {
        *self.0.second.source.write().unwrap_or_else(PoisonError::into_inner) = source;
        if source.is_none() {
            self.ask_from_second(AddressSet::empty());
        }
    }

    pub fn second_source(&self) -> Option<IpAddr> {
        *self.0.second.source.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these are asked from the second source, by connections and by the kernel's datagrams, and all others from the first.
    pub fn ask_from_second(&self, hosts: AddressSet) {
        self.0.second.hosts.store(Arc::new(hosts));
    }

    /// Asks a TCP endpoint from both sources at one time, by connections.
    pub async fn compare_sources(&self, endpoint: Endpoint) -> Compared {
        let from = async |source: Option<IpAddr>| {
            let Ok(endpoint) = self.authorize(endpoint) else { return Outcome::NotProbed(NotProbed::OutOfScope) };
            let begun = self.begin_from(source, endpoint, Close::Reset, PATIENCE).await;
            self.finish(begun).await.outcome
        };
        let (first, second) = tokio::join!(from(self.settings().source), async {
            match self.second_source().filter(|source| source.is_ipv4() == endpoint.ip.is_ipv4()) {
                Some(source) => from(Some(source)).await,
                None => Outcome::NotProbed(NotProbed::OutOfScope),
            }
        });
        Compared { endpoint, first, second }
    }

    pub(super) fn source_for(&self, ip: IpAddr) -> Option<IpAddr> {
        self.second_for(ip).or(self.0.settings.load().source)
    }

    fn second_for(&self, ip: IpAddr) -> Option<IpAddr> {
        if !self.0.second.hosts.load().contains(ip) {
            return None;
        }
        self.second_source().filter(|source| source.is_ipv4() == ip.is_ipv4())
    }

    /// What sends packets of our own to an address. They leave from the first source only.
    pub(crate) fn raw_to(&self, ip: IpAddr) -> Option<&Raw> {
        self.raw().filter(|raw| raw.reaches(ip) && self.second_for(ip).is_none())
    }
}
