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
        }
    }

    /// The addresses it is about.
    pub(crate) fn range(self) -> AddressRange {
        match self {
            Self::Host(ip) => AddressRange::single(ip),
            Self::Prefix(prefix, _) => prefix.range(),
        }
    }

    /// Whether all of it is known when the other is.
    fn is_part_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::Host(ip), Self::Prefix(prefix, None)) => prefix.range().contains(ip),
            (Self::Prefix(inner, port), Self::Prefix(outer, of)) => {
                self != other && outer.holds(inner) && (of.is_none() || of == port)
            }
            (_, Self::Host(_)) | (Self::Host(_), _) => false,
        }
    }

    pub(crate) fn holds(self, endpoint: &Endpoint) -> bool {
        endpoint.transport == Transport::Tcp
            && match self {
                Self::Host(ip) => endpoint.ip == ip,
                Self::Prefix(prefix, port) => {
                    port.is_none_or(|port| endpoint.port == port) && prefix.range().contains(endpoint.ip)
                }
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

    /// Those last seen at least so long ago.
    pub(crate) fn not_seen_for(&self, age: Duration, now: Timestamp) -> Vec<(Mirage, Known)> {
        let is_old = |known: &Known| Duration::try_from(now.duration_since(known.seen)).is_ok_and(|since| since >= age);
        self.read().iter().filter(|(_, known)| is_old(known)).map(|(mirage, known)| (*mirage, *known)).collect()
    }

    /// Where those who may be behind a mirage have not all been asked since it was found: who is met there is learnt, unless what
    /// was there was known before.
    pub(crate) fn unheard(&self, now: Timestamp) -> AddressSet {
        let is_young =
            |known: &Known| Duration::try_from(now.duration_since(known.since)).is_ok_and(|age| age <= HEARD_BY);
        self.read().iter().filter(|(_, known)| is_young(known)).map(|(mirage, _)| mirage.range()).collect()
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
            Mirage::Prefix(..) => None,
        });
        hosts.filter(|ip| addresses.contains(*ip)).map(AddressRange::single).collect()
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
            Mirage::Prefix(..) => None,
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
        let says_more = !slice.services.is_empty() || !slice.audits.is_empty() || !slice.names.is_empty();
        had == 0 || !slice.ports.is_empty() || says_more
    }
}

/// `192.0.2.7`, `192.0.2.0/24`, `192.0.2.0/24 port 443`.
impl fmt::Display for Mirage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(ip) => ip.fmt(f),
            Self::Prefix(Prefix { first, length }, port) => {
                write!(f, "{first}/{length}")?;
                port.map_or(Ok(()), |port| write!(f, " port {port}"))
            }
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
mod tests {
    use super::*;
    use model::{Coverage, Lane, OpenReason, PassId, PassKind, PassRef, Service, ServiceObservation};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn news(mirages: &Mirages) -> Vec<Mirage> {
        std::iter::from_fn(|| mirages.next_news()).collect()
    }

    fn slice(ip: IpAddr, ports: &[u16], speaking: &[u16], mute: &[u16]) -> HostSlice {
        let open = |&port: &u16| PortObservation {
            endpoint: Endpoint::tcp(ip, port),
            outcome: Outcome::Open(OpenReason::Connected),
            at: NOW,
            attempts: 1,
            refused: 0,
            rtt_us: None,
        };
        let talk = |port: u16, service: Option<Service>| ServiceObservation {
            endpoint: Endpoint::tcp(ip, port),
            name: None,
            at: NOW,
            service,
            tls: None,
            connections: 1,
            learnt: false,
            heard: None,
        };
        let spoken =
            speaking.iter().map(|&port| talk(port, Some(Service { name: "ssh".into(), ..Service::default() })));
        HostSlice {
            vantage: "scan1".into(),
            ip,
            pass: PassRef {
                id: PassId(model::derive_id(NOW, "pass", &1)),
                profile: "dmz".into(),
                lane: Lane::Hot,
                kind: PassKind::Sweep,
            },
            at: NOW,
            covered: Coverage::default(),
            ports: ports.iter().map(open).collect(),
            services: spoken.chain(mute.iter().map(|&port| talk(port, None))).collect(),
            audits: Vec::new(),
            names: Vec::new(),
            mac: None,
            presence: None,
        }
    }

