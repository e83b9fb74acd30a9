//! A world in memory, in paused time: a network whose hosts come and go as the test says, and a journal that can be full,
//! broken or cut off between any two commits.

#![allow(dead_code, reason = "each test file uses its part of it")]

mod tls;

use config::Config;
use inventory::HostState;
use jiff::Timestamp;
use model::{
    AddressRange, AddressSet, Alert, AuditObservation, Clock, ClosedReason, Endpoint, Event, LocalErrorKind, NotProbed,
    OpenReason, Outcome, PortObservation, Service, ServiceName, ServiceObservation, Transport,
};
use monitor::{
    Answer, AuditRequest, Batch, Committed, Conversation, Introduction, Journal, JournalError, Monitor, MonitorError,
    Network, Parts, PassRecord, Restored, Surroundings, scope_of,
};
use notifiers::Owed;
use probe::{Discovered, Found, HostResult, Knock, ResolveError, Resolved, SweepCounts, SweepJob, SweepOutcome};
use scope::ScopeHandle;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use testkit::TokioClock;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// How a firewall treats a sensor it has banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ban {
    Silent,
    Refusing,
}

/// How somebody was asked anything, other than by a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Talked,
    Asked,
}

/// What an endpoint says when it is asked who it is.
pub(crate) type Banner = &'static str;

#[derive(Debug, Default)]
struct Truth {
    open: BTreeMap<Endpoint, Banner>,
    /// Hosts that exist: their other ports refuse.
    hosts: BTreeSet<IpAddr>,
    names: BTreeMap<String, Vec<IpAddr>>,
    /// The uplink is gone: nothing answers.
    unplugged: bool,
    /// This machine has no route: nothing can be asked.
    no_route: bool,
    /// Something answers for all of these addresses, on this port or (none) on every one.
    proxied: Option<(Vec<IpAddr>, Option<u16>)>,
    /// Sweeps never end.
    stuck: bool,
    /// Conversations come to nothing.
    tongue_tied: bool,
    /// Hosts that take their time over every conversation.
    slow: BTreeSet<IpAddr>,
    /// Everything refuses.
    banned: bool,
    /// Hosts whose firewall has banned the sensor.
    shut_out: BTreeMap<IpAddr, Ban>,
    asked_of: BTreeMap<IpAddr, u64>,
    /// Those that answer to echoes, whatever their ports do; none where nobody can be asked for one.
    echoes: Option<BTreeSet<IpAddr>>,
    knocks: u64,
    /// Questions of a thousand that are lost.
    lost: u64,
    around: Surroundings,
    neighbours: BTreeSet<IpAddr>,
    asked: u64,
    /// Sweeps so far, by whether what they hear of their last port was to be doubted.
    sweeps: [u64; 2],
    answers: u64,
    /// Whom somebody began to talk to, and who was asked by himself, in their order.
    met: Vec<(Manner, Endpoint)>,
}

/// What every question does to the sensor's surroundings.
#[derive(Clone)]
struct Disturbance(Arc<dyn Fn(&mut Surroundings) + Send + Sync>);

impl std::fmt::Debug for Disturbance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disturbance")
    }
}

/// The network. Cheap to clone; clones are the same network.
#[derive(Debug, Clone)]
pub(crate) struct World {
    truth: Arc<Mutex<Truth>>,
    disturbance: Arc<Mutex<Option<Disturbance>>>,
    pub(crate) clock: Arc<dyn Clock>,
    halted: Arc<AtomicBool>,
    at_work: Arc<AtomicU64>,
    pub(crate) tls: tls::Tls,
}

