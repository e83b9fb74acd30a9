//! What must be told, what may be, and until when: derived from what truly happens.

use super::{
    SimulationError,
    build::{World, addresses},
    path::Disruption,
    scenario::{Scenario, Span},
    script::{Fact, Script},
};
use config::{Config, Profile};
use model::{AddressSet, Endpoint, EventType};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

/// One telling that must or may come.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) kinds: Vec<EventType>,
    pub(super) ip: IpAddr,
    pub(super) port: Option<u16>,
    /// When it became true, in milliseconds since the beginning.
    pub(super) since: u64,
    pub(super) deadline: u64,
    pub(super) must: bool,
    /// Part of the time until the deadline the sensor could not see it, so its delay says nothing of the detector.
    pub(super) hidden: bool,
    pub(super) told: Option<u64>,
    /// Why it was told then, in the words of the event.
    pub(super) said: String,
}

/// Events that may come without a change behind each.
#[derive(Debug)]
pub(super) struct Allowance {
    pub(super) kinds: Vec<EventType>,
    /// Everywhere, and about nothing in particular, where there is none.
    pub(super) on: Option<AddressSet>,
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) left: u64,
}

#[derive(Debug)]
pub(super) struct Oracle {
    pub(super) expected: Vec<Expected>,
    /// By when they became true; of one moment, those that must come last.
    pub(super) by_subject: HashMap<(EventType, IpAddr), Vec<usize>>,
    pub(super) allowances: Vec<Allowance>,
    /// What is not settled at the end, or nobody's business.
    pub(super) unsettled: BTreeSet<IpAddr>,
    pub(super) budgets: Budgets,
    pub(super) end: u64,
}

/// How long a telling may take, from the configuration.
#[derive(Debug, Clone)]
pub(super) struct Budgets {
    profile: Profile,
    known: u64,
    identify: u64,
    closed_least: u64,
    lost_least: u64,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// Shorter disruptions than this are weather.
const WEATHER: u64 = 5 * SECOND;
/// A disruption of so much loss leaves nothing to be seen.
const BLACK: f64 = 0.8;

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Budgets {
    fn new(config: &Config) -> Result<Self, SimulationError> {
        let profile = config.profiles.values().next().cloned();
        let profile = profile.ok_or_else(|| SimulationError::Scenario("no profile".to_owned()))?;
        let sweeps = [profile.scan.hot, profile.scan.likely, profile.scan.full];
        let known =
            profile.scan.known.or_else(|| sweeps.into_iter().flatten().min()).unwrap_or(Duration::from_hours(1));
        Ok(Self {
            known: ms(known),
            identify: ms(profile.scan.identify),
            closed_least: ms(profile.confirm.port_closed.at_least),
            lost_least: ms(profile.confirm.host_lost.at_least),
            profile,
        })
    }

    /// How often a lane asks a port of every address; none where no lane does.
    pub(super) fn sweep(&self, port: Option<u16>) -> Option<u64> {
        let scan = &self.profile.scan;
        let asks = |ports: &model::PortSet| port.is_none_or(|port| ports.contains(port));
        let lanes = [scan.hot.filter(|_| asks(&scan.hot_ports)), scan.likely.filter(|_| asks(&scan.tcp)), scan.full];
        lanes.into_iter().flatten().min().map(ms)
    }

    fn opened(&self, port: u16, was_known: bool) -> Option<u64> {
        let known = was_known.then_some(self.known);
        let period = [self.sweep(Some(port)), known].into_iter().flatten().min()?;
        Some(2 * period + 2 * MINUTE)
    }

    fn closed(&self) -> u64 {
        2 * self.known + 2 * self.closed_least + 5 * MINUTE
    }

    fn lost(&self) -> u64 {
        2 * self.known + 2 * self.lost_least + 5 * MINUTE
    }

    fn identified(&self) -> u64 {
        self.identify + 3 * self.known + 10 * MINUTE
    }
}

/// When nothing of an address could be seen.
struct Darkness<'a> {
    everywhere: Vec<(u64, u64)>,
    somewhere: &'a [Disruption],
    down: BTreeMap<IpAddr, Vec<(u64, u64)>>,
    recovery: u64,
}

