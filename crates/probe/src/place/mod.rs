//! The sensor's own place in the network: its links, addresses and ways to the targets, as the kernel tells them. Detectors
//! need it to tell what happened to the targets from what happened to us. No packet is sent.
//!
//! What counts is how packets to the targets leave: a container's interface that comes and goes, or a route to somewhere
//! else, changes nothing for them and so is no change of place.

mod kernel;
mod message;
mod ports;
mod routes;
#[cfg(test)]
mod tests;

pub use ports::{PortFacts, SourcePorts};
pub use routes::{Egress, Link, LinkKind, NextHop, NoWay, Part, Routes, Way, Ways};

use jiff::Timestamp;
use kernel::{Kernel, Subscription};
use message::{Message, Neighbour, Question, Route};
use model::{AddressRange, AddressSet, Mac};
use scope::Scope;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What the machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaceReport {
    /// Another number whenever a link, an address or a route changed that packets to the targets use.
    pub generation: u64,
    /// What is wrong now, a sentence each: `eth0 is down`. Empty: nothing. A target that there never was a route to since
    /// the start is nothing that went wrong.
    pub faults: Vec<String>,
    /// Packets the machine itself lost since the start: on the links the targets are reached by, for want of buffers or
    /// because they could not be sent, and in the kernel's own queue (`softnet_stat`). Not what programs did not read in
    /// time (`RcvbufErrors`): every question here has a socket of its own, so that counts other programs' packets.
    pub dropped: u64,
}

/// Watches the sensor's own place. Where the kernel cannot be asked (some containers), it says so once and reports nothing.
#[derive(Debug)]
pub struct Place(Option<Mutex<Watch>>);

/// Targets looked up, spread over all of them where they are more.
const MOST_TARGETS: usize = 64;
/// Between two looks at the counters, and between two at the ways while everything changes all the time.
const COUNTERS_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const NEIGHBOURS_EVERY: Duration = Duration::from_secs(5);
/// More than any kernel keeps unless told to.
const MOST_NEIGHBOURS: usize = 1 << 18;

impl Place {
    /// Begins to watch.
    pub fn watch() -> Self {
        let kernel =
            Kernel::open(Subscription::Place).and_then(|mut kernel| kernel.ask(Question::Links).map(|_| kernel));
        Self(match kernel {
            Ok(kernel) => Some(Mutex::new(Watch::new(kernel))),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the kernel does not say what becomes of links and routes (netlink); outages of this machine's own are \
                     recognised by canaries only"
                );
                None
            }
        })
    }

    /// How things are now, for the targets of this scope.
    pub fn report(&self, scope: &Arc<Scope>, now: Timestamp) -> PlaceReport {
        let Some(watch) = &self.0 else { return PlaceReport::default() };
        watch.lock().unwrap_or_else(PoisonError::into_inner).report(scope, now)
    }

    /// Those of these addresses that somebody on a link of ours was seen to have, as the kernel learnt it at most a few seconds ago.
    pub fn neighbours(&self, among: &AddressSet) -> AddressSet {
        let Some(watch) = &self.0 else { return AddressSet::empty() };
        watch.lock().unwrap_or_else(PoisonError::into_inner).neighbours(among)
    }

    /// The link-layer address that answers for an address on a link of ours, as the kernel learnt it at most a few seconds
    /// ago. None for what is behind a router.
    pub fn mac(&self, ip: IpAddr) -> Option<Mac> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).mac(ip)
    }
}

#[derive(Debug)]
struct Watch {
    kernel: Kernel,
    scope: Option<Arc<Scope>>,
    targets: Vec<Target>,
    view: View,
    /// The last link each target was reached by.
    carriers: BTreeMap<IpAddr, u32>,
    /// What a link is called, also when it is gone.
    names: BTreeMap<u32, String>,
    report: PlaceReport,
    is_stale: bool,
    looked: Option<Instant>,
    counted: Option<Instant>,
    counters: HashMap<Counter, u64>,
    neighbours: HashMap<IpAddr, Neighbour>,
    met: Option<Instant>,
}

/// A range of targets, and the address of it that stands for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    range: AddressRange,
    example: IpAddr,
}

