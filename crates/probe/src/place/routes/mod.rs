//! Where packets go below IP: for every target the link, our address, and whom the frame is for. It is the kernel that
//! answers, address by address, so whatever rules of policy there are hold; its tables only tell where the answers can differ.
//!
//! A router's link-layer address comes from the kernel's neighbour table. Where it is missing, or only remembered, somebody
//! has to make the kernel ask for it, and no packet may go to an address that is no target (the router seldom is one). With
//! `CAP_NET_ADMIN` the kernel is told to use the entry, and sends its own ARP or NDP. Without, nothing is asked by us: any
//! packet to a target that is sent through the kernel has the same effect. So [`NextHop::Gateway`] has no address while the kernel
//! has none; and what is sent by packet sockets would leave an address that is only remembered as it is for ever, and go nowhere once
//! another machine is the router, so [`Routes::unconfirmed`] tells where one packet through the kernel is due. To ask by a packet
//! socket of our own would be a second ARP and a second NDP to get wrong.

mod cut;
#[cfg(test)]
mod tests;
mod ways;

pub use ways::{Link, LinkKind, NextHop, NoWay, Part, Way, Ways};

use super::{
    kernel::{Kernel, Subscription},
    message::{self, Message, News, Question, Route, RouteKind},
};
use cut::{Cuts, Cutter, Rank};
use model::{AddressRange, AddressSet, Mac};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// What the operator wants packets to leave by. What is not set is left to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Egress {
    /// The address to send from. Ignored for the other family, and to this machine itself.
    pub source: Option<IpAddr>,
    /// The interface to send by.
    pub interface: Option<String>,
}

/// Stretches of targets asked about at most: a second's work at worst.
const MOST_STRETCHES: usize = 1 << 16;
/// Between two looks while routes change all the time, and how much longer than a look took.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOK_SHARE: u32 = 10;
/// Between two requests to make sure of the same router. The kernel takes five seconds to begin.
const MEET_EVERY: Duration = Duration::from_secs(5);
/// Between two looks while a router's address is awaited.
const SETTLE_EVERY: Duration = Duration::from_millis(10);

/// The ways to a set of targets, followed as they change.
#[derive(Debug)]
pub struct Routes {
    kernel: Kernel,
    targets: AddressSet,
    egress: Egress,
    /// Without the gateways' link-layer addresses.
    bare: Ways,
    ways: Arc<Ways>,
    generation: u64,
    gateways: BTreeMap<(u32, IpAddr), Gateway>,
    stale: Stale,
    looked: Instant,
    took: Duration,
    /// Whether the kernel does as it is told about neighbours.
    may_meet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Gateway {
    mac: Option<Mac>,
    is_fresh: bool,
    is_stale: bool,
    met: Option<Instant>,
}

impl Gateway {
    /// Whether the kernel neither knows it for sure nor is about to.
    fn is_unsure(&self) -> bool {
        self.mac.is_none() || self.is_stale
    }
}

/// What this machine could send from and by.
#[derive(Debug)]
struct Out {
    /// The link the operator chose.
    by: Option<u32>,
    own: BTreeSet<IpAddr>,
    links: BTreeMap<u32, Arc<Link>>,
}

/// What is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    Nothing,
    Gateways,
    Everything,
}

impl Routes {
    /// Asks for the ways to these targets. No packet is sent, but for the kernel's own ARP or NDP to routers. Fails where the
    /// kernel cannot be asked (some containers).
    pub fn follow(targets: AddressSet, egress: Egress) -> io::Result<Self> {
        let mut routes = Self {
            kernel: Kernel::open(Subscription::PlaceAndNeighbours)?,
            targets,
            egress,
            bare: Ways::default(),
            ways: Arc::default(),
            generation: 0,
            gateways: BTreeMap::new(),
            stale: Stale::Everything,
            looked: Instant::now(),
            took: Duration::ZERO,
            may_meet: true,
        };
        routes.look()?;
        Ok(routes)
    }

    /// Another number whenever [`Routes::ways`] gives something else.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The ways as they were last seen. They do not change: who sends by them takes new ones with each generation.
    pub fn ways(&self) -> Arc<Ways> {
        self.ways.clone()
    }

    /// Takes other targets, or another way out, and asks anew. Where the kernel does not answer, that is made up for by
    /// [`Routes::refresh`], and nothing is known until then.
    pub fn retarget(&mut self, targets: AddressSet, egress: Egress) {
        if targets == self.targets && egress == self.egress {
            return;
        }
        self.targets = targets;
        self.egress = egress;
        self.stale = Stale::Everything;
        if let Err(error) = self.look() {
            tell(&error);
            self.take(Ways::default());
        }
    }

