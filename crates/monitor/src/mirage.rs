//! What answers where nothing is: a proxy that completes every handshake of a prefix, a trap or firewall that opens every
//! port of a host. An answer there proves nothing; what somebody says there does.

use jiff::Timestamp;
use model::{AddressRange, AddressSet, Endpoint, HostSlice, Outcome, PortObservation, PortSet, Transport};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The kind of the notes about mirages.
pub(crate) const MIRAGE: &str = "mirage";

/// Where an answer proves nothing. TCP only: a datagram that comes back was made by somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mirage {
    /// Every port of this host answers.
    Host(IpAddr),
    /// Every address of the prefix answers, on this port or (none) on every one.
    Prefix(Prefix, Option<u16>),
    /// Addresses of the prefix answer to knocks (ICMP, ARP and the like) as if somebody were at each: what shows itself there by nothing
    /// else is no host.
    Unseen(Prefix),
}

/// A part of a /24 (of a /120), or all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Prefix {
    first: IpAddr,
    /// Of its bits these are the same for all its addresses, from the left.
    length: u8,
}

/// Since when one is known, and when it was last found to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) since: Timestamp,
    pub(crate) seen: Timestamp,
}

/// Those that are known. Whoever asks the network finds and heeds them; the loop tells of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mirages {
    known: Arc<RwLock<BTreeMap<Mirage, Known>>>,
    /// Found and not yet told.
    news: Arc<Mutex<VecDeque<Mirage>>>,
    /// With whom behind a mirage somebody talked.
    talked: Arc<Mutex<HashMap<Endpoint, Talk>>>,
    /// Hosts whose sweep was given up because too many ports opened, until it is known what answers there.
    suspects: Arc<Mutex<HashSet<IpAddr>>>,
    /// Those who look for one, by /24: what one of them finds the others need not look for.
    looking: Arc<Mutex<HashMap<IpAddr, Weak<Semaphore>>>>,
    /// Nobody can foresee which control questions are asked.
    drawn: Arc<AtomicU64>,
}

/// A conversation with an endpoint behind a mirage.
#[derive(Debug, Clone, Copy)]
struct Talk {
    begun: Timestamp,
    /// One of them has ended, and whatever came of it was reported.
    is_heard: bool,
}

/// Addresses behind a mirage are asked who they are at most so often: most are nobody.
const TALK_EVERY: Duration = Duration::from_hours(1);
/// A real service behind one is asked more often, for only its voice shows that it lives.
const LISTEN_EVERY: Duration = Duration::from_mins(5);
/// By then everybody behind a new mirage has been asked once.
const HEARD_BY: Duration = Duration::from_mins(70);
/// So many may look for a mirage in one /24 at once.
const LOOK_AT_ONCE: usize = 16;
/// More of them are not remembered.
const MOST_TALKED: usize = 100_000;
/// Where more ports were asked, nobody has talked to all of them.
const MOST_PORTS_HEARD: u32 = 512;

impl Mirage {
    /// Those an endpoint may be part of.
    pub(crate) fn around(endpoint: &Endpoint) -> Vec<Self> {
        if endpoint.transport != Transport::Tcp {
            return Vec::new();
        }
        let mut all = vec![Self::Host(endpoint.ip)];
        for prefix in Prefix::around(endpoint.ip) {
            all.extend([Self::Prefix(prefix, None), Self::Prefix(prefix, Some(endpoint.port))]);
        }
        all
    }

    /// What the finding about it is called.
    pub(crate) fn finding(self) -> &'static str {
        match self {
            Self::Host(_) => "answers-every-port",
            Self::Prefix(..) => "answers-every-address",
            Self::Unseen(_) => "answers-every-knock",
        }
    }

    /// The addresses it is about.
    pub(crate) fn range(self) -> AddressRange {
        match self {
            Self::Host(ip) => AddressRange::single(ip),
            Self::Prefix(prefix, _) | Self::Unseen(prefix) => prefix.range(),
        }
    }

    /// Whether all of it is known when the other is.
    fn is_part_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::Host(ip), Self::Prefix(prefix, None)) => prefix.range().contains(ip),
            (Self::Prefix(inner, port), Self::Prefix(outer, of)) => {
                self != other && outer.holds(inner) && (of.is_none() || of == port)
            }
            (_, Self::Host(_) | Self::Unseen(_)) | (Self::Host(_) | Self::Unseen(_), _) => false,
        }
    }

    pub(crate) fn holds(self, endpoint: &Endpoint) -> bool {
        endpoint.transport == Transport::Tcp
            && match self {
                Self::Host(ip) => endpoint.ip == ip,
                Self::Prefix(prefix, port) => {
                    port.is_none_or(|port| endpoint.port == port) && prefix.range().contains(endpoint.ip)
                }
                Self::Unseen(_) => false,
            }
    }
}

