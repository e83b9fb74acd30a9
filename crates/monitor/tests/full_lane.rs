//! All ports of a whole range: how long a pass takes where hosts, networks and everything together have ceilings, and what a kill
//! in the middle of it costs.

mod world;

use jiff::Timestamp;
use model::{
    Clock, ClosedReason, Endpoint, Lane, OpenReason, Outcome, PortObservation, ServiceName, ServiceObservation,
};
use monitor::{Answer, Conversation, Introduction, Network, PassRecord};
use probe::{Found, HostResult, ResolveError, Resolved, SweepCounts, SweepJob, SweepOutcome};
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use world::{Daemon, Disk, clock, pass};

const RATE: f64 = 50_000.0;
const RATE_PER_HOST: f64 = 500.0;
const RATE_PER_NETWORK: f64 = RATE_PER_HOST * 10.0;
/// The 65,535 ports of 4,096 addresses in two hours: 37,283 a second.
const CONFIG: &str = r#"
[sensor]
name = "scan1"
rate = "50k/s"
rate_per_host = "500/s"
[asset.dmz]
targets = ["10.0.0.0/20"]
authorization = { by = "the test" }
[profile.dmz]
assets = ["dmz"]
scan = { hot = "never", known = "10m", likely = "never", full = "2h" }
[recipient.soc]
jsonl = "-"
every = "immediate"
"#;
const ALL: u64 = 4_096 * 65_535;
/// What may be asked again after a crash.
const CHUNK: u64 = 1 << 20;
/// What is known of 128 hosts is asked with every part: port 22, and a port of its own of one host in eight.
const KNOWN: u64 = 128 * 17;
/// From the last question of a group to its end: answers are waited for, and silence is asked again.
const TAIL: Duration = Duration::from_secs(10);

/// Those who are there: every 64th address, with port 22 and one of its own open.
fn open_of(ip: IpAddr) -> Option<[u16; 2]> {
    let IpAddr::V4(ip) = ip else { return None };
    let own = u16::try_from(10_000 + ip.to_bits() % 50_000).ok()?;
    (ip.to_bits() % 64 == 5).then_some([22, own])
}

/// A network that packets are sent to, as fast as the ceilings allow. Time is all it takes: nothing is sent one by one.
#[derive(Debug, Clone)]
struct Ways {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    asked: u64,
    /// When everything, each network and each host may be asked next.
    everything: Option<Instant>,
    networks: BTreeMap<[u8; 3], Instant>,
    hosts: HashMap<IpAddr, Instant>,
    /// Questions of sweeps that are not over.
    under_way: BTreeMap<u64, u64>,
    sweeps: u64,
    most_under_way: u64,
}

impl Ways {
    fn new() -> Self {
        Self { clock: clock(), state: Arc::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self, endpoint: Endpoint, outcome: Outcome) -> PortObservation {
        PortObservation { endpoint, outcome, at: self.clock.now(), attempts: 1, refused: 0, rtt_us: Some(1_000) }
    }

    fn outcome(endpoint: &Endpoint) -> Outcome {
        match open_of(endpoint.ip) {
            Some(ports) if ports.contains(&endpoint.port) => Outcome::Open(OpenReason::SynAck),
            Some(_) => Outcome::Closed(ClosedReason::Rst),
            None => Outcome::Silent,
        }
    }

    /// When the last of a job's questions has left.
    fn leaves(&self, job: &SweepJob) -> Instant {
        let (now, mut state) = (Instant::now(), self.state());
        let ports = f64::from(job.tcp.len());
        let take = |next: &mut Instant, questions: f64, rate: f64| {
            *next = (*next).max(now) + Duration::from_secs_f64(questions / rate);
            *next
        };
        let (mut addresses, mut networks) = (0.0, BTreeMap::new());
        let mut end = now;
        for ip in &job.addresses {
            let IpAddr::V4(v4) = ip else { continue };
            let [a, b, c, _] = v4.octets();
            *networks.entry([a, b, c]).or_insert(0.0) += ports;
            addresses += 1.0;
            end = end.max(take(state.hosts.entry(ip).or_insert(now), ports, RATE_PER_HOST));
        }
        for (network, questions) in networks {
            end = end.max(take(state.networks.entry(network).or_insert(now), questions, RATE_PER_NETWORK));
        }
        let paced = job.pace.as_ref().map_or(f64::INFINITY, probe::Pace::per_second);
        end.max(take(state.everything.get_or_insert(now), addresses * ports, RATE.min(paced)))
    }
}

impl Network for Ways {
    fn sweep(&self, job: SweepJob, found: mpsc::Sender<Found>, cancel: CancellationToken) -> Answer<'_, SweepOutcome> {
        self.sweep_and_tell(job, found, cancel, oneshot::channel().0)
    }