    /// Takes note of what the kernel has announced since, and asks anew where that concerns the targets. Cheap where nothing
    /// has changed; while everything changes all the time, some of it is left to a later call. Tells whether the generation
    /// is another.
    pub fn refresh(&mut self) -> bool {
        let before = self.generation;
        self.hear();
        // That the kernel has begun to make sure of a router is no news to it.
        if !self.may_meet && self.gateways.values().any(Gateway::is_unsure) {
            self.stale = self.stale.max(Stale::Gateways);
        }
        let pause = LOOK_EVERY.max(self.took.saturating_mul(LOOK_SHARE));
        let looked = match self.stale {
            Stale::Everything if self.looked.elapsed() >= pause => self.look(),
            Stale::Nothing | Stale::Everything => Ok(()),
            Stale::Gateways => self.look_at_gateways(),
        };
        if let Err(error) = looked {
            tell(&error);
        }
        self.meet();
        self.generation != before
    }

    /// Waits until every router's link-layer address is known, or the time is over; tells whether they are. Without
    /// `CAP_NET_ADMIN` it does not wait: nobody asks for them before a packet is sent through the kernel.
    pub async fn settle(&mut self, within: Duration) -> bool {
        let begun = Instant::now();
        loop {
            self.refresh();
            if self.gateways.values().all(|gateway| gateway.mac.is_some()) {
                return true;
            }
            if !self.may_meet || begun.elapsed() >= within {
                return false;
            }
            sleep(SETTLE_EVERY).await;
        }
    }

    /// A target behind each router of whose link-layer address the kernel is not sure, and that it cannot be told to ask for want
    /// of `CAP_NET_ADMIN`: a packet to it that is sent through the kernel, such as that of a connection, makes it ask. Each
    /// router's comes up once in five seconds.
    pub fn unconfirmed(&mut self) -> Vec<IpAddr> {
        if self.may_meet {
            return Vec::new();
        }
        let now = Instant::now();
        let mut targets = Vec::new();
        for ((link, ip), gateway) in &mut self.gateways {
            let is_due = gateway.met.is_none_or(|met| now.saturating_duration_since(met) >= MEET_EVERY);
            if gateway.is_unsure() && is_due {
                gateway.met = Some(now);
                targets.extend(self.bare.first_behind(*link, *ip));
            }
        }
        targets
    }

    fn hear(&mut self) {
        let Self { kernel, targets, gateways, stale, .. } = self;
        kernel.news(|news| {
            let concerns = match news {
                News::Route(prefix) if overlaps(targets, prefix) => Stale::Everything,
                News::Neighbour { link, ip } if gateways.contains_key(&(link, ip)) => Stale::Gateways,
                News::Route(_) | News::Neighbour { .. } => Stale::Nothing,
                News::Other => Stale::Everything,
            };
            *stale = concerns.max(*stale);
        });
    }

    fn look(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        // Also where it fails: the next call is not to try again at once.
        self.looked = begun;
        self.bare = self.ask_for_ways()?;
        self.took = begun.elapsed();
        self.stale = Stale::Nothing;
        let known = std::mem::take(&mut self.gateways);
        let known = |gateway: (u32, IpAddr)| (gateway, known.get(&gateway).copied().unwrap_or_default());
        self.gateways = self.bare.gateways().map(known).collect();
        self.look_at_gateways()?;
        self.meet();
        Ok(())
    }

