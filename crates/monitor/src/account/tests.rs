use super::*;
use jiff::SignedDuration;
use model::{AddressRange, AddressSet, ClosedReason, OpenReason, PortObservation, PortSet, Target, Transport};
use probe::{Aside, Asked, Round, SweepCounts};
use scope::{
    AssetScope, Scope,
    ledger::{Entry, Mode, Order, Places, Subject, Territory},
};
use std::{
    net::Ipv4Addr,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

#[derive(Debug, Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::Relaxed))
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
}

/// Every question takes ten seconds, or for ever.
#[derive(Debug)]
struct Slow {
    clock: Arc<Hands>,
    outcome: Outcome,
    for_ever: bool,
    rounds: Mutex<Vec<Round>>,
}

impl Slow {
    async fn take_time(&self) {
        if self.for_ever {
            std::future::pending::<()>().await;
        }
        self.clock.0.fetch_add(10, Ordering::Relaxed);
    }

    fn seen(&self, endpoint: Endpoint) -> PortObservation {
        PortObservation { endpoint, outcome: self.outcome, at: self.clock.now(), attempts: 1, refused: 0, rtt_us: None }
    }
}

impl Network for Slow {
    fn sweep(&self, job: SweepJob, _: mpsc::Sender<Found>, _: CancellationToken) -> Answer<'_, SweepOutcome> {
        Box::pin(async move {
            self.take_time().await;
            let probes = u64::try_from(job.addresses.len()).unwrap_or(0) * u64::from(job.tcp.len());
            let counts = SweepCounts { probes, ..SweepCounts::default() };
            SweepOutcome { counts, rounds: self.rounds.lock().expect("sound").clone(), ..SweepOutcome::default() }
        })
    }

    fn ask(&self, endpoints: Vec<Endpoint>, _: Duration) -> Answer<'_, Vec<Found>> {
        Box::pin(async move {
            self.take_time().await;
            endpoints.into_iter().map(|endpoint| Found { observation: self.seen(endpoint), reply: None }).collect()
        })
    }

    fn identify(&self, whom: Introduction) -> Answer<'_, Conversation> {
        Box::pin(async move {
            self.take_time().await;
            Conversation { ports: vec![self.seen(whom.endpoint)], observation: None }
        })
    }

    fn read_reply(&self, endpoint: Endpoint, _: &[u8], at: Timestamp) -> ServiceObservation {
        probe::conversation::identify_datagram(endpoint, b"", at)
    }

    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Answer<'a, Result<Resolved, ResolveError>> {
        Box::pin(async move { Err(ResolveError::NoSuchName(name.clone())) })
    }

    /// A canary and a router's target, each time.
    fn asides(&self, spared: Arc<BTreeSet<IpAddr>>) -> Vec<Aside> {
        let now = self.clock.now();
        let asked = [(7, true), (8, false)].into_iter().filter(|(host, _)| !spared.contains(&ip(*host)));
        asked.map(|(host, is_canary)| Aside { endpoint: ssh(host), is_canary, first: now, last: now }).collect()
    }

    fn halt(&self, _: bool) {}
}

struct World {
    clock: Arc<Hands>,
    book: Book,
    network: Accounted,
}

const OPEN: Outcome = Outcome::Open(OpenReason::Connected);

/// A pass of the hot lane over 10.0.0.0/16 without 10.0.0.9.
fn world(outcome: Outcome, for_ever: bool, rounds: Vec<Round>) -> World {
    let clock = Arc::new(Hands::default());
    let network = Slow { clock: clock.clone(), outcome, for_ever, rounds: Mutex::new(rounds) };
    let target: Target = "10.0.0.0/16".parse().expect("a target");
    let asset = AssetScope { name: "lab".into(), targets: vec![target], until: None };
    let exclude = std::iter::once(AddressRange::single(ip(9))).collect();
    let scope = ScopeHandle::new(Scope::new(vec![asset], exclude));
    let book = Book::new(at(0), 77);
    let network = Accounted::new(Arc::new(network), book.clone(), scope, clock.clone());
    let network = network.on(&"dmz".into(), Lane::Hot, PassId(model::derive_id(at(0), "pass", &5)), Why::Lane);
    World { clock, book, network }
}

fn ip(host: u16) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + u32::from(host)).into()
}

fn ssh(host: u16) -> Endpoint {
    Endpoint::tcp(ip(host), 22)
}

impl World {
    fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn take(&self) -> Vec<Entry> {
        self.book.take(self.clock.now())
    }
}