/// Everything that matters of links, addresses and routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct View {
    /// None: no route.
    ways: BTreeMap<IpAddr, Option<Route>>,
    /// Only those that targets are or were reached by. `dropped` is left out.
    links: BTreeMap<u32, message::Link>,
    addresses: BTreeSet<(u32, IpAddr)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Counter {
    Link(u32),
    Softnet,
}

impl Watch {
    fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            scope: None,
            targets: Vec::new(),
            view: View::default(),
            carriers: BTreeMap::new(),
            names: BTreeMap::new(),
            report: PlaceReport::default(),
            is_stale: true,
            looked: None,
            counted: None,
            counters: HashMap::new(),
            neighbours: HashMap::new(),
            met: None,
        }
    }

    fn report(&mut self, scope: &Arc<Scope>, now: Timestamp) -> PlaceReport {
        if self.scope.as_ref().is_none_or(|known| !Arc::ptr_eq(known, scope)) {
            let targets = targets(&scope.space(now), &self.own_addresses());
            if targets != self.targets {
                self.targets = targets;
                self.is_stale = false;
                // Another question, not another place.
                self.look(false);
            }
            self.scope = Some(scope.clone());
        }
        self.is_stale |= self.kernel.has_news();
        if self.is_stale && self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.is_stale = false;
            self.look(true);
        }
        if self.counted.is_none_or(|at| at.elapsed() >= COUNTERS_EVERY) {
            self.counted = Some(Instant::now());
            self.count();
        }
        self.report.clone()
    }

    fn own_addresses(&mut self) -> BTreeSet<IpAddr> {
        let answer = self.kernel.ask(Question::Addresses).unwrap_or_default().into_iter();
        answer.filter_map(|message| if let Message::Address { ip, .. } = message { Some(ip) } else { None }).collect()
    }

    fn look(&mut self, is_news: bool) {
        self.looked = Some(Instant::now());
        match self.view() {
            Ok(view) => {
                if is_news && view != self.view {
                    self.report.generation += 1;
                }
                self.view = view;
                self.report.faults = faults(&self.targets, &self.view, &self.carriers, &self.names);
            }
            Err(error) => {
                tracing::debug!(%error, "the kernel could not be asked for links and routes; it is asked again");
                self.is_stale = true;
            }
        }
    }

    fn view(&mut self) -> io::Result<View> {
        let mut view = View::default();
        for target in &self.targets {
            let way = self.kernel.ask(Question::way(target.example))?.into_iter().find_map(|message| match message {
                Message::Route(way) => Some(way),
                _ => None,
            });
            view.ways.insert(target.example, way.filter(|way| way.link.is_some()));
        }
        self.carriers.retain(|example, _| view.ways.contains_key(example));
        let through = |way: &Option<Route>| way.as_ref().and_then(|way| way.link);
        let relevant: BTreeSet<u32> =
            view.ways.values().filter_map(through).chain(self.carriers.values().copied()).collect();
        for message in self.kernel.ask(Question::Links)? {
            if let Message::Link(link) = message
                && relevant.contains(&link.index)
            {
                self.names.insert(link.index, link.name.clone());
                view.links.insert(link.index, message::Link { dropped: 0, ..link });
            }
        }
        for message in self.kernel.ask(Question::Addresses)? {
            if let Message::Address { link, ip } = message
                && relevant.contains(&link)
            {
                view.addresses.insert((link, ip));
            }
        }
        for (&example, way) in &view.ways {
            if let Some(link) = through(way) {
                self.carriers.insert(example, link);
            }
        }
        self.names.retain(|index, _| relevant.contains(index));
        Ok(view)
    }

    /// Only what is added while we look counts: a link that is new to us brings its past with it.
    fn count(&mut self) {
        let mut now = HashMap::new();
        for &index in self.view.links.keys() {
            // A link that went away since has nothing more to say.
            let answer = self.kernel.ask(Question::Link(index)).unwrap_or_default();
            if let Some(Message::Link(link)) = answer.first() {
                now.insert(Counter::Link(index), link.dropped);
            }
        }
        if let Some(dropped) = fs::read_to_string("/proc/net/softnet_stat").ok().and_then(|text| softnet_drops(&text)) {
            now.insert(Counter::Softnet, dropped);
        }
        for (counter, value) in &now {
            if let Some(before) = self.counters.get(counter) {
                self.report.dropped = self.report.dropped.saturating_add(value.saturating_sub(*before));
            }
        }
        self.counters = now;
    }

    fn mac(&mut self, ip: IpAddr) -> Option<Mac> {
        self.meet();
        self.neighbours.get(&ip).map(|neighbour| neighbour.mac)
    }

    fn neighbours(&mut self, among: &AddressSet) -> AddressSet {
        self.meet();
        self.neighbours.keys().filter(|ip| among.contains(**ip)).copied().map(AddressRange::single).collect()
    }

    fn meet(&mut self) {
        if self.met.is_none_or(|at| at.elapsed() >= NEIGHBOURS_EVERY) {
            self.met = Some(Instant::now());
            match self.kernel.ask(Question::Neighbours) {
                Ok(answer) => self.neighbours = neighbours(answer),
                Err(error) => tracing::debug!(%error, "the kernel could not be asked for the neighbours"),
            }
        }
    }
}

