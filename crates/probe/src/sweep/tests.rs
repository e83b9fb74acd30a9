mod packets;
mod unasked;

use super::*;
use crate::{AskOptions, DialerSettings, Identity, ask};
use model::{ClosedReason, LocalErrorKind, NotProbed, OpenReason, Outcome, Rate, SystemClock, Target};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{collections::BTreeSet, net::Ipv4Addr};
use tokio::{
    net::{TcpListener, UdpSocket},
    time::timeout,
};

const DEADLINE: Duration = Duration::from_secs(30);
const REFUSED: Outcome = Outcome::Closed(ClosedReason::Refused);

fn set(targets: &[&str]) -> AddressSet {
    targets.iter().filter_map(|text| text.parse::<Target>().expect(text).range()).collect()
}

fn dialer(targets: &[&str]) -> Dialer {
    let targets = targets.iter().map(|text| text.parse().expect("a target")).collect();
    let assets = vec![AssetScope { name: "lab".into(), targets, until: None }];
    let rate = Rate::per_second(1_000_000).expect("in range");
    let identity = Identity { sensor: "test".into(), contact: None, version: "0".into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    let scope = ScopeHandle::new(Scope::new(assets, AddressSet::empty()));
    Dialer::with_concurrency(scope, Arc::new(SystemClock), settings, 256)
}

fn job(addresses: &[&str], tcp: impl IntoIterator<Item = u16>, udp: impl IntoIterator<Item = u16>) -> SweepJob {
    SweepJob {
        addresses: set(addresses),
        tcp: Arc::new(tcp.into_iter().collect()),
        udp: Arc::new(udp.into_iter().collect()),
        seed: 11,
        pace: None,
        known: Arc::new(|_| false),
        expected: Vec::new(),
        doubted: Arc::new(|_| false),
        attempts: 2,
        timeout: Duration::from_millis(300),
        dark: 1,
        parts: 1,
        quick: false,
        udp_payload: Arc::new(|port| Some(port.to_be_bytes().to_vec())),
        trap: Arc::new(|_| ()),
        knock: 0,
    }
}

async fn swept(dialer: &Dialer, job: SweepJob) -> (SweepOutcome, Vec<Found>) {
    let (sender, mut receiver) = mpsc::channel(16);
    let collect = async {
        let mut found = Vec::new();
        while let Some(one) = receiver.recv().await {
            found.push(one);
        }
        found
    };
    let all = async { tokio::join!(sweep(dialer, job, sender, CancellationToken::new()), collect) };
    timeout(DEADLINE, all).await.expect("in time")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// Listeners on an address of this test's own.
async fn listeners(ip: IpAddr, count: usize) -> (Vec<TcpListener>, BTreeSet<u16>) {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(TcpListener::bind((ip, 0)).await.expect("binds"));
    }
    let ports = all.iter().map(|listener| listener.local_addr().expect("bound").port()).collect();
    (all, ports)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finds_what_listens_and_nothing_else() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let (first, second) = (ip("127.0.81.1"), ip("127.0.81.2"));
    let (_listeners, open) = listeners(first, 20).await;
    let asked: PortSet = (40_000..=43_999).chain(open.iter().copied()).collect();
    let (outcome, found) = swept(&dialer, job(&["127.0.81.1-127.0.81.3"], asked.iter(), [])).await;
    let total = u64::from(asked.len()) * 3;
    let told: BTreeSet<u16> = found.iter().map(|found| found.observation.endpoint.port).collect();
    let on_first = outcome.hosts.iter().find(|host| host.ip == first).expect("listed");
    let listed: BTreeSet<u16> = on_first.ports.iter().map(|port| port.endpoint.port).collect();
    assert_eq!((&told, &listed), (&open, &open));
    assert!(on_first.complete && !on_first.answers_everything && outcome.incomplete.is_empty() && !outcome.aborted);
    // Where nothing is open, the first answer shows that the host lives.
    let on_second = outcome.hosts.iter().find(|host| host.ip == second).expect("listed");
    assert!(on_second.complete && on_second.ports.len() == 1 && on_second.ports[0].outcome == REFUSED);
    let mut at = [0; MOST_ATTEMPTS];
    at[0] = total;
    let expect = SweepCounts {
        probes: total,
        attempts: total,
        answered: total,
        open_at: [open.len() as u64, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        asked_at: at,
        answered_at: at,
        ..SweepCounts::default()
    };
    assert_eq!(outcome.counts, expect);
    assert_eq!(dialer.counters().concurrency, 0);
    let [round] = outcome.rounds.as_slice() else { panic!("{:?}", outcome.rounds) };
    assert_eq!((round.attempt, &round.asked), (1, &Asked::First(total)));
    assert!(round.began <= round.ended);
}

#[tokio::test]
async fn lists_the_known_whatever_came_of_them() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let mut job = job(&["127.0.82.1"], 9_000..=9_009, []);
    job.known = Arc::new(|endpoint| matches!(endpoint.port, 9_003 | 9_007));
    let (outcome, found) = swept(&dialer, job).await;
    let [host] = outcome.hosts.as_slice() else { panic!("{outcome:?}") };
    let mut listed: Vec<_> = host.ports.iter().map(|port| (port.endpoint.port, port.outcome)).collect();
    listed.sort_unstable_by_key(|(port, _)| *port);
    listed.retain(|(port, _)| matches!(port, 9_003 | 9_007));
    assert_eq!(listed, [(9_003, REFUSED), (9_007, REFUSED)]);
    assert!(host.ports.is_sorted_by_key(|port| port.at) && found.is_empty());
    assert_eq!((outcome.counts.known_asked, outcome.counts.known_missed_first), (2, 0));
}

/// A server that never answers, and how many datagrams came to it.
async fn mute(ip: IpAddr) -> UdpSocket {
    UdpSocket::bind((ip, 0)).await.expect("binds")
}

fn received(server: &UdpSocket) -> usize {
    let mut buffer = [0; 64];
    std::iter::from_fn(|| server.try_recv(&mut buffer).ok()).count()
}

#[tokio::test]
async fn an_open_udp_port_is_one_that_answers() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let server = UdpSocket::bind("127.0.83.1:0").await.expect("binds");
    let port = server.local_addr().expect("bound").port();
    let answering = tokio::spawn(async move {
        let mut buffer = [0; 64];
        let (length, from) = server.recv_from(&mut buffer).await.expect("receives");
        server.send_to(b"here", from).await.expect("sends");
        buffer[..length].to_vec()
    });
    let silent = mute(ip("127.0.83.1")).await;
    let silent_port = silent.local_addr().expect("bound").port();
    let (outcome, found) = swept(&dialer, job(&["127.0.83.1"], [], [port, silent_port, 9])).await;
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(only.observation.endpoint, Endpoint::udp(ip("127.0.83.1"), port));
    assert_eq!(only.observation.outcome, Outcome::Open(OpenReason::Reply));
    assert_eq!(only.reply.as_deref(), Some(b"here".as_slice()));
    assert_eq!(answering.await.expect("no panic"), port.to_be_bytes());
    assert_eq!((outcome.counts.answered, outcome.counts.probes), (2, 3));
    assert!(outcome.incomplete.is_empty() && outcome.hosts[0].ports.len() == 1);
    // The host answers, so its silence was worth asking again.
    assert_eq!(received(&silent), 2);
}