    fn sweep_and_tell(
        &self,
        job: SweepJob,
        found: mpsc::Sender<Found>,
        cancel: CancellationToken,
        gone_through: oneshot::Sender<()>,
    ) -> Answer<'_, SweepOutcome> {
        Box::pin(async move {
            let questions = u64::try_from(job.addresses.len()).expect("few") * u64::from(job.tcp.len());
            let leaves = self.leaves(&job);
            let number = {
                let mut state = self.state();
                state.asked += questions;
                state.sweeps += 1;
                let number = state.sweeps;
                state.under_way.insert(number, questions);
                state.most_under_way = state.most_under_way.max(state.under_way.values().sum());
                number
            };
            sleep_until(leaves).await;
            // Whoever gave the sweep up does not want to know.
            let _ = gone_through.send(());
            let mut outcome = SweepOutcome { aborted: cancel.is_cancelled(), ..SweepOutcome::default() };
            outcome.counts = SweepCounts { probes: questions, attempts: questions, ..SweepCounts::default() };
            for ip in &job.addresses {
                let Some(ports) = open_of(ip) else { continue };
                let open: Vec<_> = ports.into_iter().filter(|port| job.tcp.contains(*port)).collect();
                let seen =
                    open.iter().map(|port| self.seen(Endpoint::tcp(ip, *port), Outcome::Open(OpenReason::SynAck)));
                let seen: Vec<PortObservation> = seen.collect();
                for observation in seen.clone() {
                    let _ = found.send(Found { observation, reply: None }).await;
                }
                outcome.counts.answered += u64::from(job.tcp.len());
                if !seen.is_empty() {
                    outcome.hosts.push(HostResult { ip, ports: seen, complete: true, answers_everything: false });
                }
            }
            sleep(TAIL).await;
            self.state().under_way.remove(&number);
            outcome
        })
    }

    fn ask(&self, endpoints: Vec<Endpoint>, _: Duration) -> Answer<'_, Vec<Found>> {
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            let found = |endpoint| Found { observation: self.seen(endpoint, Self::outcome(&endpoint)), reply: None };
            endpoints.into_iter().map(found).collect()
        })
    }

    fn identify(&self, whom: Introduction) -> Answer<'_, Conversation> {
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            let service = model::Service { name: "ssh".to_owned(), confidence: 0.9, ..model::Service::default() };
            let port = self.seen(whom.endpoint, Self::outcome(&whom.endpoint));
            let observation = port.outcome.is_open().then_some(ServiceObservation {
                heard: None,
                endpoint: whom.endpoint,
                name: None,
                at: port.at,
                service: Some(service),
                tls: None,
                connections: 1,
                learnt: false,
            });
            Conversation { ports: vec![port], observation }
        })
    }

    fn read_reply(&self, endpoint: Endpoint, _: &[u8], at: Timestamp) -> ServiceObservation {
        ServiceObservation {
            endpoint,
            name: None,
            at,
            service: None,
            heard: None,
            tls: None,
            connections: 0,
            learnt: false,
        }
    }

    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Answer<'a, Result<Resolved, ResolveError>> {
        Box::pin(async move { Err(ResolveError::NoSuchName(name.clone())) })
    }

    fn halt(&self, _: bool) {}
}