    #[test]
    fn what_speaks_stays_and_what_is_mute_goes() {
        let ip: IpAddr = [192, 0, 2, 7].into();
        let mirages = Mirages::default();
        let sift = |mut slice: HostSlice, spoke: &[u16]| {
            let talked = !slice.services.is_empty();
            let left = mirages.sift(&mut slice, talked, |endpoint| spoke.contains(&endpoint.port));
            let ports: Vec<_> = slice.ports.iter().map(|seen| (seen.endpoint.port, seen.outcome.is_open())).collect();
            (left, ports)
        };
        assert_eq!(sift(slice(ip, &[443], &[], &[]), &[]), (true, vec![(443, true)]), "nothing is known");
        let prefix = Mirage::Prefix(Prefix::of([192, 0, 2, 0].into(), 8), Some(443));
        mirages.see(prefix, NOW);
        mirages.see(prefix, NOW);
        assert_eq!(news(&mirages), [prefix], "once");
        for (ports, speaking, mute, spoke, expect) in [
            (&[443_u16][..], &[][..], &[][..], &[][..], (false, vec![])),
            (&[443], &[], &[443], &[], (false, vec![])),
            (&[443], &[443], &[], &[], (true, vec![(443, true)])),
            (&[22, 443], &[], &[], &[], (true, vec![(22, true)])),
            (&[443], &[], &[443], &[443], (true, vec![(443, false)])),
            (&[443], &[], &[], &[443], (false, vec![])),
        ] {
            assert_eq!(
                sift(slice(ip, ports, speaking, mute), spoke),
                expect,
                "{ports:?} {speaking:?} {mute:?} {spoke:?}"
            );
        }
        let elsewhere: IpAddr = [192, 0, 3, 7].into();
        assert_eq!(sift(slice(elsewhere, &[443], &[], &[443]), &[]), (true, vec![(443, true)]));
        mirages.see(Mirage::Host(elsewhere), NOW);
        assert_eq!(sift(slice(elsewhere, &[443, 1, 2], &[2], &[443]), &[]), (true, vec![(2, true)]));
        mirages.forget(Mirage::Host(elsewhere));
        assert_eq!(sift(slice(elsewhere, &[1], &[], &[]), &[]), (true, vec![(1, true)]));
        mirages.see(Mirage::Prefix(Prefix::of(elsewhere, 8), None), NOW);
        mirages.see(Mirage::Host(elsewhere), NOW);
        assert_eq!(news(&mirages).len(), 2, "the host is part of the prefix");
        assert!(mirages.hold(&Endpoint::tcp(elsewhere, 9)) && !mirages.hold(&Endpoint::udp(elsewhere, 9)));
    }

    #[test]
    fn most_behind_a_mirage_are_nobody_and_are_seldom_asked() {
        let mirages = Mirages::default();
        let endpoint = Endpoint::tcp([192, 0, 2, 7].into(), 443);
        let at = |minute: i64| Timestamp::from_second(minute * 60).expect("in range");
        for (minute, speaks, may) in [
            (0, false, true),
            (10, false, false),
            (10, true, true),
            (14, true, false),
            (69, false, false),
            (70, false, true),
        ] {
            assert_eq!(mirages.may_talk(endpoint, speaks, TALK_EVERY, at(minute)), may, "{minute}");
        }
    }

    #[test]
    fn names_read_back() {
        for text in [
            "192.0.2.7",
            "2001:db8::7",
            "192.0.2.0/24",
            "192.0.2.0/24 port 443",
            "192.0.2.192/26 port 443",
            "192.0.2.6/31",
            "2001:db8::/120 port 22",
            "2001:db8::40/122",
        ] {
            assert_eq!(text.parse::<Mirage>().map(|mirage| mirage.to_string()).as_deref(), Ok(text));
        }
        for text in
            ["192.0.2.0 port 24", "192.0.2.0/23", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/x", "2001:db8::/64"]
        {
            assert_eq!(text.parse::<Mirage>(), Err(NoMirage), "{text}");
        }
    }

    #[test]
    fn a_part_of_a_prefix_holds_its_own_and_is_known_with_the_whole() {
        let mirages = Mirages::default();
        let mirage = |text: &str| text.parse::<Mirage>().expect("a mirage");
        mirages.see(mirage("192.0.2.64/26 port 443"), NOW);
        for (last, port, held) in
            [(63, 443, false), (64, 443, true), (127, 443, true), (128, 443, false), (64, 22, false)]
        {
            assert_eq!(mirages.hold(&Endpoint::tcp([192, 0, 2, last].into(), port)), held, "{last}:{port}");
        }
        assert!(!mirages.has_others(mirage("192.0.2.0/28 port 9")), "nobody was told of the other yet");
        news(&mirages);
        // What is seen, and whether that is news.
        for (text, is_news) in [
            ("192.0.2.64/28 port 443", false),
            ("192.0.2.64/28 port 22", true),
            ("192.0.2.0/25 port 443", true),
            ("192.0.2.0/26 port 443", false),
            ("192.0.2.7", true),
            ("192.0.2.0/24", true),
            ("192.0.2.8", false),
            ("192.0.2.0/24 port 25", false),
            ("192.0.3.8", true),
        ] {
            mirages.see(mirage(text), NOW);
            assert_eq!(news(&mirages).len(), usize::from(is_news), "{text}");
        }
        assert!(mirages.has_others(mirage("192.0.2.0/28 port 9")) && !mirages.has_others(mirage("192.0.3.0/24")));
    }
}