#[tokio::test]
async fn silence_is_asked_again_only_where_it_pays() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let (dark, known) = (mute(ip("127.0.84.1")).await, mute(ip("127.0.84.2")).await);
    let ports = [&dark, &known].map(|server| server.local_addr().expect("bound").port());
    let mut dark_job = job(&["127.0.84.1"], [], [ports[0]]);
    dark_job.attempts = 3;
    let (outcome, _) = swept(&dialer, dark_job).await;
    assert_eq!((received(&dark), outcome.counts.attempts, outcome.hosts.len()), (1, 1, 0));
    assert!(outcome.incomplete.is_empty(), "silence covers, too");
    let mut known_job = job(&["127.0.84.2"], [], [ports[1]]);
    known_job.attempts = 3;
    known_job.known = Arc::new(|_| true);
    let (outcome, _) = swept(&dialer, known_job).await;
    assert_eq!((received(&known), outcome.counts.attempts, outcome.counts.probes), (3, 3, 1));
    let [host] = outcome.hosts.as_slice() else { panic!("{outcome:?}") };
    assert_eq!((host.ports[0].outcome, host.ports[0].attempts, host.complete), (Outcome::Silent, 3, true));
    assert_eq!((outcome.counts.known_asked, outcome.counts.known_missed_first), (1, 1));
    // What was never asked before is asked more often, where the host answers at all.
    for (address, expect) in [("127.0.84.1", 1), ("127.0.84.3", 4)] {
        let silent = mute(ip(address)).await;
        let port = silent.local_addr().expect("bound").port();
        let (_listening, open) =
            if expect > 1 { listeners(ip(address), 1).await } else { (Vec::new(), BTreeSet::new()) };
        let mut first_job = job(&[address], open, [port]);
        first_job.doubted = Arc::new(|_| true);
        let (outcome, _) = swept(&dialer, first_job).await;
        assert_eq!((received(&silent), outcome.incomplete.len()), (expect, 0), "{address}");
    }
}

