//! Products on a host: what appeared and what went, compared over the whole host, so that a product that only moves to
//! another port is no news.

use crate::{HostState, event};
use jiff::Timestamp;
use model::{Event, EventEndpoint, EventType, Service, Software, Transport, Vantage};
use std::collections::{BTreeMap, BTreeSet};

/// Where a product was seen.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    software: Software,
    transport: Transport,
    port: u16,
    name: Option<String>,
    service: &'a Service,
    tls: bool,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

/// What names a product, whatever its version: vendors are told in many spellings, product names in one.
pub(crate) fn product_key(product: &str) -> String {
    product.trim().to_lowercase()
}

/// The products on its open endpoints, each with the first place it is on.
fn products(host: &HostState) -> BTreeMap<String, Place<'_>> {
    let mut products = BTreeMap::new();
    for endpoint in host.open() {
        for state in &endpoint.services {
            let Some(service) = &state.service else { continue };
            for software in service.all_software() {
                products.entry(product_key(&software.product)).or_insert_with(|| Place {
                    software,
                    transport: endpoint.transport,
                    port: endpoint.port,
                    name: state.name.as_ref().map(ToString::to_string),
                    service,
                    tls: state.tls.is_some(),
                    first_seen: state.first_seen,
                    last_seen: state.last_seen,
                });
            }
        }
    }
    products
}

/// What [`product_key`] gives for each of them.
pub(crate) fn product_keys(host: &HostState) -> BTreeSet<String> {
    products(host).into_keys().collect()
}

/// `SOFTWARE_ADDED` for products new on the host that are news, `SOFTWARE_REMOVED` for those on no endpoint of it any more.
pub(crate) fn differences(
    before: Option<&HostState>,
    after: &HostState,
    news: &BTreeSet<String>,
    vantage: &Vantage,
    now: Timestamp,
) -> Vec<Event> {
    let before = before.map(products).unwrap_or_default();
    let now_there = products(after);
    let added = now_there.iter().filter(|(key, _)| news.contains(*key) && !before.contains_key(*key));
    let gone = before.iter().filter(|(key, _)| !now_there.contains_key(*key));
    let event = |kind, key: &str, place: &Place<'_>| {
        let mut event = Event::new(kind, now, vantage, &(after.key.ip, key));
        event.endpoint = Some(EventEndpoint { transport: place.transport, port: place.port });
        event.name.clone_from(&place.name);
        event.service = Some(event::service(place.service, place.tls));
        event.software = Some(place.software.clone());
        event.first_seen = Some(place.first_seen);
        event.last_seen = Some(place.last_seen);
        let text = Some(shown(&place.software));
        if kind == EventType::SoftwareAdded {
            event.new = text;
            event.reason = Some("on no endpoint of the host before".to_owned());
        } else {
            event.old = text;
            event.reason = Some("on no endpoint of the host any more".to_owned());
        }
        event.evidence.push(
            event::banner(place.last_seen, Some(place.service))
                .unwrap_or_else(|| event::evidence(place.last_seen, &format!("identified as {}", place.service.name))),
        );
        event
    };
    gone.map(|(key, place)| event(EventType::SoftwareRemoved, key, place))
        .chain(added.map(|(key, place)| event(EventType::SoftwareAdded, key, place)))
        .collect()
}

/// `nginx 1.22.1`.
pub(crate) fn shown(software: &Software) -> String {
    match &software.version {
        Some(version) => format!("{} {version}", software.product),
        None => software.product.clone(),
    }
}