impl Prefix {
    /// Bits in which addresses of the widest prefix differ.
    const WIDEST: u32 = 8;

    /// The one around an address in which so many bits, from the right, may differ: 8 at the most.
    pub(crate) fn of(ip: IpAddr, bits: u32) -> Self {
        let bits = bits.min(Self::WIDEST);
        let (first, all): (IpAddr, u32) = match ip {
            IpAddr::V4(ip) => (Ipv4Addr::from(u32::from(ip) >> bits << bits).into(), u32::BITS),
            IpAddr::V6(ip) => (Ipv6Addr::from(u128::from(ip) >> bits << bits).into(), u128::BITS),
        };
        Self { first, length: u8::try_from(all - bits).unwrap_or(u8::MAX) }
    }

    /// All that an address may be part of, the narrowest first.
    pub(crate) fn around(ip: IpAddr) -> impl Iterator<Item = Self> {
        (1..=Self::WIDEST).map(move |bits| Self::of(ip, bits))
    }

    pub(crate) fn range(self) -> AddressRange {
        let bits = if self.first.is_ipv4() { u32::BITS } else { u128::BITS } - u32::from(self.length);
        let others = (1_u32 << bits.min(Self::WIDEST)) - 1;
        let last: IpAddr = match self.first {
            IpAddr::V4(first) => Ipv4Addr::from(u32::from(first) | others).into(),
            IpAddr::V6(first) => Ipv6Addr::from(u128::from(first) | u128::from(others)).into(),
        };
        AddressRange::new(self.first, last).unwrap_or_else(|| AddressRange::single(self.first))
    }

    fn holds(self, other: Self) -> bool {
        self.length <= other.length && self.range().contains(other.first)
    }
}

/// The least that firewalls stand before: a /28, or a /124.
pub(crate) fn near(ip: IpAddr) -> AddressRange {
    Prefix::of(ip, 4).range()
}

/// The neighbours of an address: its /24, or its /120.
pub(crate) fn block(ip: IpAddr) -> AddressRange {
    Prefix::of(ip, Prefix::WIDEST).range()
}

impl Mirages {
    /// `seed` is another one at every start.
    pub(crate) fn new(seed: u64) -> Self {
        Self { drawn: Arc::new(AtomicU64::new(seed)), ..Self::default() }
    }

    /// Another number each time.
    pub(crate) fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits for the right to look for a mirage around an address. When it comes, one may have been found.
    pub(crate) async fn look(&self, ip: IpAddr) -> Option<OwnedSemaphorePermit> {
        let slots = {
            let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
            let block = block(ip).first();
            looking.get(&block).and_then(Weak::upgrade).unwrap_or_else(|| {
                looking.retain(|_, slots| slots.strong_count() > 0);
                let slots = Arc::new(Semaphore::new(LOOK_AT_ONCE));
                looking.insert(block, Arc::downgrade(&slots));
                slots
            })
        };
        // Nobody closes it.
        slots.acquire_owned().await.ok()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Mirage, Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Mirage, Known>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) -> MutexGuard<'_, VecDeque<Mirage>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an open answer of this endpoint proves nothing.
    pub(crate) fn hold(&self, endpoint: &Endpoint) -> bool {
        let known = self.read();
        !known.is_empty() && Mirage::around(endpoint).iter().any(|mirage| known.contains_key(mirage))
    }

    /// Whether something answers to knocks for everybody around an address.
    pub(crate) fn knock_back(&self, ip: IpAddr) -> bool {
        let known = self.read();
        !known.is_empty() && Prefix::around(ip).any(|prefix| known.contains_key(&Mirage::Unseen(prefix)))
    }

    /// All for whom that is so.
    pub(crate) fn unseen(&self) -> AddressSet {
        let known = self.read();
        known.keys().filter(|mirage| matches!(mirage, Mirage::Unseen(_))).map(|mirage| mirage.range()).collect()
    }

    /// Takes note of one. A smaller one inside a known one is no news.
    pub(crate) fn see(&self, mirage: Mirage, now: Timestamp) {
        let mut known = self.write();
        let before = known.get(&mirage).map(|known| known.since);
        if known.keys().any(|wider| mirage.is_part_of(*wider)) {
            return;
        }
        known.insert(mirage, Known { since: before.unwrap_or(now), seen: now });
        if before.is_none() {
            self.news().push_back(mirage);
        }
    }

    /// One that was found and was not given before.
    pub(crate) fn next_news(&self) -> Option<Mirage> {
        self.news().pop_front()
    }