#[tokio::test]
async fn what_was_not_asked_is_not_covered() {
    let only_one = dialer(&["127.0.85.1"]);
    let (outcome, _) = swept(&only_one, job(&["127.0.85.1-127.0.85.2"], 9_000..=9_099, [])).await;
    assert_eq!(outcome.incomplete, [ip("127.0.85.2")]);
    assert_eq!((outcome.counts.probes, outcome.counts.not_probed, outcome.aborted), (100, 100, false));
    // Halted before it began.
    let halted = dialer(&["127.0.85.1"]);
    halted.halt(true);
    let (outcome, _) = swept(&halted, job(&["127.0.85.1"], 9_000..=9_099, [])).await;
    assert_eq!((outcome.incomplete.len(), outcome.counts.not_probed, outcome.aborted), (1, 100, true));
    assert_eq!(halted.counters().attempts, 0);
    // Cancelled before it began, and nobody there to be told.
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let (sender, receiver) = mpsc::channel(1);
    let outcome = sweep(&only_one, job(&["127.0.85.1"], 9_000..=9_099, []), sender, cancelled).await;
    assert!(outcome.aborted && outcome.counts.probes == 0 && outcome.incomplete.len() == 1);
    drop(receiver);
    let (listener, open) = listeners(ip("127.0.85.1"), 1).await;
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let outcome = sweep(&only_one, job(&["127.0.85.1"], open, []), sender, CancellationToken::new()).await;
    assert!(outcome.aborted);
    drop(listener);
    // Nothing to ask.
    let (outcome, _) = swept(&only_one, job(&["127.0.85.1"], [], [])).await;
    assert_eq!((outcome.counts, outcome.aborted), (SweepCounts::default(), false));
}

#[tokio::test]
async fn cancelling_ends_a_sweep_that_waits() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let mut job = job(&["127.0.86.1"], 9_000..=9_099, []);
    job.pace = Some(Pace::new(5.0));
    let cancel = CancellationToken::new();
    let (sender, _receiver) = mpsc::channel(1);
    let stop = async {
        while dialer.counters().attempts == 0 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let both = async { tokio::join!(sweep(&dialer, job, sender, cancel.clone()), stop) };
    let (outcome, ()) = timeout(Duration::from_secs(5), both).await.expect("long before its 20 seconds");
    assert!(outcome.aborted && outcome.counts.probes < 100 && outcome.incomplete == [ip("127.0.86.1")]);
    assert_eq!(outcome.counts.probes + outcome.counts.not_probed, 100);
}