impl World {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            truth: Arc::default(),
            disturbance: Arc::default(),
            clock,
            halted: Arc::default(),
            at_work: Arc::default(),
            tls: tls::Tls::default(),
        }
    }

    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(&self, ip: &str, port: u16, banner: Banner) {
        let ip: IpAddr = ip.parse().expect("an address");
        let mut truth = self.truth();
        truth.hosts.insert(ip);
        truth.open.insert(Endpoint::tcp(ip, port), banner);
    }

    pub(crate) fn close(&self, ip: &str, port: u16) {
        let ip: IpAddr = ip.parse().expect("an address");
        self.truth().open.remove(&Endpoint::tcp(ip, port));
    }

    /// The host is gone, or back with what it had.
    pub(crate) fn power(&self, ip: &str, on: bool) {
        let ip: IpAddr = ip.parse().expect("an address");
        let mut truth = self.truth();
        if on {
            truth.hosts.insert(ip)
        } else {
            truth.hosts.remove(&ip)
        };
    }

    pub(crate) fn unplug(&self, unplugged: bool) {
        self.truth().unplugged = unplugged;
    }

    /// Somebody refuses whatever is asked, or does not any more.
    pub(crate) fn ban(&self, banned: bool) {
        self.truth().banned = banned;
    }

    /// The firewall before a host bans the sensor.
    pub(crate) fn shut_out(&self, ip: &str, ban: Ban) {
        self.truth().shut_out.insert(ip.parse().expect("an address"), ban);
    }

    /// From now on packets ask, and these answer to echoes.
    pub(crate) fn echo(&self, ips: impl IntoIterator<Item = String>) {
        self.truth().echoes = Some(ips.into_iter().map(|ip| ip.parse().expect("an address")).collect());
    }

    /// Knocks so far.
    pub(crate) fn knocks(&self) -> u64 {
        self.truth().knocks
    }

    /// What a host answers to a knock; none where that cannot be asked.
    fn knock(&self, ip: IpAddr) -> Option<bool> {
        let mut truth = self.truth();
        if truth.no_route || self.halted.load(Ordering::SeqCst) {
            return None;
        }
        let answers = truth.echoes.as_ref()?.contains(&ip) && !truth.unplugged;
        truth.knocks += 1;
        truth.answers += 1;
        let is_lost = scattered(truth.answers) % 1_000 < truth.lost;
        Some(answers && !is_lost)
    }

    pub(crate) fn let_in(&self, ip: &str) {
        let ip: IpAddr = ip.parse().expect("an address");
        self.truth().shut_out.remove(&ip);
    }

    /// Questions to these hosts so far.
    pub(crate) fn asked_of(&self, hosts: &[String]) -> u64 {
        let truth = self.truth();
        hosts.iter().filter_map(|ip| truth.asked_of.get(&ip.parse::<IpAddr>().ok()?)).sum()
    }

    /// Of a thousand questions so many are lost.
    pub(crate) fn lose(&self, of_a_thousand: u64) {
        self.truth().lost = of_a_thousand;
    }

    pub(crate) fn place(&self, change: impl FnOnce(&mut Surroundings)) {
        change(&mut self.truth().around);
    }

    /// Who is seen on the link.
    pub(crate) fn neighbours(&self, ips: &[&str]) {
        self.truth().neighbours = ips.iter().map(|ip| ip.parse().expect("an address")).collect();
    }

    /// From now on every question does this to the surroundings.
    pub(crate) fn disturb(&self, change: impl Fn(&mut Surroundings) + Send + Sync + 'static) {
        let disturbance = Disturbance(Arc::new(change));
        *self.disturbance.lock().unwrap_or_else(PoisonError::into_inner) = Some(disturbance);
    }

    pub(crate) fn lose_route(&self, lost: bool) {
        self.truth().no_route = lost;
    }

    pub(crate) fn tie_tongues(&self, tied: bool) {
        self.truth().tongue_tied = tied;
    }

    /// Something completes every handshake with these hosts, on this port or on every one, and says nothing.
    pub(crate) fn put_a_proxy_before(&self, hosts: &[String], port: Option<u16>) {
        let hosts = hosts.iter().map(|host| host.parse().expect("an address")).collect();
        self.truth().proxied = Some((hosts, port));
    }

    pub(crate) fn take_the_proxy_away(&self) {
        self.truth().proxied = None;
    }

    pub(crate) fn hold_up(&self, stuck: bool) {
        self.truth().stuck = stuck;
    }

    pub(crate) fn slow_down(&self, ip: &str) {
        self.truth().slow.insert(ip.parse().expect("an address"));
    }

    pub(crate) fn unname(&self, name: &str) {
        self.truth().names.remove(name);
    }

    pub(crate) fn name(&self, name: &str, ips: &[&str]) {
        let ips = ips.iter().map(|ip| ip.parse().expect("an address")).collect();
        self.truth().names.insert(name.to_owned(), ips);
    }

    /// Questions that reached the network so far.
    pub(crate) fn asked(&self) -> u64 {
        self.truth().asked
    }

    /// The addresses that were asked anything so far.
    pub(crate) fn asked_addresses(&self) -> BTreeSet<IpAddr> {
        self.truth().asked_of.keys().copied().collect()
    }

    /// How this host was met so far, other than by sweeps.
    pub(crate) fn met(&self, ip: &str) -> Vec<(Manner, u16)> {
        let ip: IpAddr = ip.parse().expect("an address");
        let truth = self.truth();
        truth.met.iter().filter(|(_, endpoint)| endpoint.ip == ip).map(|(manner, it)| (*manner, it.port)).collect()
    }

    /// Sweeps so far that took nothing at its first word, and others.
    pub(crate) fn sweeps(&self) -> (u64, u64) {
        let [others, doubting] = self.truth().sweeps;
        (doubting, others)
    }

    fn answer(&self, endpoint: Endpoint) -> PortObservation {
        let disturbance = self.disturbance.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut truth = self.truth();
        if let Some(Disturbance(change)) = disturbance {
            change(&mut truth.around);
        }
        let is_lost = scattered(truth.answers) % 1_000 < truth.lost;
        let is_asked = !self.halted.load(Ordering::SeqCst) && !truth.no_route;
        truth.asked += u64::from(is_asked);
        *truth.asked_of.entry(endpoint.ip).or_default() += u64::from(is_asked);
        let ban = truth.shut_out.get(&endpoint.ip).copied();
        let is_proxied = truth
            .proxied
            .as_ref()
            .is_some_and(|(hosts, port)| hosts.contains(&endpoint.ip) && port.is_none_or(|port| port == endpoint.port));
        let outcome = if self.halted.load(Ordering::SeqCst) {
            Outcome::NotProbed(NotProbed::Halted)
        } else if truth.no_route {
            Outcome::LocalError(LocalErrorKind::NoRoute)
        } else if is_proxied {
            Outcome::Open(OpenReason::Connected)
        } else if truth.unplugged || is_lost || ban == Some(Ban::Silent) {
            Outcome::Silent
        } else if ban == Some(Ban::Refusing) {
            Outcome::Closed(ClosedReason::Refused)
        } else if !truth.hosts.contains(&endpoint.ip) {
            Outcome::Silent
        } else if truth.banned {
            Outcome::Closed(ClosedReason::Refused)
        } else if truth.open.contains_key(&endpoint) {
            Outcome::Open(OpenReason::Connected)
        } else {
            Outcome::Closed(ClosedReason::Refused)
        };
        // No two observations carry the same time, as on a real network.
        let at = self.clock.now();
        truth.answers += 1;
        let step = i64::try_from(truth.answers % 900).unwrap_or(0);
        let at = Timestamp::from_nanosecond(at.as_nanosecond() + i128::from(step)).unwrap_or(at);
        PortObservation { endpoint, outcome, at, attempts: 1, refused: 0, rtt_us: None }
    }
}