    /// Whether others of the same /24 are known that are no news: the finding about it was told.
    pub(crate) fn has_others(&self, mirage: Mirage) -> bool {
        let block = block(mirage.range().first());
        let of_block = |other: &Mirage| matches!(other, Mirage::Prefix(other, _) if block.contains(other.first));
        let known = self.read();
        let news = self.news();
        matches!(mirage, Mirage::Prefix(..))
            && known.keys().any(|other| *other != mirage && of_block(other) && !news.contains(other))
    }

    pub(crate) fn forget(&self, mirage: Mirage) -> Option<Known> {
        self.write().remove(&mirage)
    }

    pub(crate) fn restore(&self, mirage: Mirage, known: Known) {
        self.write().insert(mirage, known);
    }

    /// Those last seen at least so long ago; or later than now, by a clock that was set back since.
    pub(crate) fn not_seen_for(&self, age: Duration, now: Timestamp) -> Vec<(Mirage, Known)> {
        let is_old =
            |known: &Known| Duration::try_from(now.duration_since(known.seen)).map_or(true, |since| since >= age);
        self.read().iter().filter(|(_, known)| is_old(known)).map(|(mirage, known)| (*mirage, *known)).collect()
    }

    /// Where those who may be behind a mirage have not all been asked since it was found: who is met there is learnt, unless what
    /// was there was known before.
    pub(crate) fn unheard(&self, now: Timestamp) -> AddressSet {
        let is_young =
            |known: &Known| Duration::try_from(now.duration_since(known.since)).is_ok_and(|age| age <= HEARD_BY);
        let known = self.read();
        let of_ports = known.iter().filter(|(mirage, known)| !matches!(mirage, Mirage::Unseen(_)) && is_young(known));
        of_ports.map(|(mirage, _)| mirage.range()).collect()
    }

    /// Whether an endpoint behind a mirage is to be asked now who it is; `speaks` where it is known to. Others are asked as often as
    /// services are identified, but at least every so often. Counts as asked.
    pub(crate) fn may_talk(&self, endpoint: Endpoint, speaks: bool, identify: Duration, now: Timestamp) -> bool {
        let every = if speaks { LISTEN_EVERY } else { TALK_EVERY.min(identify) };
        let mut talked = self.talked();
        let is_recent = |talk: &Talk| Duration::try_from(now.duration_since(talk.begun)).is_ok_and(|age| age < every);
        let before = talked.get(&endpoint);
        if before.is_some_and(is_recent) {
            return false;
        }
        let talk = Talk { begun: now, is_heard: before.is_some_and(|talk| talk.is_heard) };
        if talked.len() >= MOST_TALKED {
            talked.retain(|_, talk| is_recent(talk));
        }
        if talked.len() < MOST_TALKED {
            talked.insert(endpoint, talk);
        }
        true
    }

    /// Whether a conversation with it was begun of late.
    pub(crate) fn was_talked_to(&self, endpoint: &Endpoint) -> bool {
        self.talked().contains_key(endpoint)
    }

    /// How many conversations with a host were begun within an hour.
    pub(crate) fn talks_lately(&self, ip: IpAddr, now: Timestamp) -> usize {
        let is_recent =
            |talk: &Talk| Duration::try_from(now.duration_since(talk.begun)).is_ok_and(|age| age < TALK_EVERY);
        self.talked().iter().filter(|(endpoint, talk)| endpoint.ip == ip && is_recent(talk)).count()
    }

    /// A conversation with an endpoint behind a mirage, begun then, has ended and was reported.
    pub(crate) fn heard(&self, endpoint: Endpoint, begun: Timestamp) {
        let mut talked = self.talked();
        if talked.len() < MOST_TALKED || talked.contains_key(&endpoint) {
            talked.entry(endpoint).or_insert(Talk { begun, is_heard: true }).is_heard = true;
        }
    }

    /// Whether a conversation with an endpoint behind a mirage has ended before.
    pub(crate) fn was_heard(&self, endpoint: &Endpoint) -> bool {
        self.talked().get(endpoint).is_some_and(|talk| talk.is_heard)
    }

    /// Those of these hosts for which something answers on every port.
    pub(crate) fn hosts_among(&self, addresses: &AddressSet) -> AddressSet {
        let known = self.read();
        let hosts = known.keys().filter_map(|mirage| match mirage {
            Mirage::Host(ip) => Some(*ip),
            Mirage::Prefix(..) | Mirage::Unseen(_) => None,
        });
        hosts.filter(|ip| addresses.contains(*ip)).map(AddressRange::single).collect()
    }

    /// Hosts of these behind a mirage of their own, found of late, that are or will be heard on every one of these ports.
    pub(crate) fn to_be_heard_out(&self, addresses: &AddressSet, tcp: &PortSet, now: Timestamp) -> AddressSet {
        if tcp.is_empty() || tcp.len() > MOST_PORTS_HEARD {
            return AddressSet::empty();
        }
        self.hosts_among(addresses).intersection(&self.unheard(now))
    }