async fn start(ways: &Ways, disk: &Disk) -> Daemon {
    start_with(CONFIG, ways, disk).await
}

async fn start_with(config: &str, ways: &Ways, disk: &Disk) -> Daemon {
    Daemon::start_on(config, Arc::new(ways.clone()), ways.clock.clone(), disk).await
}

fn last_of(disk: &Disk) -> Option<PassRecord> {
    disk.passes().into_iter().filter(|pass| pass.lane == Lane::Full).max_by_key(|pass| pass.started)
}

/// Waits until a pass of the lane is over.
async fn finished(disk: &Disk) -> PassRecord {
    for _ in 0..1_000 {
        if let Some(record) = last_of(disk).filter(|record| record.complete) {
            return record;
        }
        pass(30).await;
    }
    panic!("it never ends: {:?}", last_of(disk));
}

fn everybody() -> impl Iterator<Item = IpAddr> {
    (0..4_096_u32).map(|offset| Ipv4Addr::from(0x0a00_0000 + offset).into())
}

/// How many of the endpoints that are open were found.
fn found(disk: &Disk) -> usize {
    disk.hosts().iter().map(|host| host.endpoints.len()).sum()
}

#[tokio::test(start_paused = true)]
async fn a_pass_over_many_networks_takes_the_time_its_period_says() {
    let (ways, disk) = (Ways::new(), Disk::default());
    let daemon = start(&ways, &disk).await;
    let record = finished(&disk).await;
    let took = record.finished.expect("it ended").duration_since(record.started).as_secs();
    // At the ceiling of everything it would take 5,369 s. Group by group of eight neighbours it would have been 16 hours.
    assert!((5_300..7_200).contains(&took), "{took} s");
    let (asked, most, sweeps) = {
        let state = ways.state();
        (state.asked, state.most_under_way, state.sweeps)
    };
    assert!((ALL..ALL + sweeps * KNOWN).contains(&asked), "{asked} questions");
    assert!(most <= CHUNK + 2 * KNOWN, "{most} under way at a time");
    assert_eq!((record.covered, found(&disk)), (4_096, everybody().filter_map(open_of).count() * 2));
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn a_kill_costs_a_chunk_at_most_and_nothing_that_counted() {
    let (ways, disk) = (Ways::new(), Disk::default());
    for cut in [100_u64, 333, 1_234, 3_001] {
        let daemon = start(&ways, &disk).await;
        pass(cut).await;
        daemon.kill().await;
    }
    let before = last_of(&disk).expect("a pass is under way");
    assert!(!before.complete && before.credit.is_some(), "cut in the middle of a group: {before:?}");
    let daemon = start(&ways, &disk).await;
    let record = finished(&disk).await;
    assert_eq!((record.id, record.covered), (before.id, 4_096));
    let (asked, sweeps) = {
        let state = ways.state();
        (state.asked, state.sweeps)
    };
    assert!((ALL..ALL + 4 * CHUNK + sweeps * KNOWN).contains(&asked), "{asked} questions");
    assert_eq!(found(&disk), everybody().filter_map(open_of).count() * 2);
    // Whoever opens a port now is news: everything was covered, what was asked before the kills as well.
    let covered = |region: &inventory::Region| {
        let ports = [1, 22, 4_096, 4_097, 33_333, 65_535];
        let is_covered = |ip| ports.iter().all(|port| region.contains(ip, model::Transport::Tcp, *port));
        everybody().all(is_covered)
    };
    assert!(disk.regions().iter().any(|region| region.lane == Lane::Full && covered(region)));
    daemon.stop().await.expect("it ends cleanly");
}

/// Two of whom one is there.
fn of_two(scan: &str) -> String {
    let few = CONFIG.replace("10.0.0.0/20", "10.0.0.4/31").replace(r#"full = "2h""#, scan);
    assert!(few.contains("10.0.0.4/31") && few.contains(scan));
    few
}

/// What is asked once more at each kill, of those two.
const STEP: u64 = 2 * 1_056;

#[tokio::test(start_paused = true)]
async fn who_is_killed_twice_a_day_comes_round_in_three_days_all_the_same() {
    let (ways, disk) = (Ways::new(), Disk::default());
    let config = of_two(r#"full = "3d""#);
    let (mut kills, began) = (0, Instant::now());
    let record = loop {
        let daemon = start_with(&config, &ways, &disk).await;
        pass(11 * 3_600 + 1_234 * kills).await;
        daemon.kill().await;
        kills += 1;
        if let Some(record) = disk.passes().into_iter().find(|pass| pass.lane == Lane::Full && pass.complete) {
            break record;
        }
        assert!(began.elapsed() < Duration::from_hours(80), "{:?}", last_of(&disk));
    };
    assert!(kills > 4 && record.covered == 2, "{kills} kills, {record:?}");
    let sweeps = ways.state().sweeps;
    let asked = ways.state().asked;
    // The next pass has begun.
    let asked = asked - last_of(&disk).filter(|next| next.id != record.id).map_or(0, |next| next.probes);
    assert!((2 * 65_535..2 * 65_535 + (kills + 2) * STEP + sweeps * 4).contains(&asked), "{asked} questions");
    assert_eq!(found(&disk), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pass_goes_on_where_its_window_closed() {
    let (ways, disk) = (Ways::new(), Disk::default());
    // The clock begins at noon.
    let config = of_two(r#"full = "2d", window = "22:00-06:00", zone = "UTC""#);
    let daemon = start_with(&config, &ways, &disk).await;
    let asked = || ways.state().asked;
    let mut of_nights = Vec::new();
    for _ in 0..2 {
        let before = asked();
        pass(10 * 3_600 - 1).await;
        assert_eq!(asked(), before, "asked by day");
        pass(8 * 3_600 + 61).await;
        of_nights.push(asked() - before);
        pass(6 * 3_600 - 60).await;
    }
    let record = last_of(&disk).expect("a pass");
    assert!(record.complete && record.covered == 2, "{record:?}");
    let (first, second) = (of_nights[0], of_nights[1]);
    assert!(first > 60_000 && second > 20_000 && first + second < 2 * 65_535 + 2 * STEP + 1_000, "{of_nights:?}");
    assert_eq!(found(&disk), 2);
    daemon.stop().await.expect("it ends cleanly");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_it_now_does_not_wait_for_days() {
    let (ways, disk) = (Ways::new(), Disk::default());
    let daemon = start_with(&of_two(r#"full = "10d""#), &ways, &disk).await;
    pass(24 * 3_600).await;
    let before = last_of(&disk).expect("a pass is under way");
    assert!(!before.complete && before.groups_done > 0, "{before:?}");
    daemon.handle.scan_now("dmz").await.expect("it listens").expect("such a profile");
    // What is left takes most of a day, and then everything a day.
    pass(24 * 3_600).await;
    let complete = || disk.passes().into_iter().filter(|pass| pass.lane == Lane::Full && pass.complete).count();
    assert!(complete() >= 1, "{:?}", last_of(&disk));
    pass(26 * 3_600).await;
    let last = last_of(&disk).expect("a pass");
    assert!(last.complete && last.id != before.id && last.covered == 2, "{last:?}");
    // And then at leisure again.
    let asked = ways.state().asked;
    pass(24 * 3_600).await;
    let asked = ways.state().asked - asked;
    assert!(asked < 40_000, "{asked}");
    daemon.stop().await.expect("it ends cleanly");
}