    fn ask_for_ways(&mut self) -> io::Result<Ways> {
        let links = self.links()?;
        let named = self.egress.interface.as_ref();
        let by = named.and_then(|name| links.values().find(|link| link.name == *name)).map(|link| link.index);
        if let (Some(name), None) = (named, by) {
            return Ok(self.nowhere(&NoWay::NoLink(name.clone())));
        }
        let out = Out { by, own: self.own_addresses()?, links };
        let Cuts { stretches, left_out } = self.cuts()?;
        let mut parts = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            parts.push((stretch, self.ask_for_stretch(stretch, left_out.is_some(), &out)?));
        }
        Ok(Ways::new(parts, left_out.map(limit)))
    }

    fn nowhere(&self, why: &NoWay) -> Ways {
        Ways::new(self.targets.ranges().iter().map(|range| (*range, Err(why.clone()))), None)
    }

    /// One of its targets stands for all. Where routes had to be left out it may be one of theirs: then it is what most of three say.
    fn ask_for_stretch(&mut self, stretch: AddressRange, is_rough: bool, out: &Out) -> io::Result<Result<Way, NoWay>> {
        let first = self.ask_for(stretch.first(), out)?;
        if !is_rough || stretch.len() < 3 {
            return Ok(first);
        }
        let last = self.ask_for(stretch.last(), out)?;
        if first == last {
            return Ok(first);
        }
        let inside = self.targets.intersection(&AddressSet::from_iter([stretch]));
        let middle = match inside.nth(inside.len() / 2) {
            Some(ip) => self.ask_for(ip, out)?,
            None => return Ok(first),
        };
        Ok(if middle == last { last } else { first })
    }

    fn ask_for(&mut self, to: IpAddr, out: &Out) -> io::Result<Result<Way, NoWay>> {
        let from = self.egress.source.filter(|source| source.is_ipv4() == to.is_ipv4() && !to.is_loopback());
        if let Some(source) = from.filter(|source| !out.own.contains(source)) {
            return Ok(Err(NoWay::NotOurs(source)));
        }
        let by = out.by.filter(|_| !to.is_loopback());
        let answer = self.kernel.ask(Question::Way { to, from, by })?;
        Ok(match answer.into_iter().next() {
            Some(Message::Route(route)) => way(&route, from, &out.links),
            Some(Message::Error(number)) => Err(refusal(number)),
            _ => Err(NoWay::Refused("an answer that cannot be read".to_owned())),
        })
    }

    /// Every border of the kernel's routes and rules that lies among the targets.
    fn cuts(&mut self) -> io::Result<Cuts> {
        let Self { kernel, targets, .. } = self;
        let mut cutter = Cutter::new(targets, MOST_STRETCHES);
        for v4 in [true, false] {
            if !targets.ranges().iter().any(|range| range.first().is_ipv4() == v4) {
                continue;
            }
            let mut failed = None;
            for question in [Question::Rules { v4 }, Question::Routes { v4 }] {
                kernel.ask_each(question, |message| match message {
                    Message::Route(route) => cutter.add(route.to, rank(&route)),
                    Message::Rule(prefix) => cutter.add(prefix, Rank::Special),
                    // A kernel without policy routing has no rules to tell.
                    Message::Error(libc::EOPNOTSUPP | libc::EAFNOSUPPORT) => {}
                    Message::Error(number) => failed = Some(number),
                    _ => {}
                })?;
            }
            if let Some(number) = failed {
                return Err(io::Error::from_raw_os_error(number));
            }
        }
        Ok(cutter.cut())
    }

    fn links(&mut self) -> io::Result<BTreeMap<u32, Arc<Link>>> {
        let answer = self.kernel.ask(Question::Links)?.into_iter();
        let links = answer.filter_map(|message| if let Message::Link(link) = message { Some(link) } else { None });
        Ok(links.map(|link| (link.index, Arc::new(Link::from(link)))).collect())
    }

    fn own_addresses(&mut self) -> io::Result<BTreeSet<IpAddr>> {
        let answer = self.kernel.ask(Question::Addresses)?.into_iter();
        let own = answer.filter_map(|message| if let Message::Address { ip, .. } = message { Some(ip) } else { None });
        Ok(own.collect())
    }

    fn look_at_gateways(&mut self) -> io::Result<()> {
        for (&(link, ip), gateway) in &mut self.gateways {
            let answer = self.kernel.ask(Question::Neighbour { link, ip })?;
            let known = answer.into_iter().find_map(|message| match message {
                Message::Neighbour(neighbour) if (neighbour.link, neighbour.ip) == (link, ip) => Some(neighbour),
                _ => None,
            });
            gateway.is_fresh = known.as_ref().is_some_and(|known| known.is_fresh);
            gateway.is_stale = known.as_ref().is_some_and(|known| known.is_stale);
            gateway.mac = known.map(|known| known.mac);
        }
        if self.stale == Stale::Gateways {
            self.stale = Stale::Nothing;
        }
        let gateways = &self.gateways;
        let ways = self.bare.with_gateways(|link, ip| gateways.get(&(link, ip)).and_then(|gateway| gateway.mac));
        self.take(ways);
        Ok(())
    }

    fn take(&mut self, ways: Ways) {
        if ways != *self.ways {
            self.generation += 1;
            self.ways = Arc::new(ways);
        }
    }

    /// Has the kernel make sure of those routers it is not sure of.
    fn meet(&mut self) {
        if !self.may_meet {
            return;
        }
        let now = Instant::now();
        for (&(link, ip), gateway) in &mut self.gateways {
            if gateway.is_fresh || gateway.met.is_some_and(|met| now.saturating_duration_since(met) < MEET_EVERY) {
                continue;
            }
            gateway.met = Some(now);
            match self.kernel.ask(Question::Meet { link, ip }) {
                Ok(answer) if answer.contains(&Message::Error(libc::EPERM)) => {
                    self.may_meet = false;
                    gateway.met = None;
                    return;
                }
                // A link that has gone meanwhile: that is in the news.
                Ok(_) => {}
                Err(error) => tell(&error),
            }
        }
    }
}

