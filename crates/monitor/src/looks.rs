//! What the inventory remembers of an endpoint's TLS, for the next conversation and the next audit. It outlives a restart: after
//! one, nobody is looked at again for having been forgotten.

use crate::index::Index;
use inventory::{ServiceState, TlsState};
use model::{Endpoint, ServiceName};
use probe::conversation::{Earlier, MOST_LEARNT, Sighting};
use std::{collections::BTreeSet, net::IpAddr};

/// What is known of the TLS spoken at an endpoint, under a name or none. None where none is known to be.
pub(crate) fn earlier(index: &Index, endpoint: &Endpoint, name: Option<&ServiceName>) -> Option<Earlier> {
    let tls = state(index, endpoint, name)?;
    Some(Earlier {
        by_hand: Earlier::takes_a_hand(&tls.version, &tls.cipher),
        agrees_on_nothing: tls.certificate.is_some() && tls.alpn.is_none(),
        looked: tls.posture.as_ref().and_then(|posture| posture.at),
        certificates: tls.certificate.into_iter().chain(tls.alternates.into_keys()).collect(),
    })
}

pub(crate) fn state(index: &Index, endpoint: &Endpoint, name: Option<&ServiceName>) -> Option<Box<TlsState>> {
    services(index, endpoint).into_iter().find(|service| service.name.as_ref() == name)?.tls
}

/// What it said the last time under that name or none. None where it said nothing, or where what it said is in doubt: then everything
/// is asked again.
pub(crate) fn sighting(index: &Index, endpoint: &Endpoint, name: Option<&ServiceName>) -> Option<Sighting> {
    let state = services(index, endpoint).into_iter().find(|service| service.name.as_ref() == name)?;
    let settled = state.pending_service.is_none();
    state.service.filter(|_| settled).map(|service| Sighting { at: state.last_observed, service })
}

/// The names that the endpoint is asked under because its own certificate told them.
pub(crate) fn learnt(index: &Index, endpoint: &Endpoint) -> Vec<ServiceName> {
    let learnt = services(index, endpoint).into_iter().filter(|service| service.learnt);
    learnt.filter_map(|service| service.name).take(MOST_LEARNT).collect()
}

/// Every name that the host goes by.
pub(crate) fn names_of(index: &Index, ip: IpAddr) -> BTreeSet<String> {
    index.read().row(ip).map(|row| row.unpack().all_names()).unwrap_or_default()
}

fn services(index: &Index, endpoint: &Endpoint) -> Vec<ServiceState> {
    let inventory = index.read();
    let state = inventory.row(endpoint.ip).and_then(|row| row.endpoint(endpoint.transport, endpoint.port));
    state.map(|state| state.services).unwrap_or_default()
}
