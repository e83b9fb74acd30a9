//! What truly happens, in the order of time: the script's steps, and what chance adds to them.

use super::{
    SimulationError,
    build::{World, addresses, machine, offer},
    intervals::Intervals,
    random::Random,
    scenario::{Changes, Closed, Hosts, Scenario, Service, Span, Step},
    truth::{Action, Offer, Truth},
};
use model::{AddressSet, Endpoint};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// One thing to do.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    True(Action),
    Kill,
    Start,
    /// The whole configuration, as text.
    Reload(String),
}

/// What a true change means to somebody who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Port(Endpoint, bool),
    /// There or not; `new` where nobody was ever there.
    Host {
        ip: IpAddr,
        up: bool,
        new: bool,
    },
    Upgraded(Endpoint),
    Renewed(Endpoint),
    Rekeyed(IpAddr),
    Moved(IpAddr, IpAddr),
}

#[derive(Debug, Default)]
pub(super) struct Script {
    /// Ascending by time, in milliseconds since the beginning.
    pub(super) deeds: Vec<(u64, Deed)>,
    pub(super) facts: Vec<(u64, Fact)>,
    /// When the daemon was dead.
    pub(super) dead: Intervals,
    pub(super) reloads: u64,
    /// Where comings and goings are nobody's business.
    pub(super) pools: AddressSet,
    /// Where machines change their addresses.
    pub(super) moving: AddressSet,
    /// The ports that hosts offered when they first came.
    pub(super) brought: BTreeMap<IpAddr, Vec<u16>>,
}

const DAY: f64 = 86_400_000.0;
/// After a change of a host, chance leaves it alone for so long: what follows from one change is not taken for another's.
const REST: u64 = 3 * 3_600_000;

fn endpoint(text: &str) -> Result<Endpoint, SimulationError> {
    let address: SocketAddr =
        text.parse().map_err(|_| SimulationError::Scenario(format!("`{text}` is no address with a port")))?;
    Ok(Endpoint::tcp(address.ip(), address.port()))
}

fn ip(text: &str) -> Result<IpAddr, SimulationError> {
    text.parse().map_err(|_| SimulationError::Scenario(format!("`{text}` is no address")))
}

impl Script {
    pub(super) fn new(scenario: &Scenario, world: &mut World, end: u64) -> Result<Self, SimulationError> {
        let mut random = Random::new(scenario.seed ^ 0x7363_7269_7074);
        let mut script = Self::default();
        for pool in &scenario.pools {
            let on = addresses(&pool.on)?;
            script.pools = script.pools.union(&on);
            pool_deeds(pool, &on, world, end, &mut random, &mut script.deeds)?;
        }
        let mut config = scenario.config.clone();
        let mut touched = BTreeSet::new();
        for step in &scenario.script {
            script.add(step, world, &mut config, &mut touched, &mut random)?;
        }
        for dhcp in &scenario.dhcp {
            let on = addresses(&dhcp.on)?;
            script.moving = script.moving.union(&on);
            dhcp_deeds(dhcp.every, &on, &world.truth, end, &mut random, &mut script.deeds);
        }
        if let Some(changes) = &scenario.changes {
            let left_alone = script.pools.union(&script.moving);
            let chance = Chance { changes, left_alone, touched, random: random.fork() };
            chance.draw(world, end, &mut script.deeds)?;
        }
        script.deeds.retain(|(at, _)| *at < end);
        script.deeds.sort_by_key(|(at, _)| *at);
        script.facts = facts(&script.deeds, world.truth.clone(), &mut script.brought);
        Ok(script)
    }