fn tell(error: &io::Error) {
    tracing::debug!(%error, "the kernel could not be asked where packets go; it is asked again");
}

fn overlaps(targets: &AddressSet, prefix: AddressRange) -> bool {
    let ranges = targets.ranges();
    let place = ranges.partition_point(|range| range.last() < prefix.first());
    ranges.get(place).is_some_and(|range| range.first() <= prefix.last())
}

fn rank(route: &Route) -> Rank {
    if route.kind != RouteKind::Unicast {
        return Rank::Special;
    }
    let bits = if route.to.first().is_ipv4() { 32 } else { 128 };
    // Of a prefix' length the number of its addresses is the complement; all of IPv6 saturates, and is cut nowhere.
    Rank::Ordinary(u8::try_from(bits - route.to.len().ilog2().min(bits)).unwrap_or(u8::MAX))
}

/// What is not as exact as the kernel's own tables.
fn limit(left_out: Rank) -> String {
    let which = match left_out {
        Rank::Special => "some of them are".to_owned(),
        Rank::Ordinary(length) => format!("those of /{length} and longer are"),
    };
    format!(
        "this machine has more routes to the targets than can be told apart here ({MOST_STRETCHES}): {which} left out, and \
         packets go the way of what lies around them"
    )
}

/// What the kernel's answer means for whoever builds frames.
fn way(route: &Route, from: Option<IpAddr>, links: &BTreeMap<u32, Arc<Link>>) -> Result<Way, NoWay> {
    match route.kind {
        RouteKind::Unicast | RouteKind::Local => {}
        RouteKind::Broadcast => return Err(NoWay::Broadcast),
        RouteKind::Multicast => return Err(NoWay::Multicast),
        RouteKind::Unreachable => return Err(NoWay::Unreachable),
        RouteKind::Prohibited => return Err(NoWay::Prohibited),
        RouteKind::BlackHole => return Err(NoWay::BlackHole),
        RouteKind::Other => return Err(NoWay::NoRoute),
    }
    // One that was added since the links were asked for is in the news.
    let link = route.link.and_then(|index| links.get(&index)).cloned().ok_or(NoWay::NoRoute)?;
    let is_local = route.kind == RouteKind::Local || link.kind == LinkKind::Loopback;
    let next_hop = match link.kind {
        _ if is_local => NextHop::Local,
        LinkKind::NoLinkLayer => NextHop::Point,
        LinkKind::Ethernet(_) => match route.gateway {
            Some(ip) => NextHop::Gateway { ip, mac: None },
            None => NextHop::OnLink,
        },
        LinkKind::Loopback | LinkKind::Other => NextHop::OnLink,
    };
    let source = from.or(route.source).ok_or(NoWay::NoSource)?;
    Ok(Way { link, source, next_hop })
}

/// Of `errno`, what the kernel says where there is no way.
fn refusal(number: i32) -> NoWay {
    match number {
        libc::ENETUNREACH | libc::EAGAIN => NoWay::NoRoute,
        libc::EHOSTUNREACH => NoWay::Unreachable,
        libc::EACCES => NoWay::Prohibited,
        libc::EINVAL => NoWay::BlackHole,
        libc::EADDRNOTAVAIL => NoWay::NoSource,
        number => NoWay::Refused(io::Error::from_raw_os_error(number).to_string()),
    }
}

impl From<message::Link> for Link {
    fn from(link: message::Link) -> Self {
        /// `ARPHRD_…`: nothing, raw IP, IP in IP of both families, 6in4, GRE of both families.
        const BARE: [u16; 9] =
            [0xfffe, 519, libc::ARPHRD_SLIP, libc::ARPHRD_PPP, libc::ARPHRD_TUNNEL, 769, 776, 778, 823];
        let kind = match (link.hardware, link.mac) {
            (libc::ARPHRD_LOOPBACK, _) => LinkKind::Loopback,
            (libc::ARPHRD_ETHER, Some(mac)) if !link.silent => LinkKind::Ethernet(mac),
            (hardware, _) if BARE.contains(&hardware) => LinkKind::NoLinkLayer,
            _ => LinkKind::Other,
        };
        Self { index: link.index, name: link.name, kind, mtu: link.mtu }
    }
}
