//! The transmitter, turn by turn in paused time, by a way out that only remembers what left.

use super::*;
use crate::raw::{
    paths::Path,
    volley::{Answer, Target},
};
use model::{AddressRange, AddressSet, Rate, SystemClock};
use scope::{AssetScope, Scope};
use std::sync::Mutex;
use wire::{Cookies, Link, LinkKind, NextHop, PortBlock, Transmit, TransmitCounters, WireError};

/// Packets that left, by where they went.
#[derive(Debug, Clone, Default)]
struct Left(Arc<Mutex<Vec<IpAddr>>>, Arc<AtomicBool>);

impl Left {
    /// From now on the link is down.
    fn go_down(&self) {
        self.1.store(true, Relaxed);
    }

    fn to(&self) -> Vec<IpAddr> {
        self.0.lock().expect("whole").clone()
    }
}

impl Transmit for Left {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
        if self.1.load(Relaxed) {
            let source = std::io::Error::from(std::io::ErrorKind::NetworkDown);
            return Err(WireError::LinkDown { link: "eth0".to_owned(), source });
        }
        let to = |packet: &[u8]| IpAddr::from(<[u8; 4]>::try_from(&packet[16..20]).expect("IPv4"));
        let count = batch.len();
        self.0.lock().expect("whole").extend(batch.packets().map(to));
        batch.clear();
        Ok(count)
    }

    fn counters(&self) -> TransmitCounters {
        TransmitCounters::default()
    }
}

/// Hears what did not leave; wants everything but what it was told not to.
#[derive(Debug, Default)]
struct Told {
    unsent: Mutex<Vec<(u64, Outcome)>>,
    unwanted: Mutex<Vec<u64>>,
}

impl Sink for Told {
    fn heard(&self, _answer: &Answer) {}

    fn is_there(&self, _ip: IpAddr, _knock: Knock) {}

    fn has_asked(&self, _endpoint: &Endpoint, _attempt: u8) -> bool {
        false
    }

    fn wants(&self, number: u64) -> bool {
        !self.unwanted.lock().expect("whole").contains(&number)
    }

    fn sent(&self, _questions: u64) {}

    fn unsent(&self, number: u64, why: Outcome) {
        self.unsent.lock().expect("whole").push((number, why));
    }
}

/// A port that two protocols share.
const SHARED: u16 = 853;

struct List {
    targets: Vec<Target>,
    position: usize,
}

impl Order for List {
    fn next(&mut self) -> Option<Target> {
        let target = self.targets.get(self.position).copied()?;
        self.position += 1;
        Some(target)
    }

    fn position(&self) -> u64 {
        self.position as u64
    }

    fn datagram(&self, _port: u16) -> &[u8] {
        &[]
    }

    fn second_datagram(&self, port: u16) -> Option<&[u8]> {
        (port == SHARED).then_some(b"second")
    }
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn scope(hosts: &str) -> Scope {
    let targets = vec![hosts.parse().expect("a target")];
    Scope::new(vec![AssetScope { name: "lab".into(), targets, until: None }], AddressSet::empty())
}

/// A transmitter in whose scope, and on whose path, is 192.0.2.0/24.
struct Rig {
    running: Running,
    left: Left,
    scope: ScopeHandle,
    _commands: std::sync::mpsc::Sender<Command>,
}

impl Rig {
    fn new(per_host: u32) -> Self {
        let rate = |per_second| Rate::per_second(per_second).expect("in range");
        let scope = ScopeHandle::new(scope("192.0.2.0/24"));
        let pacer = Arc::new(Pacer::new(rate(1_000_000), rate(per_host)));
        let ports = PortBlock::new(61_000, 4_096).expect("a block");
        let (commands, orders) = std::sync::mpsc::channel();
        let transmitter = Transmitter {
            shared: Arc::new(Shared::new(Cookies::new([7; 16], ports))),
            pacer,
            scope: scope.clone(),
            clock: Arc::new(SystemClock),
            commands: orders,
        };
        let (mut running, left) = (Running::new(transmitter), Left::default());
        let link = Link { index: 7, name: "eth0".to_owned(), kind: LinkKind::NoLinkLayer, mtu: 1500 };
        let path = Path { link, source: address(1), hop: NextHop::Point };
        let range = AddressRange::new(address(0), address(255)).expect("ascending");
        let exit = Exit::new(&path, Box::new(left.clone()));
        let side = Side::new(&path, Box::new(left.clone()), None);
        running.obey(Command::Paths(Arc::new(Paths::new([(range, path)])), vec![exit], vec![side]));
        Self { running, left, scope, _commands: commands }
    }