#[tokio::test]
async fn halting_ends_a_sweep_that_waits() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let mut job = job(&["127.0.88.1"], 9_000..=9_099, []);
    job.pace = Some(Pace::new(0.1));
    let (sender, _receiver) = mpsc::channel(1);
    let halt = async {
        while dialer.counters().attempts == 0 {
            tokio::task::yield_now().await;
        }
        dialer.halt(true);
    };
    let both = async { tokio::join!(sweep(&dialer, job, sender, CancellationToken::new()), halt) };
    let (outcome, ()) = timeout(Duration::from_secs(5), both).await.expect("before the next turn");
    assert!(outcome.aborted && outcome.incomplete == [ip("127.0.88.1")]);
}

/// The queue for a turn is first come, first served: a sweep that silence slows down must not fill it with its workers.
#[tokio::test]
async fn others_hardly_wait_behind_a_sweep() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let rate = Rate::per_second(200).expect("in range");
    dialer.reconfigure(DialerSettings { rate, rate_per_host: rate, ..DialerSettings::clone(&dialer.settings()) });
    let host = ip("127.0.90.1");
    let mut mutes = Vec::new();
    for _ in 0..240 {
        mutes.push(mute(host).await);
    }
    let ports: Vec<u16> = mutes.iter().map(|mute| mute.local_addr().expect("bound").port()).collect();
    let (sender, _receiver) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let asking = async {
        while dialer.counters().attempts < 100 {
            sleep(Duration::from_millis(1)).await;
        }
        let before = dialer.counters().attempts;
        let target = dialer.authorize(Endpoint::tcp(host, 9)).expect("in scope");
        dialer.probe(target, Duration::from_secs(1)).await;
        let overtaken_by = dialer.counters().attempts - before;
        cancel.cancel();
        overtaken_by
    };
    let both = async { tokio::join!(sweep(&dialer, job(&["127.0.90.1"], [], ports), sender, cancel.clone()), asking) };
    let (_, overtaken_by) = timeout(DEADLINE, both).await.expect("in time");
    assert!(overtaken_by < 20, "{overtaken_by} questions of the sweep went before");
}

#[tokio::test]
async fn asks_one_by_one_in_the_order_given() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let (_listeners, open) = listeners(ip("127.0.87.1"), 3).await;
    let silent = mute(ip("127.0.87.1")).await;
    let silent_port = silent.local_addr().expect("bound").port();
    let endpoints: Vec<Endpoint> = open
        .iter()
        .map(|port| Endpoint::tcp(ip("127.0.87.1"), *port))
        .chain([
            Endpoint::udp(ip("127.0.87.1"), silent_port),
            Endpoint::tcp(ip("127.0.87.1"), 9_001),
            Endpoint::tcp(ip("192.0.2.1"), 80),
        ])
        .collect();
    let options = AskOptions {
        attempts: 2,
        timeout: Duration::from_millis(100),
        retry_refused: 0,
        spacing: Duration::from_millis(10),
        pace: Some(Pace::new(10_000.0)),
        udp: Arc::new(|_| None),
    };
    let answers = timeout(DEADLINE, ask(&dialer, endpoints.clone(), &options)).await.expect("in time");
    assert!(answers.iter().map(|answer| answer.observation.endpoint).eq(endpoints));
    let outcomes: Vec<_> =
        answers.iter().map(|answer| (answer.observation.outcome, answer.observation.attempts)).collect();
    let open = (Outcome::Open(OpenReason::Connected), 1);
    let not_in_scope = (Outcome::NotProbed(NotProbed::OutOfScope), 1);
    assert_eq!(outcomes, [open, open, open, (Outcome::Silent, 2), (REFUSED, 1), not_in_scope]);
    assert_eq!(received(&silent), 2);
}

fn observation(host: u8, port: u16, outcome: Outcome) -> PortObservation {
    let endpoint = Endpoint::tcp(Ipv4Addr::new(192, 0, 2, host).into(), port);
    PortObservation { endpoint, outcome, at: jiff::Timestamp::UNIX_EPOCH, attempts: 1, refused: 0, rtt_us: None }
}