    fn add(
        &mut self,
        step: &Step,
        world: &mut World,
        config: &mut toml::Table,
        touched: &mut BTreeSet<IpAddr>,
        random: &mut Random,
    ) -> Result<(), SimulationError> {
        let truth = &mut world.truth;
        let every = step.every.map_or(0, Span::ms);
        for turn in 0..u64::from(step.times.unwrap_or(1)) {
            let at = step.at.ms() + turn * every;
            let later = at + step.lasting.map_or(300_000, Span::ms);
            let mut deeds: Vec<(u64, Deed)> = Vec::new();
            let mut truly = |at: u64, action: Action| deeds.push((at, Deed::True(action)));
            if let Some(text) = &step.open {
                let endpoint = endpoint(text)?;
                truly(at, Action::Open(endpoint, offered(step, endpoint, truth)));
            } else if let Some(text) = &step.close {
                truly(at, Action::Close(endpoint(text)?));
            } else if let Some(text) = &step.toggle {
                let endpoint = endpoint(text)?;
                let open = truth.machine(endpoint.ip).is_some_and(|machine| machine.offer(endpoint.port).is_some());
                truly(
                    at,
                    if open == (turn % 2 == 0) {
                        Action::Close(endpoint)
                    } else {
                        Action::Open(endpoint, offered(step, endpoint, truth))
                    },
                );
            } else if let Some(text) = &step.add {
                let hosts = some_hosts(text, &step.services);
                truly(at, Action::Add(ip(text)?, Box::new(machine(&hosts, truth, random))));
            } else if let Some(text) = &step.remove {
                truly(at, Action::Power(ip(text)?, false));
            } else if let Some(text) = &step.reboot {
                truly(at, Action::Power(ip(text)?, false));
                truly(later, Action::Power(ip(text)?, true));
            } else if let Some(text) = &step.upgrade {
                let version = step.version.as_deref().unwrap_or("2.0");
                truly(at, Action::Upgrade(endpoint(text)?, version.into()));
            } else if let Some(text) = &step.renew {
                truly(at, Action::Renew(endpoint(text)?));
            } else if let Some(text) = &step.rekey {
                truly(at, Action::Rekey(ip(text)?));
            } else if let Some((from, to)) = &step.moved {
                truly(at, Action::Move(ip(from)?, ip(to)?));
            } else if step.kill == Some(true) {
                deeds.extend([(at, Deed::Kill), (later, Deed::Start)]);
                self.dead.add(at, later);
            } else if let Some(table) = &step.reload {
                merge(config, table);
                deeds.push((at, Deed::Reload(text_of(config)?)));
                self.reloads += 1;
            } else {
                return Err(SimulationError::Scenario(format!("the step at {:?} does nothing", step.at.0)));
            }
            for (_, deed) in &deeds {
                if let Deed::True(action) = deed {
                    touched.extend(concerned(action));
                }
            }
            self.deeds.extend(deeds);
        }
        Ok(())
    }
}

/// The configuration's text.
pub(super) fn text_of(config: &toml::Table) -> Result<String, SimulationError> {
    toml::to_string(config).map_err(|error| SimulationError::Scenario(error.to_string()))
}

fn merge(into: &mut toml::Table, from: &toml::Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

fn concerned(action: &Action) -> Vec<IpAddr> {
    match action {
        Action::Open(endpoint, _)
        | Action::Close(endpoint)
        | Action::Upgrade(endpoint, _)
        | Action::Renew(endpoint) => vec![endpoint.ip],
        Action::Add(ip, _) | Action::Power(ip, _) | Action::Rekey(ip) => vec![*ip],
        Action::Move(from, to) => vec![*from, *to],
    }
}

/// What a step opens: the service beside it, what was there at the beginning, or something without a name.
fn offered(step: &Step, endpoint: Endpoint, truth: &mut Truth) -> Offer {
    if let Some(service) = step.services.first() {
        return offer(&Service { port: endpoint.port, ..service.clone() }, truth);
    }
    let before = truth.machine(endpoint.ip).and_then(|machine| machine.offer(endpoint.port)).cloned();
    before.unwrap_or(Offer { port: endpoint.port, name: None, product: None, version: None, certificate: None })
}

fn some_hosts(addresses: &str, services: &[Service]) -> Hosts {
    Hosts {
        count: 1,
        addresses: addresses.to_owned(),
        services: services.to_vec(),
        latency: Span(Duration::from_millis(20)),
        jitter: Span::default(),
        closed: Closed::Refuse,
        macs: false,
        everything: false,
        members: 1,
        differ: Vec::new(),
    }
}

fn pool_deeds(
    pool: &super::scenario::Pool,
    on: &AddressSet,
    world: &mut World,
    end: u64,
    random: &mut Random,
    deeds: &mut Vec<(u64, Deed)>,
) -> Result<(), SimulationError> {
    let all: Vec<IpAddr> = on.iter().collect();
    let wanted = (pool.most as usize * 2).min(all.len());
    let mut members: Vec<(IpAddr, bool)> = Vec::new();
    while members.len() < wanted {
        let ip = all[random.index(all.len())];
        if world.truth.places.contains_key(&ip) && members.iter().all(|(other, _)| *other != ip) && members.is_empty() {
            return Err(SimulationError::Scenario(format!("somebody else is in the pool's addresses: {ip}")));
        }
        if members.iter().any(|(other, _)| *other == ip) {
            continue;
        }
        let up = members.len() < u32::midpoint(pool.least, pool.most) as usize;
        let mut one = machine(&some_hosts("", &pool.services), &mut world.truth, random);
        one.up = up;
        world.truth.apply(&Action::Add(ip, Box::new(one)));
        world.equip(ip);
        members.push((ip, up));
    }
    let mut at = 0;
    loop {
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let gap = random.exponential(pool.every.ms() as f64);
        at += gap;
        if at >= end || members.is_empty() {
            return Ok(());
        }
        let up = members.iter().filter(|(_, up)| *up).count();
        let on = up <= pool.least as usize || (up < pool.most as usize && random.chance(0.5));
        let candidates: Vec<usize> =
            members.iter().enumerate().filter(|(_, (_, up))| *up != on).map(|(index, _)| index).collect();
        if let Some(&index) = candidates.get(random.index(candidates.len())) {
            members[index].1 = on;
            deeds.push((at, Deed::True(Action::Power(members[index].0, on))));
        }
    }
}

fn dhcp_deeds(
    every: Span,
    on: &AddressSet,
    truth: &Truth,
    end: u64,
    random: &mut Random,
    deeds: &mut Vec<(u64, Deed)>,
) {
    let mut used: Vec<IpAddr> = truth.within(on).collect();
    let mut free: Vec<IpAddr> = on.iter().filter(|ip| !used.contains(ip)).collect();
    let mut at = 2 * 3_600_000;
    while !used.is_empty() && !free.is_empty() {
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let gap = random.exponential(every.ms() as f64);
        at += gap;
        if at >= end {
            return;
        }
        let (from, to) = (random.index(used.len()), random.index(free.len()));
        deeds.push((at, Deed::True(Action::Move(used[from], free[to]))));
        std::mem::swap(&mut used[from], &mut free[to]);
    }
}

/// Draws the changes of `[changes]`.
struct Chance<'a> {
    changes: &'a Changes,
    left_alone: AddressSet,
    touched: BTreeSet<IpAddr>,
    random: Random,
}