/// Where an address is known on several links, one that was confirmed just now counts.
fn neighbours(answer: Vec<Message>) -> HashMap<IpAddr, Neighbour> {
    let mut all: HashMap<IpAddr, Neighbour> = HashMap::new();
    for message in answer.into_iter().take(MOST_NEIGHBOURS) {
        if let Message::Neighbour(neighbour) = message
            && all.get(&neighbour.ip).is_none_or(|known| neighbour.is_fresh && !known.is_fresh)
        {
            all.insert(neighbour.ip, neighbour);
        }
    }
    all
}

/// The second column, in hexadecimal, of each processor's line: packets its queue had no room for.
fn softnet_drops(text: &str) -> Option<u64> {
    text.lines().try_fold(0_u64, |sum, line| {
        let drops = u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()?;
        sum.checked_add(drops)
    })
}

/// An address of our own stands for nobody: the way to it never leaves the machine.
fn targets(space: &AddressSet, own: &BTreeSet<IpAddr>) -> Vec<Target> {
    let ranges = space.ranges();
    let step = ranges.len().div_ceil(MOST_TARGETS).max(1);
    let target = |range: &AddressRange| {
        let all = AddressSet::from_iter([*range]);
        // The first only where there is no other: of a whole prefix it is the prefix' own.
        let candidates = [1, 2, 3, all.len() / 2, 0].into_iter().filter_map(|place| all.nth(place));
        let example = candidates.into_iter().find(|ip| !own.contains(ip)).unwrap_or(range.first());
        Target { range: *range, example }
    };
    ranges.iter().step_by(step).map(target).collect()
}

/// A target that has found another way is fine, whatever became of the one before.
fn faults(
    targets: &[Target],
    view: &View,
    carriers: &BTreeMap<IpAddr, u32>,
    names: &BTreeMap<u32, String>,
) -> Vec<String> {
    let mut broken = BTreeSet::new();
    let mut lost = Vec::new();
    for target in targets {
        let Some(carrier) = carriers.get(&target.example) else { continue };
        let way = view.ways.get(&target.example).and_then(Option::as_ref);
        if way.is_none() {
            lost.push(target.range);
        }
        if way.is_none_or(|way| way.link == Some(*carrier)) {
            broken.insert(*carrier);
        }
    }
    let links = broken.into_iter().filter_map(|index| {
        let name = names.get(&index).map_or("an interface", String::as_str);
        match view.links.get(&index) {
            None => Some(format!("{name} is gone")),
            Some(link) if !link.up => Some(format!("{name} is down")),
            Some(link) if !link.carrier => Some(format!("{name} has no carrier")),
            Some(_) => None,
        }
    });
    let routes = lost.first().map(|first| match lost.len() - 1 {
        0 => format!("there is no route to {first} any more"),
        more => format!("there is no route to {first} and {more} more ranges of targets any more"),
    });
    links.chain(routes).collect()
}