const OPEN: Outcome = Outcome::Open(OpenReason::Connected);
const SHORTAGE: Outcome = Outcome::LocalError(LocalErrorKind::Descriptors);
const NO_ROUTE: Outcome = Outcome::LocalError(LocalErrorKind::NoRoute);

fn addresses(count: u8) -> Vec<IpAddr> {
    (0..count).map(|host| Ipv4Addr::new(192, 0, 2, host).into()).collect()
}

#[test]
fn our_own_trouble_never_counts_as_an_answer() {
    // What came of one endpoint in turn: is it covered then, is it to be asked again, what is listed of it if it is known.
    for (outcomes, complete, again, listed) in [
        ([REFUSED].as_slice(), true, false, REFUSED),
        (&[SHORTAGE], false, true, SHORTAGE),
        (&[SHORTAGE, SHORTAGE, REFUSED], true, false, REFUSED),
        (&[SHORTAGE, Outcome::Silent], true, false, Outcome::Silent),
        (&[SHORTAGE, NO_ROUTE], false, false, NO_ROUTE),
        (&[NO_ROUTE], false, false, NO_ROUTE),
        (&[Outcome::Silent, SHORTAGE], true, false, Outcome::Silent),
        (&[Outcome::Silent, OPEN], true, false, OPEN),
        (&[Outcome::NotProbed(NotProbed::Aborted)], false, false, Outcome::NotProbed(NotProbed::Aborted)),
    ] {
        for known in [false, true] {
            let progress = Progress::new(&addresses(1), 1);
            for outcome in outcomes {
                progress.record(0, 0, known, &observation(0, 1, *outcome));
            }
            let result = progress.outcome(&addresses(1));
            let label = format!("{outcomes:?}, known: {known}");
            assert_eq!((result.incomplete.is_empty(), progress.spoilt(0).is_some()), (complete, again), "{label}");
            assert_eq!(result.counts.probes + result.counts.local_errors + result.counts.not_probed, 1, "{label}");
            if known {
                assert_eq!(result.hosts[0].ports.last().map(|port| port.outcome), Some(listed), "{label}");
            }
        }
    }
}

#[test]
fn silence_of_hosts_that_answer_is_worth_asking() {
    let progress = Progress::new(&addresses(3), 10);
    for host in 0..3_u8 {
        for port in 0..10_u16 {
            // The second host is dark; of the third, one endpoint is known and all are silent.
            let outcome = if host == 0 && port % 2 == 0 { REFUSED } else { Outcome::Silent };
            let number = u64::from(host) * 10 + u64::from(port);
            progress.record(host.into(), number, number == 27, &observation(host, port + 1, outcome));
        }
    }
    assert_eq!(progress.silent_worth_asking(0, 2, 2, |_| false), Some((vec![1, 3, 5, 7, 9, 27], 30)));
    assert_eq!(progress.silent_worth_asking(30, 2, 2, |_| false), None);
    progress.record(0, 3, false, &observation(0, 4, OPEN));
    progress.record(2, 27, true, &observation(2, 8, OPEN));
    // The third host has answered now: the rest of its silence is worth asking, too.
    assert_eq!(progress.silent_worth_asking(0, 2, 2, |_| false).map(|(batch, _)| batch.len()), Some(4 + 9));
}

#[test]
fn a_firewall_that_drops_is_not_asked_tens_of_thousands_of_times() {
    let progress = Progress::new(&addresses(1), 20_000);
    for port in 0..20_000_u16 {
        let outcome = if port < 3 { OPEN } else { Outcome::Silent };
        progress.record(0, port.into(), false, &observation(0, port + 1, outcome));
    }
    assert_eq!(progress.silent_worth_asking(0, 2, 2, |_| false), None);
}

