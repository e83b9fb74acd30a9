//! Endpoints by number, and the number of each.

mod list;
mod ports;
mod spans;

use crate::divisor::Divisor;
use list::List;
use model::{AddressRange, AddressSet, Endpoint, PortSet, Transport};
use ports::Ports;
use spans::Spans;
use std::{net::IpAddr, num::NonZeroU64, ops::Range};

/// A bijection between the numbers `0..len` and endpoints: every port of every address, address by address, or single
/// endpoints; ascending in both cases, IPv4 before IPv6, TCP before UDP.
///
/// It says nothing of leave: what may be asked is numbered by a [`crate::Space`], which is one that a scope has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Product {
        addresses: Spans,
        ports: Ports,
        /// None where there are no ports.
        by_ports: Option<Divisor>,
        len: u64,
    },
    List(List),
}

impl Numbering {
    /// Every one of these ports at every one of these addresses. None where they are more than 64 bits can count.
    pub fn product(addresses: &AddressSet, tcp: &PortSet, udp: &PortSet) -> Option<Self> {
        let (addresses, ports) = (Spans::new(addresses)?, Ports::new(tcp, udp));
        let each = ports.list().len() as u64;
        let len = addresses.count().checked_mul(each)?;
        Some(Self(Kind::Product { addresses, ports, by_ports: NonZeroU64::new(each).map(Divisor::new), len }))
    }

    /// These endpoints, each once.
    pub fn list(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self(Kind::List(List::new(endpoints.into_iter().collect())))
    }

    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Product { len, .. } => *len,
            Kind::List(list) => list.endpoints().len() as u64,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The endpoint of a number; none from [`Numbering::len`] on.
    #[inline]
    pub fn at(&self, number: u64) -> Option<Endpoint> {
        match &self.0 {
            Kind::Product { addresses, ports, by_ports, .. } => {
                let (host, port) = by_ports.as_ref()?.divide(number);
                let (transport, port) = ports.nth(port)?;
                Some(Endpoint { ip: addresses.nth(host)?, transport, port })
            }
            Kind::List(list) => list.nth(number),
        }
    }

    /// The number of an endpoint; none where it has none.
    #[inline]
    pub fn number_of(&self, endpoint: &Endpoint) -> Option<u64> {
        match &self.0 {
            Kind::Product { addresses, ports, .. } => {
                let port = ports.place(endpoint.transport, endpoint.port)?;
                Some(addresses.place(endpoint.ip)? * ports.list().len() as u64 + port)
            }
            Kind::List(list) => list.place(endpoint),
        }
    }

    /// How many addresses there are.
    pub fn hosts(&self) -> u64 {
        match &self.0 {
            Kind::Product { addresses, .. } => addresses.count(),
            Kind::List(list) => list.hosts(),
        }
    }

    /// The place of a number's address among the addresses, from 0; none from [`Numbering::len`] on.
    #[inline]
    pub fn host_of(&self, number: u64) -> Option<u64> {
        match &self.0 {
            Kind::Product { by_ports, len, .. } => {
                by_ports.filter(|_| number < *len).map(|divisor| divisor.divide(number).0)
            }
            Kind::List(list) => list.host_of(number),
        }
    }

    /// The address at a place; none from [`Numbering::hosts`] on.
    #[inline]
    pub fn address_of(&self, host: u64) -> Option<IpAddr> {
        match &self.0 {
            Kind::Product { addresses, .. } => addresses.nth(host),
            Kind::List(list) => list.address_of(host),
        }
    }

    /// The place of an address; none where it is not among them.
    #[inline]
    pub fn host_index(&self, ip: IpAddr) -> Option<u64> {
        match &self.0 {
            Kind::Product { addresses, .. } => addresses.place(ip),
            Kind::List(list) => list.host_index(ip),
        }
    }

    /// The numbers of the endpoints of the address at a place; empty from [`Numbering::hosts`] on.
    pub fn numbers_of(&self, host: u64) -> Range<u64> {
        match &self.0 {
            Kind::Product { addresses, ports, .. } if host < addresses.count() => {
                let each = ports.list().len() as u64;
                host * each..(host + 1) * each
            }
            Kind::Product { .. } => 0..0,
            Kind::List(list) => list.numbers_of(host),
        }
    }

    pub fn addresses(&self) -> AddressSet {
        match &self.0 {
            Kind::Product { addresses, .. } => addresses.set(),
            Kind::List(list) => list.endpoints().iter().map(|endpoint| AddressRange::single(endpoint.ip)).collect(),
        }
    }

    /// The ports each address is asked at, in the order of their numbers. None for single endpoints.
    pub fn ports(&self) -> Option<&[(Transport, u16)]> {
        match &self.0 {
            Kind::Product { ports, .. } => Some(ports.list()),
            Kind::List(_) => None,
        }
    }

    /// The ports each address is asked at by a transport. None for single endpoints.
    pub fn port_set(&self, transport: Transport) -> Option<PortSet> {
        match &self.0 {
            Kind::Product { ports, .. } => Some(ports.of(transport)),
            Kind::List(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
