//! From a scenario to a network.

use super::{
    SimulationError,
    intervals::Intervals,
    path::{Disruption, Kind, Middlebox, Paths, Recent, either},
    random::Random,
    scenario::{Difference, Hosts, Outage, Scenario, Service, Span},
    truth::{Machine, Offer, Truth, mac},
};
use model::{AddressSet, Target};
use std::{net::IpAddr, sync::Arc};

/// The network as it is at the beginning, and everything that will befall the ways to it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) truth: Truth,
    pub(super) paths: Paths,
    proxied: AddressSet,
}

pub(super) fn addresses(text: &str) -> Result<AddressSet, SimulationError> {
    let target: Target = text.parse().map_err(|error| SimulationError::Scenario(format!("`{text}`: {error}")))?;
    let range =
        target.range().ok_or_else(|| SimulationError::Scenario(format!("`{text}` is no range of addresses")))?;
    Ok([range].into_iter().collect())
}

pub(super) fn offer(service: &Service, truth: &mut Truth) -> Offer {
    let shared = |text: &Option<String>| text.as_deref().map(Arc::from);
    Offer {
        port: service.port,
        name: shared(&service.name),
        product: shared(&service.product),
        version: shared(&service.version),
        certificate: service.tls.then(|| truth.next_certificate()),
    }
}

pub(super) fn machine(hosts: &Hosts, truth: &mut Truth, random: &mut Random) -> Machine {
    let mut offers: Vec<Offer> = Vec::new();
    for service in &hosts.services {
        if service.share >= 1.0 || random.chance(service.share) {
            offers.push(offer(service, truth));
        }
    }
    offers.sort_by_key(|offer| offer.port);
    let key = truth.next_key();
    let us = |ms: u64| u32::try_from(ms * 1_000).unwrap_or(u32::MAX);
    Machine {
        up: true,
        offers,
        closed: hosts.closed,
        everything: hosts.everything,
        latency_us: us(hosts.latency.ms()),
        jitter_us: us(hosts.jitter.ms()),
        key,
        mac: hosts.macs.then(|| mac(key)),
    }
}

/// Some addresses of a set: the first ones where it is hardly larger, chosen by chance otherwise.
fn chosen(set: &AddressSet, count: u32, taken: &Truth, random: &mut Random) -> Result<Vec<IpAddr>, SimulationError> {
    let mut free: Vec<IpAddr> = set.iter().filter(|ip| !taken.places.contains_key(ip)).collect();
    let count = count as usize;
    if free.len() < count {
        return Err(SimulationError::Scenario(format!("{count} hosts do not fit into {} addresses", free.len())));
    }
    if free.len() > count {
        for index in 0..count {
            let other = index + random.index(free.len() - index);
            free.swap(index, other);
        }
        free.truncate(count);
        free.sort_unstable();
    }
    Ok(free)
}

impl World {
    pub(super) fn new(scenario: &Scenario, end: u64) -> Result<Self, SimulationError> {
        let mut random = Random::new(scenario.seed);
        let mut truth = Truth::default();
        for hosts in &scenario.hosts {
            let set = addresses(&hosts.addresses)?;
            for ip in chosen(&set, hosts.count, &truth, &mut random)? {
                place(hosts, ip, &mut truth, &mut random);
            }
        }
        let mut proxied = AddressSet::empty();
        for proxy in &scenario.proxies {
            proxied = proxied.union(&addresses(&proxy.on)?);
        }
        for ip in &proxied {
            truth.place(ip);
        }
        let paths = paths(scenario, &truth, end, &mut random)?;
        let mut world = Self { truth, paths, proxied };
        for ip in world.truth.ips().to_vec() {
            world.equip(ip);
        }
        Ok(world)
    }