    /// A volley to a port each of these hosts, numbered from 0.
    fn volley(&mut self, hosts: &[u8]) -> (Arc<Told>, oneshot::Receiver<Report>, Arc<AtomicBool>) {
        let port = |number| 1 + u16::try_from(number).expect("few");
        self.volley_to(hosts.iter().enumerate().map(|(number, host)| Endpoint::tcp(address(*host), port(number))))
    }

    fn volley_to(
        &mut self,
        endpoints: impl Iterator<Item = Endpoint>,
    ) -> (Arc<Told>, oneshot::Receiver<Report>, Arc<AtomicBool>) {
        let (told, (done, report), cancelled) = (Arc::new(Told::default()), oneshot::channel(), Arc::default());
        let (allowed, now) = (self.scope.load(), SystemClock.now());
        let target = |(number, endpoint): (usize, Endpoint)| Target {
            number: number as u64,
            endpoint: allowed.authorize(endpoint, now).expect("in scope"),
        };
        let targets = endpoints.enumerate().map(target).collect();
        self.running.obey(Command::Volley(Box::new(Volley {
            id: 1,
            order: Box::new(List { targets, position: 0 }),
            slot: 3,
            knock: None,
            attempt: 1,
            pace: None,
            sink: Arc::clone(&told) as Arc<dyn Sink>,
            cancelled: Arc::clone(&cancelled),
            done: Some(done),
        })));
        (told, report, cancelled)
    }