/// A number that looks random (splitmix64).
fn scattered(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Time a question takes on this network.
const ROUND_TRIP: Duration = Duration::from_millis(5);
/// And a conversation with a slow host.
const SLOW: Duration = Duration::from_secs(12);

impl Network for World {
    fn roots(&self) -> Option<String> {
        Some(self.tls.roots())
    }

    fn sweep(&self, job: SweepJob, found: mpsc::Sender<Found>, cancel: CancellationToken) -> Answer<'_, SweepOutcome> {
        Box::pin(async move {
            self.at_work.fetch_add(1, Ordering::SeqCst);
            sleep(ROUND_TRIP).await;
            while self.truth().stuck {
                sleep(SLOW).await;
            }
            let mut outcome = SweepOutcome::default();
            let one = job.addresses.iter().next().zip(job.tcp.iter().last());
            if let Some((ip, port)) = one {
                self.truth().sweeps[usize::from((job.doubted)(&Endpoint::tcp(ip, port)))] += 1;
            }
            for ip in &job.addresses {
                let mut listed = Vec::new();
                let mut life = None;
                let mut complete = true;
                for port in job.tcp.iter() {
                    let endpoint = Endpoint::tcp(ip, port);
                    let observation = self.answer(endpoint);
                    outcome.counts.attempts += 1;
                    if observation.outcome.is_evidence() {
                        outcome.counts.probes += 1;
                    } else {
                        outcome.counts.local_errors += u64::from(matches!(observation.outcome, Outcome::LocalError(_)));
                        complete = false;
                    }
                    if observation.outcome.is_open() {
                        let hit = Found { observation: observation.clone(), reply: None };
                        if found.send(hit).await.is_err() {
                            break;
                        }
                    }
                    if observation.outcome.is_open() || (job.known)(&endpoint) {
                        listed.push(observation);
                    } else if observation.outcome.is_answer() && life.is_none() {
                        life = Some(observation);
                    }
                }
                if listed.is_empty() {
                    listed.extend(life);
                }
                if !complete {
                    outcome.incomplete.push(ip);
                }
                if job.knock > 0 && !listed.iter().any(|port| port.outcome.is_answer()) {
                    let answers: Option<Vec<bool>> = (0..job.knock).map(|_| self.knock(ip)).collect();
                    match answers {
                        Some(answers) if answers.contains(&true) => {
                            outcome.discovered.push(Discovered { ip, by: [Knock::Echo].into() });
                        }
                        Some(_) => outcome.silent.push(ip),
                        None => {}
                    }
                }
                if !listed.is_empty() {
                    outcome.hosts.push(HostResult { ip, ports: listed, complete, answers_everything: false });
                }
            }
            outcome.aborted = cancel.is_cancelled() || self.halted.load(Ordering::SeqCst);
            outcome.counts = SweepCounts { answered: outcome.hosts.len() as u64, ..outcome.counts };
            outcome
        })
    }

    fn ask(&self, endpoints: Vec<Endpoint>, within: Duration) -> Answer<'_, Vec<Found>> {
        Box::pin(async move {
            sleep(ROUND_TRIP.max(within / 2)).await;
            self.truth().met.extend(endpoints.iter().map(|endpoint| (Manner::Asked, *endpoint)));
            let found = |endpoint| {
                let mut observation = self.answer(endpoint);
                // As the real one does: silence is asked again.
                if observation.outcome == Outcome::Silent {
                    observation = PortObservation { attempts: 2, ..self.answer(endpoint) };
                }
                Found { observation, reply: None }
            };
            endpoints.into_iter().map(found).collect()
        })
    }

    fn identify(&self, whom: Introduction) -> Answer<'_, Conversation> {
        Box::pin(async move {
            self.truth().met.push((Manner::Talked, whom.endpoint));
            let is_slow = self.truth().slow.contains(&whom.endpoint.ip);
            sleep(if is_slow { SLOW } else { ROUND_TRIP }).await;
            if self.truth().tongue_tied {
                return Conversation::default();
            }
            let port = self.answer(whom.endpoint);
            let at = port.at;
            let banner = self.truth().open.get(&whom.endpoint).copied();
            let observation = banner.filter(|_| port.outcome.is_open()).map(|banner| {
                let (name, rest) = banner.split_once(' ').unwrap_or((banner, ""));
                let (product, version) = rest.split_once('/').unwrap_or((rest, ""));
                let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                let service = Service {
                    name: name.to_owned(),
                    product: some(product),
                    version: some(version),
                    confidence: 0.9,
                    ..Service::default()
                };
                ServiceObservation {
                    endpoint: whom.endpoint,
                    name: whom.name.clone(),
                    at,
                    service: Some(service),
                    tls: self.tls.shown(&whom, at),
                    connections: 1,
                    learnt: whom.learnt,
                    heard: None,
                }
            });
            Conversation { ports: vec![port], observation }
        })
    }

    fn audit(&self, whom: AuditRequest) -> Answer<'_, Option<AuditObservation>> {
        Box::pin(async move {
            if self.halted.load(Ordering::SeqCst) {
                return None;
            }
            self.tls.begin_audit(&whom, self.clock.now());
            sleep(SLOW).await;
            Some(self.tls.end_audit(whom, self.clock.now()))
        })
    }

    fn read_reply(&self, endpoint: Endpoint, _: &[u8], at: Timestamp) -> ServiceObservation {
        assert_eq!(endpoint.transport, Transport::Udp);
        ServiceObservation {
            endpoint,
            name: None,
            at,
            service: None,
            tls: None,
            connections: 0,
            learnt: false,
            heard: None,
        }
    }

    fn resolve<'a>(&'a self, name: &'a ServiceName) -> Answer<'a, Result<Resolved, ResolveError>> {
        let addresses = self.truth().names.get(name.as_str()).cloned();
        Box::pin(async move {
            match addresses {
                Some(addresses) => Ok(Resolved { addresses, ttl: Duration::from_secs(30) }),
                None => Err(ResolveError::NoSuchName(name.clone())),
            }
        })
    }

    fn neighbours(&self, among: &AddressSet) -> AddressSet {
        self.truth().neighbours.iter().filter(|ip| among.contains(**ip)).map(|ip| AddressRange::single(*ip)).collect()
    }

    fn sends_packets_to(&self, _ip: IpAddr) -> bool {
        self.truth().echoes.is_some()
    }

    fn surroundings(&self) -> Surroundings {
        self.truth().around.clone()
    }

    fn halt(&self, halted: bool) {
        self.halted.store(halted, Ordering::SeqCst);
    }
}