    /// Hosts of these behind a mirage of their own that were heard on every one of these ports: what speaks there later is new.
    pub(crate) fn heard_out(&self, addresses: &AddressSet, tcp: &PortSet) -> AddressSet {
        if tcp.len() > MOST_PORTS_HEARD {
            return AddressSet::empty();
        }
        let known = self.read();
        let talked = self.talked();
        let is_heard =
            |ip: IpAddr| tcp.iter().all(|port| talked.get(&Endpoint::tcp(ip, port)).is_some_and(|talk| talk.is_heard));
        let hosts = known.keys().filter_map(|mirage| match mirage {
            Mirage::Host(ip) => Some(*ip),
            Mirage::Prefix(..) | Mirage::Unseen(_) => None,
        });
        hosts.filter(|ip| addresses.contains(*ip) && is_heard(*ip)).map(AddressRange::single).collect()
    }

    fn talked(&self) -> MutexGuard<'_, HashMap<Endpoint, Talk>> {
        self.talked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a host is one whose sweep was given up for what opened there.
    pub(crate) fn is_suspect(&self, ip: IpAddr) -> bool {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).contains(&ip)
    }

    pub(crate) fn suspect(&self, ip: IpAddr) {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).insert(ip);
    }

    /// It is known by now what answers there.
    pub(crate) fn suspect_no_more(&self, ip: IpAddr) {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).remove(&ip);
    }

    /// Takes out of a slice what a mirage answered. An endpoint that `speaks` (it was known to, or it does in this slice) stays;
    /// one that was known to and says nothing when it is talked to (`talked`) has fallen silent, for behind a proxy that is how
    /// a closed port looks. False where nothing is left that the slice could say of its host.
    pub(crate) fn sift(&self, slice: &mut HostSlice, talked: bool, spoke: impl Fn(&Endpoint) -> bool) -> bool {
        if self.read().is_empty() {
            return true;
        }
        let is_mute = |service: &model::ServiceObservation| service.service.is_none() && service.tls.is_none();
        let said: HashSet<Endpoint> =
            slice.services.iter().filter(|service| !is_mute(service)).map(|service| service.endpoint).collect();
        let had = slice.ports.len() + slice.services.len();
        slice.services.retain(|service| !(is_mute(service) && self.hold(&service.endpoint)));
        let mut kept: Vec<PortObservation> = Vec::with_capacity(slice.ports.len());
        for mut seen in std::mem::take(&mut slice.ports) {
            let is_mirage = seen.outcome.is_open() && !said.contains(&seen.endpoint) && self.hold(&seen.endpoint);
            if is_mirage {
                if !(talked && spoke(&seen.endpoint)) {
                    continue;
                }
                seen.outcome = Outcome::Silent;
            }
            kept.push(seen);
        }
        slice.ports = kept;
        let says_more = !slice.services.is_empty()
            || !slice.audits.is_empty()
            || !slice.names.is_empty()
            || slice.presence.is_some();
        had == 0 || !slice.ports.is_empty() || says_more
    }
}

/// `192.0.2.7`, `192.0.2.0/24`, `192.0.2.0/24 port 443`, `192.0.2.0/24 knocks`.
impl fmt::Display for Mirage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(ip) => ip.fmt(f),
            Self::Prefix(Prefix { first, length }, port) => {
                write!(f, "{first}/{length}")?;
                port.map_or(Ok(()), |port| write!(f, " port {port}"))
            }
            Self::Unseen(Prefix { first, length }) => write!(f, "{first}/{length} knocks"),
        }
    }
}

/// A note's key that names no mirage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoMirage;

impl FromStr for Mirage {
    type Err = NoMirage;

    fn from_str(text: &str) -> Result<Self, NoMirage> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Host(ip));
        }
        if let Some(prefix) = text.strip_suffix(" knocks") {
            return match prefix.parse()? {
                Self::Prefix(prefix, None) => Ok(Self::Unseen(prefix)),
                _ => Err(NoMirage),
            };
        }
        let (prefix, port) = match text.split_once(" port ") {
            Some((prefix, port)) => (prefix, Some(port.parse().map_err(|_| NoMirage)?)),
            None => (text, None),
        };
        let (first, length) = prefix.split_once('/').ok_or(NoMirage)?;
        let first: IpAddr = first.parse().map_err(|_| NoMirage)?;
        let length: u32 = length.parse().map_err(|_| NoMirage)?;
        let bits = if first.is_ipv4() { u32::BITS } else { u128::BITS }.checked_sub(length).ok_or(NoMirage)?;
        let prefix = Prefix::of(first, bits);
        if bits > Prefix::WIDEST || prefix.first != first { Err(NoMirage) } else { Ok(Self::Prefix(prefix, port)) }
    }
}

#[cfg(test)]
mod tests;