#[test]
fn whoever_answers_on_every_port_takes_no_memory() {
    let progress = Progress::new(&addresses(2), 60_000);
    let told =
        (0..60_000_u16).filter(|&port| progress.record(0, port.into(), false, &observation(0, port + 1, OPEN))).count();
    for port in 0..60_000_u16 {
        progress.record(1, 60_000 + u64::from(port), false, &observation(1, port + 1, REFUSED));
    }
    let outcome = progress.outcome(&addresses(2));
    let host = &outcome.hosts[0];
    assert_eq!((told, host.ports.len()), (4096, 4096));
    assert!(host.answers_everything && !host.complete);
    assert_eq!(outcome.incomplete, addresses(1));
}

#[test]
fn what_nobody_can_be_behind_is_seen_early_and_only_where_many_ports_are_asked() {
    // Ports asked about at all, open and refused among the first so many that were asked: whether that is a trap.
    for (ports, open, refused, asked, is_trap) in [
        (1_000, 15, 0, 24, false),
        (1_000, 16, 0, 24, true),
        (1_000, 16, 0, 23, false),
        (1_000, 16, 4, 24, true),
        (1_000, 16, 5, 24, false),
        // Most stay silent: somebody with many services behind a firewall.
        (1_000, 16, 0, 49, false),
        (65_535, 20, 0, 60, true),
        // They may be the very ones somebody has.
        (511, 24, 0, 24, false),
    ] {
        let progress = Progress::new(&addresses(2), ports);
        for port in 0..open + refused {
            let outcome = if port < open { OPEN } else { REFUSED };
            progress.record(1, (ports + usize::from(port)) as u64, false, &observation(1, port + 1, outcome));
        }
        let case = format!("{open} and {refused} of {asked}, of {ports}");
        assert_eq!(progress.suspect(1, asked), is_trap, "{case}");
        assert!(!progress.suspect(1, asked), "it is told once: {case}");
        assert_eq!((progress.is_trap(0), progress.is_trap(1)), (false, is_trap), "{case}");
    }
}

#[tokio::test]
async fn a_host_that_opens_everything_is_told_of_and_not_asked_any_further() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let (_listening, open) = listeners(ip("127.0.89.1"), 600).await;
    let mut job = self::job(&["127.0.89.1"], open.iter().copied(), []);
    let (trap, told) = std::sync::mpsc::channel();
    job.trap = Arc::new(move |ip| trap.send(ip).expect("somebody hears"));
    let (outcome, found) = swept(&dialer, job).await;
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [ip("127.0.89.1")]);
    assert!(outcome.hosts[0].answers_everything && !outcome.hosts[0].complete && !outcome.aborted);
    assert!((16..300).contains(&found.len()), "{} of 600 were found", found.len());
}

#[test]
fn refusals_that_are_doubted_are_asked_again_and_taken_back() {
    let progress = Progress::new(&addresses(2), 3_000);
    for host in 0..2_u8 {
        for port in 0..3_000_u16 {
            let number = u64::from(host) * 3_000 + u64::from(port);
            let outcome = if (host, port) == (0, 0) { OPEN } else { REFUSED };
            progress.record(host.into(), number, false, &observation(host, port + 1, outcome));
            if outcome == REFUSED && port % 2 == 0 {
                progress.doubt(host.into(), number);
            }
        }
    }
    let worth = |attempt| progress.refused_worth_asking(0, attempt).map(|(batch, _)| batch.len());
    // Of one that accepts nothing a firewall may refuse everything, and 1,500 are too many. They are too many, too, to be asked
    // about three times without need.
    let (batch, next) = progress.refused_worth_asking(0, 2).expect("some");
    assert_eq!((batch.len(), batch.first(), next), (1_499, Some(&2), 6_000));
    assert_eq!((progress.refused_worth_asking(6_000, 2), worth(3), worth(4)), (None, None, None));
    let record = |number: u64, outcome| {
        let port = u16::try_from(number).expect("small") + 1;
        progress.record(0, number, false, &observation(0, port, outcome))
    };
    assert!(!record(2, REFUSED) && !record(4, Outcome::Silent) && !record(4, SHORTAGE));
    assert_eq!(worth(3), None);
    assert!(record(6, OPEN), "is told");
    assert!(!record(8, REFUSED));
    assert_eq!((worth(3), worth(4)), (Some(1_498), Some(1_498)), "somebody forges refusals");
    let outcome = progress.outcome(&addresses(2));
    assert!(outcome.hosts.iter().all(|host| host.complete) && outcome.incomplete.is_empty());
    assert_eq!((outcome.counts.probes, outcome.counts.answered, outcome.counts.local_errors), (6_000, 6_000, 0));
    let open: Vec<u16> = outcome.hosts[0].ports.iter().map(|port| port.endpoint.port).collect();
    assert_eq!(open, [1, 7]);
}