fn of(entry: &Entry, endpoint: Endpoint) -> Option<(Timestamp, bool)> {
    let numbering = Territory::read(entry.territory.bytes()).expect("ours");
    let subject = Subject { ip: endpoint.ip, transport: Some(endpoint.transport), port: Some(endpoint.port) };
    let touch = Places::of(&numbering, &entry.volley.order, &subject).touched(&numbering, &entry.volley)?;
    Some((touch.first, touch.sure))
}

#[tokio::test]
async fn single_questions_of_an_errand_share_a_row() {
    let world = world(OPEN, false, Vec::new());
    world.network.ask(vec![ssh(1), ssh(2)], Duration::ZERO).await;
    assert_eq!(world.take(), [], "it waits for others");
    world.network.ask(vec![ssh(3)], Duration::ZERO).await;
    world.network.because(Why::Canary).ask(vec![ssh(1)], Duration::ZERO).await;
    assert_eq!(world.take().len(), 1, "twenty seconds are long enough; the canary has waited for ten");
    assert!(world.book.overdue(at(34)).is_empty());
    let canary = world.book.overdue(at(35));
    assert_eq!(canary.iter().map(|entry| entry.volley.errand.why).collect::<Vec<_>>(), [Why::Canary]);

    let world = self::world(OPEN, false, Vec::new());
    world.network.ask(vec![ssh(1)], Duration::ZERO).await;
    world.network.ask(vec![ssh(2)], Duration::ZERO).await;
    let entries = world.take();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((of(entry, ssh(1)), of(entry, ssh(3))), (Some((at(0), true)), None));
    let second = of(entry, ssh(2)).expect("asked").0;
    assert!(second.duration_since(at(10)).abs() <= SignedDuration::from_millis(80), "{second}");
    assert_eq!((entry.volley.attempts, entry.volley.mode, entry.volley.some), ((1, 2), Mode::Connect, false));
    let errand = &entry.volley.errand;
    assert_eq!((errand.profile.as_deref(), errand.lane, errand.why), (Some("dmz"), Some(Lane::Hot), Why::Lane));
}

#[tokio::test]
async fn what_is_asked_twice_within_a_row_is_told_twice() {
    let world = world(OPEN, false, Vec::new());
    world.network.ask(vec![ssh(1)], Duration::ZERO).await;
    world.network.ask(vec![ssh(1)], Duration::ZERO).await;
    let entries = world.book.close(at(20));
    let times: Vec<_> = entries.iter().filter_map(|entry| of(entry, ssh(1))).collect();
    assert_eq!(times, [(at(0), true), (at(10), true)]);
}

#[test]
fn what_the_network_asks_by_itself_is_told_and_not_row_by_row() {
    let world = world(OPEN, false, Vec::new());
    world.network.enter_asides(Arc::default());
    for _ in 0..3 {
        world.pass(4);
        world.network.enter_asides(Arc::new([ip(8)].into()));
    }
    let mut entries = world.book.close(at(20));
    entries.sort_by_key(|entry| entry.volley.mode);
    let told: Vec<_> =
        entries.iter().map(|entry| (entry.volley.errand.why, entry.volley.mode, entry.volley.ended)).collect();
    assert_eq!(told, [(Why::Canary, Mode::Raw, Some(at(12))), (Why::Control, Mode::Connect, Some(at(0)))]);
    assert_eq!((of(&entries[0], ssh(7)), of(&entries[0], ssh(8))), (Some((at(0), true)), None));
    assert_eq!(of(&entries[1], ssh(8)), Some((at(0), true)));
}

#[tokio::test]
async fn what_did_not_leave_is_not_told() {
    for (outcome, told) in [
        (Outcome::NotProbed(NotProbed::OutOfScope), 0),
        (Outcome::NotProbed(NotProbed::Halted), 0),
        (Outcome::LocalError(LocalErrorKind::SourcePorts), 0),
        (Outcome::Silent, 1),
        (Outcome::Closed(ClosedReason::Refused), 1),
    ] {
        let world = world(outcome, false, Vec::new());
        world.network.ask(vec![ssh(1)], Duration::ZERO).await;
        let whom = Introduction::first(ssh(2));
        world.network.identify(whom).await;
        let entries = world.book.close(at(99));
        let touched = |host: u16| entries.iter().filter(|entry| of(entry, ssh(host)).is_some()).count();
        assert_eq!((touched(1), touched(2)), (told, told), "{outcome:?}");
        let many = (1..100).map(ssh).collect();
        world.network.ask(many, Duration::from_mins(1)).await;
        let entries = world.book.close(at(99));
        assert_eq!(entries.iter().filter(|entry| of(entry, ssh(50)).is_some()).count(), told, "{outcome:?}, many");
    }
}