impl Darkness<'_> {
    fn of(&self, ip: IpAddr) -> Vec<(u64, u64)> {
        let own = self.somewhere.iter().filter(|one| one.loss >= BLACK && one.addresses.contains(ip));
        let own = own.flat_map(|one| one.times.iter()).filter(|(from, until)| until - from >= WEATHER);
        let down = self.down.get(&ip).into_iter().flatten().copied();
        let mut all: Vec<_> = self.everywhere.iter().copied().chain(own).chain(down).collect();
        all.sort_unstable();
        all
    }

    /// The deadline of what becomes true at a time and needs so long to be told, and whether anything hid it.
    fn deadline(&self, ip: IpAddr, since: u64, budget: u64) -> (u64, bool) {
        let mut deadline = since + budget;
        let mut hidden = false;
        for (from, until) in self.of(ip) {
            if until <= since {
                continue;
            }
            if from >= deadline {
                break;
            }
            hidden = true;
            deadline = deadline.saturating_add(until.saturating_sub(from.max(since)) + self.recovery);
        }
        (deadline, hidden)
    }
}

impl Oracle {
    pub(super) fn new(
        scenario: &Scenario,
        script: &Script,
        world: &World,
        config: &Config,
        end: u64,
    ) -> Result<Self, SimulationError> {
        let budgets = Budgets::new(config)?;
        let mut down: BTreeMap<IpAddr, Vec<(u64, u64)>> = BTreeMap::new();
        for (at, fact) in &script.facts {
            match fact {
                Fact::Host { ip, up: false, .. } => down.entry(*ip).or_default().push((*at, u64::MAX / 4)),
                Fact::Host { ip, up: true, .. } => {
                    if let Some(last) = down.get_mut(ip).and_then(|all| all.last_mut()) {
                        last.1 = *at;
                    }
                }
                _ => {}
            }
        }
        let black = world.paths.everywhere.iter().filter(|one| one.loss >= BLACK).flat_map(|one| one.times.iter());
        let unseen = black.chain(world.paths.no_route.iter()).chain(script.dead.iter());
        let mut everywhere: Vec<_> = unseen.filter(|(from, until)| until - from >= WEATHER).collect();
        everywhere.sort_unstable();
        let recovery = budgets.known + 2 * MINUTE;
        let darkness = Darkness { everywhere, somewhere: &world.paths.somewhere, down, recovery };
        let mut oracle = Self {
            expected: Vec::new(),
            by_subject: HashMap::new(),
            allowances: Vec::new(),
            unsettled: BTreeSet::new(),
            budgets,
            end,
        };
        oracle.allow_by_scenario(scenario, script, &darkness)?;
        oracle.follow(script, &darkness);
        for (index, one) in oracle.expected.iter().enumerate() {
            for kind in &one.kinds {
                oracle.by_subject.entry((*kind, one.ip)).or_default().push(index);
            }
        }
        let expected = &oracle.expected;
        for of_one in oracle.by_subject.values_mut() {
            of_one.sort_by_key(|index| (expected[*index].since, expected[*index].must));
        }
        Ok(oracle)
    }

    fn allow_by_scenario(
        &mut self,
        scenario: &Scenario,
        script: &Script,
        darkness: &Darkness<'_>,
    ) -> Result<(), SimulationError> {
        let profiles = scenario.config.get("profile").and_then(toml::Value::as_table).map_or(0, toml::Table::len);
        let mut allow = |kinds: &[EventType], on: Option<AddressSet>, from: u64, until: u64, left: u64| {
            self.allowances.push(Allowance { kinds: kinds.to_vec(), on, from, until, left });
        };
        for one in &scenario.allow {
            let on = one.on.as_deref().map(addresses).transpose()?;
            allow(&one.kinds, on, one.from.ms(), one.until.map_or(u64::MAX, Span::ms), one.most.unwrap_or(u64::MAX));
        }
        allow(&[EventType::BaselineDone], None, 0, u64::MAX, profiles as u64 + script.reloads);
        allow(&[EventType::ConfigReloaded], None, 0, u64::MAX, script.reloads);
        let unwell = [
            EventType::SensorDegraded,
            EventType::SensorBlocked,
            EventType::SensorOk,
            EventType::ScanStale,
            EventType::ScanRecovered,
        ];
        let wide = darkness.somewhere.iter().filter(|one| one.loss >= BLACK && one.addresses.len() >= 8);
        for (from, until) in darkness.everywhere.iter().copied().chain(wide.flat_map(|one| one.times.iter())) {
            allow(&unwell, None, from, until + 2 * HOUR, 4);
        }
        let is_hostile = !(scenario.firewalls.is_empty() && scenario.nat.is_empty() && scenario.injectors.is_empty());
        if is_hostile {
            allow(&unwell, None, 0, u64::MAX, u64::MAX);
        }
        // Where a part of the network is dark for long, nobody can tell that from its end.
        let lost = self.budgets.lost_least;
        for one in darkness.somewhere.iter().filter(|one| one.loss >= BLACK) {
            for (from, until) in one.times.iter().filter(|(from, until)| until - from >= lost) {
                let kinds = vec![EventType::HostLost, EventType::HostUp];
                let on = Some(one.addresses.clone());
                let (from, until) = (from + lost, until + 2 * HOUR);
                self.allowances.push(Allowance { kinds, on, from, until, left: u64::MAX });
            }
        }
        Ok(())
    }