    /// Turns of the thread for so long.
    async fn turns(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.running.send_some();
            self.running.end_volleys();
            self.running.tick();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }
}

const SOON: Duration = Duration::from_millis(50);
const OUT_OF_SCOPE: Outcome = Outcome::NotProbed(NotProbed::OutOfScope);

#[tokio::test(start_paused = true)]
async fn what_leaves_the_scope_is_not_asked_and_no_trouble_of_ours() {
    // Whether the path went with it, as when the routes have been looked up anew.
    for has_path in [true, false] {
        let mut rig = Rig::new(1_000_000);
        let (told, mut report, _) = rig.volley(&[1, 200, 2]);
        rig.scope.replace(scope("192.0.2.0/25"));
        if !has_path {
            let range = AddressRange::new(address(0), address(127)).expect("ascending");
            let path = rig.running.paths.all()[0].clone();
            rig.running.paths = Arc::new(Paths::new([(range, path)]));
        }
        rig.turns(SOON).await;
        assert_eq!(rig.left.to(), [address(1), address(2)], "a path: {has_path}");
        assert_eq!(*told.unsent.lock().expect("whole"), [(1, OUT_OF_SCOPE)], "a path: {has_path}");
        let report = report.try_recv().expect("through");
        assert_eq!((report.sent, report.complete), (2, true));
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_path_in_scope_is_our_own_trouble() {
    let mut rig = Rig::new(1_000_000);
    let (told, _report, _) = rig.volley(&[1]);
    rig.running.paths = Arc::default();
    rig.turns(SOON).await;
    let no_route = Outcome::LocalError(LocalErrorKind::NoRoute);
    assert_eq!(*told.unsent.lock().expect("whole"), [(0, no_route)]);
    assert!(rig.left.to().is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_two_protocols_share_a_port_both_are_asked() {
    let mut rig = Rig::new(1_000_000);
    // More than leave at once.
    let hosts = || (1..=200).map(address);
    let (told, mut report, _) = rig.volley_to(hosts().map(|ip| Endpoint::udp(ip, SHARED)));
    rig.turns(SOON).await;
    let mut to = rig.left.to();
    to.sort();
    assert_eq!(to, hosts().flat_map(|ip| [ip, ip]).collect::<Vec<_>>());
    let report = report.try_recv().expect("through");
    assert_eq!((report.sent, report.complete), (200, true), "as one question");
    assert!(told.unsent.lock().expect("whole").is_empty());
    // Where there is one, there is one.
    let (_told, mut report, _) = rig.volley_to(hosts().map(|ip| Endpoint::udp(ip, 53)));
    rig.turns(SOON).await;
    assert_eq!((rig.left.to().len(), report.try_recv().expect("through").sent), (600, 200));
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_never_left_is_not_missed() {
    for is_down in [true, false] {
        let mut rig = Rig::new(1_000_000);
        if is_down {
            rig.left.go_down();
        }
        let begun = Instant::now();
        rig.running.it.shared.canaries.met(Endpoint::tcp(address(9), 443), None);
        rig.running.canary_credit = 1.0;
        rig.running.send_some();
        assert_eq!(rig.left.to().len(), usize::from(!is_down));
        let asides = rig.running.it.shared.asides.take();
        assert_eq!(asides.iter().filter(|aside| aside.is_canary).count(), usize::from(!is_down), "it is accounted for");
        let verdicts = rig.running.it.shared.canaries.judge(begun + Duration::from_secs(2), begun);
        let missed = u64::from(!is_down);
        assert_eq!((verdicts.asked, verdicts.missed), (missed, missed), "down: {is_down}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_held_leaves_only_where_it_is_still_wanted() {
    // Whether the volley was cancelled meanwhile, and who is asked then; one of the two hosts was found to be a trap.
    for (is_cancelled, expect) in [(false, vec![address(2)]), (true, vec![])] {
        let mut rig = Rig::new(1_000_000);
        let (told, _report, cancelled) = rig.volley(&[1, 2]);
        told.unwanted.lock().expect("whole").push(0);
        let tag = Tag::new(3, 1);
        while let Some(Target { number, endpoint }) = rig.running.active[0].volley.order.next() {
            let owner = Owner::Volley { id: 1, number };
            rig.running.held.push_back(Packet {
                endpoint,
                owner,
                tag,
                knock: None,
                is_due: false,
                picked_at: Instant::now(),
            });
        }
        cancelled.store(is_cancelled, Relaxed);
        rig.turns(SOON).await;
        assert_eq!(rig.left.to(), expect, "cancelled: {is_cancelled}");
        assert!(rig.running.held.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stretch_ends_when_its_last_question_leaves() {
    // A host takes ten questions a second, the others any number: of its twenty the last leaves two seconds after it was taken.
    let mut rig = Rig::new(10);
    let (_told, mut report, _) = rig.volley(&[5; 20]);
    let begun = Instant::now();
    rig.turns(Duration::from_secs(3)).await;
    assert_eq!(rig.left.to().len(), 20);
    let report = report.try_recv().expect("through");
    assert!(report.complete);
    let whole = Duration::from_millis(1_500)..Duration::from_millis(2_500);
    for stretch in &report.stretches {
        let lasted = stretch.ended.duration_since(begun);
        assert!(whole.contains(&lasted), "{stretch:?} ended after {lasted:?}");
    }
    assert_eq!(report.stretches.first().map(|stretch| stretch.turns.start), Some(0));
    assert_eq!(report.stretches.last().map(|stretch| stretch.turns.end), Some(20));
}

#[tokio::test(start_paused = true)]
async fn who_is_left_alone_is_no_canary() {
    let mut rig = Rig::new(1_000_000);
    let shared = Arc::clone(&rig.running.it.shared);
    shared.canaries.met(Endpoint::tcp(address(9), 443), None);
    for (spared, sent) in [(vec![address(9)], 0), (vec![address(8)], 1)] {
        shared.asides.spare(Arc::new(spared.into_iter().collect()));
        rig.running.canary_credit = 1.0;
        rig.running.send_some();
        assert_eq!(rig.left.to().len(), sent);
    }
}