impl Chance<'_> {
    fn draw(mut self, world: &mut World, end: u64, deeds: &mut Vec<(u64, Deed)>) -> Result<(), SimulationError> {
        let changes = self.changes;
        let rates = [
            changes.opened,
            changes.closed,
            changes.added,
            changes.removed,
            changes.upgraded,
            changes.renewed,
            changes.reboots,
        ];
        let sum: f64 = rates.iter().sum();
        if sum <= 0.0 {
            return Ok(());
        }
        let mut shadow = world.truth.clone();
        let mut resting: HashMap<IpAddr, u64> = HashMap::new();
        let steady = |ip: &IpAddr, shadow: &Truth| {
            shadow
                .places
                .get(ip)
                .is_some_and(|place| place.machines.len() == 1 && place.boxes.is_empty() && !place.proxied)
        };
        let mut hosts: Vec<IpAddr> = shadow.ips().to_vec();
        hosts.retain(|ip| steady(ip, &shadow) && !self.left_alone.contains(*ip) && !self.touched.contains(ip));
        let space = changes.addresses.as_deref().map(addresses).transpose()?.unwrap_or_else(AddressSet::empty);
        let mut fresh: Vec<IpAddr> =
            space.iter().filter(|ip| !shadow.places.contains_key(ip) && !self.touched.contains(ip)).collect();
        let mut at = changes.from.ms();
        let until = end.saturating_sub(changes.until.ms());
        loop {
            at += self.random.exponential(DAY / sum);
            if at >= until {
                return Ok(());
            }
            let mut choice = self.random.unit() * sum;
            let kind = rates.iter().position(|rate| {
                choice -= rate;
                choice < 0.0
            });
            let candidate = hosts.get(self.random.index(hosts.len())).copied();
            let Some(ip) = candidate.filter(|ip| resting.get(ip).is_none_or(|rest| *rest <= at)) else { continue };
            let mut todo = Vec::new();
            if kind == Some(2) {
                if !fresh.is_empty() && !changes.services.is_empty() {
                    let ip = fresh.swap_remove(self.random.index(fresh.len()));
                    let service = &changes.services[self.random.index(changes.services.len())];
                    let machine =
                        machine(&some_hosts("", std::slice::from_ref(service)), &mut world.truth, &mut self.random);
                    todo.push((at, Action::Add(ip, Box::new(machine))));
                    resting.insert(ip, at + REST);
                }
            } else {
                self.of_host(kind, ip, at, &shadow, world, &mut todo);
            }
            for (at, action) in todo {
                // The end of a reboot lies ahead, but whoever looks meanwhile leaves the host alone.
                shadow.apply(&action);
                resting.insert(ip, at + REST);
                if let Action::Power(gone, false) = action
                    && kind == Some(3)
                {
                    hosts.retain(|other| *other != gone);
                }
                if let Action::Add(new, _) = &action {
                    hosts.push(*new);
                }
                deeds.push((at, Deed::True(action)));
            }
        }
    }

    fn of_host(
        &mut self,
        kind: Option<usize>,
        ip: IpAddr,
        at: u64,
        shadow: &Truth,
        world: &mut World,
        todo: &mut Vec<(u64, Action)>,
    ) {
        let Some(machine) = shadow.machine(ip) else { return };
        let offers = &machine.offers;
        let one = |random: &mut Random, fits: &dyn Fn(&Offer) -> bool| {
            let some: Vec<&Offer> = offers.iter().filter(|offer| fits(offer)).collect();
            some.get(random.index(some.len())).map(|offer| Endpoint::tcp(ip, offer.port))
        };
        match kind {
            Some(0) => {
                let services = &self.changes.services;
                let Some(service) = services.get(self.random.index(services.len())) else { return };
                if machine.offer(service.port).is_none() {
                    let offer = offer(service, &mut world.truth);
                    todo.push((at, Action::Open(Endpoint::tcp(ip, service.port), offer)));
                }
            }
            Some(1) if offers.len() > 1 => {
                todo.extend(one(&mut self.random, &|_| true).map(|endpoint| (at, Action::Close(endpoint))));
            }
            Some(3) => todo.push((at, Action::Power(ip, false))),
            Some(4) => {
                let version = format!("{}.{}", 10 + self.random.below(40), self.random.below(100));
                let endpoint = one(&mut self.random, &|offer| offer.version.is_some());
                todo.extend(endpoint.map(|endpoint| (at, Action::Upgrade(endpoint, version.as_str().into()))));
            }
            Some(5) => {
                let endpoint = one(&mut self.random, &|offer| offer.certificate.is_some());
                todo.extend(endpoint.map(|endpoint| (at, Action::Renew(endpoint))));
            }
            Some(6) => {
                let (least, most) = (self.changes.reboot.0.ms(), self.changes.reboot.1.ms());
                let long = least + self.random.below(most.saturating_sub(least).max(1));
                todo.extend([(at, Action::Power(ip, false)), (at + long, Action::Power(ip, true))]);
            }
            _ => {}
        }
    }
}