    fn follow(&mut self, script: &Script, darkness: &Darkness<'_>) {
        let mut ports: BTreeMap<Endpoint, Vec<(u64, bool)>> = BTreeMap::new();
        let mut hosts: BTreeMap<IpAddr, Vec<(u64, bool, bool)>> = BTreeMap::new();
        for (at, fact) in &script.facts {
            match *fact {
                Fact::Port(endpoint, open) => ports.entry(endpoint).or_default().push((*at, open)),
                Fact::Host { ip, .. } if script.pools.contains(ip) => {
                    self.unsettled.insert(ip);
                }
                Fact::Host { ip, up, new } => hosts.entry(ip).or_default().push((*at, up, new)),
                Fact::Upgraded(endpoint) => {
                    self.expect(
                        darkness,
                        &[EventType::SoftwareUpdated],
                        endpoint.ip,
                        Some(endpoint.port),
                        *at,
                        self.budgets.identified(),
                        true,
                    );
                }
                Fact::Renewed(endpoint) => {
                    self.expect(
                        darkness,
                        &[EventType::SslChanged],
                        endpoint.ip,
                        Some(endpoint.port),
                        *at,
                        self.budgets.identified(),
                        true,
                    );
                    self.expect(
                        darkness,
                        &[EventType::SslNew],
                        endpoint.ip,
                        Some(endpoint.port),
                        *at,
                        self.budgets.identified(),
                        false,
                    );
                }
                Fact::Rekeyed(ip) => {
                    let kinds = [EventType::HostkeyChanged, EventType::HostReplaced];
                    self.expect(darkness, &kinds, ip, None, *at, self.budgets.identified(), true);
                }
                Fact::Moved(from, to) => self.moved(from, to, *at),
            }
        }
        for (endpoint, times) in ports {
            if !script.moving.contains(endpoint.ip) && !script.pools.contains(endpoint.ip) {
                self.follow_port(darkness, endpoint, &times);
            }
        }
        for (ip, times) in hosts {
            self.follow_host(darkness, script, ip, &times);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what an expectation is made of")]
    fn expect(
        &mut self,
        darkness: &Darkness<'_>,
        kinds: &[EventType],
        ip: IpAddr,
        port: Option<u16>,
        since: u64,
        budget: u64,
        must: bool,
    ) {
        let (deadline, hidden) = darkness.deadline(ip, since, budget);
        if deadline >= self.end {
            self.unsettled.insert(ip);
        }
        let must = must && deadline < self.end;
        self.expected.push(Expected {
            kinds: kinds.to_vec(),
            ip,
            port,
            since,
            deadline,
            must,
            hidden,
            told: None,
            said: String::new(),
        });
    }

    fn follow_port(&mut self, darkness: &Darkness<'_>, endpoint: Endpoint, times: &[(u64, bool)]) {
        let Endpoint { ip, port, .. } = endpoint;
        let mut was_optional = false;
        for (index, (at, open)) in times.iter().enumerate() {
            let known = index > 0 || !open;
            let Some(budget) = (if *open { self.budgets.opened(port, known) } else { Some(self.budgets.closed()) })
            else {
                self.unsettled.insert(ip);
                continue;
            };
            let next = times.get(index + 1).map_or(u64::MAX, |(next, _)| *next);
            let (deadline, _) = darkness.deadline(ip, *at, budget);
            let is_short = next < deadline;
            let kind = if *open { EventType::PortOpen } else { EventType::PortClosed };
            // Shorter than it takes to believe it, and not one of many: believing it would be a mistake.
            let too_short = !open && next.saturating_sub(*at) + MINUTE < self.budgets.closed_least && times.len() < 4;
            if !too_short {
                self.expect(darkness, &[kind], ip, Some(port), *at, budget, !is_short && !was_optional);
            }
            was_optional = is_short;
            let follows = if *open {
                [EventType::SoftwareAdded, EventType::SslNew]
            } else {
                [EventType::SoftwareRemoved, EventType::SslRemoved]
            };
            for kind in follows {
                self.expect(darkness, &[kind], ip, None, *at, budget + self.budgets.identified(), false);
            }
        }
        if times.len() >= 4 {
            let on = Some([model::AddressRange::single(ip)].into_iter().collect());
            let kinds = vec![EventType::FlapStart, EventType::FlapStop];
            self.allowances.push(Allowance { kinds, on, from: times[0].0, until: u64::MAX, left: times.len() as u64 });
        }
    }

    fn follow_host(&mut self, darkness: &Darkness<'_>, script: &Script, ip: IpAddr, times: &[(u64, bool, bool)]) {
        let mut was_optional = false;
        for (index, (at, up, new)) in times.iter().enumerate() {
            let next = times.get(index + 1).map_or(u64::MAX, |(next, ..)| *next);
            if *up && *new {
                let sweep = self.budgets.sweep(None).unwrap_or(HOUR);
                let ports = script.brought.get(&ip).map(Vec::as_slice).unwrap_or_default();
                let period = ports.iter().filter_map(|port| self.budgets.sweep(Some(*port))).min().unwrap_or(sweep);
                let budget = 2 * period + 2 * MINUTE;
                let is_short = next < darkness.deadline(ip, *at, budget).0;
                self.expect(darkness, &[EventType::HostFound], ip, None, *at, budget, !is_short);
                let later = 2 * period + 3 * HOUR + self.budgets.identified();
                for port in ports {
                    self.expect(darkness, &[EventType::PortOpen], ip, Some(*port), *at, later, false);
                    for kind in [EventType::SoftwareAdded, EventType::SslNew] {
                        self.expect(darkness, &[kind], ip, None, *at, later, false);
                    }
                }
                was_optional = is_short;
            } else if *up {
                let budget = 2 * self.budgets.known + 2 * MINUTE;
                let is_short = next < darkness.deadline(ip, *at, budget).0;
                self.expect(darkness, &[EventType::HostUp], ip, None, *at, budget, !is_short && !was_optional);
                was_optional = was_optional || is_short;
            } else {
                let long = next.saturating_sub(*at);
                let is_short = long < self.budgets.lost();
                if long + MINUTE >= self.budgets.lost_least {
                    // While it is down it cannot be seen, which is what is to be told.
                    let budget = self.budgets.lost();
                    let others = Darkness {
                        everywhere: darkness.everywhere.clone(),
                        somewhere: darkness.somewhere,
                        down: BTreeMap::new(),
                        recovery: darkness.recovery,
                    };
                    self.expect(&others, &[EventType::HostLost], ip, None, *at, budget, !is_short);
                }
                was_optional = is_short;
            }
        }
        if times.len() >= 4 {
            let on = Some([model::AddressRange::single(ip)].into_iter().collect());
            let kinds = vec![EventType::FlapStart, EventType::FlapStop];
            self.allowances.push(Allowance { kinds, on, from: times[0].0, until: u64::MAX, left: times.len() as u64 });
        }
    }

    /// A machine has another address now. What is told of it depends on what is known of its keys; what it may be is much.
    fn moved(&mut self, from: IpAddr, to: IpAddr, at: u64) {
        let until = at + self.budgets.lost() + self.budgets.identified() + 6 * HOUR;
        for (ip, kinds) in [
            (from, vec![EventType::HostLost]),
            (
                to,
                vec![
                    EventType::HostFound,
                    EventType::HostUp,
                    EventType::HostReplaced,
                    EventType::HostkeyChanged,
                    EventType::PortOpen,
                    EventType::PortClosed,
                    EventType::PortChanged,
                    EventType::SoftwareAdded,
                    EventType::SoftwareUpdated,
                    EventType::SoftwareRemoved,
                    EventType::SslChanged,
                    EventType::SslNew,
                    EventType::HostNameChanged,
                ],
            ),
        ] {
            let on: AddressSet = [model::AddressRange::single(ip)].into_iter().collect();
            for kind in kinds {
                let kinds = vec![kind];
                self.allowances.push(Allowance { kinds, on: Some(on.clone()), from: at, until, left: 8 });
            }
            if until >= self.end {
                self.unsettled.insert(ip);
            }
        }
    }
}