/// A disk in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    hosts: Vec<HostState>,
    restored: Restored,
    events: Vec<Event>,
    alerts: Vec<Alert>,
    owed: Vec<Owed>,
    hosts_written: usize,
    full: bool,
    broken: bool,
}

impl Disk {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fill(&self, full: bool) {
        self.contents().full = full;
    }

    pub(crate) fn destroy(&self) {
        self.contents().broken = true;
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.contents().events.clone()
    }

    pub(crate) fn alerts(&self) -> Vec<Alert> {
        self.contents().alerts.clone()
    }

    /// The types of the events since the `n`th, without those about the monitor itself.
    pub(crate) fn kinds_since(&self, n: usize) -> Vec<String> {
        self.events().iter().skip(n).map(|event| event.kind.to_string()).collect()
    }

    pub(crate) fn owed(&self) -> usize {
        self.contents().owed.len()
    }

    pub(crate) fn hosts(&self) -> Vec<HostState> {
        self.contents().hosts.clone()
    }

    /// How often a host was written.
    pub(crate) fn hosts_written(&self) -> usize {
        self.contents().hosts_written
    }

    pub(crate) fn regions(&self) -> Vec<inventory::Region> {
        self.contents().restored.regions.clone()
    }

    pub(crate) fn passes(&self) -> Vec<PassRecord> {
        self.contents().restored.passes.clone()
    }
}

