//! A host as it lies in the table: what can be said of it without unpacking it.

use super::{Table, record::Record, slot::Slot};
use crate::{EndpointState, HostState, Identity, PortStatus};
use jiff::Timestamp;
use model::{Endpoint, NameSource, Service, Transport};
use std::{net::IpAddr, sync::Arc};

/// One host of an [`crate::Inventory`], as it is kept. Asking it costs next to nothing; [`Row::unpack`] makes a copy.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    ip: IpAddr,
    record: &'a Record,
    table: &'a Table,
}

/// What is remembered of who answers at an endpoint, for the next conversation with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub open: bool,
    /// Its host is up and it is what should answer there: open, or the one that shows by refusing that the host lives.
    pub expected: bool,
    /// When it was last asked who it is under no name, and the answer of then.
    pub identified: Option<Timestamp>,
    pub prior: Option<Arc<Service>>,
    pub tls: bool,
}

impl<'a> Row<'a> {
    pub(super) fn new(ip: IpAddr, record: &'a Record, table: &'a Table) -> Self {
        Self { ip, record, table }
    }

    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// See [`HostState::is_provisional`].
    pub fn is_provisional(self) -> bool {
        self.record.is_provisional()
    }

    pub fn is_up(self) -> bool {
        self.record.is_up()
    }

    /// Since when it is lost; none while it is not.
    pub fn lost_since(self) -> Option<Timestamp> {
        let extra = self.record.extra.as_ref().and_then(|extra| extra.times.as_ref());
        extra.map_or_else(|| self.record.lost_since(), |times| times.lost_since)
    }

    /// The assets that contained it when it was last looked at.
    pub fn assets(self) -> &'a [Arc<str>] {
        self.table.values.words_of(self.record.words).map_or(&[], |words| &words.assets)
    }

    /// The keys it is known by.
    pub fn identities(self) -> Vec<Identity> {
        self.record.identities(&self.table.values)
    }

    pub fn first_seen(self) -> Timestamp {
        let extra = self.record.extra.as_ref().and_then(|extra| extra.times.as_ref());
        extra.map_or_else(|| self.record.first_seen.time(), |times| times.first_seen)
    }

    /// The open endpoints, ascending, each with since when.
    pub fn opened(self) -> impl Iterator<Item = (Timestamp, Endpoint)> + 'a {
        let (ip, record) = (self.ip, self.record);
        let open = record.slots.iter().enumerate().filter(|(_, slot)| slot.status() == PortStatus::Open);
        open.map(move |(place, slot)| {
            let (transport, port) = slot.key();
            let since = record.rare(place).map_or_else(|| slot.changed_at.time(), |rare| rare.state.changed_at);
            (since, Endpoint { ip, transport, port })
        })
    }

    /// Whether somebody was ever heard there: a service, or TLS, on anything it has open.
    pub fn speaks(self) -> bool {
        self.opened()
            .any(|(_, at)| self.known(at.transport, at.port).is_some_and(|known| known.tls || known.prior.is_some()))
    }

    /// When a source last gave its names.
    pub fn named_at(self, source: NameSource) -> Option<Timestamp> {
        self.record.names.as_ref()?.named_at().get(&source).copied()
    }

    /// None where the endpoint is not known.
    pub fn status(self, transport: Transport, port: u16) -> Option<PortStatus> {
        let place = self.record.place(transport, port)?;
        self.record.slots.get(place).map(Slot::status)
    }

    /// How many endpoints are open.
    pub fn open(self) -> usize {
        self.record.open().count()
    }

    /// Whether anything about it is out of the ordinary: doubted, awaiting confirmation, flapping, blocked, …
    pub fn is_unsettled(self) -> bool {
        !self.record.is_settled()
    }

    /// Whatever was found open there and is remembered, ascending, open or not now.
    pub fn endpoints(self) -> impl Iterator<Item = (Transport, u16)> + 'a {
        self.record.slots.iter().map(Slot::key)
    }

    /// What a pass over known endpoints asks of it, ascending: all it has, and the one that refused.
    pub fn asked(self) -> impl Iterator<Item = Endpoint> + 'a {
        let ip = self.ip;
        let slots = &self.record.slots;
        let other = self.record.answered_by().filter(|key| !slots.iter().any(|slot| slot.key() == *key));
        let place = other.map_or(slots.len(), |key| slots.partition_point(|slot| slot.key() < key));
        let (before, after) = slots.split_at(place);
        let keys = before.iter().map(Slot::key).chain(other).chain(after.iter().map(Slot::key));
        keys.map(move |(transport, port)| Endpoint { ip, transport, port })
    }

    /// How many those are.
    pub fn asked_len(self) -> usize {
        let slots = &self.record.slots;
        let other = self.record.answered_by().filter(|key| !slots.iter().any(|slot| slot.key() == *key));
        slots.len() + usize::from(other.is_some())
    }

    /// See [`crate::Inventory::is_known`].
    pub fn is_known(self, transport: Transport, port: u16) -> bool {
        self.record.place(transport, port).is_some() || self.record.answered_by() == Some((transport, port))
    }

    /// Whether an endpoint is believed open, and when it was last asked who it is: as [`Row::known`] says, for those who ask this
    /// of every endpoint all the time.
    pub fn acquaintance(self, transport: Transport, port: u16) -> Option<(bool, Option<Timestamp>)> {
        let Some(place) = self.record.place(transport, port) else {
            return (self.record.answered_by() == Some((transport, port))).then_some((false, None));
        };
        let slot = self.record.slots.get(place)?;
        let identified = match self.record.rare(place) {
            None => slot.identified().map(super::moment::Moment::time),
            Some(rare) => {
                let bare = rare.state.services.iter().find(|service| service.name.is_none());
                bare.map(|service| service.last_observed)
            }
        };
        Some((slot.status() == PortStatus::Open, identified))
    }

    /// None where [`Row::is_known`] is not true.
    pub fn known(self, transport: Transport, port: u16) -> Option<Known> {
        let shows_life = self.record.answered_by() == Some((transport, port));
        let Some(place) = self.record.place(transport, port) else {
            return shows_life.then(|| Known { expected: self.is_up(), ..Known::default() });
        };
        let slot = self.record.slots.get(place)?;
        let open = slot.status() == PortStatus::Open;
        let expected = self.is_up() && (open || shows_life);
        let Some(rare) = self.record.rare(place) else {
            let values = &self.table.values;
            let identified = slot.identified().map(super::moment::Moment::time);
            return Some(Known { open, expected, identified, prior: slot.service(values), tls: slot.has_tls() });
        };
        let bare = rare.state.services.iter().find(|service| service.name.is_none());
        Some(Known {
            open,
            expected,
            identified: bare.map(|service| service.last_observed),
            prior: bare.and_then(|service| service.service.clone()),
            tls: bare.is_some_and(|service| service.tls.is_some()),
        })
    }

    pub fn endpoint(self, transport: Transport, port: u16) -> Option<EndpointState> {
        self.record.endpoint(self.record.place(transport, port)?, &self.table.values)
    }

    pub fn unpack(self) -> HostState {
        self.record.unpack(self.ip, &self.table.vantage, &self.table.values)
    }
}
