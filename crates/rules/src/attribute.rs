//! What is known of an attribute: of an event, with the host it happened on, or of a host alone.

use config::rule::Attribute;
use jiff::Timestamp;
use model::{EndpointFact, Event, EventType, HostFacts, Transport};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// One value of an attribute, as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Atom {
    Text(String),
    Number(f64),
    Boolean(bool),
    Address(IpAddr),
}

/// What conditions are asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// None for a state rule: attributes of endpoints then range over every open endpoint of the host.
    pub event: Option<&'a Event>,
    pub host: Option<&'a HostFacts>,
    /// The business value of every asset, for events whose host's facts are not at hand.
    pub values: &'a BTreeMap<Arc<str>, u8>,
}

impl Subject<'_> {
    /// The values of an attribute; none where it is unknown. A single value is a set of one; an empty set is known to
    /// be empty.
    pub(crate) fn look_up(&self, attribute: Attribute) -> Option<Vec<Atom>> {
        match attribute {
            Attribute::Ip => self.ip().map(|ip| vec![Atom::Address(ip)]),
            Attribute::Name => self.names(),
            Attribute::Asset => self.labels(|event| &event.assets, |host| &host.assets),
            Attribute::Tag => self.labels(|event| &event.tags, |host| &host.tags),
            Attribute::Value => self.value().map(|value| vec![Atom::Number(f64::from(value))]),
            Attribute::Approved => self.host.map(|host| vec![Atom::Boolean(host.approved)]),
            Attribute::Os => self.os().and_then(text),
            Attribute::OsFamily => self.host?.os.as_ref().and_then(|os| text(&os.family)),
            Attribute::OpenTcp => self.open(Transport::Tcp),
            Attribute::OpenUdp => self.open(Transport::Udp),
            Attribute::Transport => {
                known(self.endpoints().into_iter().map(|(transport, _)| Atom::Text(transport.to_string())))
            }
            Attribute::Port => known(self.endpoints().into_iter().map(|(_, port)| Atom::Number(f64::from(port)))),
            Attribute::Service => self.service(|event| event.service.as_ref().map(|service| service.name.clone()), {
                |fact| fact.service.as_ref().map(|service| service.name.clone())
            }),
            Attribute::Product => self.service(
                |event| {
                    let software = event.software.as_ref().map(|software| software.product.clone());
                    software.or_else(|| event.service.as_ref()?.product.clone())
                },
                |fact| fact.service.as_ref()?.product.clone(),
            ),
            Attribute::Version => self.service(
                |event| match &event.software {
                    Some(software) => software.version.clone(),
                    None => event.service.as_ref()?.version.clone(),
                },
                |fact| fact.service.as_ref()?.version.clone(),
            ),
            Attribute::Banner => self
                .service(|event| event.service.as_ref()?.banner.clone(), |fact| fact.service.as_ref()?.banner.clone()),
            Attribute::Tls => self.tls(),
            Attribute::Issuer => text(&self.event?.certificate.as_ref()?.issuer),
            Attribute::Subject => text(&self.event?.certificate.as_ref()?.subject),
            Attribute::San => Some(texts(&self.event?.certificate.as_ref()?.sans)),
            Attribute::SelfSigned => Some(vec![Atom::Boolean(self.event?.certificate.as_ref()?.self_signed)]),
            Attribute::DaysLeft => days_left(self.event?).map(|days| vec![Atom::Number(days)]),
            Attribute::Verdict => {
                let verdicts = &self.event?.certificate.as_ref()?.verdicts;
                Some(verdicts.iter().map(|verdict| Atom::Text(verdict.as_str().to_owned())).collect())
            }
            Attribute::Severity => self.event.map(|event| vec![Atom::Number(f64::from(event.severity.get()))]),
            Attribute::Old => self.event?.old.as_deref().and_then(text),
            Attribute::New => self.event?.new.as_deref().and_then(text),
            Attribute::Reason => self.event?.reason.as_deref().and_then(text),
            // Nothing knows these yet.
            Attribute::Cve | Attribute::Kev | Attribute::Cvss | Attribute::Epss => None,
        }
    }

    fn ip(&self) -> Option<IpAddr> {
        let of_event = self.event.and_then(|event| event.host.as_ref()).map(|host| host.ip);
        of_event.or_else(|| self.host.map(|host| host.ip))
    }

    /// The host's names and the one the service was asked under.
    fn names(&self) -> Option<Vec<Atom>> {
        let mut names: Vec<&str> = Vec::new();
        if let Some(event) = self.event {
            names.extend(event.name.as_deref());
            names.extend(event.host.iter().flat_map(|host| &host.names).map(String::as_str));
        }
        names.extend(self.host.iter().flat_map(|host| &host.names).map(String::as_str));
        names.sort_unstable();
        names.dedup();
        known(names.into_iter().map(|name| Atom::Text(name.to_owned())))
    }

    /// Assets or tags: of the event, which were those of its moment, else of the host.
    fn labels(
        &self,
        of_event: impl Fn(&Event) -> &Vec<String>,
        of_host: impl Fn(&HostFacts) -> &Vec<String>,
    ) -> Option<Vec<Atom>> {
        match (self.event, self.host) {
            (Some(event), host) if host.is_none() || !of_event(event).is_empty() => {
                (event.host.is_some() || !of_event(event).is_empty()).then(|| texts(of_event(event)))
            }
            (_, host) => host.map(|host| texts(of_host(host))),
        }
    }

    fn value(&self) -> Option<u8> {
        match self.host {
            Some(host) => Some(host.value),
            None => self.event?.assets.iter().filter_map(|asset| self.values.get(asset.as_str()).copied()).max(),
        }
    }

    fn os(&self) -> Option<String> {
        let of_event = self.event.and_then(|event| event.host.as_ref()?.os.clone());
        of_event.or_else(|| Some(self.host?.os.as_ref()?.to_string()))
    }

    /// The host's open ports; without its facts, what a `HOST_FOUND` says of them.
    fn open(&self, transport: Transport) -> Option<Vec<Atom>> {
        let port = |port| Atom::Number(f64::from(port));
        match (self.host, self.event) {
            (Some(host), _) => Some(host.open(transport).map(port).collect()),
            (None, Some(event)) if event.kind == EventType::HostFound => {
                let listed = event.endpoints.iter().filter_map(|endpoint| read_endpoint(endpoint));
                Some(listed.filter(|(its, _)| *its == transport).map(|(_, number)| port(number)).collect())
            }
            _ => None,
        }
    }

    /// What it is about: the event's endpoint, else those it lists, else all that are open.
    fn endpoints(&self) -> Vec<(Transport, u16)> {
        match self.event {
            Some(event) => match event.endpoint {
                Some(endpoint) => vec![(endpoint.transport, endpoint.port)],
                None => event.endpoints.iter().filter_map(|endpoint| read_endpoint(endpoint)).collect(),
            },
            None => self.facts().map(|fact| (fact.transport, fact.port)).collect(),
        }
    }

    /// The host's facts about the endpoint in question, or about all of them for a state rule.
    fn facts(&self) -> impl Iterator<Item = &EndpointFact> {
        let event = self.event;
        let endpoint = event.and_then(|event| event.endpoint);
        self.host.into_iter().flat_map(|host| &host.endpoints).filter(move |fact| match endpoint {
            Some(endpoint) => (fact.transport, fact.port) == (endpoint.transport, endpoint.port),
            None => event.is_none(),
        })
    }

    fn service(
        &self,
        of_event: impl Fn(&Event) -> Option<String>,
        of_fact: impl Fn(&EndpointFact) -> Option<String>,
    ) -> Option<Vec<Atom>> {
        match self.event.and_then(of_event) {
            Some(value) => text(value),
            None => known(self.facts().filter_map(of_fact).filter(|value| !value.trim().is_empty()).map(Atom::Text)),
        }
    }

    fn tls(&self) -> Option<Vec<Atom>> {
        if let Some(event) = self.event {
            if event.certificate.is_some() {
                return Some(vec![Atom::Boolean(true)]);
            }
            if let Some(service) = &event.service {
                return Some(vec![Atom::Boolean(service.tls)]);
            }
        }
        // "No TLS" is only known of an endpoint that has been identified.
        known(self.facts().filter(|fact| fact.tls || fact.service.is_some()).map(|fact| Atom::Boolean(fact.tls)))
    }
}