    /// Tells an address what stands between it and the sensor.
    pub(super) fn equip(&mut self, ip: IpAddr) {
        let numbers = |concerned: Vec<bool>| {
            (0_u16..).zip(concerned).filter(|(_, concerns)| *concerns).map(|(number, _)| number).collect()
        };
        let outages = numbers(self.paths.somewhere.iter().map(|one| one.addresses.contains(ip)).collect());
        let boxes = numbers(self.paths.boxes.iter().map(|one| one.addresses.contains(ip)).collect());
        let proxied = self.proxied.contains(ip);
        let place = self.truth.place(ip);
        (place.outages, place.boxes, place.proxied) = (outages, boxes, proxied);
    }
}

fn place(hosts: &Hosts, ip: IpAddr, truth: &mut Truth, random: &mut Random) {
    let first = machine(hosts, truth, random);
    for port in first.offers.iter().map(|offer| offer.port) {
        truth.place(ip).meet(port);
    }
    for member in 0..hosts.members {
        let mut other = first.clone();
        if member > 0 {
            if hosts.differ.contains(&Difference::Key) {
                other.key = truth.next_key();
            }
            for offer in &mut other.offers {
                if hosts.differ.contains(&Difference::Certificate) && offer.certificate.is_some() {
                    offer.certificate = Some(truth.next_certificate());
                }
                if hosts.differ.contains(&Difference::Version) {
                    offer.version = offer.version.as_ref().map(|version| format!("{version}.{member}").into());
                }
            }
        }
        let number = truth.add(other);
        truth.place(ip).machines.push(number);
    }
}

fn paths(scenario: &Scenario, truth: &Truth, end: u64, random: &mut Random) -> Result<Paths, SimulationError> {
    let mut paths = Paths {
        random: random.fork(),
        loss: either(scenario.loss),
        no_route: Intervals::default(),
        everywhere: Vec::new(),
        somewhere: Vec::new(),
        boxes: Vec::new(),
        questions: 0,
    };
    for outage in &scenario.outages {
        let times = times(outage, end, random)?;
        let loss = either(outage.loss);
        match outage.on.as_str() {
            "sensor" => times.iter().for_each(|(from, until)| paths.no_route.add(from, until)),
            "uplink" => paths.everywhere.push(Disruption { addresses: AddressSet::empty(), times, loss }),
            on => paths.somewhere.push(Disruption { addresses: addresses(on)?, times, loss }),
        }
    }
    for firewall in &scenario.firewalls {
        let on = addresses(&firewall.on)?;
        let each: Vec<AddressSet> = if firewall.each {
            truth.within(&on).map(|ip| [model::AddressRange::single(ip)].into_iter().collect()).collect()
        } else {
            vec![on]
        };
        paths.boxes.extend(each.into_iter().map(|addresses| Middlebox {
            addresses,
            kind: Kind::Firewall {
                recent: Recent::new(firewall.window.ms()),
                threshold: firewall.threshold,
                ban: firewall.ban.ms(),
                manner: firewall.manner,
                banned_until: 0,
            },
        }));
    }
    for nat in &scenario.nat {
        let kind = Kind::Nat { recent: Recent::new(nat.timeout.ms()), entries: nat.entries };
        paths.boxes.push(Middlebox { addresses: addresses(&nat.on)?, kind });
    }
    for injector in &scenario.injectors {
        let kind = Kind::Injector { probability: injector.probability };
        paths.boxes.push(Middlebox { addresses: addresses(&injector.on)?, kind });
    }
    Ok(paths)
}

fn times(outage: &Outage, end: u64, random: &mut Random) -> Result<Intervals, SimulationError> {
    let (lasting, at) = (outage.lasting.ms(), outage.at.map(Span::ms));
    match (at, outage.every) {
        (Some(at), None) => Ok(Intervals::one(at, at + lasting)),
        (at, Some(every)) => {
            Ok(Intervals::random(&mut random.fork(), at.unwrap_or(0), end, every.ms(), lasting, outage.fixed))
        }
        (None, None) => Err(SimulationError::Scenario("an outage needs `at` or `every`".to_owned())),
    }
}