impl Journal for Disk {
    async fn load<H>(&self, mut hosts: H) -> Result<(H, Restored), JournalError>
    where
        H: Extend<HostState> + Send + 'static,
    {
        let contents = self.contents();
        hosts.extend(contents.hosts.iter().cloned());
        Ok((hosts, contents.restored.clone()))
    }

    async fn commit(&self, batch: impl Into<Arc<Batch>> + Send) -> Result<Committed, JournalError> {
        let batch = Batch::clone(&batch.into());
        sleep(Duration::from_millis(1)).await;
        let mut contents = self.contents();
        if contents.broken {
            return Err(JournalError::Broken("the database is damaged".to_owned()));
        }
        if contents.full {
            return Err(JournalError::Retry("the disk is full".to_owned()));
        }
        contents.hosts_written += batch.hosts.len();
        for key in &batch.removed_hosts {
            contents.hosts.retain(|known| known.key != *key);
        }
        for host in batch.hosts {
            contents.hosts.retain(|known| known.key != host.key);
            contents.hosts.push(host);
        }
        let restored = &mut contents.restored;
        for certificate in batch.certificates {
            restored.certificates.retain(|known| known.certificate.sha256 != certificate.certificate.sha256);
            restored.certificates.push(certificate);
        }
        for region in batch.regions {
            restored.regions.retain(|known| (&known.profile, known.lane) != (&region.profile, region.lane));
            restored.regions.push(region);
        }
        for pass in batch.passes {
            restored.passes.retain(|known| known.id != pass.id);
            restored.passes.push(pass);
        }
        for violations in batch.violations {
            restored.violations.retain(|known| known.host != violations.host);
            restored.violations.push(violations);
        }
        for note in batch.notes {
            restored.notes.retain(|known| (&known.kind, &known.key) != (&note.kind, &note.key));
            restored.notes.extend(Some(note).filter(|note| note.value.is_some()));
        }
        for pool in batch.pools {
            restored.pools.retain(|known| known.asset != pool.asset);
            restored.pools.push(pool);
        }
        restored.baselines.extend(batch.baselines);
        if let Some(leases) = batch.leases {
            restored.leases = leases;
        }
        if let Some(halted) = batch.halted {
            restored.halted = halted;
        }
        let first = contents.events.len() as u64 + 1;
        let seqs = (first..).take(batch.events.len()).collect();
        contents.events.extend(batch.events);
        contents.owed.extend(batch.owed);
        let seqs_of_alerts = (1..).take(batch.alerts.len()).collect();
        contents.alerts.extend(batch.alerts);
        Ok(Committed { events: seqs, alerts: seqs_of_alerts })
    }
}

