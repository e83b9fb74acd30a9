use model::Endpoint;
use std::{net::IpAddr, ops::Range};

/// Single endpoints in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    endpoints: Box<[Endpoint]>,
    /// The place of each host's first endpoint.
    hosts: Box<[usize]>,
}

impl List {
    pub(super) fn new(mut endpoints: Vec<Endpoint>) -> Self {
        endpoints.sort_unstable();
        endpoints.dedup();
        let mut last = None;
        let hosts = endpoints
            .iter()
            .enumerate()
            .filter_map(|(place, endpoint)| (last.replace(endpoint.ip) != Some(endpoint.ip)).then_some(place))
            .collect();
        Self { endpoints: endpoints.into(), hosts }
    }

    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(super) fn nth(&self, place: u64) -> Option<Endpoint> {
        self.endpoints.get(usize::try_from(place).ok()?).copied()
    }

    pub(super) fn place(&self, endpoint: &Endpoint) -> Option<u64> {
        self.endpoints.binary_search(endpoint).ok().map(|place| place as u64)
    }

    pub(super) fn hosts(&self) -> u64 {
        self.hosts.len() as u64
    }

    pub(super) fn host_of(&self, place: u64) -> Option<u64> {
        let place = usize::try_from(place).ok().filter(|place| *place < self.endpoints.len())?;
        self.hosts.partition_point(|first| *first <= place).checked_sub(1).map(|host| host as u64)
    }

    pub(super) fn address_of(&self, host: u64) -> Option<IpAddr> {
        let first = *self.hosts.get(usize::try_from(host).ok()?)?;
        self.endpoints.get(first).map(|endpoint| endpoint.ip)
    }

    pub(super) fn host_index(&self, ip: IpAddr) -> Option<u64> {
        let address = |first: &usize| self.endpoints.get(*first).map(|endpoint| endpoint.ip);
        self.hosts.binary_search_by_key(&Some(ip), address).ok().map(|host| host as u64)
    }

    pub(super) fn numbers_of(&self, host: u64) -> Range<u64> {
        let Ok(host) = usize::try_from(host) else { return 0..0 };
        let Some(first) = self.hosts.get(host) else { return 0..0 };
        let end = self.hosts.get(host + 1).unwrap_or(&self.endpoints.len()).to_owned();
        *first as u64..end as u64
    }
}