/// Full days until the certificate ends at the event's own time, negative once it has: an evaluation repeated later
/// says the same.
fn days_left(event: &Event) -> Option<f64> {
    let days = match (event.kind, event.metric) {
        (EventType::SslExpiry | EventType::SslExpired, Some(days)) => days,
        _ => full_days(event.time, event.certificate.as_ref()?.not_after),
    };
    i32::try_from(days).ok().map(f64::from)
}

fn full_days(from: Timestamp, to: Timestamp) -> i64 {
    (to.as_second() - from.as_second()).div_euclid(86_400)
}

/// Reads `192.0.2.7:443/tcp`.
fn read_endpoint(text: &str) -> Option<(Transport, u16)> {
    let (address, transport) = text.rsplit_once('/')?;
    let transport = match transport {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return None,
    };
    Some((transport, address.rsplit_once(':')?.1.parse().ok()?))
}

/// A text that says nothing is unknown.
fn text(value: impl AsRef<str>) -> Option<Vec<Atom>> {
    let value = value.as_ref().trim();
    (!value.is_empty()).then(|| vec![Atom::Text(value.to_owned())])
}

fn texts(values: &[String]) -> Vec<Atom> {
    values.iter().map(|value| Atom::Text(value.clone())).collect()
}

/// Unknown where there is no value at all.
fn known(values: impl Iterator<Item = Atom>) -> Option<Vec<Atom>> {
    let values: Vec<Atom> = values.collect();
    (!values.is_empty()).then_some(values)
}