/// A daemon's loop at work in that world.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) handle: monitor::Handle,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), MonitorError>>,
}

impl Daemon {
    pub(crate) async fn start(config: &str, world: &World, disk: &Disk) -> Self {
        Self::start_on(config, Arc::new(world.clone()), world.clock.clone(), disk).await
    }

    /// In another network.
    pub(crate) async fn start_on(config: &str, network: Arc<dyn Network>, clock: Arc<dyn Clock>, disk: &Disk) -> Self {
        let config = configured(config);
        let parts = Parts {
            scope: ScopeHandle::new(scope_of(&config)),
            config,
            journal: Arc::new(disk.clone()),
            network,
            clock,
            seed: 7,
            owed: Arc::new(Notify::new()),
        };
        let (monitor, handle) = Monitor::start(parts).await.expect("it starts");
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(monitor.run(shutdown.clone()));
        Self { handle, shutdown, task }
    }

    /// SIGTERM.
    pub(crate) async fn stop(self) -> Result<(), MonitorError> {
        self.shutdown.cancel();
        self.task.await.expect("no bug")
    }

    /// `kill -9`.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }

    pub(crate) async fn ends_by_itself(self) -> Result<(), MonitorError> {
        self.task.await.expect("no bug")
    }
}

/// The meaning of a configuration text.
pub(crate) fn configured(text: &str) -> Arc<Config> {
    let surroundings = config::Surroundings {
        today: jiff::civil::date(2026, 11, 21),
        host_name: "scan1".to_owned(),
        credentials: None,
        folder: None,
    };
    match config::parse(text, "test.toml", &surroundings) {
        Ok(loaded) => Arc::new(loaded.config),
        Err(failure) => panic!("{failure}"),
    }
}

/// A clock that can be set.
#[derive(Debug)]
pub(crate) struct Wound {
    inner: Arc<dyn Clock>,
    seconds: AtomicI64,
}

impl Wound {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { inner: clock(), seconds: AtomicI64::new(0) })
    }

    /// By so many seconds, ahead or back.
    pub(crate) fn set(&self, seconds: i64) {
        self.seconds.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Wound {
    fn now(&self) -> Timestamp {
        self.inner.now() + jiff::SignedDuration::from_secs(self.seconds.load(Ordering::SeqCst))
    }
}

/// Noon of some day.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::starting_at("2026-11-21T12:00:00Z".parse().expect("a time")))
}

pub(crate) async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