/// What the deeds come to.
fn facts(deeds: &[(u64, Deed)], mut truth: Truth, brought: &mut BTreeMap<IpAddr, Vec<u16>>) -> Vec<(u64, Fact)> {
    let mut facts = Vec::new();
    let mut ever: BTreeMap<IpAddr, bool> = BTreeMap::new();
    for ip in truth.ips() {
        ever.insert(*ip, truth.machine(*ip).is_some_and(|machine| machine.up));
    }
    for (at, deed) in deeds {
        let Deed::True(action) = deed else { continue };
        let is_open = |truth: &Truth, endpoint: &Endpoint| {
            truth.machine(endpoint.ip).is_some_and(|machine| machine.offer(endpoint.port).is_some())
        };
        let fact = match action {
            Action::Open(endpoint, _) if !is_open(&truth, endpoint) => Some(Fact::Port(*endpoint, true)),
            Action::Close(endpoint) if is_open(&truth, endpoint) => Some(Fact::Port(*endpoint, false)),
            Action::Open(..) | Action::Close(_) => None,
            Action::Add(ip, _) => Some(Fact::Host { ip: *ip, up: true, new: ever.insert(*ip, true) != Some(true) }),
            Action::Power(ip, on) => truth.machine(*ip).filter(|machine| machine.up != *on).map(|_| {
                let new = *on && ever.insert(*ip, true) != Some(true);
                Fact::Host { ip: *ip, up: *on, new }
            }),
            Action::Upgrade(endpoint, _) => Some(Fact::Upgraded(*endpoint)),
            Action::Renew(endpoint) => Some(Fact::Renewed(*endpoint)),
            Action::Rekey(ip) => Some(Fact::Rekeyed(*ip)),
            Action::Move(from, to) => Some(Fact::Moved(*from, *to)),
        };
        facts.extend(fact.map(|fact| (*at, fact)));
        truth.apply(action);
        if let Some(Fact::Host { ip, new: true, .. }) = fact {
            let offers = truth.machine(ip).map(|machine| machine.offers.as_slice()).unwrap_or_default();
            brought.insert(ip, offers.iter().map(|offer| offer.port).collect());
        }
    }
    facts
}