#[tokio::test]
async fn a_refusal_that_was_not_the_hosts_own_is_found_out() {
    let dialer = dialer(&["127.0.0.0/8"]);
    let (closed, open) = listeners(ip("127.0.88.1"), 1).await;
    drop(closed);
    let mut job = self::job(&["127.0.88.1"], open.iter().copied(), []);
    // The first question was refused; by the second somebody listens.
    let listening = std::sync::Mutex::new(None);
    job.doubted = Arc::new(move |endpoint| {
        let mut listening = listening.lock().expect("sound");
        *listening = listening.take().or_else(|| std::net::TcpListener::bind((endpoint.ip, endpoint.port)).ok());
        true
    });
    let (outcome, found) = swept(&dialer, job).await;
    let told: BTreeSet<u16> = found.iter().map(|found| found.observation.endpoint.port).collect();
    assert_eq!(told, open);
    assert_eq!(found[0].observation.attempts, 2);
    assert_eq!((outcome.counts.probes, outcome.counts.attempts), (1, 2));
    assert!(outcome.hosts[0].complete);
    // One that is open is not asked about again; few refusals of one that accepts something are, twice.
    let (_listening, open) = listeners(ip("127.0.88.1"), 1).await;
    let mut job = self::job(&["127.0.88.1"], open.iter().copied().chain([9]), []);
    job.doubted = Arc::new(|_| true);
    let (outcome, _) = swept(&dialer, job).await;
    assert_eq!((outcome.counts.probes, outcome.counts.attempts), (2, 4));
}

/// What our own trouble spoilt is asked again, and when it has left at last and nobody answers, it is silent: it is not asked for ever.
#[test]
fn what_left_at_the_second_try_and_is_silent_is_done_with() {
    let addresses = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
    let progress = Progress::new(&addresses, 2);
    progress.spoil(&[0, 1, 2]);
    progress.settle(0..2, |_| true, &[]);
    assert_eq!(progress.spoilt(0), Some((vec![0, 1, 2], 3)));
    progress.unspoil(&[0, 1, 2]);
    // One is kept back again.
    progress.spoil(&[1]);
    let endpoint = Endpoint::tcp(addresses[1], 1);
    let known = PortObservation {
        endpoint,
        outcome: model::Outcome::Silent,
        at: jiff::Timestamp::UNIX_EPOCH,
        attempts: 1,
        refused: 0,
        rtt_us: None,
    };
    progress.settle_some(&[0, 1, 2], &[(1, 2, known.clone())]);
    assert_eq!(progress.spoilt(0), Some((vec![1], 2)));
    let outcome = progress.outcome(&addresses);
    assert_eq!((outcome.counts.probes, outcome.counts.local_errors, outcome.counts.known_asked), (3, 1, 1));
    assert_eq!(outcome.incomplete, [addresses[0]]);
    assert_eq!(
        outcome.hosts.iter().map(|host| (host.ip, host.ports.clone())).collect::<Vec<_>>(),
        [(addresses[1], vec![known])]
    );
    // Once is enough.
    progress.settle_some(&[0, 1, 2], &[]);
    assert_eq!(progress.counts().probes, 3);
}