#[tokio::test]
async fn many_are_told_before_they_are_asked_and_again_when_they_were() {
    let world = world(OPEN, true, Vec::new());
    let asking = world.network.ask((1..=100).map(ssh).collect(), Duration::from_mins(1));
    let cut = tokio::time::timeout(Duration::from_millis(1), asking).await;
    assert!(cut.is_err());
    // Both in one: it had not been written yet.
    world.pass(3);
    let entries = world.take();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(
        (entry.volley.some, entry.volley.ended, entry.volley.order.clone()),
        (true, Some(at(0)), Order::Ascending)
    );
    assert_eq!((of(entry, ssh(9)), of(entry, ssh(10)).map(|(_, sure)| sure)), (None, Some(false)), "one is excluded");

    let world = self::world(OPEN, true, Vec::new());
    let network = world.network.clone();
    let task = tokio::spawn(async move { network.ask((1..=100).map(ssh).collect(), Duration::from_mins(1)).await });
    while world.book.overdue(at(6)).is_empty() {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.is_err());
    let later = world.book.overdue(at(60));
    assert_eq!(later.len(), 1, "its end is told as well");
}

#[tokio::test]
async fn a_sweep_tells_of_its_rounds() {
    let round = |attempt, asked, began| Round { attempt, asked, raw: false, began: at(began), ended: at(began + 4) };
    let rounds = vec![
        round(1, Asked::First(8), 1),
        round(2, Asked::Those(vec![ssh(1), ssh(3), Endpoint::tcp(ip(2), 80)]), 5),
        round(3, Asked::Some(5), 9),
    ];
    let world = world(OPEN, false, rounds);
    let job = || {
        let addresses: AddressSet = AddressRange::new(ip(0), ip(4)).into_iter().collect();
        let tcp: PortSet = [22, 80].into_iter().collect();
        SweepJob {
            expected: Vec::new(),
            dark: 1,
            parts: 1,
            quick: false,
            addresses,
            tcp: Arc::new(tcp),
            udp: Arc::default(),
            seed: 11,
            pace: None,
            known: Arc::new(|_| false),
            doubted: Arc::new(|_| false),
            attempts: 2,
            timeout: Duration::from_secs(1),
            udp_payload: Arc::new(|_| None),
            trap: Arc::new(|_| ()),
            knock: 0,
        }
    };
    let (found, _receiver) = mpsc::channel(1);
    world.network.sweep(job(), found.clone(), CancellationToken::new(), oneshot::channel().0).await;
    let entries = world.take();
    let attempts: Vec<_> = entries.iter().map(|entry| entry.volley.attempts).collect();
    assert_eq!(attempts, [(1, 1), (2, 2), (3, 3)]);
    let all: Vec<Endpoint> = (0..5)
        .flat_map(|host| [22, 80].map(|port| Endpoint { ip: ip(host), transport: Transport::Tcp, port }))
        .collect();
    let sure =
        |entry: &Entry| all.iter().filter(|endpoint| of(entry, **endpoint).is_some_and(|(_, sure)| sure)).count();
    assert_eq!(
        entries.iter().map(sure).collect::<Vec<_>>(),
        [8, 3, 0],
        "ten there are, the order was cut short after eight"
    );
    let perhaps = all.iter().filter(|endpoint| of(&entries[2], **endpoint).is_some()).count();
    assert_eq!(perhaps, 10);
    // Those asked again, in the order of the sweep.
    let order = scope::Permutation::new(10, 11);
    let numbers = scope::Numbering::product(&job().addresses, &job().tcp, &job().udp).expect("small");
    let mut again = [ssh(1), ssh(3), Endpoint::tcp(ip(2), 80)];
    again.sort_by_key(|endpoint| numbers.number_of(endpoint).and_then(|number| order.index_of(number)));
    let times: Vec<_> = again.iter().filter_map(|endpoint| of(&entries[1], *endpoint)).map(|(time, _)| time).collect();
    assert!(times.is_sorted() && times[0] == at(5) && times[2] == at(9), "{times:?}");

    // One that says nothing of rounds is told as a whole.
    let world = self::world(OPEN, false, Vec::new());
    world.network.sweep(job(), found, CancellationToken::new(), oneshot::channel().0).await;
    let entries = world.take();
    assert_eq!(entries.iter().map(sure).collect::<Vec<_>>(), [10]);
}
